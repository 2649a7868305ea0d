//! `login`: connects, authenticates, binds a resource, ends the stream; again and again.

use std::ops::Range;

use clap::Args;
use vesta_client::Stream;

use super::Common;
use crate::account::Account;
use crate::crew::{Gate, Run, Scenario, Worker};
use crate::error::Error;
use crate::for_each::for_each;
use crate::login::log_in;
use crate::process::Processes;
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::report::Report;
use crate::tally::Tally;
use crate::target::Target;

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Login {
    #[command(flatten)]
    common: Common,
    /// How many logins are measured; the accounts are used in turn.
    #[arg(long, default_value_t = 10_000)]
    logins: usize,
    /// How many come before, unmeasured.
    #[arg(long, default_value_t = 1_000)]
    warm_up: usize,
    /// Logins under way at once, in each process.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
}

impl Scenario for Login {
    const NAME: &'static str = "login";

    fn processes(&self) -> &Processes {
        &self.common.processes
    }

    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error> {
        let (target, accounts) = self.common.open()?;
        let (share, progress) = (worker.share, worker.progress.clone());
        let (recorder, crowd) = (Recorder::default(), Crowd { target, accounts });
        progress.begin("warming up", share.count(self.warm_up as u64));
        self.round(&crowd, share.range(self.warm_up), &recorder, &progress).await?;
        worker.meet(Gate::Begin).await?;
        recorder.begin();
        progress.begin("logging in and out", share.count(self.logins as u64));
        self.round(&crowd, share.range(self.logins), &recorder, &progress).await?;
        worker.meet(Gate::End).await?;
        Ok(recorder.tally())
    }

    fn report(&self, run: &Run) -> Result<Report, Error> {
        Ok(Report::new(Self::NAME)
            .with("security", self.common.target.security_name())
            .with("mechanism", self.common.mechanism.name())
            .with("at_once", self.at_once)
            .with_cost("logins", run.tally.events(), &run.cost())
            .with_latencies(&run.tally.latencies)
            .with_timeline(&run.tally))
    }
}

/// Who logs in, and where.
struct Crowd {
    target: Target,
    accounts: Vec<Account>,
}

impl Login {
    /// One login for each number. Its time lasts until the resource is bound.
    async fn round(
        &self,
        crowd: &Crowd,
        numbers: Range<usize>,
        recorder: &Recorder,
        progress: &Progress,
    ) -> Result<(), Error> {
        let log_in_and_out = async |number: usize| {
            let account = &crowd.accounts[number % crowd.accounts.len()];
            let began_us = recorder.now_us();
            let resource = format!("login{number}");
            let (stream, _) = log_in(&crowd.target, account, self.common.mechanism, &resource).await?;
            recorder.take(recorder.now_us(), [began_us]);
            log_out(stream).await
        };
        for_each(numbers, self.at_once, progress, log_in_and_out).await.map(drop)
    }
}

/// Ends the stream and waits for the server's end, however it comes.
pub async fn log_out(mut stream: Stream) -> Result<(), Error> {
    stream.end().await?;
    while stream.read_raw().await.is_ok_and(|bytes| !bytes.is_empty()) {}
    Ok(())
}
