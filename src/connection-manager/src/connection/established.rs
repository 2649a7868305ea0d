//! A bound session's connection. It waits for whichever comes first: bytes from the client, bytes for it, an end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use vesta_wire::attach::EndReason;
use vesta_xmpp::scan::Scanner;

use super::Shared;
use super::close::{self, END_TAG};
use super::input::{End, Input};
use super::limits::Admitted;
use super::output::Output;
use super::transport::Transport;
use crate::uplink::BoundHandle;
use crate::uplink::session::Ending;

/// Reads of one poll; then others get their turn.
const READS_AT_ONCE: usize = 16;

/// The task of a session's connection. Written out: as an `async fn` it would hold the connection twice, once as its argument,
/// and all its life the room for the last words.
#[allow(clippy::large_enum_variant, reason = "the large one is what nearly all of them are")]
pub(super) enum Serving {
    Established(Established),
    Parting(Pin<Box<dyn Future<Output = ()> + Send>>),
    Over,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Established {
    shared: Arc<Shared>,
    transport: Transport,
    handle: BoundHandle,
    input: Input,
    output: Output,
    /// The connection's place among those that were let in.
    _admitted: Admitted,
}

impl Established {
    pub(super) fn new(
        shared: Arc<Shared>,
        transport: Transport,
        handle: BoundHandle,
        scanner: Scanner,
        leftover: Vec<u8>,
        admitted: Admitted,
    ) -> Self {
        let input = Input::new(&shared, scanner, leftover);
        handle.session().heard(shared.clock.now_s());
        Self { shared, transport, handle, input, output: Output::default(), _admitted: admitted }
    }

    /// Serves the stream to its end.
    pub(super) fn run(self) -> Serving {
        Serving::Established(self)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let session = self.handle.session();
        session.register(cx);
        if let Some(ending) = session.ending() {
            return Poll::Ready(End::Failed(ending));
        }
        for _ in 0..READS_AT_ONCE {
            if let Poll::Ready(Err(_)) = self.output.poll(cx, &mut self.transport, session, &self.shared) {
                return Poll::Ready(End::Lost);
            }
            match self.input.poll(cx, &mut self.transport, session, &self.shared) {
                Poll::Ready(Some(end)) => return Poll::Ready(end),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    async fn finish(self, end: End) {
        let session = self.handle.session();
        tracing::debug!(jid = %session.jid, ?end, "a stream ends");
        let mut last = self.output.rest(session);
        match &end {
            End::Lost => return self.handle.end(EndReason::Lost),
            End::Closed => {
                session.write_last_answer(&mut last);
                self.handle.end(EndReason::Closed);
                last.extend_from_slice(END_TAG);
            }
            End::Failed(Ending { reason, error }) => {
                self.handle.end(*reason);
                close::write_error(&mut last, error);
            }
        }
        drop(self.handle);
        close::close(self.transport, last, self.shared.limits.close_timeout).await;
    }
}

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Serving::Established(established) = &mut *self {
            let end = ready!(established.poll(cx));
            if let Serving::Established(established) = std::mem::replace(&mut *self, Serving::Over) {
                *self = Serving::Parting(Box::pin(established.finish(end)));
            }
        }
        if let Serving::Parting(parting) = &mut *self {
            ready!(parting.as_mut().poll(cx));
            *self = Serving::Over;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every session has one, for as long as it lasts.
    #[test]
    fn the_task_of_an_idle_session_stays_small() {
        let bytes = size_of::<Serving>();
        assert!(bytes <= 512, "{bytes} bytes");
    }
}
