//! One task that looks after all silent peers: no connection has a timer of its own, and no session that waits for its client.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vesta_wire::attach::EndReason;
use vesta_xmpp::StreamError;
use vesta_xmpp::stream_error::StreamCondition;

use crate::config::LivenessConfig;
use crate::connection::Shared;
use crate::metrics::LimitLabel;
use crate::uplink::session::{Session, Waiting};

/// Looks at all sessions every now and then until `stop`.
pub(crate) async fn run(shared: Arc<Shared>, config: LivenessConfig, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(config.sweep_every);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        sweep(&shared, &config, shared.clock.now_s());
    }
}

fn sweep(shared: &Shared, config: &LivenessConfig, now_s: u32) {
    let mut all = Waiting::default();
    shared.uplink.for_each_session(|session| {
        let waiting = session.waiting();
        all.unaccepted += waiting.unaccepted;
        all.outgoing_bytes += waiting.outgoing_bytes;
        all.detached += waiting.detached;
        if waiting.detached > 0 {
            // No router has said that its time is over, for long after that.
            if session.is_forgotten(now_s) {
                shared.uplink.forget(session);
            }
            return;
        }
        session.ask_at_last();
        if look_after(session, config, now_s) {
            shared.metrics.limit(LimitLabel::Idle);
        }
    });
    shared.metrics.unaccepted.set(all.unaccepted as i64);
    shared.metrics.outgoing_bytes.set(all.outgoing_bytes as i64);
    shared.metrics.detached.set(all.detached as i64);
}

/// Whether the stream is ended for its silence.
fn look_after(session: &Session, config: &LivenessConfig, now_s: u32) -> bool {
    let silent = u64::from(session.silent_s(now_s));
    if config.close_after.is_some_and(|after| silent >= after.as_secs()) {
        let error = StreamError::new(StreamCondition::ConnectionTimeout).with_text("nothing was heard for too long");
        session.end_with(EndReason::Lost, error);
        return true;
    }
    if silent >= config.ping_after.as_secs() {
        session.ping(now_s, config.ping_after.as_secs() as u32);
    }
    false
}
