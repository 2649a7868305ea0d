//! Mutual TLS between nodes: every side shows a certificate of the cluster's authority that names its role (threat T58).
//!
//! TLS 1.3 only. Both sides check the chain to the cluster's authority in the handshake; the dialing side asks for the DNS
//! name [`SERVER_NAME`], which all nodes share, and reads the role and name from the certificate afterwards
//! ([`NodeIdentity`]). Sessions are never resumed: each connection proves itself anew. The files are read again when they
//! have changed, for new connections.

mod identity;
mod issue;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub use identity::{IdentityError, NodeIdentity, Role};
pub use issue::{IssueError, Pem, authority, issue};

/// The DNS name in the certificate of every node.
pub const SERVER_NAME: &str = "node.vesta";

/// How nodes speak to each other.
#[derive(Clone, Debug)]
pub enum Security {
    /// In clear, and everybody who reaches the port may do everything. For development on one machine.
    PlainText,
    /// Mutual TLS.
    MutualTls(NodeTls),
}

/// The PEM files of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTlsFiles {
    /// The certificates of the authorities that the cluster's nodes are signed by.
    pub ca: PathBuf,
    /// The node's own certificate, intermediate ones behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why the files are of no use. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{path} cannot be read: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A file does not hold what it must.
    #[error("{path} holds no usable {expected} in PEM form")]
    Content {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// The node's certificate names no node.
    #[error("{path}: {reason}")]
    Identity {
        /// The certificate.
        path: PathBuf,
        /// Why.
        reason: IdentityError,
    },
    /// The files don't go together.
    #[error("the node's certificate, its key and the authority's certificate cannot be used together: {0}")]
    Unusable(String),
}

/// What one node proves itself with, and whom it trusts. A clone is the same.
#[derive(Clone)]
pub struct NodeTls {
    files: Arc<NodeTlsFiles>,
    current: Arc<Mutex<Loaded>>,
}

/// What was made of the files, and how they looked then.
struct Loaded {
    stamps: Option<[Stamp; 3]>,
    keys: Arc<NodeKeys>,
}

/// The two sides' configuration for rustls.
pub(crate) struct NodeKeys {
    pub(crate) identity: NodeIdentity,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

/// When a file was changed, and its length.
type Stamp = (SystemTime, u64);

impl NodeTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Says which file is to be put right.
    pub fn load(files: NodeTlsFiles) -> Result<Self, TlsError> {
        let stamps = stamps(&files);
        let keys = Arc::new(NodeKeys::read(&files)?);
        Ok(Self { files: Arc::new(files), current: Arc::new(Mutex::new(Loaded { stamps, keys })) })
    }

    /// Role and name in the node's certificate.
    pub fn identity(&self) -> NodeIdentity {
        self.current.lock().keys.identity.clone()
    }

    /// What a new connection uses. Files that have changed are read again; where that fails, the old ones stay in use.
    /// The files are small and local: reading them holds a thread up no longer than a log line does.
    pub(crate) fn keys(&self) -> Arc<NodeKeys> {
        let stamps = stamps(&self.files);
        let mut current = self.current.lock();
        if stamps.is_some() && stamps != current.stamps {
            current.stamps = stamps;
            match NodeKeys::read(&self.files) {
                Ok(keys) => {
                    tracing::info!(identity = %keys.identity, "the node's certificate was read again");
                    current.keys = Arc::new(keys);
                }
                Err(error) => tracing::warn!(%error, "the changed certificate is not used"),
            }
        }
        current.keys.clone()
    }
}

impl std::fmt::Debug for NodeTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("NodeTls").field(&self.files).finish()
    }
}

impl NodeKeys {
    fn read(files: &NodeTlsFiles) -> Result<Self, TlsError> {
        let roots = roots(&files.ca)?;
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
            .map_err(|_| TlsError::Content { path: files.key.clone(), expected: "private key" })?;
        let identity = NodeIdentity::from_certificate(&chain[0])
            .map_err(|reason| TlsError::Identity { path: files.certificate.clone(), reason })?;
        Ok(Self {
            identity,
            client: Arc::new(client_config(roots.clone(), chain.clone(), key.clone_key()).map_err(unusable)?),
            server: Arc::new(server_config(roots, chain, key)?),
        })
    }
}

/// The name that the dialing side asks for.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from(SERVER_NAME).expect("the constant is a DNS name")
}

fn client_config(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn server_config(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(unusable)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn unusable(error: impl std::fmt::Display) -> TlsError {
    TlsError::Unusable(error.to_string())
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(Arc::new(roots))
}

/// The certificates in a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::Content { path: path.to_owned(), expected: "certificate" }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|reason| TlsError::File { path: path.to_owned(), reason })
}

/// `None` while one of the files is missing: it is being replaced.
fn stamps(files: &NodeTlsFiles) -> Option<[Stamp; 3]> {
    let stamp = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    Some([stamp(&files.ca)?, stamp(&files.certificate)?, stamp(&files.key)?])
}
