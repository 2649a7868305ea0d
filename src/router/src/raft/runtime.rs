//! The runtime that openraft runs on: tokio, with the ticks of all groups of a process falling together.
//!
//! openraft ticks each group twenty times a second at our heartbeat, each at a phase of its own. In an idle cluster of 64 shards
//! that was nearly all that its routers did: 1,300 wake-ups a second each. Here long waits end on a line of a common grid, so that
//! one wake-up serves all groups and their heartbeats leave together.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use openraft::async_runtime::{AsyncRuntime, Instant};
use openraft::{OptionalSend, TokioInstant, TokioRuntime};

/// The distance of the grid's lines. Elections and heartbeats are that much later at the most.
const GRID: Duration = Duration::from_millis(100);
/// Shorter waits are no ticks: openraft gathers the completions of writes for a microsecond. They end when they are over.
const SHORT: Duration = Duration::from_millis(1);

static ORIGIN: LazyLock<TokioInstant> = LazyLock::new(TokioInstant::now);

/// tokio, but for [`AsyncRuntime::sleep_until`].
#[derive(Debug)]
pub(crate) struct Runtime(TokioRuntime);

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = TokioInstant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: TokioInstant) -> Self::Sleep {
        let is_short = deadline.saturating_duration_since(TokioInstant::now()) < SHORT;
        TokioRuntime::sleep_until(if is_short { deadline } else { on_the_grid(deadline) })
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: TokioInstant, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn new(threads: usize) -> Self {
        Runtime(TokioRuntime::new(threads))
    }

    fn block_on<F: Future<Output = T>, T>(&mut self, future: F) -> T {
        self.0.block_on(future)
    }
}

/// The first line of the grid that is not before this instant.
fn on_the_grid(instant: TokioInstant) -> TokioInstant {
    let lines = instant.saturating_duration_since(*ORIGIN).as_nanos().div_ceil(GRID.as_nanos());
    *ORIGIN + GRID * u32::try_from(lines).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn long_waits_end_together_and_short_ones_when_they_are_over() {
        let begun = on_the_grid(TokioInstant::now());
        TokioRuntime::sleep_until(begun).await;
        let wait = |milliseconds, microseconds| async move {
            let duration = Duration::from_millis(milliseconds) + Duration::from_micros(microseconds);
            Runtime::sleep_until(begun + duration).await;
            TokioInstant::now() - begun
        };
        let (early, late, next) = tokio::join!(wait(20, 0), wait(99, 0), wait(120, 0));
        // tokio's clock has steps of a millisecond.
        let about =
            |duration: Duration, milliseconds| (milliseconds..=milliseconds + 1).contains(&duration.as_millis());
        assert!(about(early, 100) && about(late, 100) && about(next, 200), "{early:?} {late:?} {next:?}");

        let now = TokioInstant::now();
        Runtime::sleep_until(now + Duration::from_micros(1)).await;
        assert!(about(TokioInstant::now() - now, 0));
    }
}
