//! An asynchronous XMPP client: connections with STARTTLS or direct TLS, SCRAM with channel binding, stanzas, requests,
//! roster, presence, reconnection.
//!
//! A bot that says back what it hears:
//!
//! ```no_run
//! use vesta_client::{Client, Config, Event, stanza};
//!
//! async fn echo() -> Result<(), vesta_client::Error> {
//!     let (client, mut events) = Client::connect(Config::new("echo@example.com", "secret")?).await?;
//!     client.set_presence(None, Some("Say something"), 0).await?;
//!     while let Some(event) = events.next().await {
//!         if let Event::Message(message) = event
//!             && let (Some(from), Some(body)) = (&message.from, stanza::body(&message))
//!         {
//!             client.chat(from.clone(), &body).await?;
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`Client`], [`Events`] | the handle to a connection, and what it tells |
//! | [`Stream`] | the low layer: a stream to speak by hand |
//! | [`Config`] | who, where, whom to trust, how patient |
//! | [`stanza`] | stanzas that clients send and read all the time |
//!
//! Each client has one task that owns its connection. Every queue is bounded: 64 stanzas to be sent (who comes later waits),
//! 512 events to be read (then the connection is read no further; while a request is awaited, 16,384), 1,024 requests
//! ([`Error::TooManyRequests`]), 256 unanswered requests of others (refused with `resource-constraint`).

mod backoff;
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
