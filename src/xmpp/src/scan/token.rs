//! Where a token ends, found without reading any byte twice however the bytes come in.
//!
//! A tag that lies in one piece in the input is read at once ([`super::tag`]). Only one that does not is first searched for
//! its end: a peer that sends byte by byte must not make every byte cost a new look at all those before it.

use memchr::{memchr, memchr2};

use super::ScanError;

/// How far the search for the end of the token under way has come.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Bytes behind the token's start that need no second look.
    seen: usize,
    /// Within a start tag: the quote that is open.
    quote: Option<u8>,
}

impl Search {
    /// Whether the token under way has not been searched yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.seen == 0
    }

    /// The end of the character data at the front of `bytes`: the next `<`.
    pub(super) fn text(&mut self, bytes: &[u8]) -> Option<usize> {
        let found = memchr(b'<', &bytes[self.seen..]).map(|at| self.seen + at);
        self.settle(found, bytes.len())
    }

    /// The end of the CDATA section at the front of `bytes`, behind its `]]>`.
    pub(super) fn cdata(&mut self, bytes: &[u8]) -> Option<usize> {
        let from = self.seen.max(CDATA_START.len());
        let found = bytes.get(from..).and_then(|rest| memchr::memmem::find(rest, b"]]>")).map(|at| from + at + 3);
        // The last two bytes may be the beginning of the end.
        self.settle(found, bytes.len().saturating_sub(2))
    }

    /// The end of the end tag at the front of `bytes`, behind its `>`.
    pub(super) fn end_tag(&mut self, bytes: &[u8]) -> Result<Option<usize>, ScanError> {
        let from = self.seen.max(2);
        match memchr2(b'<', b'>', &bytes[from..]).map(|at| from + at) {
            Some(at) if bytes[at] == b'<' => Err(MARKUP_IN_TAG),
            found => Ok(self.settle(found.map(|at| at + 1), bytes.len())),
        }
    }

    /// The end of the start tag at the front of `bytes`, behind its `>`.
    pub(super) fn start_tag(&mut self, bytes: &[u8]) -> Result<Option<usize>, ScanError> {
        let mut at = self.seen.max(1);
        loop {
            let found = match self.quote {
                Some(quote) => memchr2(quote, b'<', &bytes[at..]),
                None => bytes[at..].iter().position(|byte| matches!(byte, b'<' | b'>' | b'\'' | b'"')),
            };
            let Some(found) = found else { return Ok(self.settle(None, bytes.len())) };
            at += found + 1;
            match (bytes[at - 1], self.quote) {
                (b'<', _) => return Err(MARKUP_IN_TAG),
                (_, Some(_)) => self.quote = None,
                (b'>', None) => return Ok(self.settle(Some(at), 0)),
                (quote, None) => self.quote = Some(quote),
            }
        }
    }

    fn settle(&mut self, found: Option<usize>, seen: usize) -> Option<usize> {
        match found {
            Some(_) => *self = Self::default(),
            None => self.seen = seen,
        }
        found
    }
}

/// Looks what begins with the `<!` at the front of `bytes`. `Ok(false)`: not enough bytes to tell yet.
pub(super) fn begins_cdata(bytes: &[u8]) -> Result<bool, ScanError> {
    let length = bytes.len().min(CDATA_START.len());
    if bytes[..length] == CDATA_START[..length] {
        return Ok(length == CDATA_START.len());
    }
    if bytes.get(2) == Some(&b'[') {
        return Err(ScanError::NotWellFormed("<![ that begins no CDATA section"));
    }
    Err(ScanError::Restricted("a declaration or comment"))
}

pub(super) const CDATA_START: &[u8] = b"<![CDATA[";
const MARKUP_IN_TAG: ScanError = ScanError::NotWellFormed("< within a tag");
