//! An asynchronous XMPP client: connections with STARTTLS or direct TLS, SCRAM with channel binding, sessions that outlive their
//! connections, stanzas, requests, roster, presence, archives, carbons, receipts.
//!
//! A bot that says back what it hears, also what it was told while it was away:
//!
//! ```no_run
//! use vesta_client::{Client, Config, Event, stanza};
//! use vesta_client::xmpp::Envelope;
//!
//! async fn echo(last_seen: Option<String>) -> Result<(), vesta_client::Error> {
//!     let (client, mut events) = Client::connect(Config::new("echo@example.com", "secret")?).await?;
//!     client.set_presence(None, Some("Say something"), 0).await?;
//!     let mut missed = client.archive().catch_up(last_seen.as_deref());
//!     while let Some(archived) = missed.next().await? {
//!         say_back(&client, &archived.message).await?;
//!     }
//!     while let Some(event) = events.next().await {
//!         match event {
//!             Event::Message(message) => say_back(&client, &message).await?,
//!             // The connection was lost, and so was the session: what may not have arrived is sent again.
//!             Event::NewSession { unacknowledged, .. } => {
//!                 client.set_presence(None, Some("Say something"), 0).await?;
//!                 for stanza in unacknowledged {
//!                     client.send(stanza).await?;
//!                 }
//!             }
//!             // The connection was lost, and the session was not: nothing is to be done.
//!             Event::Disconnected(_) | Event::Resumed => {}
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//!
//! async fn say_back(client: &Client, message: &Envelope) -> Result<(), vesta_client::Error> {
//!     match (&message.from, stanza::body(message)) {
//!         (Some(from), Some(body)) => client.chat(from.clone(), &body).await,
//!         _ => Ok(()),
//!     }
//! }
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`Client`], [`Events`] | the handle to a session, and what it tells |
//! | [`Archive`], [`History`] | what was said before (XEP-0313) |
//! | [`Stream`] | the low layer: a stream to speak by hand |
//! | [`Config`] | who, where, whom to trust, how patient, what is asked of the server |
//! | [`stanza`] | stanzas that clients send and read all the time |
//!
//! # What becomes of a stanza
//!
//! Where the server manages streams (XEP-0198), a stanza that [`Client::send`] has taken has one of three ends: the server counts it
//! ([`Event::Acknowledged`]); or its session is lost, and it is given back, since it may have arrived or not
//! ([`Event::NewSession`], [`Event::Ended`]); or the process ends. A lost connection is none: another one is made, at the same or
//! another endpoint, and goes on with the session, in both directions without loss, duplicate or change of order
//! ([`Event::Resumed`]). Every message carries an origin-id (XEP-0359), which stays the same when it is sent again.
//!
//! # Queues
//!
//! Each client has one task that owns its connection. Every queue is bounded: 64 stanzas to be sent and 256, or 1 MiB, that are not
//! acknowledged ([`Management`]): who comes later waits; 512 events to be read (then the connection is read no further; while a
//! request or a place for a stanza is awaited, 16,384), 1,024 requests ([`Error::TooManyRequests`]), 256 unanswered requests of others (refused with
//! `resource-constraint`). Stanzas that come count as received when they are in the queue of events.

mod archive;
mod backoff;
mod carbons;
mod client;
mod config;
mod connection;
mod discovery;
mod error;
mod event;
mod management;
mod pending;
mod random;
mod roster;
mod session;
pub mod stanza;
mod stream;
mod tls;

#[cfg(test)]
mod tests;

pub use archive::{Archive, Archived, History};
pub use backoff::Backoff;
pub use client::{Client, SessionInfo};
pub use config::{Config, Endpoint, Keepalive, Management, Security, Server, Timeouts, Trust};
pub use error::Error;
pub use event::{Event, Events, IqRequest};
pub use pending::PENDING_MAX;
pub use stream::{Established, Stream, Transport};
pub use tls::TlsInfo;

/// The TLS library, for [`Trust`] and [`TlsInfo`].
pub use rustls;
/// The types that go over the wire.
pub use vesta_xmpp as xmpp;
