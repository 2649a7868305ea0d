//! The certificates of the virtual hosts: read from files, chosen by server name, read again when a file changes.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{ALPN, TlsError, self_signed};
use crate::config::{HostCertificate, TlsConfig};

/// Warned of when a certificate has less than this left.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// What a handshake with one virtual host needs.
#[derive(Debug)]
pub(crate) struct HostTls {
    /// The host's certificate and our policy.
    pub(crate) config: Arc<ServerConfig>,
    /// The channel binding `tls-server-end-point` (RFC 5929 §4.1), where it is defined for the certificate.
    pub(crate) end_point: Option<Vec<u8>>,
}

/// All virtual hosts' certificates. Changes take effect for the next handshake.
#[derive(Debug)]
pub(crate) struct Certificates {
    provider: Arc<CryptoProvider>,
    files: Vec<HostCertificate>,
    /// By server name as it stands in a ClientHello.
    hosts: HashMap<String, usize>,
    loaded: Vec<ArcSwap<HostTls>>,
    /// What the files looked like when they were last read.
    seen: Mutex<Vec<Fingerprint>>,
}

impl Certificates {
    /// Reads all certificates, and makes those that are missing. The first host serves clients that name none or an
    /// unknown one.
    ///
    /// # Errors
    /// A file is missing or bad: at the start that is for the operator to put right.
    pub(crate) fn load(config: &TlsConfig, hosts: &[String]) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let files = hosts
            .iter()
            .map(|host| match config.certificates.iter().find(|given| given.host == *host) {
                Some(given) => Ok(given.clone()),
                None => self_signed::ensure(&config.data, host),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let seen = files.iter().map(fingerprint).collect();
        let loaded = files
            .iter()
            .map(|files| Ok(ArcSwap::from_pointee(read(&provider, files)?)))
            .collect::<Result<Vec<_>, TlsError>>()?;
        let names = hosts.iter().enumerate().map(|(at, host)| (server_name(host), at)).collect();
        Ok(Self { provider, files, hosts: names, loaded, seen: Mutex::new(seen) })
    }

    /// The host that a client named, or the default one.
    pub(crate) fn for_server_name(&self, name: Option<&str>) -> Arc<HostTls> {
        let at = name.and_then(|name| self.hosts.get(&name.to_ascii_lowercase())).copied().unwrap_or(0);
        self.loaded[at].load_full()
    }

    /// Looks at all files and reads those again that have changed. A bad file leaves the old certificate in force.
    pub(crate) fn reload_changed(&self) {
        for (at, files) in self.files.iter().enumerate() {
            let now = fingerprint(files);
            if std::mem::replace(&mut self.seen.lock()[at], now) == now {
                continue;
            }
            match read(&self.provider, files) {
                Ok(host) => {
                    self.loaded[at].store(Arc::new(host));
                    tracing::info!(host = files.host, "read the changed certificate");
                }
                Err(error) => tracing::error!(host = files.host, %error, "kept the old certificate"),
            }
        }
    }

    /// Looks at the files every now and then until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, every: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(every);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let certificates = self.clone();
            // A failure can only be a panic inside, and the next look comes soon.
            let _ = tokio::task::spawn_blocking(move || certificates.reload_changed()).await;
        }
    }
}

/// When and how long the two files are. `None`: not there, or not readable.
type Fingerprint = [Option<(SystemTime, u64)>; 2];

fn fingerprint(files: &HostCertificate) -> Fingerprint {
    [&files.certificate, &files.key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn read(provider: &Arc<CryptoProvider>, files: &HostCertificate) -> Result<HostTls, TlsError> {
    let chain = read_chain(&files.certificate)?;
    let key = read_key(&files.key)?;
    let end_point = inspect(&chain[0], files)?;
    let pair = |error: rustls::Error| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        reason: error.to_string(),
    };
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Tickets that hold their session themselves (RFC 8446 §4.6.1): nothing is kept here, and a client that comes back to the
    // same virtual host is spared half the handshake.
    config.ticketer = Ticketer::new().map_err(pair)?;
    Ok(HostTls { config: Arc::new(config), end_point })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read_file(path)?;
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(TlsError::Content { path: path.to_owned(), reason: "holds no PEM certificate".to_owned() }),
        Err(error) => Err(TlsError::Content { path: path.to_owned(), reason: error.to_string() }),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read_file(path)?).map_err(|error| TlsError::Content {
        path: path.to_owned(),
        reason: format!("holds no PEM private key: {error}"),
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

/// Warns of a certificate that clients will refuse, and computes its channel binding.
fn inspect(leaf: &CertificateDer<'_>, files: &HostCertificate) -> Result<Option<Vec<u8>>, TlsError> {
    let (_, certificate) = X509Certificate::from_der(leaf)
        .map_err(|error| TlsError::Content { path: files.certificate.clone(), reason: error.to_string() })?;
    let path = files.certificate.display();
    match certificate.validity().time_to_expiration() {
        None => {
            tracing::warn!(host = files.host, %path, "the certificate is not valid now: it has expired or begins later")
        }
        Some(left) if left.unsigned_abs() < EXPIRES_SOON => {
            tracing::warn!(host = files.host, %path, days = left.whole_days(), "the certificate expires soon");
        }
        Some(_) => {}
    }
    if !names(&certificate).any(|name| covers(&name, &server_name(&files.host))) {
        tracing::warn!(host = files.host, %path, "the certificate does not name the host");
    }
    Ok(end_point_digest(&certificate).map(|algorithm| digest::digest(algorithm, leaf).as_ref().to_vec()))
}

/// RFC 5929 §4.1: the hash function of the certificate's signature, SHA-256 in place of MD5 and SHA-1; not defined for
/// signatures without a single hash function (Ed25519).
fn end_point_digest(certificate: &X509Certificate<'_>) -> Option<&'static digest::Algorithm> {
    match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
        // MD5, SHA-1 and SHA-256 with RSA; SHA-1 and SHA-256 with ECDSA.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Some(&digest::SHA256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(&digest::SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(&digest::SHA512),
        _ => None,
    }
}

/// The DNS names and addresses in subjectAltName. The common name counts for nothing (RFC 9525 §2).
fn names(certificate: &X509Certificate<'_>) -> impl Iterator<Item = String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|extension| extension.value.general_names.clone()).unwrap_or_default();
    names.into_iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => ip_address(bytes),
        _ => None,
    })
}

fn ip_address(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        _ => None,
    }
}

/// RFC 9525 §6.3: a wildcard is the whole leftmost label, and stands for one.
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => name == host.trim_matches(['[', ']']),
    }
}

/// The virtual host as clients name it in a ClientHello: A-labels.
fn server_name(host: &str) -> String {
    idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        let table = [
            ("capulet.example", "capulet.example", true),
            ("*.capulet.example", "garden.capulet.example", true),
            ("*.capulet.example", "capulet.example", false),
            ("*.capulet.example", "deep.garden.capulet.example", false),
            ("montague.example", "capulet.example", false),
            ("::1", "[::1]", true),
        ];
        for (name, host, covered) in table {
            assert_eq!(covers(name, host), covered, "{name} and {host}");
        }
    }
}
