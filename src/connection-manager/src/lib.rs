//! The tier that holds sockets: listeners, TLS, streams and their limits.
//!
//! A connection manager faces the Internet. It checks what comes in ([`vesta_xmpp::scan`]), stamps it, and hands it to the
//! router that leads the session's shard; it holds no database credentials and no password verifiers. It knows routers
//! only through [`vesta_wire::link::AttachDialer`] and the frames of [`vesta_wire::attach`].
//!
//! | module | subject |
//! |---|---|
//! | [`config`] | what it is told at its start |
//! | [`metrics`] | what it counts |
//! | `listener`, `tls`, `connection` | from the accepted socket to the bound session, and on to its end |
//! | `uplink` | links to routers, and the sessions on them |
//! | `sweeper`, `drain` | silent peers, and how to leave |

mod clock;
pub mod config;
mod connection;
mod drain;
mod listener;
mod manager;
pub mod metrics;
mod random;
mod sweeper;
#[cfg(test)]
mod tests;
mod tls;
mod uplink;

pub use config::{Config, HostCertificate, LimitsConfig, LivenessConfig, Rate, Resumption, TlsConfig};
pub use manager::{Addresses, ConnectionManager, Handle, StartError};
pub use metrics::{Metrics, register};
pub use tls::TlsError;
