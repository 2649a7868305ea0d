//! The signals that end the process in order: SIGTERM (Kubernetes, systemd) and SIGINT (Ctrl-C).

use tokio::signal::unix::{SignalKind, signal};

/// Returns at the first of them.
pub async fn stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process the hard way, as they do by default.
        tracing::error!("signals can't be handled: the process will not end in order");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
        _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
    }
}
