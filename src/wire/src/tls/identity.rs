//! Who a node is: its role and name, as a URI in its certificate.
//!
//! ```text
//! vesta://connection-manager/cm-1      vesta://session-router/sr-1      vesta://administrator/alice
//! ```
//!
//! The certificate holds exactly one such URI among its subject alternative names, beside the DNS name
//! [`SERVER_NAME`](super::SERVER_NAME) that all nodes share: addresses of nodes change, their names don't.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const SCHEME: &str = "vesta://";
/// The longest name of a node, as a DNS label's.
const NAME_BYTES_MAX: usize = 63;

/// What a node may do in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Holds clients' connections; may attach to routers, and nothing else.
    ConnectionManager,
    /// Leads shards; serves everything, may call everything but the attach service.
    SessionRouter,
    /// A person or a tool; may call the administration service, and nothing else.
    Administrator,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::ConnectionManager, Role::SessionRouter, Role::Administrator];

    /// As written in a certificate.
    pub fn name(self) -> &'static str {
        match self {
            Role::ConnectionManager => "connection-manager",
            Role::SessionRouter => "session-router",
            Role::Administrator => "administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Role and name of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeIdentity {
    /// What it may do.
    pub role: Role,
    /// Its configured name: 1 to 63 ASCII letters, digits, `.`, `_` and `-`.
    pub name: String,
}

/// Why a certificate or a text names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate can't be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// No URI `vesta://…`.
    #[error("the certificate names no node: it needs a URI vesta://ROLE/NAME among its subject alternative names")]
    Missing,
    /// More than one.
    #[error("the certificate names more than one node")]
    Ambiguous,
    /// A role or a name that can't be.
    #[error("{0} names no node: expected vesta://ROLE/NAME, NAME of letters, digits, '.', '_' and '-'")]
    Malformed(String),
}

impl NodeIdentity {
    /// Reads it from a certificate. Whether the certificate can be trusted is not looked at.
    ///
    /// # Errors
    /// The issuer of the certificate is at fault.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| IdentityError::Unreadable)?;
        let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
        let mut uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
            _ => None,
        });
        match (uris.next(), uris.next()) {
            (Some(uri), None) => uri.parse(),
            (Some(_), Some(_)) => Err(IdentityError::Ambiguous),
            (None, _) => Err(IdentityError::Missing),
        }
    }
}

impl fmt::Display for NodeIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}/{}", self.role, self.name)
    }
}

impl FromStr for NodeIdentity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let parts = text.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/'));
        let identity = parts.and_then(|(role, name)| {
            let role = Role::ALL.into_iter().find(|known| known.name() == role)?;
            is_name(name).then(|| NodeIdentity { role, name: name.to_owned() })
        });
        identity.ok_or_else(|| IdentityError::Malformed(text.to_owned()))
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        for role in Role::ALL {
            let identity = NodeIdentity { role, name: "node-1.a_b".to_owned() };
            assert_eq!(identity.to_string().parse(), Ok(identity));
        }
    }

    #[test]
    fn what_names_no_node_is_refused() {
        for text in [
            "",
            "vesta://",
            "vesta://session-router",
            "vesta://session-router/",
            "vesta://session-router/a/b",
            "vesta://session-router/a b",
            "vesta://king/a",
            "VESTA://session-router/a",
            "spiffe://session-router/a",
        ] {
            assert!(text.parse::<NodeIdentity>().is_err(), "{text}");
        }
        assert!(format!("vesta://session-router/{}", "n".repeat(64)).parse::<NodeIdentity>().is_err());
    }
}
