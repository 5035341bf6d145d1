//! How much there is of everything that comes and goes.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

use tokio::runtime::Handle;

use super::labels::Table;
use super::{Gauges64, Metrics, set};

/// Entries of tables, and tasks.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    entries: Gauges64<Table>,
    tasks: Gauge,
    /// Whose tasks are counted.
    runtimes: Arc<Mutex<Vec<Handle>>>,
}

impl Metrics {
    /// The tasks of this runtime are counted from now on.
    pub fn counts_tasks_of(&self, runtime: Handle) {
        let runtimes = self.tables.runtimes.lock();
        runtimes
            .unwrap_or_else(PoisonError::into_inner)
            .push(runtime);
    }

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
        let runtimes = self.runtimes.lock();
        let runtimes = runtimes.unwrap_or_else(PoisonError::into_inner);
        let tasks = runtimes
            .iter()
            .map(|runtime| runtime.metrics().num_alive_tasks());
        // Whoever asks for the metrics is one of them.
        set(&self.tasks, tasks.sum());
    }
}
