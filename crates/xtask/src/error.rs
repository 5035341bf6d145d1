//! What can go wrong in a command of the project itself.

use std::io;
use std::path::PathBuf;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file or folder of the project could not be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// What was touched.
        path: PathBuf,
        /// Why that failed.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// The program with its arguments.
        program: String,
        /// Why that failed.
        source: io::Error,
    },
    /// A program ran and reported failure.
    #[error("`{program}` failed ({status})")]
    Failed {
        /// The program with its arguments.
        program: String,
        /// Its exit status in words.
        status: String,
    },
    /// A program printed something that cannot be understood.
    #[error("cannot understand the output of `{program}`: {reason}")]
    Output {
        /// The program with its arguments.
        program: String,
        /// What was expected.
        reason: String,
    },
    /// Programs are missing and cannot be installed from here.
    #[error("{0}")]
    Missing(String),
    /// Something that should have happened in time did not.
    #[error("{0}")]
    Deadline(String),
}

impl Error {
    /// Ties an I/O error to the path that it is about.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
