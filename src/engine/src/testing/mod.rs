//! A world of accounts in memory, in which decisions are tested as transcripts: who sends what, who receives what, and who
//! receives nothing.
//!
//! ```
//! use vesta_engine::testing::World;
//!
//! let world = World::new(Vec::new());
//! let romeo = world.online("romeo@example.net/orchard");
//! let juliet = world.online("juliet@example.com/balcony");
//! romeo.sends("<message to='juliet@example.com' type='chat'><body>My lady!</body></message>");
//! juliet.receives("<message from='romeo@example.net/orchard' type='chat'><body>My lady!</body></message>");
//! world.nobody_receives_anything();
//! ```
//!
//! Everything happens at once and in order: when `sends` returns, all that follows from the stanza has happened, on every
//! account. There is no clock but [`World::advance`], no chance, no thread.

mod memory;
mod transcript;
mod world;
mod world_ports;

pub use memory::MemoryStore;
pub use world::{Actor, World};
