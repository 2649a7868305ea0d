//! How far a run has come: counted by its tasks, shown to people in one line that is written anew each second.

use std::convert::Infallible;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often people are told.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How far the tasks of one process have come in what they do just now.
#[derive(Debug, Default)]
pub struct Progress {
    stage: Mutex<String>,
    of: AtomicU64,
    done: AtomicU64,
    finished: Notify,
}

/// [`Progress`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What is done just now.
    pub stage: String,
    /// How many are done.
    pub done: u64,
    /// Of how many. 0: nobody knows.
    pub of: u64,
}

impl Progress {
    /// Something else begins, of which there are so many.
    pub fn begin(&self, stage: &str, of: u64) {
        stage.clone_into(&mut self.stage.lock().unwrap_or_else(PoisonError::into_inner));
        self.done.store(0, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
    }

    /// So many more are done.
    pub fn add(&self, count: u64) {
        let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
        let of = self.of.load(Ordering::Relaxed);
        if done >= of && done - count < of {
            self.finished.notify_one();
        }
    }

    /// Waits until as many are done as there are. For one waiter.
    pub async fn finished(&self) {
        while self.done.load(Ordering::Relaxed) < self.of.load(Ordering::Relaxed) {
            self.finished.notified().await;
        }
    }

    /// As it is now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            stage: self.stage.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            done: self.done.load(Ordering::Relaxed),
            of: self.of.load(Ordering::Relaxed),
        }
    }

    /// Hands out a snapshot each second, for ever.
    pub async fn tell(&self, mut tell: impl FnMut(Snapshot)) -> Infallible {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            tell(self.snapshot());
        }
    }
}

impl Snapshot {
    /// Several processes seen as one: what the first does, and the sums.
    pub fn sum(snapshots: &[Snapshot]) -> Self {
        Self {
            stage: snapshots.first().map(|first| first.stage.clone()).unwrap_or_default(),
            done: snapshots.iter().map(|it| it.done).sum(),
            of: snapshots.iter().map(|it| it.of).sum(),
        }
    }

    /// `logging in: 1200 of 19500 (512/s), 7 s`
    fn text(&self, per_second: f64, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs();
        match self {
            Self { stage, done: 0, of: 0 } => format!("{stage}, {seconds} s"),
            Self { stage, done, of: 0 } => format!("{stage}: {done} ({per_second:.0}/s), {seconds} s"),
            Self { stage, done, of } => format!("{stage}: {done} of {of} ({per_second:.0}/s), {seconds} s"),
        }
    }
}

/// The line on the standard error; nothing is written where that is no terminal.
#[derive(Debug)]
pub struct Line {
    is_shown: bool,
    began: Instant,
    last: (Instant, Snapshot),
}

impl Default for Line {
    fn default() -> Self {
        let now = Instant::now();
        Self { is_shown: std::io::stderr().is_terminal(), began: now, last: (now, Snapshot::default()) }
    }
}

impl Line {
    /// Writes the line anew, unless it has just been written: several processes tell one after the other.
    pub fn show(&mut self, snapshot: Snapshot) {
        let now = Instant::now();
        let (before, last) = &self.last;
        if now - *before < INTERVAL / 2 && last.stage == snapshot.stage {
            return;
        }
        // What is counted from the beginning of another stage has no rate yet.
        let is_same = last.stage == snapshot.stage && snapshot.done >= last.done;
        let since = if is_same { snapshot.done - last.done } else { 0 };
        let per_second = since as f64 / (now - *before).as_secs_f64().max(0.001);
        if self.is_shown && !snapshot.stage.is_empty() {
            let text = snapshot.text(per_second, now - self.began);
            // Nobody depends on the line.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
        self.last = (now, snapshot);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stage_is_finished_when_all_is_done() {
        let progress = Progress::default();
        progress.begin("nothing", 0);
        progress.finished().await;
        progress.begin("logging in", 3);
        progress.add(2);
        let (mut finished, one) = (std::pin::pin!(progress.finished()), async { progress.add(1) });
        tokio::select! {
            biased;
            () = &mut finished => panic!("one is left"),
            () = one => {}
        }
        finished.await;
        assert_eq!(progress.snapshot(), Snapshot { stage: "logging in".into(), done: 3, of: 3 });
    }

    #[test]
    fn a_line_tells_stage_counts_rate_and_time() {
        let one = Snapshot { stage: "logging in".into(), done: 500, of: 1000 };
        let both = Snapshot::sum(&[one.clone(), Snapshot { done: 20, ..one }]);
        assert_eq!(both.text(51.4, Duration::from_millis(7900)), "logging in: 520 of 2000 (51/s), 7 s");
        let idle = Snapshot { stage: "holding".into(), ..Snapshot::default() };
        assert_eq!(idle.text(0.0, Duration::ZERO), "holding, 0 s");
        assert_eq!(Snapshot { done: 7, ..idle }.text(7.0, Duration::ZERO), "holding: 7 (7/s), 0 s");
    }
}
