//! The contracts between the tiers: the frames that travel, the links they travel on, and the generated gRPC code behind.
//!
//! The tiers never name each other. Each side talks to a [`link::Link`]; whether it is an in-process channel or a gRPC
//! stream with mutual TLS is decided where the server is composed. Generated types stay in this crate.
//!
//! | module | subject |
//! |---|---|
//! | [`attach`] | frames between a connection manager and a router |
//! | [`forward`] | frames between routers |
//! | [`raft`] | the messages of a Raft group |
//! | [`cluster`] | who is there, who is to be admitted |
//! | [`administration`] | what an operator may ask |
//! | [`link`] | bounded, ordered, two-way links of frames |

pub mod administration;
pub mod attach;
pub mod cluster;
pub mod forward;
pub mod ids;
pub mod link;
pub mod raft;

pub use ids::{Epoch, ManagerName, NodeId, Sequence, SessionId, ShardId, StreamId, Term};
