//! Every transcript, against every kind of deployment.

use std::panic::AssertUnwindSafe;

use vesta_tests::deployment::{Access, Cluster, Options, Single};
use vesta_tests::run;
use vesta_tests::transcript::{Transcript, all, perform};

#[test]
fn on_one_process() {
    run(async {
        let transcripts = chosen();
        let single = Single::start_with(&hosts(&transcripts)).await;
        perform_all(&transcripts, &single.access).await;
    });
}

#[test]
fn on_a_cluster() {
    run(async {
        let transcripts = chosen();
        let cluster = Cluster::start_with(&hosts(&transcripts)).await;
        perform_all(&transcripts, &cluster.access).await;
    });
}

/// All of them, or those whose name contains what `VESTA_TRANSCRIPT` says.
fn chosen() -> Vec<Transcript> {
    let part = std::env::var("VESTA_TRANSCRIPT").unwrap_or_default();
    let mut transcripts = all();
    transcripts.retain(|transcript| transcript.name.contains(&part));
    assert!(!transcripts.is_empty(), "no transcript's name contains {part:?}");
    transcripts
}

fn hosts(transcripts: &[Transcript]) -> Options {
    Options::with_hosts(transcripts.iter().map(|transcript| transcript.host.clone()))
}

/// Performs them one after the other; a failure does not keep the next ones from being seen.
async fn perform_all(transcripts: &[Transcript], access: &Access) {
    let mut failed = Vec::new();
    for transcript in transcripts {
        let mut performance = std::pin::pin!(perform(transcript, access));
        let outcome = std::future::poll_fn(|context| {
            std::panic::catch_unwind(AssertUnwindSafe(|| performance.as_mut().poll(context)))
                .map_or_else(|_| std::task::Poll::Ready(false), |polled| polled.map(|()| true))
        });
        if !outcome.await {
            failed.push(format!("{}: {}", transcript.name, transcript.title));
        }
    }
    assert!(failed.is_empty(), "{} of {} transcripts failed:\n{}", failed.len(), transcripts.len(), failed.join("\n"));
}
