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
//! | [`grpc`] | all of these over HTTP/2 |
//! | [`tls`] | who a node is, and how it proves it |

pub mod administration;
pub mod attach;
pub mod cluster;
mod convert;
pub mod forward;
pub mod grpc;
pub mod ids;
pub mod link;
pub mod raft;
pub mod tls;

pub use ids::{Epoch, ManagerName, NodeId, Sequence, SessionId, ShardId, StreamId, Term};

/// What the build script generates from `proto/`: nobody but [`convert`] and [`grpc`] sees it.
mod proto {
    #![allow(missing_docs, clippy::all, reason = "the words are in the .proto files, the code is the generator's")]
    tonic::include_proto!("vesta.v1");
}
