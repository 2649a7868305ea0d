//! What a router is told when it starts.

use std::path::PathBuf;
use std::time::Duration;

/// A router's configuration.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// Its name, unique among the routers.
    pub name: String,
    /// Where other nodes reach it: `host:port`. Empty in a cluster of one process.
    pub address: String,
    /// The routers that found the cluster, this one included; the first one does it when all of them have come up with empty disks.
    pub founders: Vec<Founder>,
    /// How many shards the cluster gets when it is founded; afterwards what it was founded with counts.
    pub shards: u32,
    /// Where Raft keeps its log.
    pub log: LogPlace,
    /// How long a connection manager may be away before its sessions end.
    pub manager_grace: Duration,
}

/// A router named in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founder {
    /// Its name.
    pub name: String,
    /// Where it is reached: `host:port`.
    pub address: String,
}

/// Where Raft keeps its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// In memory: for a cluster of one process, whose sessions end with it anyway.
    Memory,
    /// In this directory, fsynced.
    Disk(PathBuf),
}
