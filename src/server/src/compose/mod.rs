//! Composition: the one place that names concrete stores and transports, and puts the roles together from the configuration.

mod in_process;
mod manager;
mod node;
mod router;

use std::path::PathBuf;

pub use node::{Node, SOCKET};

/// Why a role can't be started. All of them are for the operator to put right.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A key that this role needs is missing or makes no sense here.
    #[error("{key}: {reason}")]
    Setting {
        /// The key.
        key: &'static str,
        /// What to do.
        reason: String,
    },
    /// A directory can't be made.
    #[error("the directory {path} can't be made: {reason}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// An address can't be listened at.
    #[error("{key}: {address} can't be listened at: {reason}")]
    Listen {
        /// The key.
        key: &'static str,
        /// Which.
        address: String,
        /// Why.
        reason: std::io::Error,
    },
    /// The configuration's own fault.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The database.
    #[error(transparent)]
    Store(#[from] vesta_storage::OpenError),
    /// The database does not answer where it must.
    #[error("the database does not answer: {0}")]
    Database(#[from] vesta_engine::StoreError),
    /// The nodes' certificates.
    #[error(transparent)]
    NodeTls(#[from] vesta_wire::tls::TlsError),
    /// Raft's log.
    #[error(transparent)]
    Log(#[from] vesta_router::raft::OpenError),
    /// The connection manager.
    #[error(transparent)]
    Manager(#[from] vesta_connection_manager::StartError),
    /// The way into the cluster.
    #[error(transparent)]
    Join(#[from] vesta_router::meta::join::JoinError),
}

/// Which roles a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roles {
    /// Everything in one process.
    All,
    /// Holds clients' connections.
    ConnectionManager,
    /// Leads shards.
    SessionRouter,
}
