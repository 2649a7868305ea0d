//! Children of a stanza that only a server may assert, taken out where somebody else did (threat T25).
//!
//! A client's own archive id, occupant id or copy of a message would be believed by those that receive it. The scan sets
//! [`Flags::ASSERTED`] where there is something to look at; all copies go, whatever prefix they are written with.

use super::characters::as_text;
use super::reference::unescape;
use super::stream::Stream;
use super::tag::Tag;
use super::walk::{Step, Walk};
use super::{Limits, ScanError};
use crate::element::DEPTH_MAX;
use crate::envelope::Flags;
use crate::{Envelope, Jid, ns};

/// Whether the child with this namespace and start tag asserts something. `is_ours` is asked with the address, as written,
/// of the entity in whose name it does where the child names one.
pub(super) fn asserts(namespace: &str, tag: &Tag, bytes: &[u8], is_ours: impl Fn(&[u8]) -> bool) -> bool {
    let address = |name: &[u8]| {
        let attribute = tag.attributes.iter().find(|it| it.name.whole.of(bytes) == name);
        attribute.map(|attribute| attribute.value.of(bytes))
    };
    match (namespace, tag.name.local(bytes)) {
        // XEP-0359 §3: an id without `by` is none, but might be taken for one.
        (ns::STANZA_ID, b"stanza-id") => address(b"by").is_none_or(is_ours),
        // XEP-0203: anonymous, it is only a statement of its sender.
        (ns::DELAY, b"delay") => address(b"from").is_some_and(is_ours),
        (ns::OCCUPANT_ID, b"occupant-id") | (ns::ARCHIVE, b"result") | (ns::CARBONS, b"received" | b"sent") => true,
        _ => false,
    }
}

impl Envelope {
    /// Takes out of the content of a message or presence every child that only a server may assert: stanza ids (XEP-0359)
    /// and delays (XEP-0203) in the name of an entity that `is_ours`, occupant ids (XEP-0421), archive results (XEP-0313),
    /// carbon copies (XEP-0280). Returns how many were taken. An address that is no JID counts as ours. For what clients
    /// send in; services may assert.
    ///
    /// # Errors
    /// Only for content that no scan has accepted. The envelope is unchanged and should go no further.
    pub fn take_out_asserted(&mut self, is_ours: impl Fn(&Jid) -> bool) -> Result<usize, ScanError> {
        if !self.flags.has(Flags::ASSERTED) {
            return Ok(0);
        }
        let is_ours = |address: &[u8]| match unescape(address).map(|address| Jid::parse(&address)) {
            Ok(Ok(address)) => is_ours(&address),
            _ => true,
        };
        let mut alone = Vec::with_capacity(self.weight());
        self.write_alone(&mut alone);
        let (content, taken) = without_asserted(&alone, is_ours)?;
        if taken > 0 {
            let mut stripped = Self { content: content.into(), ..self.clone() };
            alone.clear();
            stripped.write_alone(&mut alone);
            let seen = Self::read_alone(&alone)?;
            (stripped.flags, stripped.payload) = (seen.flags, seen.payload);
            *self = stripped;
        }
        Ok(taken)
    }
}

/// The content of the stanza that `alone` is, without the children that assert something, and how many those are.
fn without_asserted(alone: &[u8], is_ours: impl Fn(&[u8]) -> bool) -> Result<(Vec<u8>, usize), ScanError> {
    const LIMITS: Limits = Limits { depth: DEPTH_MAX, ..Limits::AUTHENTICATED };
    let stream = Stream::default();
    let mut walk = Walk::default();
    let mut content = Vec::with_capacity(alone.len());
    let mut taken = 0;
    let mut kept_from = 0;
    let mut asserting_at = None;
    loop {
        match walk.step(alone, &stream, &LIMITS)? {
            Step::Starved => return Err(ScanError::NotWellFormed("the stanza has no end")),
            Step::Root => kept_from = walk.at(),
            Step::Child => {
                let namespace = as_text(walk.namespace(alone, &stream))?;
                asserting_at = asserts(namespace, walk.tag(), alone, &is_ours).then(|| walk.token_at());
            }
            Step::ChildEnd => {
                if let Some(start) = asserting_at.take() {
                    content.extend_from_slice(&alone[kept_from..start]);
                    kept_from = walk.at();
                    taken += 1;
                }
            }
            Step::End => {
                content.extend_from_slice(&alone[kept_from..walk.token_at()]);
                return Ok((content, taken));
            }
        }
    }
}
