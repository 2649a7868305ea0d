//! How a connection manager leaves: it stops accepting, asks its clients in waves to go elsewhere, and waits for the routers
//! to hear of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vesta_wire::attach::EndReason;
use vesta_xmpp::StreamError;
use vesta_xmpp::stream_error::StreamCondition;

use crate::connection::Shared;
use crate::uplink::session::Session;

/// Waves of a drain.
const WAVES: u32 = 50;
/// The part of the time that the waves are spread over; the rest is for the last ones to close.
const SPREAD: f64 = 0.8;
/// How often it is looked whether the routers have heard of all ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Ends all streams with `system-shutdown`, in waves, and waits until they are closed, all within `within`.
#[tracing::instrument(skip_all, fields(xmpp.sessions = sessions(shared).len()))]
pub(crate) async fn drain(shared: &Arc<Shared>, within: Duration) {
    let deadline = Instant::now() + within;
    let sessions = sessions(shared);
    tracing::info!(sessions = sessions.len(), ?within, "draining");
    let pause = within.mul_f64(SPREAD) / WAVES;
    let wave = sessions.len().div_ceil(WAVES as usize).max(1);
    for sessions in sessions.chunks(wave) {
        sessions.iter().for_each(|session| end(session));
        tokio::time::sleep(pause).await;
    }
    shared.stop.cancel();
    // Those that were bound while the waves went.
    shared.uplink.for_each_session(|session| end(session));
    shared.connections.close();
    let _ = tokio::time::timeout_at(deadline, shared.connections.wait()).await;
}

/// Ends all streams at once, and gives them and the routers the time that a close may take.
pub(crate) async fn shutdown(shared: &Arc<Shared>) {
    shared.stop.cancel();
    shared.connections.close();
    let closed = async {
        while !shared.connections.is_empty() {
            // Again, for one that was bound just now.
            shared.uplink.for_each_session(|session| end(session));
            let _ = tokio::time::timeout(LOOK_EVERY, shared.connections.wait()).await;
        }
        // A router keeps what a parked session needs.
        while !sessions(shared).iter().all(|session| session.is_parked()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(shared.limits.close_timeout, closed).await.is_err() {
        let open = sessions(shared).iter().filter(|session| !session.is_parked()).count();
        tracing::warn!(sessions = open, "left before all streams were closed");
    }
    shared.uplink.stop().await;
}

fn sessions(shared: &Shared) -> Vec<Arc<Session>> {
    let mut sessions = Vec::new();
    shared.uplink.for_each_session(|session| sessions.push(session.clone()));
    sessions
}

fn end(session: &Session) {
    session.end_with(EndReason::Draining, StreamError::new(StreamCondition::SystemShutdown));
}
