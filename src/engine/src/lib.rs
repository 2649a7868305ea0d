//! The decisions of a server: RFC 6121 routing, presence and rosters, the hooks that XEP modules take part in, and the ports
//! through which all of it reaches the world.
//!
//! Nothing here opens a socket, asks a clock or draws a random number. The [`Engine`] is handed an event of one account
//! and that account's cached state, and acts through [`ports::Ports`]. Events of one account come one after the other;
//! accounts are independent of each other.
//!
//! | module | subject |
//! |---|---|
//! | [`engine`] | the events of an account, from a client (outbound) and for it (inbound) |
//! | `routing` | RFC 6121 §8: who gets a message, an IQ, a presence |
//! | `presence` | RFC 6121 §4: broadcast, directed presence, probes |
//! | [`roster`] | RFC 6121 §2, §3 and appendix A: rosters and subscriptions |
//! | `accounts`, `authentication`, `logins` | making and removing accounts; SASL's questions, and what is kept between them |
//! | [`ports`] | what the engine asks of the world: sessions, delivery, routing, time, chance |
//! | [`store`], [`log`] | durable data, as ports; the messages of an account |
//! | [`logging`], `recent` | entries of the log that are under way; messages that come twice |
//! | [`session`] | a bound session as the cluster knows it |
//! | [`hooks`], [`module`] | where XEPs take part |
//! | `testing` (feature) | a world of accounts in memory, and transcripts |

pub mod account;
mod accounts;
mod authentication;
pub mod engine;
mod errors;
pub mod hooks;
pub mod host;
pub mod log;
pub mod logging;
mod logins;
pub mod module;
pub mod ports;
mod presence;
mod recent;
pub mod roster;
mod routing;
pub mod session;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use account::Account;
pub use engine::{Engine, Settings};
pub use host::{Host, Hosts};
pub use logging::Logged;
pub use ports::Ports;
pub use session::{Session, SessionChange, SessionKey};
pub use store::{Fence, Store, StoreError};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub u64);
