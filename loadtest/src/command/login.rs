//! `login`: connects, authenticates, binds a resource, ends the stream; again and again.

use clap::Args;
use tokio::time::Instant;
use vesta_client::Stream;

use super::{Common, for_each};
use crate::account::Account;
use crate::error::Error;
use crate::login::log_in;
use crate::report::{Meter, Report, latencies};
use crate::target::Target;

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Login {
    #[command(flatten)]
    common: Common,
    /// How many logins are measured; the accounts are used in turn.
    #[arg(long, default_value_t = 10_000)]
    logins: u64,
    /// How many come before, unmeasured.
    #[arg(long, default_value_t = 1_000)]
    warm_up: u64,
    /// Logins under way at once.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
}

impl Login {
    /// Logs in and out.
    pub async fn run(self) -> Result<Report, Error> {
        let (target, accounts) = self.common.open()?;
        self.round(&target, &accounts, self.warm_up).await?;
        let meter = Meter::start(&self.common.processes)?;
        let times_us = self.round(&target, &accounts, self.logins).await?;
        let cost = meter.cost()?;
        let mut histogram = latencies();
        for time_us in times_us {
            histogram.saturating_record(time_us);
        }
        Ok(Report::new("login").with_cost("logins", self.logins, &cost).with_latencies(&histogram))
    }

    /// So many logins; how long each took until the resource was bound, in microseconds.
    async fn round(&self, target: &Target, accounts: &[Account], count: u64) -> Result<Vec<u64>, Error> {
        let log_in_and_out = |number: u64| {
            let account = &accounts[number as usize % accounts.len()];
            async move {
                let began = Instant::now();
                let (stream, _) = log_in(target, account, self.common.mechanism, &format!("login{number}")).await?;
                let time_us = began.elapsed().as_micros() as u64;
                log_out(stream).await?;
                Ok(time_us)
            }
        };
        for_each(0..count, self.at_once, log_in_and_out).await
    }
}

/// Ends the stream and waits for the server's end, however it comes.
async fn log_out(mut stream: Stream) -> Result<(), Error> {
    stream.end().await?;
    while stream.read_raw().await.is_ok_and(|bytes| !bytes.is_empty()) {}
    Ok(())
}
