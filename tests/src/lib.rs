//! The harness of the end-to-end tests: real `vesta` processes on loopback, real databases, and transcripts of what clients
//! send and receive.
//!
//! | module | subject |
//! |---|---|
//! | [`deployment`] | servers to test against: one process on SQLite, or a cluster on PostgreSQL with mutual TLS |
//! | [`process`] | one process: started, watched, signalled, and gone when its value is |
//! | [`postgres`] | databases for clusters |
//! | [`player`] | a client in a test, at any stage of its stream |
//! | [`transcript`] | files that say who sends and who receives what |
//! | [`ledger`] | many clients under faults, and the check that nothing was lost, doubled or overtaken |
//! | [`raw`] | sockets for hostile bytes |
//! | [`http`] | the few lines that ask for `/readyz` and `/metrics` |
//!
//! Nothing sleeps to wait for something to have happened, and no test asserts a time: a test waits for an event, behind
//! [`within`], whose only purpose is that a broken server fails a test instead of hanging it.

pub mod deployment;
pub mod http;
pub mod ledger;
pub mod player;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod transcript;

use std::time::Duration;

/// How long anything at all may take before a test gives up: far beyond what a healthy server needs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two questions to something that can only be asked again and again.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(50);

/// Waits for `event`, which is described by `what` ("the answer to a ping").
///
/// # Panics
/// It does not come within [`PATIENCE`].
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Asks again and again until the answer is there. For what sends no event by itself: readiness, the end of a process.
///
/// # Panics
/// It does not come within [`PATIENCE`].
pub async fn until<T>(what: &str, mut question: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(answer) = question().await {
                return answer;
            }
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
        }
    })
    .await
}

/// Runs a test to its end.
///
/// # Panics
/// The test does.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}
