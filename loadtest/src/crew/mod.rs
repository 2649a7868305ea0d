//! How a scenario runs: in this process alone, or in several that a coordinator starts, because one process may open only so many
//! files and use only so much of a machine.
//!
//! Each process is a [`Worker`] and does its [`Share`] of the scenario. At each [`Gate`] all wait for each other while the figures
//! of the server are read, once for all. At the end their [tallies](Tally) are added up. A process that is alone reads them itself.
//!
//! | file | subject |
//! |---|---|
//! | `share` | which part of everything is a process's |
//! | `gate` | where all wait for each other, and what is read there |
//! | `worker` | what a scenario sees of all this |
//! | `coordinator` | starting processes, waiting for them, adding up |
//! | `line` | what coordinator and workers say to each other |

mod coordinator;
mod gate;
mod line;
mod share;
mod worker;

use std::num::NonZeroUsize;

use clap::Args;

pub use gate::{Gate, Run};
pub use share::Share;
pub use worker::Worker;

use crate::error::Error;
use crate::process::Processes;
use crate::report::Report;
use crate::tally::Tally;

/// Something that puts load on a server.
pub trait Scenario {
    /// What reports call it.
    const NAME: &'static str;

    /// Whose use is measured.
    fn processes(&self) -> &Processes;

    /// Does one process's share. Every worker passes the same gates in the same order.
    ///
    /// # Errors
    /// There will be no figures.
    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error>;

    /// What all workers together have shown.
    ///
    /// # Errors
    /// A result can't be written.
    fn report(&self, run: &Run) -> Result<Report, Error>;
}

/// In how many processes a scenario runs.
#[derive(Clone, Debug, Args)]
pub struct CrewArguments {
    /// Into how many processes the load is divided.
    #[arg(long, value_name = "N", default_value = "1")]
    processes: NonZeroUsize,
    /// This process is one of several: which, of how many.
    #[arg(long, hide = true, value_name = "I/N")]
    worker: Option<Share>,
}

impl CrewArguments {
    /// Runs a scenario. `None`: this process was one of several, and another one reports.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run<S: Scenario>(&self, scenario: &S) -> Result<Option<Report>, Error> {
        let run = match (self.worker, self.processes.get()) {
            (Some(share), _) => return worker::run_coordinated(scenario, share).map(|()| None),
            (None, 1) => worker::run_alone(scenario)?,
            (None, count) => coordinator::run(count, scenario.processes())?,
        };
        scenario.report(&run).map(Some)
    }
}
