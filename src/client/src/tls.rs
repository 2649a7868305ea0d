//! TLS as a client: whom to trust, what was negotiated, and what the channel can be bound by (RFC 9266).

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs as provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, NamedGroup, ProtocolVersion,
    RootCertStore, SignatureScheme,
};
use vesta_xmpp::sasl::ChannelBindings;

use crate::Error;
use crate::config::Trust;

/// The protocol that direct TLS asks for (XEP-0368).
const ALPN: &[u8] = b"xmpp-client";

/// What was negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The version of TLS.
    pub protocol: ProtocolVersion,
    /// The cipher suite.
    pub cipher_suite: CipherSuite,
    /// The group of the key exchange: `X25519MLKEM768` is safe against quantum computers.
    pub group: Option<NamedGroup>,
    /// The protocol agreed on by ALPN, if there was one.
    pub alpn: Option<Vec<u8>>,
}

impl TlsInfo {
    pub(crate) fn of(connection: &ClientConnection) -> Option<Self> {
        Some(Self {
            protocol: connection.protocol_version()?,
            cipher_suite: connection.negotiated_cipher_suite()?.suite(),
            group: connection.negotiated_key_exchange_group().map(|group| group.name()),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        })
    }
}

/// RFC 9266 §2. Only for TLS 1.3: under 1.2 it is no safe binding without the extended master secret (§4.2).
pub(crate) fn channel_bindings(connection: &ClientConnection) -> ChannelBindings {
    let exported = (connection.protocol_version() == Some(ProtocolVersion::TLSv1_3))
        .then(|| connection.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b"")));
    ChannelBindings { tls_exporter: exported.and_then(Result::ok), tls_server_end_point: None }
}

/// The configuration for a kind of trust. `direct`: with the ALPN of XEP-0368.
pub(crate) fn client_config(trust: &Trust, direct: bool) -> Result<Arc<ClientConfig>, Error> {
    let mut config = match trust {
        Trust::Custom(config) => ClientConfig::clone(config),
        Trust::System => with_roots(system_roots()?)?,
        Trust::SystemAnd(extra) => {
            let mut roots = system_roots()?;
            add(&mut roots, extra)?;
            with_roots(roots)?
        }
        Trust::Only(certificates) => {
            let mut roots = RootCertStore::empty();
            add(&mut roots, certificates)?;
            with_roots(roots)?
        }
        Trust::Pinned(fingerprints) => with_verifier(Arc::new(Pinned {
            fingerprints: fingerprints.clone(),
            algorithms: provider::default_provider().signature_verification_algorithms,
        }))?,
    };
    config.alpn_protocols = if direct { vec![ALPN.to_vec()] } else { Vec::new() };
    Ok(Arc::new(config))
}

fn system_roots() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems carry certificates that no verifier can use.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(Error::Tls(format!("the system trusts no certificate authority. {}", reasons.join("; "))));
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, certificates: &[CertificateDer<'static>]) -> Result<(), Error> {
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(unusable)?;
    }
    Ok(())
}

fn with_roots(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), the_provider()).build();
    with_verifier(verifier.map_err(|error| Error::Tls(error.to_string()))?)
}

fn with_verifier(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(the_provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(unusable)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn the_provider() -> Arc<CryptoProvider> {
    Arc::new(provider::default_provider())
}

fn unusable(error: rustls::Error) -> Error {
    Error::Tls(error.to_string())
}

/// Believes certificates by their fingerprints alone.
#[derive(Debug)]
struct Pinned {
    fingerprints: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let fingerprint = digest::digest(&digest::SHA256, end_entity);
        match self.fingerprints.iter().any(|pinned| pinned == fingerprint.as_ref()) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    // The certificate may be public: that the server has its key is what the signature shows.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
