//! A self-signed certificate for a virtual host that was given none: so that a first start needs no set-up. Clients warn
//! of it, as they should.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::TlsError;
use crate::config::HostCertificate;

/// The files of `host`'s self-signed certificate under `data`, made if they are not there.
///
/// # Errors
/// The directory can't be written, or the host's name is none that a certificate can carry.
pub(crate) fn ensure(data: &Path, host: &str) -> Result<HostCertificate, TlsError> {
    let files = HostCertificate {
        host: host.to_owned(),
        certificate: data.join(format!("{}.crt.pem", file_name(host))),
        key: data.join(format!("{}.key.pem", file_name(host))),
    };
    if files.certificate.exists() && files.key.exists() {
        return Ok(files);
    }
    let (certificate, key) = generate(host)?;
    fs::create_dir_all(data).map_err(|source| TlsError::File { path: data.to_owned(), source })?;
    // The key first: a certificate without its key would be taken for complete by nobody.
    write(&files.key, &key, 0o600)?;
    write(&files.certificate, &certificate, 0o644)?;
    tracing::warn!(host, certificate = %files.certificate.display(), "no certificate is configured: made a self-signed one");
    Ok(files)
}

/// Certificate and key as PEM: ECDSA P-256, the host as its only name.
fn generate(host: &str) -> Result<(String, String), TlsError> {
    let failed =
        |error: &dyn std::fmt::Display| TlsError::SelfSigned { host: host.to_owned(), reason: error.to_string() };
    let name = idna::domain_to_ascii(host).map_err(|error| failed(&error))?;
    let mut params = CertificateParams::new([name.clone()]).map_err(|error| failed(&error))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| failed(&error))?;
    let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// A prepared domainpart holds no `/`; IPv6 literals hold `:` and brackets, which some file systems dislike.
fn file_name(host: &str) -> String {
    host.chars().map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' }).collect()
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let at_path = |source| TlsError::File { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path).map_err(at_path)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(at_path)
}
