//! What the tier promises, shown on whole routers: one or three in one process, on wires that can be cut, with connection managers
//! that speak their frames by hand.
//!
//! | file | subject |
//! |---|---|
//! | [`world`] | the stage: routers, their store, and the wires between them |
//! | [`manager`] | connection managers by hand |
//! | [`module`] | a module that keeps what is undeliverable, and has bugs on request |
//! | `sessions` | logging in, binding, conflicts, sessions that end in whatever way |
//! | `delivery` | stanzas between accounts of different routers |
//! | `failover` | leaders that are killed, hand over, or are left without a majority |
//! | `logging` | messages that are accepted when they are durable |
//! | `forwarding` | the order of frames from router to router |
//! | `calls` | registration, administration and admission |
//!
//! Time is tokio's, and paused: it moves on when everybody waits. Nobody sleeps; whoever waits for something that never comes is
//! told so after some minutes of that time.

mod calls;
mod delivery;
mod failover;
mod forwarding;
mod logging;
mod manager;
mod module;
mod resumption;
mod sessions;
mod world;
