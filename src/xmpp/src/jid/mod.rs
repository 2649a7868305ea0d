//! RFC 7622: the address of an XMPP entity, `localpart@domainpart/resourcepart`.
//!
//! A [`Jid`] is always prepared: whoever holds one may compare it byte by byte. Preparation happens once, where text comes
//! in ([`Jid::parse`]). The three parts share one allocation, and a clone is a counter's increment.

mod emoji;
mod prepare;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

pub(crate) use prepare::is_cheap;
pub use prepare::{prepare_domain, prepare_local, prepare_resource};

/// The longest part allowed, in bytes after preparation (RFC 7622 §3.2–3.4).
pub const PART_BYTES_MAX: usize = 1023;

/// Why some text is no JID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// A part that must not be empty is.
    #[error("the {0} of the address is empty")]
    Empty(Part),
    /// A part is longer than [`PART_BYTES_MAX`].
    #[error("the {0} of the address is longer than 1023 bytes")]
    TooLong(Part),
    /// A part holds a character that its profile forbids.
    #[error("the {0} of the address holds a character that is not allowed there")]
    Forbidden(Part),
    /// A bare JID was asked for, the text has a resourcepart.
    #[error("the address has a resourcepart where none is allowed")]
    ResourceNotAllowed,
    /// A full JID was asked for, the text has no resourcepart.
    #[error("the address has no resourcepart")]
    ResourceMissing,
}

/// A part of a JID, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Before the `@`: UsernameCaseMapped (RFC 7622 §3.3).
    Local,
    /// The only part that must be there (RFC 7622 §3.2).
    Domain,
    /// Behind the first `/`: OpaqueString (RFC 7622 §3.4).
    Resource,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Part::Local => "localpart",
            Part::Domain => "domainpart",
            Part::Resource => "resourcepart",
        })
    }
}

/// A prepared JID, bare or full, with or without localpart.
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    /// Where the domainpart begins: 0, or one behind the `@`.
    domain_at: u16,
    /// Where the bare JID ends: at the `/`, or at the end.
    bare_len: u16,
}

impl Jid {
    /// Prepares and checks `text`.
    ///
    /// # Errors
    /// The first part found wrong, in the order domainpart, localpart, resourcepart. The peer is at fault:
    /// `jid-malformed` (RFC 6120 §8.3.3.8).
    pub fn parse(text: &str) -> Result<Self, JidError> {
        // RFC 7622 §3.1: the resourcepart is split off first, then the localpart at the first `@`.
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match bare.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, bare),
        };
        Self::from_parts(local, domain, resource)
    }

    /// Prepares and joins the parts.
    ///
    /// # Errors
    /// As [`Jid::parse`].
    pub fn from_parts(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Self, JidError> {
        let domain = prepare_domain(domain)?;
        let local = local.map(prepare_local).transpose()?;
        let resource = resource.map(prepare_resource).transpose()?;
        Ok(Self::join(local.as_deref(), &domain, resource.as_deref()))
    }

    /// Takes over what a trusted peer has prepared already: another node of the cluster, our own database. Only the structure
    /// is checked, parts neither empty nor too long; text from anybody else goes through [`Jid::parse`].
    ///
    /// # Errors
    /// The first part found empty or too long: the peer is not what it should be.
    pub fn from_prepared(text: &str) -> Result<Self, JidError> {
        let (bare, resource) = text.split_once('/').map_or((text, None), |(bare, resource)| (bare, Some(resource)));
        let (local, domain) = bare.split_once('@').map_or((None, bare), |(local, domain)| (Some(local), domain));
        for (part, text) in [(Part::Domain, Some(domain)), (Part::Local, local), (Part::Resource, resource)] {
            match text.map(str::len) {
                Some(0) => return Err(JidError::Empty(part)),
                Some(length) if length > PART_BYTES_MAX => return Err(JidError::TooLong(part)),
                _ => {}
            }
        }
        let domain_at = local.map_or(0, |local| local.len() + 1) as u16;
        Ok(Self { text: text.into(), domain_at, bare_len: bare.len() as u16 })
    }

    fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> Self {
        let mut text = String::with_capacity(
            local.map_or(0, |part| part.len() + 1) + domain.len() + resource.map_or(0, |part| part.len() + 1),
        );
        if let Some(local) = local {
            text.push_str(local);
            text.push('@');
        }
        let domain_at = text.len() as u16;
        text.push_str(domain);
        let bare_len = text.len() as u16;
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        Self { text: text.into(), domain_at, bare_len }
    }

    /// The whole JID as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The localpart, if there is one.
    pub fn local(&self) -> Option<&str> {
        (self.domain_at > 0).then(|| &self.text[..usize::from(self.domain_at) - 1])
    }

    /// The domainpart.
    pub fn domain(&self) -> &str {
        &self.text[usize::from(self.domain_at)..usize::from(self.bare_len)]
    }

    /// The resourcepart, if there is one.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.bare_len) + 1..)
    }

    /// The bare JID as text: a key without an allocation.
    pub fn bare_str(&self) -> &str {
        &self.text[..usize::from(self.bare_len)]
    }

    /// Whether there is a resourcepart.
    pub fn is_full(&self) -> bool {
        usize::from(self.bare_len) < self.text.len()
    }

    /// Whether this is a bare JID without a localpart: a server or service.
    pub fn is_domain(&self) -> bool {
        self.domain_at == 0 && !self.is_full()
    }

    /// The bare JID. Shares the allocation where there is no resourcepart.
    pub fn to_bare(&self) -> BareJid {
        if !self.is_full() {
            return BareJid(self.clone());
        }
        BareJid(Self { text: self.bare_str().into(), domain_at: self.domain_at, bare_len: self.bare_len })
    }

    /// This as a full JID, if it is one.
    pub fn to_full(&self) -> Option<FullJid> {
        self.is_full().then(|| FullJid(self.clone()))
    }

    /// This as a bare JID, if it is one.
    pub fn as_bare(&self) -> Option<BareJid> {
        (!self.is_full()).then(|| BareJid(self.clone()))
    }
}

/// A JID without resourcepart: an account, a service, a room.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BareJid(Jid);

impl BareJid {
    /// Prepares and checks `text`.
    ///
    /// # Errors
    /// As [`Jid::parse`], and [`JidError::ResourceNotAllowed`].
    pub fn parse(text: &str) -> Result<Self, JidError> {
        Jid::parse(text)?.as_bare().ok_or(JidError::ResourceNotAllowed)
    }

    /// As [`Jid::from_prepared`], for a bare JID.
    ///
    /// # Errors
    /// As [`Jid::from_prepared`], and [`JidError::ResourceNotAllowed`].
    pub fn from_prepared(text: &str) -> Result<Self, JidError> {
        Jid::from_prepared(text)?.as_bare().ok_or(JidError::ResourceNotAllowed)
    }

    /// Adds a resourcepart.
    ///
    /// # Errors
    /// The resourcepart's fault.
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        let resource = prepare_resource(resource)?;
        Ok(FullJid(Jid::join(self.local(), self.domain(), Some(&resource))))
    }

    /// The JID of the domain alone.
    pub fn to_domain(&self) -> BareJid {
        BareJid(Jid::join(None, self.domain(), None))
    }
}

/// A JID with resourcepart: one connected resource, one occupant.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FullJid(Jid);

impl FullJid {
    /// Prepares and checks `text`.
    ///
    /// # Errors
    /// As [`Jid::parse`], and [`JidError::ResourceMissing`].
    pub fn parse(text: &str) -> Result<Self, JidError> {
        Jid::parse(text)?.to_full().ok_or(JidError::ResourceMissing)
    }

    /// As [`Jid::from_prepared`], for a full JID.
    ///
    /// # Errors
    /// As [`Jid::from_prepared`], and [`JidError::ResourceMissing`].
    pub fn from_prepared(text: &str) -> Result<Self, JidError> {
        Jid::from_prepared(text)?.to_full().ok_or(JidError::ResourceMissing)
    }

    /// The resourcepart.
    pub fn resource(&self) -> &str {
        self.0.resource().unwrap_or_default()
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Jid {}

impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `str` does, so that maps can be asked with text (`Borrow<str>`).
        self.as_str().hash(state);
    }
}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

macro_rules! textual {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), formatter)
            }
        }
        impl FromStr for $name {
            type Err = JidError;
            fn from_str(text: &str) -> Result<Self, JidError> {
                Self::parse(text)
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
    };
}

textual!(Jid);
textual!(BareJid);
textual!(FullJid);

impl std::ops::Deref for BareJid {
    type Target = Jid;
    fn deref(&self) -> &Jid {
        &self.0
    }
}

impl std::ops::Deref for FullJid {
    type Target = Jid;
    fn deref(&self) -> &Jid {
        &self.0
    }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Jid {
        bare.0
    }
}

impl From<FullJid> for Jid {
    fn from(full: FullJid) -> Jid {
        full.0
    }
}
