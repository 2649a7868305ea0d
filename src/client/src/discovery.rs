//! Where the server of a domain is: SRV records (RFC 6120 §3.2.1, RFC 2782) and XEP-0368.

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

use crate::config::{Config, Endpoint, Security, Server};
use crate::{Error, random};

/// The port of RFC 6120 §14.7.
const CLIENT_PORT: u16 = 5222;
/// How many endpoints of a domain are tried at most.
const ENDPOINTS_MAX: usize = 16;

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    priority: u16,
    weight: u16,
    endpoint: Endpoint,
}

/// The places to try, in this order.
pub(crate) async fn endpoints(config: &Config) -> Result<Vec<Endpoint>, Error> {
    if let Server::At(endpoints) = &config.server {
        return Ok(endpoints.clone());
    }
    let domain = ascii_domain(config.account.domain())?;
    let fallback = || vec![Endpoint { host: domain.clone(), port: CLIENT_PORT, security: Security::StartTls }];
    if domain.parse::<std::net::IpAddr>().is_ok() {
        return Ok(fallback());
    }
    let failed = |reason: String| Error::Lookup { domain: domain.clone(), reason };
    let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
    let resolver = resolver.map_err(|error| failed(error.to_string()))?;
    let (direct, start) = tokio::join!(
        look_up(&resolver, &domain, "_xmpps-client._tcp", Security::DirectTls),
        look_up(&resolver, &domain, "_xmpp-client._tcp", Security::StartTls),
    );
    let mut records = direct;
    records.extend(start);
    if records.is_empty() {
        return Ok(fallback());
    }
    // RFC 2782: the target "." says that the service is decidedly not there.
    records.retain(|record| !record.endpoint.host.is_empty());
    if records.is_empty() {
        return Err(failed("the domain says that it has no XMPP service for clients".into()));
    }
    Ok(in_order(records, &mut random::number).into_iter().take(ENDPOINTS_MAX).collect())
}

/// The endpoint that a server has named for resumption (XEP-0198 §5): `host:port`, `[address]:port` or `host`.
pub(crate) fn named(location: &str, security: Security) -> Option<Endpoint> {
    let (host, port) = match location.rsplit_once(':') {
        // Colons of an IPv6 address without port.
        Some((before, _)) if before.contains(':') && !before.ends_with(']') => (location, None),
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (location, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    (!host.is_empty()).then(|| Endpoint { host, port: port.unwrap_or(CLIENT_PORT), security })
}

/// A domainpart as the DNS and certificates have it: A-labels.
pub(crate) fn ascii_domain(domain: &str) -> Result<String, Error> {
    let bare = domain.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    idna::domain_to_ascii(domain)
        .map_err(|error| Error::Lookup { domain: domain.to_owned(), reason: error.to_string() })
}

/// No records and a DNS that does not answer come to the same: the domain itself is tried.
async fn look_up(resolver: &TokioResolver, domain: &str, service: &str, security: Security) -> Vec<Record> {
    // The final dot keeps the system's search list out.
    let answer = match resolver.srv_lookup(format!("{service}.{domain}.")).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(%error, service, domain, "no SRV records");
            return Vec::new();
        }
    };
    let records = answer.answers().iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => Some(Record {
            priority: srv.priority,
            weight: srv.weight,
            endpoint: Endpoint {
                host: srv.target.to_ascii().trim_end_matches('.').to_owned(),
                port: srv.port,
                security,
            },
        }),
        _ => None,
    });
    records.collect()
}

/// RFC 2782: by priority; among equals by chance, as their weights say, those without weight last.
fn in_order(mut records: Vec<Record>, random: &mut dyn FnMut() -> u64) -> Vec<Endpoint> {
    let mut endpoints = Vec::with_capacity(records.len());
    while let Some(priority) = records.iter().map(|record| record.priority).min() {
        let (mut equal, rest): (Vec<_>, Vec<_>) = records.into_iter().partition(|it| it.priority == priority);
        records = rest;
        while !equal.is_empty() {
            let at = draw(&equal, random());
            endpoints.push(equal.swap_remove(at).endpoint);
        }
    }
    endpoints
}

fn draw(records: &[Record], random: u64) -> usize {
    let whole: u64 = records.iter().map(|record| u64::from(record.weight)).sum();
    if whole == 0 {
        return 0;
    }
    let mut left = random % whole;
    for (at, record) in records.iter().enumerate() {
        match left.checked_sub(record.weight.into()) {
            Some(less) => left = less,
            None => return at,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, host: &str) -> Record {
        Record { priority, weight, endpoint: Endpoint { host: host.into(), port: 5222, security: Security::StartTls } }
    }

    fn hosts(records: Vec<Record>, random: u64) -> Vec<String> {
        in_order(records, &mut || random).into_iter().map(|endpoint| endpoint.host).collect()
    }

    #[test]
    fn targets_are_tried_by_priority() {
        assert_eq!(hosts(vec![record(2, 0, "c"), record(1, 0, "b"), record(0, 9, "a")], 0), ["a", "b", "c"]);
    }

    #[test]
    fn among_equals_chance_decides_by_weight() {
        let equals = || vec![record(1, 0, "none"), record(1, 10, "light"), record(1, 90, "heavy")];
        assert_eq!(hosts(equals(), 9)[0], "light");
        assert_eq!(hosts(equals(), 10)[0], "heavy");
        assert_eq!(hosts(equals(), 99)[0], "heavy");
        assert_eq!(hosts(equals(), 0).last().map(String::as_str), Some("none"));
    }

    #[test]
    fn a_domain_is_asked_for_by_its_a_labels() {
        assert_eq!(ascii_domain("bücher.example").ok().as_deref(), Some("xn--bcher-kva.example"));
        assert_eq!(ascii_domain("[::1]").ok().as_deref(), Some("::1"));
    }

    #[test]
    fn a_server_names_an_endpoint_as_xep_0198_says() {
        let named = |location| named(location, Security::StartTls).map(|it| (it.host, it.port));
        assert_eq!(named("b.example.org:5269"), Some(("b.example.org".into(), 5269)));
        assert_eq!(named("b.example.org"), Some(("b.example.org".into(), 5222)));
        assert_eq!(named("[2001:41D0:1:A49b::1]:9222"), Some(("2001:41D0:1:A49b::1".into(), 9222)));
        assert_eq!(named("2001:41D0:1:A49b::1"), Some(("2001:41D0:1:A49b::1".into(), 5222)));
        assert_eq!(named("b.example.org:xmpp"), None);
        assert_eq!(named(""), None);
    }
}
