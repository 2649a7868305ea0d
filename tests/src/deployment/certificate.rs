//! The certificate that clients are shown: self-signed, for the domain and everything below it.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;

use super::DOMAIN;

/// A certificate and where its files are.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate itself.
    pub der: CertificateDer<'static>,
    /// PEM file with the certificate.
    pub certificate: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one, in files below `directory`.
    ///
    /// # Panics
    /// The files can't be written.
    pub fn make(directory: &Path) -> Self {
        let names = vec![DOMAIN.to_owned(), format!("*.{DOMAIN}")];
        let pair = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("plain names");
        let made = params.self_signed(&pair).expect("a certificate");
        let (certificate, key) = (directory.join("clients.pem"), directory.join("clients.key"));
        std::fs::write(&certificate, made.pem()).expect("a writable directory");
        std::fs::write(&key, pair.serialize_pem()).expect("a writable directory");
        Self { der: made.der().clone(), certificate, key }
    }
}
