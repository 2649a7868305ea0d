//! The virtual hosts that a deployment serves.

use std::collections::BTreeMap;

/// One virtual host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its domainpart, prepared.
    pub domain: String,
}

/// All of them, by domainpart.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    hosts: BTreeMap<String, Host>,
}

impl Hosts {
    /// From their list.
    pub fn new(hosts: impl IntoIterator<Item = Host>) -> Self {
        Self { hosts: hosts.into_iter().map(|host| (host.domain.clone(), host)).collect() }
    }

    /// The host of this domainpart, if it is served here.
    pub fn get(&self, domain: &str) -> Option<&Host> {
        self.hosts.get(domain)
    }

    /// Whether the domainpart is served here.
    pub fn serves(&self, domain: &str) -> bool {
        self.hosts.contains_key(domain)
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }
}
