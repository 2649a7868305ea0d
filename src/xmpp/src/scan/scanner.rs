//! The scanner itself: pieces of bytes in, [`Item`]s out.
//!
//! An item that lies whole in the input is read there, and only what it yields is copied. One that does not is gathered in
//! a buffer, together with where the [`Walk`] through it has stopped, so that no byte is looked at twice.

use super::characters::spaces;
use super::stanza::{Kind, Summary, declare_used};
use super::stream::{Content, Stream, read_declaration};
use super::tag::{Span, Tag};
use super::token::Search;
use super::walk::{Step, Walk};
use super::{Item, Limits, ScanError};
use crate::element::{DEPTH_MAX, Element};
use crate::envelope::Envelope;

/// See the module's documentation ([`crate::scan`]). While no item is under way it owns no buffer; what the stream's header
/// leaves behind is a few bytes at most.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    stage: Stage,
    stream: Stream,
    gathering: Option<Box<Gathering>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Before the first byte: the only place of an XML declaration.
    Start,
    /// Before the stream's start tag.
    Prolog,
    /// Within the stream.
    Open,
    /// Behind the stream's end tag.
    Closed,
}

/// An item under way: how far it has been read.
#[derive(Debug)]
struct UnderWay {
    /// Those that were valid when it began.
    limits: Limits,
    walk: Walk,
    element: Option<FirstLevel>,
    end_tag: Search,
}

/// A first-level element whose start tag has been read.
#[derive(Debug)]
struct FirstLevel {
    tag: Tag,
    content_at: usize,
    /// `None` for what is no stanza.
    summary: Option<Summary>,
}

/// The bytes of an item under way that came in pieces.
#[derive(Debug)]
struct Gathering {
    under_way: UnderWay,
    bytes: Vec<u8>,
}

/// What was read, and how many bytes it took.
enum Read {
    /// There are not enough bytes.
    Starved,
    /// Something that yields nothing.
    Skip(usize),
    Item(Item, usize),
}

impl Scanner {
    /// A scanner at the start of a stream, before its header.
    pub fn new(limits: Limits) -> Self {
        Self { limits, stage: Stage::Start, stream: Stream::default(), gathering: None }
    }

    /// Takes new limits from the next first-level element on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether an item has begun and is not complete: bytes are held.
    pub fn is_gathering(&self) -> bool {
        self.gathering.is_some()
    }

    /// Reads from the front of `input` and takes away what it has read. `Ok(None)`: all input is read and the next item is
    /// not complete. Call again with the same slice until then.
    ///
    /// # Errors
    /// The stream's bytes are at fault; the scanner must not be used any more.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Item>, ScanError> {
        loop {
            let read = match self.gathering.take() {
                Some(gathering) => self.resume(gathering, input)?,
                None => self.begin(input)?,
            };
            match read {
                Read::Starved => return Ok(None),
                Read::Skip(length) => *input = &input[length..],
                Read::Item(item, length) => {
                    *input = &input[length..];
                    return Ok(Some(item));
                }
            }
        }
    }

    /// Begins the item at the front of `input`, or passes over white space between items (RFC 6120 §4.6.1).
    fn begin(&mut self, input: &mut &[u8]) -> Result<Read, ScanError> {
        let space = spaces(input);
        if space > 0 {
            *input = &input[space..];
            if self.stage == Stage::Start {
                self.stage = Stage::Prolog;
            }
        }
        match (input.first(), self.stage) {
            (None, _) => return Ok(Read::Starved),
            (Some(_), Stage::Closed) => return Err(ScanError::NotWellFormed("bytes behind the stream's end")),
            (Some(b'<'), _) => {}
            (Some(b'&'), Stage::Open) => return Err(ScanError::Restricted("a reference outside of any stanza")),
            (Some(_), Stage::Open) => return Err(ScanError::BadFormat("character data outside of any stanza")),
            (Some(_), _) => return Err(ScanError::NotWellFormed("character data before the stream's header")),
        }
        let mut under_way =
            UnderWay { limits: self.limits, walk: Walk::default(), element: None, end_tag: Search::default() };
        let limit = under_way.bytes_max();
        let view = &input[..input.len().min(limit)];
        let read = self.read(&mut under_way, view)?;
        if matches!(read, Read::Starved) {
            check_size(view, limit)?;
            self.gathering = Some(Box::new(Gathering { under_way, bytes: view.to_vec() }));
            *input = &[];
        }
        Ok(read)
    }

    /// Goes on with an item of which more bytes have come in.
    fn resume(&mut self, mut gathering: Box<Gathering>, input: &mut &[u8]) -> Result<Read, ScanError> {
        let Gathering { under_way, bytes } = &mut *gathering;
        let held = bytes.len();
        let limit = under_way.bytes_max();
        bytes.extend_from_slice(&input[..input.len().min(limit - held)]);
        match self.read(under_way, bytes)? {
            Read::Skip(length) => Ok(Read::Skip(length - held)),
            Read::Item(item, length) => Ok(Read::Item(item, length - held)),
            Read::Starved => {
                check_size(bytes, limit)?;
                self.gathering = Some(gathering);
                *input = &[];
                Ok(Read::Starved)
            }
        }
    }

    /// Reads the item whose first byte is the first of `bytes`, a `<`.
    fn read(&mut self, under_way: &mut UnderWay, bytes: &[u8]) -> Result<Read, ScanError> {
        match (self.stage, bytes) {
            (Stage::Start, [b'<']) => Ok(Read::Starved),
            (Stage::Start, [b'<', b'?', ..]) => Ok(match read_declaration(bytes)? {
                None => Read::Starved,
                Some(length) => {
                    self.stage = Stage::Prolog;
                    Read::Skip(length)
                }
            }),
            (Stage::Open, [b'<', b'/', ..]) => self.read_close(under_way, bytes),
            (Stage::Open, _) => match under_way.advance(bytes, &self.stream)? {
                None => Ok(Read::Starved),
                Some(length) => under_way.finish(bytes, length, &self.stream).map(|item| Read::Item(item, length)),
            },
            _ => self.read_header(under_way, bytes),
        }
    }

    fn read_header(&mut self, under_way: &mut UnderWay, bytes: &[u8]) -> Result<Read, ScanError> {
        let UnderWay { walk, limits, .. } = under_way;
        if walk.step(bytes, &self.stream, limits)? == Step::Starved {
            return Ok(Read::Starved);
        }
        let namespace = walk.namespace(bytes, &self.stream);
        let (stream, header) = Stream::open(walk.tag(), namespace, walk.scope(), bytes)?;
        self.stream = stream;
        self.stage = Stage::Open;
        Ok(Read::Item(Item::Open(header), walk.at()))
    }

    fn read_close(&mut self, under_way: &mut UnderWay, bytes: &[u8]) -> Result<Read, ScanError> {
        let Some(length) = under_way.end_tag.end_tag(bytes)? else { return Ok(Read::Starved) };
        if !self.stream.is_ended_by(&bytes[..length]) {
            return Err(ScanError::NotWellFormed("an end tag that is not the stream's"));
        }
        self.stage = Stage::Closed;
        Ok(Read::Item(Item::Close, length))
    }
}

impl UnderWay {
    /// [`Limits::stanza_bytes`], as far as a [`Span`] can reach.
    fn bytes_max(&self) -> usize {
        self.limits.stanza_bytes.min(u32::MAX as usize)
    }

    /// Walks on through a first-level element. Returns its length once its end is there.
    fn advance(&mut self, bytes: &[u8], stream: &Stream) -> Result<Option<usize>, ScanError> {
        loop {
            match self.walk.step(bytes, stream, &self.limits)? {
                Step::Starved => return Ok(None),
                Step::Root => self.enter(bytes, stream)?,
                Step::Child => {
                    if let Some(FirstLevel { summary: Some(summary), .. }) = &mut self.element {
                        summary.see(self.walk.namespace(bytes, stream), self.walk.tag(), bytes)?;
                    }
                }
                Step::ChildEnd => {}
                Step::End => return Ok(Some(self.walk.at())),
            }
        }
    }

    /// Decides by its start tag what the element is.
    fn enter(&mut self, bytes: &[u8], stream: &Stream) -> Result<(), ScanError> {
        let namespace = self.walk.namespace(bytes, stream);
        let content = Content::from_namespace(namespace)
            .filter(|&content| stream.content == content || stream.content == Content::None);
        let summary = match content {
            None => None,
            Some(content) => {
                let kind =
                    Kind::from_name(self.walk.tag().name.local(bytes)).ok_or(ScanError::UnsupportedStanzaType)?;
                // The envelope's content has the stanza's namespace as its default: a stanza that is written with a prefix
                // and has another default inside cannot be written so.
                if self.walk.scope().default_namespace(bytes, stream) != namespace {
                    return Err(ScanError::BadNamespacePrefix);
                }
                Some(Summary::new(kind, content))
            }
        };
        self.element = Some(FirstLevel { tag: self.walk.take_tag(), content_at: self.walk.at(), summary });
        Ok(())
    }

    /// What the element of `length` bytes is, now that it is complete.
    fn finish(&mut self, bytes: &[u8], length: usize, stream: &Stream) -> Result<Item, ScanError> {
        let Some(FirstLevel { tag, content_at, summary }) = self.element.take() else {
            return Err(ScanError::NotWellFormed("an element that has no start"));
        };
        match summary {
            Some(summary) => {
                let content = Span::new(content_at, self.walk.token_at());
                summary.finish(&tag, content, bytes, self.walk.scope(), stream)
            }
            None => self.finish_element(&tag, &bytes[..length], stream).map(Item::Element),
        }
    }

    /// Reads an element that is no stanza as a tree. What it inherits from the stream's header is declared on it first.
    fn finish_element(&self, tag: &Tag, bytes: &[u8], stream: &Stream) -> Result<Element, ScanError> {
        let name_end = tag.name.whole.end as usize;
        let mut alone = Vec::with_capacity(bytes.len() + 128);
        alone.extend_from_slice(&bytes[..name_end]);
        let has_default = tag.attributes.iter().any(|it| it.name.whole.of(bytes) == b"xmlns");
        if !has_default && !stream.default_namespace().is_empty() {
            alone.extend_from_slice(b" xmlns='");
            alone.extend_from_slice(stream.default_namespace().as_bytes());
            alone.push(b'\'');
        }
        declare_used(&mut alone, self.walk.scope(), stream);
        alone.extend_from_slice(&bytes[name_end..]);
        Element::parse(&alone).map_err(|_| ScanError::NotWellFormed("an element that cannot be read"))
    }
}

impl Envelope {
    /// Reads a stanza that stands alone, as [`Envelope::write_alone`] writes it, with the scanner's strictness. Its
    /// namespace may be either content namespace. White space around it is passed over.
    ///
    /// # Errors
    /// What the scanner would say of it; [`ScanError::BadFormat`] for what is no stanza, or one that would be
    /// [`Item::Rejected`], and for anything behind it.
    pub fn read_alone(bytes: &[u8]) -> Result<Self, ScanError> {
        const NO_STANZA: ScanError = ScanError::BadFormat("not one stanza");
        /// As deep as [`Element::parse`] goes; size is the business of whoever holds the bytes.
        const LIMITS: Limits = Limits { stanza_bytes: u32::MAX as usize, depth: DEPTH_MAX, ..Limits::AUTHENTICATED };
        let bytes = &bytes[spaces(bytes)..];
        if bytes.first() != Some(&b'<') || bytes.len() > LIMITS.stanza_bytes {
            return Err(NO_STANZA);
        }
        let stream = Stream::default();
        let mut under_way =
            UnderWay { limits: LIMITS, walk: Walk::default(), element: None, end_tag: Search::default() };
        let length = under_way.advance(bytes, &stream)?.ok_or(ScanError::NotWellFormed("the stanza has no end"))?;
        if spaces(&bytes[length..]) < bytes.len() - length {
            return Err(NO_STANZA);
        }
        match under_way.finish(bytes, length, &stream)? {
            Item::Stanza(envelope) => Ok(envelope),
            _ => Err(NO_STANZA),
        }
    }
}

/// An item that is not complete within the limit never will be.
fn check_size(bytes: &[u8], limit: usize) -> Result<(), ScanError> {
    if bytes.len() >= limit { Err(ScanError::Limit("bytes of a stanza")) } else { Ok(()) }
}
