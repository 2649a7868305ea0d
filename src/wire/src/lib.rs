//! The contracts between the tiers: the frames that travel, the links they travel on, and the generated gRPC code behind.
//!
//! The tiers never name each other. Each side talks to a [`link::Link`]; whether it is an in-process channel or a gRPC
//! stream with mutual TLS is decided where the server is composed. Generated types stay in this crate.
//!
//! | module | subject |
//! |---|---|
//! | [`attach`] | frames between a connection manager and a router |
//! | [`forward`] | frames between routers |
//! | [`link`] | bounded, ordered, two-way links of frames |

pub mod attach;
pub mod forward;
pub mod ids;
pub mod link;

pub use ids::{Epoch, ManagerName, NodeId, Sequence, SessionId, ShardId, StreamId, Term};
