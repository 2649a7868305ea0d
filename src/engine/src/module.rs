//! What a XEP module is: specifications that it fulfils, and hooks that it takes part in.
//!
//! A module is one file of the crate `modules`. It is made once for each virtual host that it is switched on for, with
//! that host's configuration, and registers itself on that host's [`Hooks`]. It reaches the world through the
//! [`Context`](crate::hooks::Context) that its handlers are given, and through nothing else.

use std::sync::Arc;

use crate::hooks::Hooks;

/// How much of a specification is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All that a server has to do.
    Complete,
    /// Parts of it; [`Spec::note`] says which.
    Partial,
}

/// A specification that a module fulfils: a row of the table of supported XEPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its number: 30 for XEP-0030.
    pub number: u16,
    /// Its title.
    pub title: &'static str,
    /// The version that was followed.
    pub version: &'static str,
    /// How much of it is there.
    pub status: Status,
    /// Vesta's version that had it first.
    pub since: &'static str,
    /// What is worth saying about it in a few words; may be empty.
    pub note: &'static str,
}

/// A module of one virtual host.
pub trait Module: Send + Sync + 'static {
    /// Its name in the configuration and in logs: `last_activity`.
    fn name(&self) -> &'static str;

    /// The specifications that it fulfils; mostly one.
    fn specs(&self) -> &'static [Spec];

    /// Puts its handlers and its disco data into the host's hooks. Called once.
    fn register(self: Arc<Self>, hooks: &mut Hooks);
}
