//! From the routers to the socket: everything that waits goes out in one write, and is acknowledged when it is out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::Shared;
use super::transport::Transport;
use crate::uplink::outgoing::Batch;
use crate::uplink::session::Session;

/// The writing half of an established stream. Owns no buffer while nothing waits.
#[derive(Debug, Default)]
pub(super) struct Output {
    batch: Option<Batch>,
    written: usize,
}

impl Output {
    /// Writes until nothing waits or the socket takes no more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
        session: &Arc<Session>,
        shared: &Shared,
    ) -> Poll<io::Result<()>> {
        loop {
            let Some(batch) = &self.batch else {
                match session.take_outgoing() {
                    Some(batch) => self.batch = Some(batch),
                    None => return Poll::Ready(Ok(())),
                }
                continue;
            };
            if self.written < batch.bytes.len() {
                let count = ready!(Pin::new(&mut *transport).poll_write(cx, &batch.bytes[self.written..]))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                shared.metrics.bytes_out.inc_by(count as u64);
                self.written += count;
                continue;
            }
            ready!(Pin::new(&mut *transport).poll_flush(cx))?;
            session.written(batch.last);
            self.batch = None;
            self.written = 0;
        }
    }

    /// What is not written yet, in order, for the last words.
    pub(super) fn rest(self, session: &Session) -> Vec<u8> {
        let mut rest = self.batch.map(|batch| batch.bytes[self.written..].to_vec()).unwrap_or_default();
        if let Some(batch) = session.take_outgoing() {
            rest.extend_from_slice(&batch.bytes);
        }
        rest
    }
}
