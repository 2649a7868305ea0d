//! The configuration files that deployments are given.

use std::net::SocketAddr;
use std::path::Path;

use toml::{Table, Value};

use super::{Certificate, DOMAIN};

/// What a test may want otherwise.
#[derive(Clone, Default)]
pub struct Options {
    /// Virtual hosts beside [`DOMAIN`].
    pub hosts: Vec<String>,
    /// TOML that is laid over the file of every process.
    pub overrides: String,
}

impl Options {
    /// Options with virtual hosts.
    pub fn with_hosts(hosts: impl IntoIterator<Item = String>) -> Self {
        Self { hosts: hosts.into_iter().collect(), ..Self::default() }
    }

    /// Options with TOML over the defaults.
    pub fn with_overrides(overrides: &str) -> Self {
        Self { overrides: overrides.into(), ..Self::default() }
    }

    /// What all processes have in common.
    pub(super) fn common(&self, name: &str, certificate: &Certificate, http: SocketAddr) -> Table {
        let hosts = std::iter::once(DOMAIN).chain(self.hosts.iter().map(String::as_str));
        let hosts = hosts.map(|domain| {
            table([
                ("domain", domain.into()),
                ("certificate", path(&certificate.certificate)),
                ("key", path(&certificate.key)),
            ])
        });
        let hosts: Vec<Value> = hosts.map(Value::Table).collect();
        // All clients of a test come from one address, and come quickly.
        let limits = table([("connections_per_second", Value::Float(10_000.0))]);
        let telemetry = table([("log", "info,openraft=warn".into())]);
        table([
            ("name", name.into()),
            ("hosts", Value::Array(hosts)),
            ("limits", limits.into()),
            ("administration", table([("http", http.to_string().into())]).into()),
            ("telemetry", telemetry.into()),
        ])
    }

    /// Writes the file: `settings` with the overrides on top.
    ///
    /// # Panics
    /// The overrides are no TOML.
    pub(super) fn write(&self, mut settings: Table, file: &Path) {
        lay_over(&mut settings, self.overrides.parse().expect("overrides in TOML"));
        std::fs::write(file, settings.to_string()).expect("a writable directory");
    }
}

/// Where clients connect.
pub(super) fn clients(starttls: SocketAddr, direct_tls: SocketAddr) -> Value {
    let addresses = |address: SocketAddr| Value::Array(vec![address.to_string().into()]);
    // Clients of tests that end a server on purpose do not leave by themselves.
    let drain = Value::from("2 s");
    table([("starttls", addresses(starttls)), ("direct_tls", addresses(direct_tls)), ("drain", drain)]).into()
}

/// A table.
pub(super) fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A path as a value.
pub(super) fn path(path: &Path) -> Value {
    path.to_str().expect("a plain path").into()
}

fn lay_over(settings: &mut Table, overrides: Table) {
    for (key, value) in overrides {
        match (settings.get_mut(&key), value) {
            (Some(Value::Table(settings)), Value::Table(overrides)) => lay_over(settings, overrides),
            (_, value) => {
                settings.insert(key, value);
            }
        }
    }
}
