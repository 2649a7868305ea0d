//! The receiving entity's side: a server that is connected to.
//!
//! ```text
//! header → features(starttls) → TLS → header → features(mechanisms) → SASL → header → features(bind) → bound
//! ```

use std::sync::Arc;

use bytes::Bytes;

use crate::sasl::{Answer, ChannelBindings, Question};
use crate::scan::Item;
use crate::{BareJid, Envelope, FullJid, StanzaError, StreamError};

/// What the machine is told.
#[derive(Debug)]
pub enum Event {
    /// The scanner yielded an item.
    Item(Item),
    /// The TLS handshake that [`Action::StartTls`] asked for is done (or direct TLS was there from the start).
    TlsEstablished(ChannelBindings),
    /// The answer to [`Action::Ask`].
    Answered(Answer),
    /// The outcome of [`Action::Bind`].
    Bound(Result<FullJid, StanzaError>),
    /// The outcome of [`Action::Register`]: a stanza to send.
    Registered(Envelope),
    /// The driver found a fault: the scanner's, a limit, time that is over, a shutdown. Yields [`Action::Fail`], with our
    /// header before it where none has been sent.
    Failed(StreamError),
}

/// What the machine wants done, in this order.
#[derive(Debug)]
pub enum Action {
    /// Write these bytes.
    Send(Bytes),
    /// What was written must be out; then no further byte may be waiting in the input (T6); then the TLS handshake as
    /// server, a new scanner, [`Event::TlsEstablished`].
    StartTls,
    /// A new scanner for the restarted stream; the bytes behind the item stay.
    Restart,
    /// Have this answered, then [`Event::Answered`]. No item is to be handed in meanwhile.
    Ask(Question),
    /// Bind a resource, then [`Event::Bound`]. No item is to be handed in meanwhile.
    Bind {
        /// The authenticated account.
        account: BareJid,
        /// What the client asked for, prepared; `None` leaves it to the server.
        resource: Option<String>,
    },
    /// XEP-0077 before authentication: have this IQ answered, then [`Event::Registered`].
    Register(Envelope),
    /// The stream is up; the machine has done its work. The bind result is among the bytes sent before.
    Established(FullJid),
    /// Send this error, end tag included, and close. A header of ours has been sent before it.
    Fail(StreamError),
    /// The peer ended its stream: send the end tag and close.
    Close,
}

/// What is offered, and to whom.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The virtual hosts served.
    pub hosts: Vec<String>,
    /// Whether STARTTLS is offered on a connection in clear.
    pub starttls: bool,
    /// Whether SASL is only offered inside TLS. Off for development alone.
    pub require_tls: bool,
    /// Whether in-band registration is offered (XEP-0077).
    pub registration: bool,
    /// XEP-0478: bytes of one stanza before and after authentication.
    pub stanza_bytes: (usize, usize),
    /// XEP-0478: seconds without a byte after which an authenticated stream is closed; `None`: not advertised.
    pub idle_seconds: Option<u32>,
    /// Failed authentications after which the stream is closed (RFC 6120 §6.4.5: at least two).
    pub attempts_max: u32,
    /// Features advertised after authentication, as written XML: those that modules add.
    pub features: Bytes,
}

/// The machine. See the module's documentation.
#[derive(Debug)]
pub struct Receiving {
    offer: Arc<Offer>,
}

impl Receiving {
    /// A machine at the start of a connection in clear. With direct TLS, [`Event::TlsEstablished`] comes first.
    pub fn new(offer: Arc<Offer>) -> Self {
        Self { offer }
    }

    /// Takes a step. `random` fills a slice with unpredictable bytes (stream ids, nonces).
    pub fn handle(&mut self, event: Event, random: &mut dyn FnMut(&mut [u8])) -> Vec<Action> {
        let _ = (event, random, &self.offer);
        Vec::new()
    }
}
