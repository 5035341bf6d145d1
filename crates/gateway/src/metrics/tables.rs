//! How much there is of everything that comes and goes.

use prometheus_client::metrics::gauge::Gauge;

use super::labels::Table;
use super::{Gauges64, Metrics, set};

/// Entries of tables, and tasks.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    entries: Gauges64<Table>,
    tasks: Gauge,
}

impl Metrics {
    pub(super) fn register_tables(&mut self) {
        let tables = self.tables.clone();
        self.register("talkbridge_table_entries", tables.entries);
        self.register("talkbridge_tasks", tables.tasks);
    }
}

impl Tables {
    pub(super) fn collect(&self, tables: &[(&'static str, usize)]) {
        for (table, entries) in tables {
            set(&self.entries.get_or_create(&Table { table }), *entries);
        }
        // Whoever asks for the metrics is one of them.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            set(&self.tasks, runtime.metrics().num_alive_tasks());
        }
    }
}
