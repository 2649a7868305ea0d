//! `chat`: one-to-one messages between pairs.
//!
//! Closed loop: one of each pair sends, and never has more than a window of messages under way; what the other receives makes room
//! for as many. Open loop (`--rate`): messages are sent at a fixed rate, and latencies count from when each was meant to be sent.
//! With `--acknowledge` both use XEP-0198: the sender asks behind every message (in the closed loop: behind those that it writes at
//! once), as clients do that mark each message as sent, and the time to the answer that covers it is taken, too.
//!
//! With `--relay` the same connections and bytes go through a bare relay.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use vesta_client::Stream;

use super::Common;
use crate::account::Account;
use crate::contacts::appear;
use crate::crew::{Gate, Run, Scenario, Worker};
use crate::error::Error;
use crate::for_each::for_each;
use crate::login::log_in;
use crate::management::enable;
use crate::pair::{ACKNOWLEDGED, Pace, Pair, Shared};
use crate::probe::Writer;
use crate::process::Processes;
use crate::recorder::Recorder;
use crate::relay::{Hello, Side};
use crate::report::Report;
use crate::schedule::Schedule;
use crate::tally::Tally;
use crate::target::Target;
use crate::ticker::Ticker;

/// Pairs that are connected at once, in each process.
const AT_ONCE: usize = 16;
/// How long the open loop is measured where nothing else is said.
const OPEN_LOOP_SECONDS: u64 = 20;
/// A run that has a length in time is warmed up for this part of it.
const WARM_UP_PART: f64 = 0.2;

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Chat {
    #[command(flatten)]
    common: Common,
    /// A bare relay to use in place of the server (`vesta-loadtest relay`): no accounts are needed.
    #[arg(long, value_name = "ADDRESS")]
    relay: Option<SocketAddr>,
    /// How many pairs; each takes two accounts.
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Messages of one pair under way at once (closed loop).
    #[arg(long, default_value_t = 10)]
    window: u64,
    /// Messages that are measured, of all pairs together (closed loop).
    #[arg(long, default_value_t = 200_000)]
    messages: u64,
    /// Messages that come before, unmeasured (closed loop).
    #[arg(long, default_value_t = 50_000)]
    warm_up: u64,
    /// Messages in a second, of all pairs together: the open loop.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// Seconds that are measured, in place of a number of messages; a fifth of them comes before, unmeasured. Default of the open
    /// loop: 20.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Microseconds from tick to tick of the open loop: messages of one tick are sent in one burst, each by another pair.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..=1_000_000))]
    tick_us: u64,
    /// Bytes of a message as it is sent.
    #[arg(long, default_value_t = 300)]
    size: usize,
    /// What the messages are addressed to.
    #[arg(long, value_enum, default_value_t = To::Full)]
    to: To,
    /// Streams are managed (XEP-0198), and the time from a message to its acknowledgement is taken.
    #[arg(long, conflicts_with = "relay")]
    acknowledge: bool,
}

/// What messages are addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum To {
    /// The account.
    Bare,
    /// The session.
    Full,
}

/// A pair's connections, and what its messages are addressed to.
struct Ends {
    sender: Stream,
    receiver: Stream,
    to: String,
}

impl Scenario for Chat {
    const NAME: &'static str = "chat";

    fn processes(&self) -> &Processes {
        &self.common.processes
    }

    /// Warms up, measures, lets the last messages arrive.
    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error> {
        let ends = self.connect_all(worker).await?;
        worker.meet(Gate::Connected).await?;
        let shared = Shared { recorder: Arc::new(Recorder::default()), progress: worker.progress.clone() };
        let wakes: Vec<Arc<Notify>> = ends.iter().map(|_| Arc::default()).collect();
        let schedule = self.schedule(worker, ends.len() as u64);
        let mut tasks = JoinSet::new();
        for (number, (ends, wake)) in ends.into_iter().zip(&wakes).enumerate() {
            let writer = Writer::messages(&ends.to, self.size);
            let pace = schedule.map_or(Pace::Window(self.window), |it| Pace::Schedule(it.of_pair(number as u64)));
            let pair = Pair::new(ends.sender, ends.receiver, writer, pace, wake.clone(), &shared);
            tasks.spawn(if self.acknowledge { pair.acknowledging() } else { pair }.run());
        }
        tokio::select! {
            measured = self.measure(worker, &shared.recorder) => measured?,
            // Before the end only an error ends a pair, or a server that has lost all messages under way.
            Some(ended) = tasks.join_next() => {
                join(ended)?;
                return Err(Error::TimedOut("a message"));
            }
            paced = pace(schedule, &shared.recorder, &wakes) => return Err(paced),
        }
        wakes.iter().for_each(|wake| wake.notify_one());
        let mut tally = Tally::default();
        while let Some(ended) = tasks.join_next().await {
            tally.merge(join(ended)?);
        }
        tally.merge(shared.recorder.tally());
        Ok(tally)
    }

    fn report(&self, run: &Run) -> Result<Report, Error> {
        let security = self.relay.map_or_else(|| self.common.target.security_name(), |_| "clear".to_owned());
        let report = Report::new(Self::NAME).with("security", security).with("pairs", self.pairs);
        let report = match self.rate {
            Some(rate) => report.with("rate", rate),
            None => report.with("window", self.window),
        };
        let report = report.with("message_bytes", self.size);
        let report = if self.acknowledge { report.with("acknowledge", true) } else { report };
        let report = report
            .with_cost("messages", run.tally.events(), &run.cost())
            .with_latencies(&run.tally.latencies)
            .with_named_latencies(ACKNOWLEDGED, &run.tally)
            .with_timeline(&run.tally);
        let counts = ["lost", "doubled", "overtaken", "refused", "unsent", "unacknowledged"];
        Ok(counts.into_iter().fold(report, |report, name| report.with(name, run.tally.count(name))))
    }
}

impl Chat {
    /// The open loop's plan for one process, which has so many pairs.
    fn schedule(&self, worker: &Worker, pairs: u64) -> Option<Schedule> {
        // The least rate of all processes together is one message a second for each of them.
        let rate = worker.share.count(self.rate?).max(1);
        Some(Schedule { start_us: 0, tick_us: self.tick_us, rate, pairs })
    }

    async fn measure(&self, worker: &mut Worker, recorder: &Recorder) -> Result<(), Error> {
        let seconds = self.seconds.or(self.rate.map(|_| OPEN_LOOP_SECONDS)).map(|seconds| seconds as f64);
        stage(worker, "warming up", self.warm_up, seconds.map(|seconds| seconds * WARM_UP_PART)).await;
        worker.meet(Gate::Begin).await?;
        recorder.begin();
        stage(worker, "measuring", self.messages, seconds).await;
        worker.meet(Gate::End).await?;
        recorder.end();
        worker.progress.begin("waiting for the last messages", 0);
        Ok(())
    }

    async fn connect_all(&self, worker: &Worker) -> Result<Vec<Ends>, Error> {
        let numbers = worker.share.range(self.pairs);
        worker.progress.begin("connecting pairs", numbers.len() as u64);
        if let Some(relay) = self.relay {
            let target = Target::new(self.common.target.at_relay(relay))?;
            let connect = |number| connect_to_relay(&target, number);
            return for_each(numbers, AT_ONCE, &worker.progress, connect).await;
        }
        let (target, accounts) = self.common.open()?;
        let connect = |couple| self.connect(&target, couple);
        for_each(couples(&accounts, numbers)?.chunks_exact(2), AT_ONCE, &worker.progress, connect).await
    }

    async fn connect(&self, target: &Target, couple: &[Account]) -> Result<Ends, Error> {
        let [romeo, juliet] = couple else { return Err(Error::Usage("a pair is two".into())) };
        let mechanism = self.common.mechanism;
        let (mut sender, _) = log_in(target, romeo, mechanism, "chat").await?;
        let (mut receiver, jid) = log_in(target, juliet, mechanism, "chat").await?;
        appear(&mut receiver, &jid).await?;
        if self.acknowledge {
            enable(&mut sender, false).await?;
            enable(&mut receiver, false).await?;
        }
        let to = match self.to {
            To::Bare => jid.bare_str(),
            To::Full => jid.as_str(),
        };
        Ok(Ends { sender, receiver, to: to.to_owned() })
    }
}

/// The accounts of pairs with these numbers, two for each.
///
/// # Errors
/// There are too few, or no pairs for this process.
pub fn couples(accounts: &[Account], pairs: Range<usize>) -> Result<&[Account], Error> {
    if pairs.is_empty() {
        return Err(Error::Usage("there are more processes than pairs".into()));
    }
    let too_few = || Error::Usage("pairs need twice as many accounts".into());
    accounts.get(2 * pairs.start..2 * pairs.end).ok_or_else(too_few)
}

/// The same two connections, joined by a line each.
async fn connect_to_relay(target: &Target, number: usize) -> Result<Ends, Error> {
    // Several processes, and runs one after the other, use one relay.
    let pair = u64::from(std::process::id()) << 32 | number as u64;
    let (mut sender, mut receiver) = (target.dial().await?, target.dial().await?);
    sender.send_raw(Hello { pair, side: Side::A }.to_string().as_bytes()).await?;
    receiver.send_raw(Hello { pair, side: Side::B }.to_string().as_bytes()).await?;
    Ok(Ends { sender, receiver, to: format!("load{}@{}/chat", 2 * number + 1, target.domain()) })
}

/// Waits for this process's share of so many messages, or for so many seconds where they are given.
async fn stage(worker: &Worker, name: &str, messages: u64, seconds: Option<f64>) {
    match seconds {
        Some(seconds) => {
            worker.progress.begin(name, 0);
            sleep(Duration::from_secs_f64(seconds)).await;
        }
        None => {
            worker.progress.begin(name, worker.share.count(messages));
            worker.progress.finished().await;
        }
    }
}

/// Wakes the pairs whose next message is due, as long as it is polled. Ends only by an error.
async fn pace(schedule: Option<Schedule>, recorder: &Recorder, wakes: &[Arc<Notify>]) -> Error {
    let Some(schedule) = schedule else { return std::future::pending().await };
    let period = Duration::from_micros(schedule.tick_us);
    let ticker = match Ticker::start(recorder.instant(schedule.start_us), period) {
        Ok(ticker) => ticker,
        Err(error) => return error,
    };
    let mut woken = 0;
    loop {
        ticker.tick().await;
        let due = schedule.due(recorder.now_us());
        // After a pause each pair has several, and sends them at once.
        for number in woken..due.min(woken + schedule.pairs) {
            wakes[(number % schedule.pairs) as usize].notify_one();
        }
        woken = due;
    }
}

fn join<T>(ended: Result<Result<T, Error>, JoinError>) -> Result<T, Error> {
    ended.map_err(Error::task)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_has_two_accounts_of_its_own() {
        let account = |name: &str| Account { name: name.into(), password: String::new(), salted: None };
        let accounts = ["a", "b", "c", "d", "e"].map(account);
        let names =
            |pairs| couples(&accounts, pairs).map(|of| of.iter().map(|it| it.name.as_str()).collect::<String>());
        assert_eq!(names(0..1).ok().as_deref(), Some("ab"));
        assert_eq!(names(1..2).ok().as_deref(), Some("cd"));
        assert!(names(1..3).is_err() && names(1..1).is_err());
    }
}
