//! `offline`: messages to accounts that nobody uses just then (XEP-0160); then all log in and get them. How fast are messages taken
//! and handed out, what does that cost, and does each come once and in order?
//!
//! Senders use XEP-0198, each with a window of messages that are not acknowledged, so that what is timed is how long the server takes
//! to have stored them.

use std::ops::Deref;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use vesta_client::Stream;

use super::Common;
use super::chat::couples;
use crate::account::Account;
use crate::crew::{Gate, Run, Scenario, Worker};
use crate::error::Error;
use crate::for_each::for_each;
use crate::login::log_in;
use crate::management::{self, Counter, enable};
use crate::order::Order;
use crate::pair::ACKNOWLEDGED;
use crate::probe::{Probe, Reader, Writer};
use crate::process::Processes;
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::report::{Cost, Report};
use crate::tally::Tally;
use crate::target::Target;

/// How long the server may be silent while something is waited for.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Offline {
    #[command(flatten)]
    common: Common,
    /// How many pairs: each takes two accounts, of which one writes to the other.
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Messages to each. A server keeps only so many.
    #[arg(long, default_value_t = 100, value_name = "N")]
    messages_each: u64,
    /// Messages of one pair that are not acknowledged.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    window: u64,
    /// Bytes of a message as it is sent.
    #[arg(long, default_value_t = 300)]
    size: usize,
    /// Logins under way at once, in each process.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
}

/// Somebody who writes to somebody who is not there.
struct Sender<'a> {
    stream: Stream,
    to: &'a Account,
}

/// Whom messages wait for.
struct Recipient<'a> {
    account: &'a Account,
    /// Messages that came back with an error.
    refused: u64,
}

/// What a process's tasks share.
struct Surroundings<'a> {
    target: Target,
    recorder: Recorder,
    progress: &'a Progress,
}

impl Scenario for Offline {
    const NAME: &'static str = "offline";

    fn processes(&self) -> &Processes {
        &self.common.processes
    }

    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error> {
        let (target, accounts) = self.common.open()?;
        let (couples, progress) = (couples(&accounts, worker.share.range(self.pairs))?, worker.progress.clone());
        let surroundings = Surroundings { target, recorder: Recorder::default(), progress: &progress };
        progress.begin("logging in", couples.len() as u64);
        let connect = |couple| self.connect(&surroundings.target, couple);
        let senders = for_each(couples.chunks_exact(2), self.at_once, &progress, connect).await?;
        worker.meet(Gate::Connected).await?;
        surroundings.recorder.begin();
        // Messages are counted, not pairs.
        let (all, messages, unseen) = (senders.len(), senders.len() as u64 * self.messages_each, Progress::default());
        progress.begin("writing", messages);
        let recipients = for_each(senders, all, &unseen, |sender| self.write(&surroundings, sender)).await?;
        worker.meet(Gate::Begin).await?;
        progress.begin("fetching", messages);
        let fetch = |recipient| self.fetch(&surroundings, recipient);
        let fetched = for_each(recipients, self.at_once, &unseen, fetch).await?;
        worker.meet(Gate::End).await?;
        let mut tally = surroundings.recorder.tally();
        fetched.into_iter().for_each(|one| tally.merge(one));
        Ok(tally)
    }

    fn report(&self, run: &Run) -> Result<Report, Error> {
        let messages = run.tally.events();
        let report = Report::new(Self::NAME)
            .with("security", self.common.target.security_name())
            .with("pairs", self.pairs)
            .with("messages_each", self.messages_each)
            .with("message_bytes", self.size)
            .with_cost("messages", messages, &run.cost_between(Gate::Connected, Gate::End));
        let report = with_stretch(report, "stored", messages, &run.cost_between(Gate::Connected, Gate::Begin));
        let report = with_stretch(report, "fetched", messages, &run.cost())
            .with_latencies(&run.tally.latencies)
            .with_named_latencies(ACKNOWLEDGED, &run.tally)
            .with_timeline(&run.tally);
        let counts = ["lost", "doubled", "overtaken", "refused"];
        Ok(counts.into_iter().fold(report, |report, name| report.with(name, run.tally.count(name))))
    }
}

/// Rate and CPU of one of both parts.
fn with_stretch(report: Report, name: &str, messages: u64, cost: &Cost) -> Report {
    let (messages, seconds) = (messages as f64, cost.elapsed.as_secs_f64());
    report
        .with_number(&format!("{name}_per_second"), messages / seconds)
        .with_number(&format!("{name}_cpu_seconds_per_100_000"), cost.server.cpu_s() * 100_000.0 / messages.max(1.0))
}

impl Offline {
    async fn connect<'a>(&self, target: &Target, couple: &'a [Account]) -> Result<Sender<'a>, Error> {
        let [romeo, juliet] = couple else { return Err(Error::Usage("a pair is two".into())) };
        let (mut stream, _) = log_in(target, romeo, self.common.mechanism, "offline").await?;
        enable(&mut stream, false).await?;
        Ok(Sender { stream, to: juliet })
    }

    /// Writes all messages of a pair, and returns when they are acknowledged.
    async fn write<'a>(&self, around: &Surroundings<'_>, sender: Sender<'a>) -> Result<Recipient<'a>, Error> {
        let Surroundings { target, recorder, progress } = around;
        let Sender { mut stream, to } = sender;
        let writer = Writer::messages(&format!("{}@{}", to.name, target.domain()), self.size);
        let (mut counter, mut returned, mut refused) = (Counter::default(), Reader::messages(), 0);
        let (mut sent_us, mut acknowledged) = (Vec::new(), 0);
        while acknowledged < self.messages_each {
            let due = self.messages_each.min(acknowledged + self.window);
            let mut out = Vec::new();
            for number in sent_us.len() as u64..due {
                let now_us = recorder.now_us();
                writer.write(&mut out, Probe { number, sent_us: now_us });
                sent_us.push(now_us);
            }
            if !out.is_empty() {
                out.extend_from_slice(management::REQUEST);
            }
            out.extend(counter.answer().unwrap_or_default());
            stream.send_raw(&out).await?;
            let bytes = read(&mut stream, "an acknowledgement").await?;
            returned.take(&bytes, |_| refused += 1);
            let news = u64::from(counter.take(&bytes));
            let until = acknowledged + news;
            let Some(covered) = sent_us.get(acknowledged as usize..until as usize) else {
                let got = format!("{until}, of {}", sent_us.len());
                return Err(Error::Unexpected { expected: "an acknowledgement of what was sent", got });
            };
            recorder.take_named(ACKNOWLEDGED, recorder.now_us(), covered.iter().copied());
            progress.add(news);
            acknowledged = until;
        }
        Ok(Recipient { account: to, refused })
    }

    /// Logs in, takes what comes, and logs out: what comes twice comes before the stream's end.
    async fn fetch(&self, around: &Surroundings<'_>, recipient: Recipient<'_>) -> Result<Tally, Error> {
        let Surroundings { target, recorder, progress } = around;
        let Recipient { account, refused } = recipient;
        let (mut stream, _) = log_in(target, account, self.common.mechanism, "offline").await?;
        let (mut reader, mut order, mut came) = (Reader::messages(), Order::default(), 0);
        let asked_us = recorder.now_us();
        stream.send_raw(b"<presence/>").await?;
        let mut take = |bytes: &[u8]| {
            let mut new = 0;
            reader.take(bytes, |probe| new += u64::from(order.take(probe.number)));
            recorder.take(recorder.now_us(), std::iter::repeat_n(asked_us, new as usize));
            progress.add(new);
            came += new;
            came
        };
        let expected = self.messages_each - refused;
        let mut is_waiting = expected > 0;
        while is_waiting {
            match read(&mut stream, "a message").await {
                Ok(bytes) => is_waiting = take(&bytes) < expected,
                // They are lost.
                Err(Error::TimedOut(_)) => is_waiting = false,
                Err(error) => return Err(error),
            }
        }
        stream.end().await?;
        while let Ok(bytes) = read(&mut stream, "the end").await {
            take(&bytes);
        }
        let mut tally = Tally::default();
        tally.add("lost", order.lost(self.messages_each).saturating_sub(refused));
        tally.add("doubled", order.doubled);
        tally.add("overtaken", order.overtaken);
        tally.add("refused", refused);
        Ok(tally)
    }
}

/// What comes next: never nothing.
async fn read(stream: &mut Stream, what: &'static str) -> Result<impl Deref<Target = [u8]>, Error> {
    let bytes = timeout(SILENCE_MAX, stream.read_raw()).await.map_err(|_| Error::TimedOut(what))??;
    match bytes.is_empty() {
        true => Err(vesta_client::Error::Closed.into()),
        false => Ok(bytes),
    }
}
