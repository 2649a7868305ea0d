//! The contracts over gRPC: what dials, what serves, and the limits of both.
//!
//! | file | subject |
//! |---|---|
//! | `batch` | what a batch of frames is, and how much goes into one |
//! | `pump` | moves frames between a [`Link`](crate::link::Link) and a stream of batches, by credits |
//! | `connect` | one HTTP/2 connection to a node that has proved who it is |
//! | [`dialer`](GrpcDialer) | makes links and calls |
//! | `accept` | takes connections and finds out who calls |
//! | [`server`](serve) | serves them |
//! | `heartbeats` | Raft's, gathered |
//! | [`socket`](bind_socket) | administration over a Unix socket |
//! | `access` | which role may call which service |
//! | `attach`, `forward`, `raft`, `cluster`, `administration` | each service: what serves it, and what calls it |
//!
//! A peer that is dead or frozen is noticed within 5 seconds, by pings that it does not answer. What a peer sends is bounded:
//! messages by [`MESSAGE_BYTES_MAX`], frames by the credits that it was granted, streams, headers and windows by HTTP/2's
//! settings. Who passes a limit loses the stream or the connection; other connections notice nothing.

mod accept;
mod access;
mod administration;
mod attach;
mod batch;
mod cluster;
mod connect;
mod dialer;
mod forward;
mod heartbeats;
mod pump;
mod raft;
mod server;
mod socket;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use administration::AdministrationClient;
pub use dialer::GrpcDialer;
pub use server::{ServeError, Services, serve};
pub use socket::{bind_socket, serve_socket};

/// The largest message taken from another node, in bytes. Batches are far smaller; entries of Raft come close.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest snapshot taken from another node, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// How many connections one listener holds at a time, handshakes included. Further ones wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 4096;

/// HTTP/2: bytes under way in one stream.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// HTTP/2: bytes under way in one connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// HTTP/2: calls and links at a time in one connection. All Raft groups of a pair of routers share one.
const STREAMS_MAX: u32 = 1024;
/// HTTP/2: bytes of one request's headers.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// HTTP/2: streams that a peer may reset before they were served; more is an attack (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 64;
/// A ping is sent when nothing came for so long …
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// … and the peer is taken for dead when the answer does not come in time.
const PING_TIMEOUT: Duration = Duration::from_millis(2500);
/// Bytes read from a TLS connection at once: TLS itself asks for 4 KiB.
const READ_BYTES: usize = 64 * 1024;
/// For making a connection: TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For a call between nodes, and for the opening of a link.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole snapshot.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(300);
/// For what an operator asks: it may touch every router, and wait for a leader and for the database.
const ADMINISTRATION_TIMEOUT: Duration = Duration::from_secs(60);
