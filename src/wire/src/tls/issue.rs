//! Certificates for development and tests: an authority of one's own, and nodes signed by it.
//!
//! They never expire and the authority's key lies in a file: a cluster that matters has its certificates issued by what
//! the organisation uses (`cert-manager`, Vault, …), with the same two names in them.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

use super::{NodeIdentity, SERVER_NAME};

/// A certificate and its key.
#[derive(Clone)]
pub struct Pem {
    /// The certificate, as PEM.
    pub certificate: String,
    /// Its private key (PKCS #8), as PEM. Secret.
    pub key: String,
}

/// A certificate could not be made: a name that can't be in one, an authority that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the certificate cannot be made: {0}")]
pub struct IssueError(#[from] rcgen::Error);

/// Makes an authority whose certificates the nodes of one cluster trust.
///
/// # Errors
/// Only where no key can be made.
pub fn authority() -> Result<Pem, IssueError> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "Vesta cluster authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = parameters.self_signed(&key)?.pem();
    Ok(Pem { certificate, key: key.serialize_pem() })
}

/// Makes the certificate of one node, signed by `authority`.
///
/// # Errors
/// The authority is at fault.
pub fn issue(authority: &Pem, identity: &NodeIdentity) -> Result<Pem, IssueError> {
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, identity.name.as_str());
    parameters.subject_alt_names =
        vec![SanType::DnsName(SERVER_NAME.try_into()?), SanType::URI(identity.to_string().try_into()?)];
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    parameters.use_authority_key_identifier_extension = true;
    let certificate = parameters.signed_by(&key, &issuer)?.pem();
    Ok(Pem { certificate, key: key.serialize_pem() })
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::super::Role;
    use super::*;

    #[test]
    fn an_issued_certificate_names_its_node() {
        let identity = NodeIdentity { role: Role::SessionRouter, name: "sr-1".to_owned() };
        let issued = issue(&authority().expect("an authority"), &identity).expect("a certificate");
        let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("PEM");
        assert_eq!(NodeIdentity::from_certificate(&certificate), Ok(identity));
    }
}
