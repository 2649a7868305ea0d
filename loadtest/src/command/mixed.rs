//! `mixed`: a common day in short. Some users only are there; the others write to contacts, change their presence, log out and in
//! again, each at random moments that a seed decides. Times count from when something was to be done until a contact had it.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Common;
use super::login::log_out;
use crate::contacts::{Circles, ContactArguments, ROSTER_GET, User};
use crate::crew::{Gate, Run, Scenario, Worker};
use crate::error::Error;
use crate::probe::{Probe, Reader, Writer};
use crate::process::Processes;
use crate::random::Random;
use crate::recorder::Recorder;
use crate::report::Report;
use crate::tally::Tally;

/// Bytes of a message as it is sent.
const MESSAGE_BYTES: usize = 300;

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Mixed {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    contacts: ContactArguments,
    #[command(flatten)]
    habits: Habits,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Decides who does what when: runs of the same seed do the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What users do.
#[derive(Clone, Copy, Debug, Args)]
struct Habits {
    /// Of a hundred users, so many do nothing.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(..=100))]
    idle_percent: u8,
    /// Messages that each of the others writes in a minute.
    #[arg(long, default_value_t = 2.0, value_name = "N")]
    messages_per_minute: f64,
    /// Changes of presence.
    #[arg(long, default_value_t = 0.5, value_name = "N")]
    presences_per_minute: f64,
    /// Logouts.
    #[arg(long, default_value_t = 0.1, value_name = "N")]
    logouts_per_minute: f64,
    /// Seconds from a logout to the next login.
    #[arg(long, default_value_t = 10, value_name = "N")]
    away_s: u64,
}

/// What a user does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Write,
    ChangePresence,
    LogOutAndIn,
}

impl Scenario for Mixed {
    const NAME: &'static str = "mixed";

    fn processes(&self) -> &Processes {
        &self.common.processes
    }

    async fn work(&self, worker: &mut Worker) -> Result<Tally, Error> {
        let (target, accounts) = self.common.open()?;
        let circles = Arc::new(Circles::new(target, accounts, self.common.mechanism, &self.contacts)?);
        let users = circles.gather(circles.users(worker.share), "mixed", &worker.progress).await?;
        let recorder = Arc::new(Recorder::default());
        let mut tally = Tally::default();
        tally.add("users", users.len() as u64);
        worker.progress.begin("living", 0);
        worker.meet(Gate::Begin).await?;
        recorder.begin();
        let mut tasks = JoinSet::new();
        let end = Instant::now() + Duration::from_secs(self.seconds);
        for user in users {
            let random = Random::new(self.seed, user.number as u64);
            tasks.spawn(Life::new(user, circles.clone(), self.habits, random, recorder.clone()).live(end));
        }
        while let Some(ended) = tasks.join_next().await {
            tally.merge(ended.map_err(Error::task)??);
        }
        worker.meet(Gate::End).await?;
        tally.merge(recorder.tally());
        Ok(tally)
    }

    fn report(&self, run: &Run) -> Result<Report, Error> {
        let cost = run.cost();
        let report = Report::new(Self::NAME)
            .with("security", self.common.target.security_name())
            .with("users", run.tally.count("users"))
            .with("contacts", self.contacts.contacts)
            .with_cost("deliveries", run.tally.events(), &cost)
            .with_number("server_cpu_percent", cost.server.cpu_s() / cost.elapsed.as_secs_f64() * 100.0)
            .with_latencies(&run.tally.latencies)
            .with_timeline(&run.tally);
        let counts = ["messages_sent", "messages_received", "presences_sent", "presences_received", "logins"];
        Ok(counts.into_iter().fold(report, |report, name| report.with(name, run.tally.count(name))))
    }
}

impl Habits {
    /// When a user does something next, and what. `None`: never anything.
    fn next(&self, random: &mut Random) -> Option<(Duration, Act)> {
        let Habits { messages_per_minute, presences_per_minute, logouts_per_minute, .. } = *self;
        let per_minute = messages_per_minute + presences_per_minute + logouts_per_minute;
        if per_minute <= 0.0 {
            return None;
        }
        let wait = Duration::from_secs_f64(60.0 / per_minute * random.exponential());
        let chosen = random.unit() * per_minute;
        let act = match () {
            () if chosen < messages_per_minute => Act::Write,
            () if chosen < messages_per_minute + presences_per_minute => Act::ChangePresence,
            () => Act::LogOutAndIn,
        };
        Some((wait, act))
    }
}

/// One user's day.
struct Life {
    user: User,
    circles: Arc<Circles>,
    habits: Habits,
    random: Random,
    recorder: Arc<Recorder>,
    /// What was sent before is history, and comes late for a reason.
    logged_in_us: u64,
    messages: Reader,
    presences: Reader,
    tally: Tally,
}

impl Life {
    fn new(user: User, circles: Arc<Circles>, habits: Habits, mut random: Random, recorder: Arc<Recorder>) -> Self {
        let is_idle = random.unit() * 100.0 < f64::from(habits.idle_percent);
        let never = Habits { messages_per_minute: 0.0, presences_per_minute: 0.0, logouts_per_minute: 0.0, ..habits };
        Self {
            user,
            circles,
            habits: if is_idle { never } else { habits },
            random,
            logged_in_us: recorder.now_us(),
            recorder,
            messages: Reader::messages(),
            presences: Reader::presences(),
            tally: Tally::default(),
        }
    }

    async fn live(mut self, end: Instant) -> Result<Tally, Error> {
        let mut now = Instant::now();
        while let Some((wait, act)) = self.habits.next(&mut self.random) {
            // From when the last thing was meant to be done: being slow does not make users patient.
            now += wait;
            self.listen(now.min(end)).await?;
            if now >= end {
                return Ok(self.tally);
            }
            match act {
                Act::Write => self.write().await?,
                Act::ChangePresence => self.change_presence().await?,
                Act::LogOutAndIn => {
                    now += Duration::from_secs(self.habits.away_s);
                    self = self.log_out_and_in(now.min(end)).await?;
                }
            }
        }
        self.listen(end).await?;
        Ok(self.tally)
    }

    /// Takes what comes until then.
    async fn listen(&mut self, until: Instant) -> Result<(), Error> {
        loop {
            let bytes = tokio::select! {
                bytes = self.user.stream.read_raw() => bytes?,
                () = sleep_until(until) => return Ok(()),
            };
            if bytes.is_empty() {
                return Err(vesta_client::Error::Closed.into());
            }
            self.take(&bytes);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let Self { messages, presences, recorder, tally, logged_in_us, .. } = self;
        let (now_us, own) = (recorder.now_us(), self.user.number as u64);
        let mut count = |name, probe: Probe| {
            if probe.number != own && probe.sent_us >= *logged_in_us {
                tally.add(name, 1);
                recorder.take(now_us, [probe.sent_us]);
            }
        };
        messages.take(bytes, |probe| count("messages_received", probe));
        presences.take(bytes, |probe| count("presences_received", probe));
    }

    async fn write(&mut self) -> Result<(), Error> {
        let circle = self.circles.circle(self.user.number);
        let others: Vec<usize> = circle.filter(|other| *other != self.user.number).collect();
        let contact = self.circles.jid(others[self.random.below(others.len())])?;
        self.tally.add("messages_sent", 1);
        self.send(&Writer::messages(contact.as_str(), MESSAGE_BYTES)).await
    }

    async fn change_presence(&mut self) -> Result<(), Error> {
        self.tally.add("presences_sent", 1);
        self.send(&Writer::presences()).await
    }

    /// Each probe carries its sender's number: nobody counts what is one's own.
    async fn send(&mut self, writer: &Writer) -> Result<(), Error> {
        let mut out = Vec::new();
        writer.write(&mut out, Probe { number: self.user.number as u64, sent_us: self.recorder.now_us() });
        Ok(self.user.stream.send_raw(&out).await?)
    }

    async fn log_out_and_in(mut self, at: Instant) -> Result<Self, Error> {
        log_out(self.user.stream).await?;
        sleep_until(at).await;
        self.user = self.circles.log_in(self.user.number, "mixed").await?;
        self.user.stream.send_raw([ROSTER_GET, "<presence/>"].concat().as_bytes()).await?;
        self.logged_in_us = self.recorder.now_us();
        self.tally.add("logins", 1);
        (self.messages, self.presences) = (Reader::messages(), Reader::presences());
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_do_as_much_of_everything_as_they_are_in_the_habit_of() {
        let habits = Habits {
            idle_percent: 0,
            messages_per_minute: 6.0,
            presences_per_minute: 3.0,
            logouts_per_minute: 1.0,
            away_s: 0,
        };
        let mut random = Random::new(1, 1);
        let acts: Vec<_> = (0..10_000).filter_map(|_| habits.next(&mut random)).collect();
        let minutes = acts.iter().map(|(wait, _)| wait.as_secs_f64()).sum::<f64>() / 60.0;
        assert!((950.0..1050.0).contains(&minutes), "{minutes} minutes");
        let count = |which| acts.iter().filter(|(_, act)| *act == which).count();
        assert!((5_800..6_200).contains(&count(Act::Write)));
        assert!((2_800..3_200).contains(&count(Act::ChangePresence)));
        assert!((800..1_200).contains(&count(Act::LogOutAndIn)));
    }

    #[test]
    fn who_has_no_habits_does_nothing() {
        let habits = Habits {
            idle_percent: 0,
            messages_per_minute: 0.0,
            presences_per_minute: 0.0,
            logouts_per_minute: 0.0,
            away_s: 0,
        };
        assert_eq!(habits.next(&mut Random::new(1, 1)), None);
    }
}
