//! From the socket to the routers: read, scan, stamp, submit. Bytes are read into a buffer that belongs to the thread, so
//! an idle connection owns none.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};
use vesta_wire::attach::{EndReason, Inbound};
use vesta_xmpp::client_state::ClientState;
use vesta_xmpp::management::Command;
use vesta_xmpp::scan::{Item, Rejected, Scanner};
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{Envelope, Jid, StreamError, ns};

use super::Shared;
use super::limits::Bucket;
use super::transport::Transport;
use crate::metrics::LimitLabel;
use crate::uplink::session::{Ending, Session};

/// What a thread reads at once: more than one TLS record holds.
const BUFFER_BYTES: usize = 32 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into());
}

/// Reads once into the thread's buffer and has `take` use the bytes before anybody else does. No bytes: the peer has
/// closed.
pub(super) fn poll_read<R>(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> R,
) -> Poll<io::Result<R>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(transport).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(take(read.filled())))
    })
}

/// How a connection comes to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client sent its end tag.
    Closed,
    /// The socket is gone.
    Lost,
    /// We end it.
    Failed(Ending),
}

impl End {
    fn failed(error: impl Into<StreamError>) -> Self {
        End::Failed(Ending { reason: EndReason::Failed, error: error.into() })
    }
}

/// The reading half of an established stream.
#[derive(Debug)]
pub(super) struct Input {
    scanner: Scanner,
    bytes: Bucket,
    stanzas: Bucket,
    /// Only while the client is ahead of its rate.
    pause: Option<Pin<Box<Sleep>>>,
    /// Bytes behind the stanza that filled the window, or behind the negotiation. Mostly empty.
    leftover: Vec<u8>,
}

impl Input {
    /// Reads on where the negotiation stopped.
    pub(super) fn new(shared: &Shared, scanner: Scanner, leftover: Vec<u8>) -> Self {
        let now = Instant::now();
        Self {
            scanner,
            bytes: Bucket::new(shared.limits.byte_rate, now),
            stanzas: Bucket::new(shared.limits.stanza_rate, now),
            pause: None,
            leftover,
        }
    }

    /// Reads and handles what comes at once. `Ready(None)`: something came, there may be more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
        session: &Arc<Session>,
        shared: &Shared,
    ) -> Poll<Option<End>> {
        if !session.may_read(shared.limits.outgoing_bytes) {
            return Poll::Pending;
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if !self.leftover.is_empty() {
            let leftover = std::mem::take(&mut self.leftover);
            return Poll::Ready(self.take(&leftover, session, shared));
        }
        let taken = ready!(poll_read(transport, cx, |bytes| {
            if bytes.is_empty() {
                return Some(End::Lost);
            }
            session.heard(shared.clock.now_s());
            shared.metrics.bytes_in.inc_by(bytes.len() as u64);
            self.take(bytes, session, shared)
        }));
        Poll::Ready(taken.unwrap_or(Some(End::Lost)))
    }

    fn take(&mut self, bytes: &[u8], session: &Arc<Session>, shared: &Shared) -> Option<End> {
        let mut rest = bytes;
        let mut stanzas = 0;
        loop {
            match self.scanner.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(item)) => {
                    stanzas += 1;
                    if let Some(end) = handle(item, session, shared) {
                        return Some(end);
                    }
                }
                Err(error) => return Some(End::failed(error)),
            }
            if !session.may_read(shared.limits.outgoing_bytes) {
                shared.metrics.limit(LimitLabel::Window);
                self.leftover = rest.to_vec();
                break;
            }
        }
        self.pace(bytes.len() - self.leftover.len(), stanzas, shared);
        None
    }

    /// Charges what was read; where that is more than the rates allow, nothing is read for a while.
    fn pace(&mut self, bytes: usize, stanzas: u32, shared: &Shared) {
        let now = Instant::now();
        let wait = self.bytes.take(shared.limits.byte_rate, bytes as f64, now);
        let wait = wait.max(self.stanzas.take(shared.limits.stanza_rate, f64::from(stanzas), now));
        if !wait.is_zero() {
            shared.metrics.limit(LimitLabel::Rate);
            self.pause = Some(Box::pin(tokio::time::sleep(wait)));
        }
    }
}

fn handle(item: Item, session: &Arc<Session>, shared: &Shared) -> Option<End> {
    match item {
        Item::Stanza(mut stanza) => {
            shared.metrics.stanzas_in.inc();
            if let Err(error) = stanza.take_out_asserted(|entity| shared.is_ours(entity)) {
                return Some(End::failed(error));
            }
            // RFC 6120 §8.1.2.1: whatever the client wrote there (T21).
            stanza.from = Some(session.jid.clone().into());
            session.submit(Inbound::Stanza(Arc::new(stanza)));
            None
        }
        Item::Rejected(rejected) => {
            session.submit(Inbound::Rejected(answer(rejected, &session.jid).map(Arc::new)));
            None
        }
        Item::Close => Some(End::Closed),
        // RFC 6120 §4.9.1.1: it is over on the client's side; an error is not answered with another one.
        Item::Element(error) if error.is(ns::STREAM, "error") => Some(End::Closed),
        Item::Element(element) if element.namespace() == ns::CLIENT_STATE => match ClientState::read(&element) {
            Some(state) => {
                session.set_client_state(state);
                None
            }
            None => Some(End::failed(StreamCondition::UnsupportedStanzaType)),
        },
        Item::Element(element) => match Command::read(&element) {
            Ok(Some(command)) => session.manage(&command, &shared.resumption).err().map(End::failed),
            Ok(None) => Some(End::failed(StreamCondition::UnsupportedStanzaType)),
            Err(condition) => Some(End::failed(condition)),
        },
        Item::Open(_) => Some(End::failed(StreamCondition::UnsupportedStanzaType)),
    }
}

/// The error that answers what would be a stanza but for an address or attribute; errors and results get none.
fn answer(rejected: Rejected, client: &Jid) -> Option<Envelope> {
    let mut stanza = Envelope::new(rejected.kind);
    stanza.id = rejected.id;
    stanza.to = rejected.to;
    stanza.from = Some(client.clone());
    stanza.error(&rejected.error)
}
