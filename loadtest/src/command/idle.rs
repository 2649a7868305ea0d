//! `idle`: sessions that do nothing. What does each cost in memory, and all of them in CPU?

use std::time::Duration;

use clap::Args;
use futures_util::FutureExt as _;
use tokio::time::sleep;
use vesta_client::Stream;

use super::{Common, for_each};
use crate::error::Error;
use crate::login::log_in;
use crate::report::{Meter, Report};

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
    /// Logins under way at once.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
    /// Seconds of quiet before memory is read.
    #[arg(long, default_value_t = 5)]
    settle_s: u64,
    /// Seconds over which the CPU of idleness is taken.
    #[arg(long, default_value_t = 10)]
    hold_s: u64,
}

impl Idle {
    /// Logs in, waits, and reads.
    pub async fn run(self) -> Result<Report, Error> {
        let (target, accounts) = self.common.open()?;
        let processes = &self.common.processes;
        let count = self.sessions.unwrap_or(accounts.len());
        let before = processes.memory_bytes()?;
        let make = |number: usize| {
            let (target, account) = (&target, &accounts[number % accounts.len()]);
            let (mechanism, unavailable) = (self.common.mechanism, self.unavailable);
            async move {
                let (mut stream, _) = log_in(target, account, mechanism, &format!("idle{number}")).await?;
                if !unavailable {
                    stream.send_raw(b"<presence/>").await?;
                }
                Ok(stream)
            }
        };
        let began = Meter::start(processes)?;
        let mut streams = for_each(0..count, self.at_once, make).await?;
        let logins = began.cost()?;
        sleep(Duration::from_secs(self.settle_s)).await;
        let after = processes.memory_bytes()?;
        let holding = Meter::start(processes)?;
        sleep(Duration::from_secs(self.hold_s)).await;
        let hold = holding.cost()?;
        let lost = streams.iter_mut().filter_map(is_lost).count();
        Ok(Report::new("idle")
            .with("sessions", count)
            .with("processes", processes.count())
            .with("memory_before_bytes", before)
            .with("memory_after_bytes", after)
            .with_number("bytes_per_session", after.saturating_sub(before) as f64 / count.max(1) as f64)
            .with_number("idle_cpu_percent", hold.server.cpu_s() / hold.elapsed.as_secs_f64() * 100.0)
            .with_number("logins_per_second", count as f64 / logins.elapsed.as_secs_f64())
            .with("sessions_lost", lost))
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
