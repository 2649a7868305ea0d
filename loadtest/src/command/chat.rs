//! `chat`: one-to-one messages between pairs, as fast as they arrive (closed loop): one of each pair sends, and never has
//! more than a window of messages under way; what the other receives makes room for as many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use vesta_client::Stream;

use super::{Common, for_each};
use crate::account::Account;
use crate::error::Error;
use crate::login::log_in;
use crate::order::Order;
use crate::probe::{Probe, Reader, Writer};
use crate::report::{Cost, Meter, Report, latencies};
use crate::target::Target;

/// How long messages under way may be silent before they count as lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Chat {
    #[command(flatten)]
    common: Common,
    /// How many pairs; each takes two accounts.
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Messages of one pair under way at once.
    #[arg(long, default_value_t = 10)]
    window: u64,
    /// Messages that are measured, of all pairs together.
    #[arg(long, default_value_t = 200_000)]
    messages: u64,
    /// Messages that come before, unmeasured.
    #[arg(long, default_value_t = 50_000)]
    warm_up: u64,
    /// Bytes of a message as it is sent.
    #[arg(long, default_value_t = 300)]
    size: usize,
    /// What the messages are addressed to.
    #[arg(long, value_enum, default_value_t = To::Full)]
    to: To,
}

/// What messages are addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum To {
    /// The account.
    Bare,
    /// The session.
    Full,
}

impl Chat {
    /// Warms up, measures, lets the last messages arrive.
    pub async fn run(self) -> Result<Report, Error> {
        let (target, accounts) = self.common.open()?;
        if accounts.len() < 2 * self.pairs {
            return Err(Error::Usage(format!("{} pairs need twice as many accounts", self.pairs)));
        }
        let progress = Arc::new(Progress::new(&[self.warm_up, self.warm_up + self.messages]));
        let connect = |couple| self.connect(&target, couple, progress.clone());
        let pairs = for_each(accounts.chunks_exact(2).take(self.pairs), 16, connect).await?;
        let mut tasks = JoinSet::new();
        for pair in pairs {
            tasks.spawn(pair.run());
        }
        let cost = tokio::select! {
            cost = self.measure(&progress) => cost?,
            // Before the end only an error ends a pair.
            Some(ended) = tasks.join_next() => {
                join(ended)?;
                return Err(Error::TimedOut("a message"));
            }
        };
        let (mut totals, mut histogram) = (Totals::default(), latencies());
        while let Some(ended) = tasks.join_next().await {
            let (counts, latencies) = join(ended)?;
            totals.add(counts);
            histogram.add(latencies).expect("histograms of the same bounds");
        }
        Ok(self.report(&cost, totals, &histogram))
    }

    async fn measure(&self, progress: &Progress) -> Result<Cost, Error> {
        progress.reached(0).await;
        progress.measuring.store(true, Ordering::Relaxed);
        let meter = Meter::start(&self.common.processes)?;
        progress.reached(1).await;
        let cost = meter.cost()?;
        progress.measuring.store(false, Ordering::Relaxed);
        progress.ending.store(true, Ordering::Relaxed);
        Ok(cost)
    }

    fn report(&self, cost: &Cost, totals: Totals, histogram: &Histogram<u64>) -> Report {
        Report::new("chat")
            .with("pairs", self.pairs)
            .with("window", self.window)
            .with("message_bytes", self.size)
            .with_cost("messages", self.messages, cost)
            .with_latencies(histogram)
            .with("lost", totals.lost)
            .with("doubled", totals.doubled)
            .with("overtaken", totals.overtaken)
            .with("refused", totals.refused)
    }

    async fn connect(&self, target: &Target, couple: &[Account], progress: Arc<Progress>) -> Result<Pair, Error> {
        let [romeo, juliet] = couple else { return Err(Error::Usage("a pair is two".into())) };
        let mechanism = self.common.mechanism;
        let (sender, _) = log_in(target, romeo, mechanism, "chat").await?;
        let (mut receiver, jid) = log_in(target, juliet, mechanism, "chat").await?;
        receiver.send_raw(b"<presence/>").await?;
        // RFC 6121 §4.2.2: once the own presence is back, the server has it.
        receiver.next().await?;
        let to = match self.to {
            To::Bare => jid.bare_str(),
            To::Full => jid.as_str(),
        };
        Ok(Pair {
            sender,
            receiver,
            writer: Writer::new(to, self.size),
            sent: 0,
            under_way: 0,
            window: self.window,
            order: Order::default(),
            refused: 0,
            latencies: latencies(),
            began: Instant::now(),
            progress,
        })
    }
}

fn join<T>(ended: Result<Result<T, Error>, tokio::task::JoinError>) -> Result<T, Error> {
    ended.map_err(|error| Error::Usage(error.to_string()))?
}

/// How far all pairs have come, and what they are to do.
#[derive(Debug)]
struct Progress {
    received: AtomicU64,
    marks: Vec<(u64, Notify)>,
    measuring: AtomicBool,
    ending: AtomicBool,
}

impl Progress {
    fn new(marks: &[u64]) -> Self {
        let marks = marks.iter().map(|mark| (*mark, Notify::new())).collect();
        Self { received: AtomicU64::new(0), marks, measuring: AtomicBool::new(false), ending: AtomicBool::new(false) }
    }

    fn count(&self, received: u64) {
        let before = self.received.fetch_add(received, Ordering::Relaxed);
        for (mark, notify) in &self.marks {
            if before < *mark && *mark <= before + received {
                notify.notify_one();
            }
        }
    }

    /// Waits until so many messages were received as the mark says.
    async fn reached(&self, mark: usize) {
        let (count, notify) = &self.marks[mark];
        if *count > 0 {
            notify.notified().await;
        }
    }
}

/// What became of messages.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    lost: u64,
    doubled: u64,
    overtaken: u64,
    refused: u64,
}

impl Totals {
    fn add(&mut self, other: Totals) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.overtaken += other.overtaken;
        self.refused += other.refused;
    }
}

/// Two sessions, one of which writes to the other.
struct Pair {
    sender: Stream,
    receiver: Stream,
    writer: Writer,
    sent: u64,
    under_way: u64,
    window: u64,
    order: Order,
    /// Messages that came back with an error.
    refused: u64,
    latencies: Histogram<u64>,
    began: Instant,
    progress: Arc<Progress>,
}

impl Pair {
    /// Sends and receives until it is to end and nothing is under way, or for too long nothing has come.
    async fn run(mut self) -> Result<(Totals, Histogram<u64>), Error> {
        let (mut received, mut returned) = (Reader::default(), Reader::default());
        loop {
            self.fill_window().await?;
            if self.under_way == 0 {
                break;
            }
            let came = async {
                tokio::select! {
                    bytes = self.receiver.read_raw() => Ok::<_, Error>((bytes?, true)),
                    bytes = self.sender.read_raw() => Ok((bytes?, false)),
                }
            };
            match timeout(SILENCE_MAX, came).await {
                Err(_) => break,
                Ok(Err(error)) => return Err(error),
                Ok(Ok((bytes, _))) if bytes.is_empty() => return Err(vesta_client::Error::Closed.into()),
                Ok(Ok((bytes, true))) => self.receive(&mut received, &bytes),
                Ok(Ok((bytes, false))) => returned.take(&bytes, |_| {
                    self.refused += 1;
                    self.under_way = self.under_way.saturating_sub(1);
                }),
            }
        }
        let Order { overtaken, doubled, .. } = self.order;
        let lost = self.order.lost(self.sent);
        Ok((Totals { lost, doubled, overtaken, refused: self.refused }, self.latencies))
    }

    async fn fill_window(&mut self) -> Result<(), Error> {
        if self.progress.ending.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut out = Vec::new();
        let sent_us = self.now_us();
        for number in self.sent..self.sent + self.window.saturating_sub(self.under_way) {
            self.writer.write(&mut out, Probe { number, sent_us });
            self.sent += 1;
            self.under_way += 1;
        }
        if !out.is_empty() {
            self.sender.send_raw(&out).await?;
        }
        Ok(())
    }

    fn receive(&mut self, reader: &mut Reader, bytes: &[u8]) {
        let now_us = self.now_us();
        let measuring = self.progress.measuring.load(Ordering::Relaxed);
        let mut new = 0;
        reader.take(bytes, |probe| {
            if self.order.take(probe.number) {
                new += 1;
                if measuring {
                    self.latencies.saturating_record(now_us.saturating_sub(probe.sent_us));
                }
            }
        });
        self.under_way = self.under_way.saturating_sub(new);
        self.progress.count(new);
    }

    fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }
}
