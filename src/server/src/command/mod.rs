//! The command line.

mod certificates;
mod config;
mod ctl;
mod output;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::compose::{ComposeError, Roles};
use crate::config::ConfigError;

/// Vesta, an XMPP server for one laptop or many machines.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Runs the whole server in one process, with SQLite unless the configuration says otherwise.
    Serve(RunArguments),
    /// Runs a connection manager of a cluster.
    ConnectionManager(RunArguments),
    /// Runs a session router of a cluster.
    SessionRouter(RunArguments),
    /// Asks and tells a running server: accounts, sessions, the cluster.
    Ctl(ctl::Ctl),
    /// Prints or checks the configuration.
    #[command(subcommand)]
    Config(config::ConfigAction),
    /// Makes the certificates that the nodes of a cluster know each other by.
    #[command(subcommand)]
    Certificates(certificates::CertificatesAction),
}

/// What every role is started with.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The directory for data: database, certificates, logs of the cluster.
    #[arg(long, default_value = DEFAULT_DATA, value_name = "DIR")]
    pub data: PathBuf,
    /// The configuration file. Without one, the defaults and VESTA_… variables count.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Where data is kept if nothing else is said.
pub const DEFAULT_DATA: &str = "./vesta-data";

/// Why a command did not do its work: a sentence for the person who typed it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A role can't be started.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The system refuses.
    #[error("{what}: {reason}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        reason: std::io::Error,
    },
    /// Telemetry.
    #[error(transparent)]
    Telemetry(#[from] crate::telemetry::TelemetryError),
    /// The server answers no.
    #[error(transparent)]
    Administration(#[from] vesta_wire::administration::AdministrationError),
    /// The server does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The request makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Something that the process can't do without has failed; the log says what.
    #[error("the server had to end: the log says why")]
    Ended,
}

impl Failure {
    /// 78 (EX_CONFIG) for the configuration, 64 (EX_USAGE) for the request, 1 for the rest.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Config(_) | Failure::Compose(ComposeError::Setting { .. } | ComposeError::Config(_)) => {
                ExitCode::from(78)
            }
            Failure::Usage(_) => ExitCode::from(64),
            _ => ExitCode::FAILURE,
        }
    }
}

impl Command {
    /// Does what was asked.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Serve(arguments) => serve::run(&arguments, Roles::All),
            Action::ConnectionManager(arguments) => serve::run(&arguments, Roles::ConnectionManager),
            Action::SessionRouter(arguments) => serve::run(&arguments, Roles::SessionRouter),
            Action::Ctl(ctl) => ctl.run(),
            Action::Config(action) => action.run(),
            Action::Certificates(action) => action.run(),
        }
    }
}

/// A runtime with so many threads; with none, one for each core.
fn runtime(threads: u16) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads.into());
    }
    builder.enable_all().build().map_err(|reason| Failure::Io { what: "no runtime can be made".into(), reason })
}
