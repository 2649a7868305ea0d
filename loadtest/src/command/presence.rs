//! `presence`: users with contacts change their presence in rounds; what arrives at contacts is counted.
//!
//! A user goes on to the next round when the presences of the last one have come from all contacts: each has one change under way.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Common;
use crate::contacts::{Circles, ContactArguments, User};
use crate::crew::{Gate, Run, Scenario, Worker};
use crate::error::Error;
use crate::order::Order;
use crate::probe::{Probe, Reader, Writer};
use crate::process::Processes;
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::report::Report;
use crate::tally::Tally;

/// How long presences under way may be silent before they count as lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Bits of a probe's number that say which round it is; those above say whose presence it is.
const ROUND_BITS: u32 = 24;

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Presence {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    contacts: ContactArguments,
    /// How often each user changes presence while it is measured.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// How often before, unmeasured.
    #[arg(long, default_value_t = 3)]
    warm_up: u32,
}

impl Scenario for Presence {
    const NAME: &'static str = "presence";

    fn processes(&self) -> &Processes {
        &self.common.processes
    }

    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error> {
        let (target, accounts) = self.common.open()?;
        let circles = Circles::new(target, accounts, self.common.mechanism, &self.contacts)?;
        let users = circles.gather(circles.users(worker.share), "presence", &worker.progress).await?;
        worker.meet(Gate::Connected).await?;
        let recorder = Arc::new(Recorder::default());
        let member = |user: User| Member::new(circles.position(user.number), circles.contacts(), user, &recorder);
        let members: Vec<_> = users.into_iter().map(member).collect();
        let members = rounds(members, self.warm_up, "warming up", &worker.progress).await?;
        worker.meet(Gate::Begin).await?;
        recorder.begin();
        let members = rounds(members, self.rounds, "changing presence", &worker.progress).await?;
        worker.meet(Gate::End).await?;
        recorder.end();
        let mut tally = recorder.tally();
        tally.add("users", members.len() as u64);
        for member in &members {
            member.add_to(&mut tally);
        }
        Ok(tally)
    }

    fn report(&self, run: &Run) -> Result<Report, Error> {
        let report = Report::new(Self::NAME)
            .with("security", self.common.target.security_name())
            .with("users", run.tally.count("users"))
            .with("contacts", self.contacts.contacts)
            .with_cost("deliveries", run.tally.events(), &run.cost())
            .with_latencies(&run.tally.latencies)
            .with_timeline(&run.tally);
        let counts = ["lost", "doubled", "overtaken"];
        Ok(counts.into_iter().fold(report, |report, name| report.with(name, run.tally.count(name))))
    }
}

/// Lets everybody change presence so many times more.
async fn rounds(members: Vec<Member>, count: u32, stage: &str, progress: &Arc<Progress>) -> Result<Vec<Member>, Error> {
    progress.begin(stage, members.iter().map(|member| member.contacts * u64::from(count)).sum());
    let mut tasks = JoinSet::new();
    for member in members {
        tasks.spawn(member.run(count, progress.clone()));
    }
    let mut members = Vec::with_capacity(tasks.len());
    while let Some(ended) = tasks.join_next().await {
        members.push(ended.map_err(Error::task)??);
    }
    Ok(members)
}

/// A user that changes presence and counts those of contacts.
struct Member {
    user: User,
    /// The user's place in the circle.
    position: u64,
    contacts: u64,
    /// Changes of the own presence.
    rounds: u64,
    /// Presences that have come, or are not waited for any more.
    came: u64,
    /// By the senders' places in the circle.
    orders: Vec<Order>,
    writer: Writer,
    reader: Reader,
    recorder: Arc<Recorder>,
}

impl Member {
    fn new(position: usize, contacts: usize, user: User, recorder: &Arc<Recorder>) -> Self {
        Self {
            user,
            position: position as u64,
            contacts: contacts as u64,
            rounds: 0,
            came: 0,
            orders: vec![Order::default(); contacts + 1],
            writer: Writer::presences(),
            reader: Reader::presences(),
            recorder: recorder.clone(),
        }
    }

    async fn run(mut self, rounds: u32, progress: Arc<Progress>) -> Result<Self, Error> {
        for _ in 0..rounds {
            let number = self.position << ROUND_BITS | self.rounds;
            let mut out = Vec::new();
            self.writer.write(&mut out, Probe { number, sent_us: self.recorder.now_us() });
            self.user.stream.send_raw(&out).await?;
            self.rounds += 1;
            while self.came < self.contacts * self.rounds {
                let Ok(bytes) = timeout(SILENCE_MAX, self.user.stream.read_raw()).await else {
                    self.came = self.contacts * self.rounds;
                    break;
                };
                progress.add(self.take(&bytes?)?);
            }
        }
        Ok(self)
    }

    /// Counts what came; presences of one's own come back, too, and are passed over. Returns how many there were.
    fn take(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        if bytes.is_empty() {
            return Err(vesta_client::Error::Closed.into());
        }
        let mut sent_us = Vec::new();
        let (position, orders) = (self.position, &mut self.orders);
        self.reader.take(bytes, |probe| {
            let (sender, round) = (probe.number >> ROUND_BITS, probe.number & ((1 << ROUND_BITS) - 1));
            let order = orders.get_mut(sender as usize).filter(|_| sender != position);
            if order.is_some_and(|order| order.take(round)) {
                sent_us.push(probe.sent_us);
            }
        });
        let count = sent_us.len() as u64;
        self.came += count;
        self.recorder.take(self.recorder.now_us(), sent_us);
        Ok(count)
    }

    fn add_to(&self, tally: &mut Tally) {
        for (_, order) in self.orders.iter().enumerate().filter(|(sender, _)| *sender as u64 != self.position) {
            tally.add("lost", order.lost(self.rounds));
            tally.add("doubled", order.doubled);
            tally.add("overtaken", order.overtaken);
        }
    }
}
