//! The way through one first-level element, token by token: everything that well-formedness asks of it.
//!
//! A [`Walk`] holds no bytes. It is handed the element's bytes from its first `<` on, as many as there are, and picks up
//! where it stopped when it is handed more.

use smallvec::SmallVec;

use super::characters::{check_characters, check_text, spaces};
use super::scope::{Place, Scope};
use super::stream::Stream;
use super::tag::{Span, Tag};
use super::token::{CDATA_START, Search, begins_cdata};
use super::{Limits, ScanError};

/// What the walk has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The end of the bytes, before the element's own end.
    Starved,
    /// Behind the element's start tag, which is now [`Walk::tag`].
    Root,
    /// Behind the start tag of one of its children, which is now [`Walk::tag`].
    Child,
    /// Behind the end of a child.
    ChildEnd,
    /// Behind the element.
    End,
}

/// What became of the next token.
enum Token {
    /// It is not complete.
    Incomplete,
    /// It was read, and there is nothing to tell.
    Passed,
    /// It was read.
    Reached(Step),
}

impl From<Option<Step>> for Token {
    fn from(step: Option<Step>) -> Self {
        step.map_or(Token::Passed, Token::Reached)
    }
}

/// An element whose end tag has not come.
#[derive(Debug)]
struct Open {
    name: Span,
    /// Namespace declarations in scope outside.
    outside: usize,
}

#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Where the next token begins.
    at: usize,
    /// Where the last token read begins.
    token_at: usize,
    search: Search,
    open: SmallVec<[Open; 8]>,
    scope: Scope,
    tag: Tag,
    place: Place,
}

impl Walk {
    /// Reads on, up to the next thing worth telling. `bytes` are the element's from its first on; those behind it do no
    /// harm. All that were handed in before have to be handed in again.
    pub(super) fn step(&mut self, bytes: &[u8], stream: &Stream, limits: &Limits) -> Result<Step, ScanError> {
        if self.tag.empty {
            self.tag.empty = false;
            self.token_at = self.at;
            if let Some(step) = self.close() {
                return Ok(step);
            }
        }
        loop {
            let rest = &bytes[self.at..];
            let token = match rest {
                [b'<', b'/', ..] => self.end_tag(bytes)?,
                [b'<', b'!', ..] => self.cdata(rest)?,
                [b'<', b'?', ..] => return Err(ScanError::Restricted("a processing instruction")),
                [b'<', _, ..] => self.start_tag(bytes, stream, limits)?,
                [] | [b'<'] => Token::Incomplete,
                _ => self.text(rest)?,
            };
            match token {
                Token::Incomplete => return Ok(Step::Starved),
                Token::Passed => {}
                Token::Reached(step) => return Ok(step),
            }
        }
    }

    /// Behind the last token.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where the last token began.
    pub(super) fn token_at(&self) -> usize {
        self.token_at
    }

    /// The last start tag.
    pub(super) fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Takes the last start tag over.
    pub(super) fn take_tag(&mut self) -> Tag {
        let empty = self.tag.empty;
        std::mem::replace(&mut self.tag, Tag { empty, ..Tag::default() })
    }

    /// The namespace of the element that the last start tag began.
    pub(super) fn namespace<'a>(&'a self, bytes: &'a [u8], stream: &'a Stream) -> &'a [u8] {
        self.scope.namespace(self.place, bytes, stream)
    }

    /// What is in scope here.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    fn text(&mut self, rest: &[u8]) -> Result<Token, ScanError> {
        let Some(length) = self.search.text(rest) else { return Ok(Token::Incomplete) };
        check_text(&rest[..length])?;
        self.pass(length);
        Ok(Token::Passed)
    }

    fn cdata(&mut self, rest: &[u8]) -> Result<Token, ScanError> {
        if !begins_cdata(rest)? {
            return Ok(Token::Incomplete);
        }
        if self.open.is_empty() {
            return Err(ScanError::BadFormat("character data outside of any stanza"));
        }
        let Some(length) = self.search.cdata(rest) else { return Ok(Token::Incomplete) };
        check_characters(&rest[CDATA_START.len()..length])?;
        self.pass(length);
        Ok(Token::Passed)
    }

    fn start_tag(&mut self, bytes: &[u8], stream: &Stream, limits: &Limits) -> Result<Token, ScanError> {
        let mut read = Ok(None);
        if self.search.is_fresh() {
            read = self.tag.read(bytes, self.at, limits);
        }
        let end = match read {
            Ok(Some(end)) => end,
            // In pieces or at fault. Where the tag ends decides which fault it is: the same however the bytes come in.
            _ => {
                let Some(length) = self.search.start_tag(&bytes[self.at..])? else { return Ok(Token::Incomplete) };
                let ends = ScanError::NotWellFormed("a tag ends too early");
                self.tag.read(&bytes[..self.at + length], self.at, limits)?.ok_or(ends)?
            }
        };
        if self.open.len() >= limits.depth {
            return Err(ScanError::Limit("depth"));
        }
        self.open.push(Open { name: self.tag.name.whole, outside: self.scope.len() });
        self.place = self.scope.enter(&self.tag, bytes, stream, limits)?;
        self.pass(end - self.at);
        Ok(match self.open.len() {
            1 => Token::Reached(Step::Root),
            2 => Token::Reached(Step::Child),
            _ if self.tag.empty => {
                self.tag.empty = false;
                self.close().into()
            }
            _ => Token::Passed,
        })
    }

    fn end_tag(&mut self, bytes: &[u8]) -> Result<Token, ScanError> {
        const UNMATCHED: ScanError = ScanError::NotWellFormed("an end tag that does not match its start tag");
        let Some(length) = self.search.end_tag(&bytes[self.at..])? else { return Ok(Token::Incomplete) };
        let name = self.open.last().ok_or(UNMATCHED)?.name.of(bytes);
        let behind = bytes[self.at + 2..self.at + length].strip_prefix(name).ok_or(UNMATCHED)?;
        if behind[spaces(behind)..] != *b">" {
            return Err(UNMATCHED);
        }
        self.pass(length);
        Ok(self.close().into())
    }

    /// Leaves the innermost element.
    fn close(&mut self) -> Option<Step> {
        if let Some(open) = self.open.pop() {
            self.scope.leave(open.outside);
        }
        match self.open.len() {
            0 => Some(Step::End),
            1 => Some(Step::ChildEnd),
            _ => None,
        }
    }

    fn pass(&mut self, length: usize) {
        self.token_at = self.at;
        self.at += length;
    }
}
