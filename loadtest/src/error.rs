//! Why a run gave no figures.

use std::path::{Path, PathBuf};

use vesta_client::xmpp::scan::Item;

/// Why a run gave no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection, or what came over it.
    #[error(transparent)]
    Client(#[from] vesta_client::Error),
    /// The server did something else than it should.
    #[error("expected {expected}, the server sent {got}")]
    Unexpected {
        /// What should have come.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// The server took too long.
    #[error("{0} took too long")]
    TimedOut(&'static str),
    /// A process that does a part of the load has ended without figures.
    #[error("a worker process has failed; why stands above")]
    WorkerFailed,
    /// The process that started this one has ended.
    #[error("the coordinator is gone")]
    CoordinatorGone,
    /// The request makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file can't be read or written.
    #[error("{path}: {reason}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// The system refuses.
    #[error("{what}: {reason}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        reason: std::io::Error,
    },
}

impl Error {
    /// Something came that should not have come there.
    pub fn unexpected(expected: &'static str, got: &Item) -> Self {
        Error::Unexpected { expected, got: format!("{got:?}") }
    }

    /// A task of ours has panicked, or was stopped.
    pub fn task(error: tokio::task::JoinError) -> Self {
        Error::System { what: "a task", reason: error.into() }
    }

    /// Why `path` can't be read or written.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Error::File { path, reason }
    }

    /// Why the system refused `what`.
    pub fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |reason| Error::System { what, reason }
    }
}
