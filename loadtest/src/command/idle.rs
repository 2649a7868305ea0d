//! `idle`: sessions that do nothing. What does each cost in memory, and all of them in CPU?

use std::time::Duration;

use clap::Args;
use futures_util::FutureExt as _;
use tokio::time::sleep;
use vesta_client::Stream;

use super::Common;
use crate::crew::{Gate, Run, Scenario, Worker};
use crate::error::Error;
use crate::for_each::for_each;
use crate::login::log_in;
use crate::process::Processes;
use crate::report::Report;
use crate::tally::Tally;

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Idle {
    #[command(flatten)]
    common: Common,
    /// How many; the accounts are used in turn. Default: one for each account.
    #[arg(long)]
    sessions: Option<usize>,
    /// Whether the sessions stay without presence.
    #[arg(long)]
    unavailable: bool,
    /// Logins under way at once, in each process.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
    /// Seconds of quiet before memory is read.
    #[arg(long, default_value_t = 5)]
    settle_s: u64,
    /// Seconds over which the CPU of idleness is taken.
    #[arg(long, default_value_t = 10)]
    hold_s: u64,
}

impl Scenario for Idle {
    const NAME: &'static str = "idle";

    fn processes(&self) -> &Processes {
        &self.common.processes
    }

    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error> {
        let (target, accounts) = self.common.open()?;
        let progress = worker.progress.clone();
        let numbers = worker.share.range(self.sessions.unwrap_or(accounts.len()));
        let connect = async |number: usize| {
            let (account, resource) = (&accounts[number % accounts.len()], format!("idle{number}"));
            let (mut stream, _) = log_in(&target, account, self.common.mechanism, &resource).await?;
            if !self.unavailable {
                stream.send_raw(b"<presence/>").await?;
            }
            Ok(stream)
        };
        worker.meet(Gate::Start).await?;
        progress.begin("logging in", numbers.len() as u64);
        let mut streams = for_each(numbers, self.at_once, &progress, connect).await?;
        worker.meet(Gate::Connected).await?;
        progress.begin("settling", 0);
        sleep(Duration::from_secs(self.settle_s)).await;
        worker.meet(Gate::Settled).await?;
        progress.begin("holding", 0);
        worker.meet(Gate::Begin).await?;
        sleep(Duration::from_secs(self.hold_s)).await;
        worker.meet(Gate::End).await?;
        let mut tally = Tally::default();
        tally.add("sessions", streams.len() as u64);
        tally.add("sessions_lost", streams.iter_mut().filter_map(is_lost).count() as u64);
        Ok(tally)
    }

    fn report(&self, run: &Run) -> Result<Report, Error> {
        let sessions = run.tally.count("sessions");
        let (before, after) = (run.memory_bytes(Gate::Start), run.memory_bytes(Gate::Settled));
        let logins = run.cost_between(Gate::Start, Gate::Connected);
        let hold = run.cost();
        let per_second = |amount: f64| amount / hold.elapsed.as_secs_f64();
        Ok(Report::new(Self::NAME)
            .with("security", self.common.target.security_name())
            .with("sessions", sessions)
            .with("processes", self.common.processes.count())
            .with("memory_before_bytes", before)
            .with("memory_after_bytes", after)
            .with_number("bytes_per_session", after.saturating_sub(before) as f64 / sessions.max(1) as f64)
            .with_number("idle_cpu_percent", per_second(hold.server.cpu_s()) * 100.0)
            .with_number("idle_context_switches_per_second", per_second(hold.server.switches as f64))
            .with_number("idle_disk_written_bytes_per_second", per_second(hold.disk_written_bytes as f64))
            .with_number("logins_per_second", sessions as f64 / logins.elapsed.as_secs_f64())
            .with("sessions_lost", run.tally.count("sessions_lost")))
    }
}

/// Whether the server has closed the connection meanwhile. What it sent (presence, spaces) is passed over.
fn is_lost(stream: &mut Stream) -> Option<()> {
    loop {
        match stream.read_raw().now_or_never() {
            None => return None,
            Some(Ok(bytes)) if !bytes.is_empty() => {}
            Some(_) => return Some(()),
        }
    }
}
