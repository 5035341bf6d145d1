//! The sections about what is kept of a call.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Records of calls that are over.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cdr {
    /// The file that takes one JSON line for each call that is over ([end-record.md](end-record.md)). None is written unless set. Opened anew on
    /// SIGHUP, so that it can be rotated.
    pub file: Option<PathBuf>,
    /// Whether the records name the other party, and the number that a call was transferred to.
    pub numbers: bool,
}
