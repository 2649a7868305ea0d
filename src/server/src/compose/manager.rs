//! The connection manager's configuration, from the server's.

use std::path::Path;
use std::sync::Arc;

use vesta_connection_manager::{Config, HostCertificate, LimitsConfig, LivenessConfig, Rate, Resumption, TlsConfig};
use vesta_engine::Engine;

use crate::config::Settings;

/// Everything but where the routers are.
pub fn config(settings: &Settings, data: &Path, engine: &Engine) -> Config {
    let hosts: Vec<String> = settings.hosts.iter().map(|host| host.domain.clone()).collect();
    let clients = &settings.clients;
    let mut config = Config::new(hosts, data.join("certificates"));
    config.name = settings.name.as_str().into();
    config.starttls = clients.starttls.clone();
    config.direct_tls = clients.direct_tls.clone();
    config.require_tls = clients.require_tls;
    // Whether a host offers it is decided where the request is answered; the feature is the listener's.
    config.registration = settings.hosts.iter().any(|host| engine.offers_registration(&host.domain));
    config.features = engine.stream_features(&settings.hosts[0].domain);
    config.tls = TlsConfig { certificates: certificates(settings), ..config.tls };
    config.tls.reload_every = clients.certificate_check.0;
    config.limits = limits(settings);
    config.liveness = LivenessConfig {
        ping_after: clients.ping_after.0,
        unacknowledged_max: clients.unacknowledged_max.0,
        close_after: clients.idle_max.map(|period| period.0),
        ..LivenessConfig::default()
    };
    config.resumption = Resumption { within: clients.resume_within.0, location: clients.resume_at.clone() };
    config
}

/// Where the routers of a cluster are reached first.
pub fn routers(settings: &Settings) -> Vec<Arc<str>> {
    settings.cluster.routers.iter().map(|router| router.address.as_str().into()).collect()
}

fn certificates(settings: &Settings) -> Vec<HostCertificate> {
    let given = settings.hosts.iter().filter_map(|host| {
        let (certificate, key) = (host.certificate.clone()?, host.key.clone()?);
        Some(HostCertificate { host: host.domain.clone(), certificate, key })
    });
    given.collect()
}

fn limits(settings: &Settings) -> LimitsConfig {
    let limits = &settings.limits;
    let twice = |per_second: f64| Rate { per_second, burst: 2.0 * per_second };
    LimitsConfig {
        stanza_bytes_before: limits.stanza_before_login.0 as usize,
        stanza_bytes_after: limits.stanza.0 as usize,
        authentication_timeout: limits.login_time.0,
        handshake_timeout: limits.handshake_time.0,
        handshakes_max: limits.handshakes,
        connections_max: limits.connections,
        connections_per_address: limits.connections_per_address,
        connection_rate: Rate {
            per_second: limits.connections_per_second,
            burst: 10.0 * limits.connections_per_second,
        },
        stanza_rate: twice(limits.stanzas_per_second),
        byte_rate: twice(limits.bytes_per_second.0 as f64),
        attempts_max: limits.login_attempts,
        outgoing_bytes: limits.outgoing.0 as usize,
        ..LimitsConfig::default()
    }
}
