//! SASL (RFC 6120 §6): PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677) with channel binding, both sides, as state machines.
//!
//! The server side never holds a verifier. It asks [`Question`]s of whoever does, the session-routing tier, and goes on
//! with the [`Answer`]s: the connection manager, which faces the Internet, learns neither StoredKey nor ServerKey.

pub mod client;
pub mod failure;
mod message;
pub mod scram;
pub mod server;
#[cfg(test)]
pub(crate) mod tests;

use crate::{BareJid, Secret};
pub use failure::{SaslCondition, SaslFailure};
pub use message::{PASSWORD_BYTES_MAX, decode_base64, encode_base64, prepare_password};

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

impl Mechanism {
    /// Every mechanism, the strongest first: with the channel bound before unbound, the longer hash before the shorter,
    /// PLAIN last.
    pub const ALL: &[Mechanism] = &[
        Mechanism::Scram { hash: Hash::Sha512, plus: true },
        Mechanism::Scram { hash: Hash::Sha256, plus: true },
        Mechanism::Scram { hash: Hash::Sha1, plus: true },
        Mechanism::Scram { hash: Hash::Sha512, plus: false },
        Mechanism::Scram { hash: Hash::Sha256, plus: false },
        Mechanism::Scram { hash: Hash::Sha1, plus: false },
        Mechanism::Plain,
    ];

    /// Those that never show the password to the server: all but PLAIN.
    pub const WITHOUT_PASSWORD: &[Mechanism] = Self::ALL.split_at(6).0;

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram { hash: Hash::Sha1, plus: false } => "SCRAM-SHA-1",
            Mechanism::Scram { hash: Hash::Sha1, plus: true } => "SCRAM-SHA-1-PLUS",
            Mechanism::Scram { hash: Hash::Sha256, plus: false } => "SCRAM-SHA-256",
            Mechanism::Scram { hash: Hash::Sha256, plus: true } => "SCRAM-SHA-256-PLUS",
            Mechanism::Scram { hash: Hash::Sha512, plus: false } => "SCRAM-SHA-512",
            Mechanism::Scram { hash: Hash::Sha512, plus: true } => "SCRAM-SHA-512-PLUS",
        }
    }

    /// The mechanism with this registered name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mechanism| mechanism.name() == name)
    }

    /// Whether this is a `-PLUS` variant.
    pub fn is_plus(self) -> bool {
        matches!(self, Mechanism::Scram { plus: true, .. })
    }
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

impl ChannelBindingType {
    /// Both types, the stronger first.
    pub const ALL: &[ChannelBindingType] = &[ChannelBindingType::TlsExporter, ChannelBindingType::TlsServerEndPoint];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            ChannelBindingType::TlsExporter => "tls-exporter",
            ChannelBindingType::TlsServerEndPoint => "tls-server-end-point",
        }
    }

    /// The type with this registered name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl ChannelBindings {
    /// The data of one type.
    pub fn data(&self, kind: ChannelBindingType) -> Option<&[u8]> {
        match kind {
            ChannelBindingType::TlsExporter => self.tls_exporter.as_deref(),
            ChannelBindingType::TlsServerEndPoint => self.tls_server_end_point.as_deref(),
        }
    }

    /// The types there is data of, the stronger first.
    pub fn types(&self) -> impl Iterator<Item = ChannelBindingType> + '_ {
        ChannelBindingType::ALL.iter().copied().filter(|&kind| self.data(kind).is_some())
    }

    /// Whether the channel can't be bound at all.
    pub fn is_empty(&self) -> bool {
        self.types().next().is_none()
    }
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
    /// What is asked, in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Question::Salt { .. } => "salt",
            Question::Proof { .. } => "proof",
            Question::Password { .. } => "password",
        }
    }

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
