//! Messages that carry a number and the time of their sending, and how they are found again: by a mark in the raw bytes, without
//! reading XML, so that this side stays cheap.

use std::io::Write as _;

use memchr::memmem::Finder;

/// What a probe's body begins with. Nothing in it needs escaping, so a server has no reason to change it.
const MARK: &[u8] = b"<body>probe:";
/// Digits of the number and of the time, each with a colon behind it.
const NUMBERS: usize = 2 * (DIGITS + 1);
const DIGITS: usize = 16;

/// One message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its place among those of its sender, from 0.
    pub number: u64,
    /// When it was sent, in microseconds of the sender's clock.
    pub sent_us: u64,
}

/// Writes messages to one recipient.
#[derive(Debug)]
pub struct Writer {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Writer {
    /// For messages of `bytes` bytes on the wire, or as short as they can be.
    pub fn new(to: &str, bytes: usize) -> Self {
        let mut before = format!("<message to='{to}' type='chat' id='").into_bytes();
        before.shrink_to_fit();
        let bare = before.len() + DIGITS + b"'>".len() + MARK.len() + NUMBERS + END.len();
        let after = [&vec![b'.'; bytes.saturating_sub(bare)][..], END].concat();
        Self { before, after }
    }

    /// Appends one message.
    pub fn write(&self, out: &mut Vec<u8>, probe: Probe) {
        let Probe { number, sent_us } = probe;
        out.extend_from_slice(&self.before);
        write!(out, "{number:0DIGITS$}'>").expect("memory can be written to");
        out.extend_from_slice(MARK);
        write!(out, "{number:0DIGITS$}:{sent_us:0DIGITS$}:").expect("memory can be written to");
        out.extend_from_slice(&self.after);
    }
}

const END: &[u8] = b"</body></message>";

/// Finds probes in bytes that come in pieces.
#[derive(Debug)]
pub struct Reader {
    mark: Finder<'static>,
    /// The end of the last piece, which may hold the beginning of a probe.
    rest: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { mark: Finder::new(MARK), rest: Vec::new() }
    }
}

impl Reader {
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
        while let Some(found_at) = self.mark.find(&bytes[at..]) {
            let begin = at + found_at;
            let Some(numbers) = bytes.get(begin + MARK.len()..begin + MARK.len() + NUMBERS) else {
                self.rest = bytes[begin..].to_vec();
                return;
            };
            if let Some(probe) = parse(numbers) {
                found(probe);
            }
            at = begin + MARK.len();
        }
        let tail = bytes.len().saturating_sub(MARK.len() - 1).max(at);
        self.rest.extend_from_slice(&bytes[tail..]);
    }
}

fn parse(numbers: &[u8]) -> Option<Probe> {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
    Some(Probe { number: number(&numbers[..DIGITS])?, sent_us: number(&numbers[DIGITS + 1..NUMBERS - 1])? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(count: u64) -> (Vec<Probe>, Vec<u8>) {
        let writer = Writer::new("juliet@localhost/load", 300);
        let probes: Vec<_> = (0..count).map(|number| Probe { number, sent_us: 1_000_000 + number }).collect();
        let mut out = Vec::new();
        for probe in &probes {
            writer.write(&mut out, *probe);
        }
        (probes, out)
    }

    #[test]
    fn probes_are_as_long_as_asked_for() {
        assert_eq!(messages(3).1.len(), 900);
    }

    #[test]
    fn probes_are_found_wherever_the_bytes_are_cut() {
        let (probes, bytes) = messages(4);
        for size in 1..bytes.len() {
            let (mut reader, mut found) = (Reader::default(), Vec::new());
            for piece in bytes.chunks(size) {
                reader.take(piece, |probe| found.push(probe));
            }
            assert_eq!(found, probes, "in pieces of {size} bytes");
        }
    }
}
