//! Where all processes wait for each other, and what is read there.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::disks;
use crate::error::Error;
use crate::process::{Processes, Usage};
use crate::report::Cost;
use crate::tally::Tally;

/// A place in a run. A scenario passes those that it needs, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// Nothing has been done yet. Memory is read.
    Start,
    /// All sessions are there.
    Connected,
    /// What their coming has stirred up has settled. Memory is read.
    Settled,
    /// The measured stretch begins.
    Begin,
    /// It ends.
    End,
}

/// What the server, and all processes of the load generator, had used when all were at a gate, and what disks had written.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    at: Instant,
    server: Usage,
    own: Usage,
    memory_bytes: u64,
    disk_written_bytes: u64,
}

impl Reading {
    /// Reads. Memory only where it is asked for: that stops a large process for a while.
    ///
    /// # Errors
    /// A process is gone.
    pub fn take(gate: Gate, processes: &Processes) -> Result<Self, Error> {
        let memory_bytes = match gate {
            Gate::Start | Gate::Settled => processes.memory_bytes()?,
            Gate::Connected | Gate::Begin | Gate::End => 0,
        };
        let (server, own) = (processes.usage()?, Processes::own().usage()?);
        Ok(Self { at: Instant::now(), server, own, memory_bytes, disk_written_bytes: disks::written_bytes() })
    }
}

/// A whole run: what was read at the gates, and what all processes have counted.
#[derive(Debug, Default)]
pub struct Run {
    pub(super) readings: Vec<(Gate, Reading)>,
    /// What all processes have counted and timed.
    pub tally: Tally,
}

impl Run {
    /// What the measured stretch has cost.
    pub fn cost(&self) -> Cost {
        self.cost_between(Gate::Begin, Gate::End)
    }

    /// What it has cost to come from one gate to another.
    pub fn cost_between(&self, from: Gate, to: Gate) -> Cost {
        let (from, to) = (self.at(from), self.at(to));
        Cost {
            elapsed: to.at - from.at,
            server: to.server.since(&from.server),
            own: to.own.since(&from.own),
            disk_written_bytes: to.disk_written_bytes.saturating_sub(from.disk_written_bytes),
        }
    }

    /// The server's memory at a gate where it is read.
    pub fn memory_bytes(&self, gate: Gate) -> u64 {
        self.at(gate).memory_bytes
    }

    fn at(&self, gate: Gate) -> &Reading {
        let reading = self.readings.iter().find(|(passed, _)| *passed == gate);
        &reading.expect("a scenario asks for gates that it passes").1
    }
}
