//! SASL (RFC 6120 §6): PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677) with channel binding, both sides, as state machines.
//!
//! The server side never holds a verifier. It asks [`Question`]s of whoever does, the session-routing tier, and goes on
//! with the [`Answer`]s: the connection manager, which faces the Internet, learns neither StoredKey nor ServerKey.

pub mod failure;

use crate::{BareJid, Secret};
pub use failure::{SaslCondition, SaslFailure};

/// The hash function of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hash {
    /// SCRAM-SHA-1 (RFC 5802).
    Sha1,
    /// SCRAM-SHA-256 (RFC 7677).
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616. Only ever offered inside TLS.
    Plain,
    /// RFC 5802 family.
    Scram {
        /// The hash function.
        hash: Hash,
        /// Whether the channel is bound: the `-PLUS` variant.
        plus: bool,
    },
}

/// A type of channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelBindingType {
    /// RFC 9266, TLS 1.3 only.
    TlsExporter,
    /// RFC 5929 §4: hash of the server's certificate.
    TlsServerEndPoint,
}

/// What one TLS connection can be bound by. Empty outside TLS.
#[derive(Clone, Debug, Default)]
pub struct ChannelBindings {
    /// 32 bytes of keying material (RFC 9266 §2).
    pub tls_exporter: Option<Vec<u8>>,
    /// The hash of the server's certificate (RFC 5929 §4.1).
    pub tls_server_end_point: Option<Vec<u8>>,
}

/// What the server side must be told by the holder of the verifiers. The account is prepared.
#[derive(Clone, Debug)]
pub enum Question {
    /// Salt and iteration count for a SCRAM exchange. An unknown account is answered like a known one (T14).
    Salt {
        /// The account that wants to authenticate.
        account: BareJid,
        /// The mechanism's hash function.
        hash: Hash,
    },
    /// Whether a SCRAM proof is right (RFC 5802 §3).
    Proof {
        /// The account that wants to authenticate.
        account: BareJid,
        /// The mechanism's hash function.
        hash: Hash,
        /// AuthMessage.
        auth_message: Vec<u8>,
        /// ClientProof.
        proof: Secret,
    },
    /// Whether a password is right.
    Password {
        /// The account that wants to authenticate.
        account: BareJid,
        /// The password, prepared by OpaqueString (RFC 8265).
        password: Secret,
    },
}

impl Question {
    /// The account that wants to authenticate.
    pub fn account(&self) -> &BareJid {
        match self {
            Question::Salt { account, .. } | Question::Proof { account, .. } | Question::Password { account, .. } => {
                account
            }
        }
    }
}

/// The answer to a [`Question`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Question::Salt`].
    Salt {
        /// The salt.
        salt: Vec<u8>,
        /// The iteration count.
        iterations: u32,
    },
    /// To [`Question::Proof`] and [`Question::Password`]: right.
    Accepted {
        /// ServerSignature, empty for PLAIN.
        server_signature: Vec<u8>,
    },
    /// Wrong credentials, an account that is switched off, a store that is away.
    Denied(SaslCondition),
}
