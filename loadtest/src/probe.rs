//! Messages and presences that carry a number and the time of their sending, and how they are found again: by a mark in the raw
//! bytes, without reading XML, so that this side stays cheap.

use std::io::Write as _;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::memrchr;

/// What a probe's text begins with, in a message's body and in a presence's status.
static BODY: LazyLock<Vec<u8>> = LazyLock::new(|| mark("body"));
static STATUS: LazyLock<Vec<u8>> = LazyLock::new(|| mark("status"));
/// Digits of the number and of the time, each with a colon behind it.
const NUMBERS: usize = 2 * (DIGITS + 1);
const DIGITS: usize = 16;

/// One probe that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its place among those of its sender, from 0.
    pub number: u64,
    /// When it was sent, or should have been, in microseconds of the sender's clock.
    pub sent_us: u64,
}

/// Nothing in it needs escaping, so a server has no reason to change it. It is of this process: messages that a server has kept from
/// an earlier run, because somebody was gone, are no probes.
fn mark(element: &str) -> Vec<u8> {
    format!("<{element}>probe:{:08x}:", std::process::id()).into_bytes()
}

/// Writes probes of one kind.
#[derive(Debug)]
pub struct Writer {
    before_id: Vec<u8>,
    mark: &'static [u8],
    after: Vec<u8>,
}

impl Writer {
    /// Messages to one recipient, of `bytes` bytes on the wire, or as short as they can be.
    pub fn messages(to: &str, bytes: usize) -> Self {
        const END: &[u8] = b"</body></message>";
        let before_id = format!("<message to='{to}' type='chat' id='").into_bytes();
        let bare = before_id.len() + DIGITS + b"'>".len() + BODY.len() + NUMBERS + END.len();
        let after = [&vec![b'.'; bytes.saturating_sub(bare)][..], END].concat();
        Self { before_id, mark: &BODY, after }
    }

    /// Presences to all contacts.
    pub fn presences() -> Self {
        Self { before_id: b"<presence id='".to_vec(), mark: &STATUS, after: b"</status></presence>".to_vec() }
    }

    /// Appends one.
    pub fn write(&self, out: &mut Vec<u8>, probe: Probe) {
        let Probe { number, sent_us } = probe;
        out.extend_from_slice(&self.before_id);
        write!(out, "{number:0DIGITS$}'>").expect("memory can be written to");
        out.extend_from_slice(self.mark);
        write!(out, "{number:0DIGITS$}:{sent_us:0DIGITS$}:").expect("memory can be written to");
        out.extend_from_slice(&self.after);
    }
}

/// Finds probes of one kind in bytes that come in pieces.
#[derive(Debug)]
pub struct Reader {
    mark: &'static [u8],
    finder: Finder<'static>,
    /// The end of the last piece, where that is the beginning of a probe.
    rest: Vec<u8>,
}

impl Reader {
    /// Of messages.
    pub fn messages() -> Self {
        Self::of(&BODY)
    }

    /// Of presences.
    pub fn presences() -> Self {
        Self::of(&STATUS)
    }

    fn of(mark: &'static [u8]) -> Self {
        Self { mark, finder: Finder::new(mark), rest: Vec::new() }
    }

    /// Takes a piece and hands out the probes in it.
    pub fn take(&mut self, piece: &[u8], mut found: impl FnMut(Probe)) {
        let joined;
        let bytes = match self.rest.is_empty() {
            true => piece,
            false => {
                joined = [&std::mem::take(&mut self.rest)[..], piece].concat();
                &joined
            }
        };
        let mut at = 0;
        while let Some(found_at) = self.finder.find(&bytes[at..]) {
            let begin = at + found_at;
            let numbers = begin + self.mark.len();
            let Some(numbers) = bytes.get(numbers..numbers + NUMBERS) else {
                self.rest.extend_from_slice(&bytes[begin..]);
                return;
            };
            if let Some(probe) = parse(numbers) {
                found(probe);
            }
            at = begin + self.mark.len();
        }
        // A mark begins with its only angle bracket that opens.
        let tail = &bytes[bytes.len().saturating_sub(self.mark.len() - 1).max(at)..];
        if let Some(begin) = memrchr(b'<', tail).filter(|begin| self.mark.starts_with(&tail[*begin..])) {
            self.rest.extend_from_slice(&tail[begin..]);
        }
    }
}

fn parse(numbers: &[u8]) -> Option<Probe> {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
    Some(Probe { number: number(&numbers[..DIGITS])?, sent_us: number(&numbers[DIGITS + 1..NUMBERS - 1])? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(writer: &Writer, count: u64) -> (Vec<Probe>, Vec<u8>) {
        let probes: Vec<_> = (0..count).map(|number| Probe { number, sent_us: 1_000_000 + number }).collect();
        let mut out = Vec::new();
        for probe in &probes {
            writer.write(&mut out, *probe);
        }
        (probes, out)
    }

    fn assert_found_in_any_pieces(mut reader: impl FnMut() -> Reader, probes: &[Probe], bytes: &[u8]) {
        for size in 1..bytes.len() {
            let (mut reader, mut found) = (reader(), Vec::new());
            for piece in bytes.chunks(size) {
                reader.take(piece, |probe| found.push(probe));
            }
            assert_eq!(found, probes, "in pieces of {size} bytes");
        }
    }

    #[test]
    fn messages_are_as_long_as_asked_for() {
        assert_eq!(written(&Writer::messages("juliet@localhost/load", 300), 3).1.len(), 900);
    }

    #[test]
    fn probes_are_found_wherever_the_bytes_are_cut() {
        let (probes, bytes) = written(&Writer::messages("juliet@localhost/load", 300), 4);
        assert_found_in_any_pieces(Reader::messages, &probes, &bytes);
        let (probes, bytes) = written(&Writer::presences(), 4);
        assert_found_in_any_pieces(Reader::presences, &probes, &bytes);
    }

    #[test]
    fn each_kind_is_found_by_its_own_reader_only() {
        let (_, bytes) = written(&Writer::presences(), 4);
        Reader::messages().take(&bytes, |probe| panic!("{probe:?}"));
    }
}
