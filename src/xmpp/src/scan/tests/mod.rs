//! What the scanner promises.

mod asserted;
mod hostile;
mod streams;

use super::{Item, Limits, ScanError, Scanner};

/// The usual header of a client.
const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams' to='capulet.example' version='1.0' xml:lang='en'>";

/// Everything that a scan of `pieces` yields, and how it ended.
fn scan<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Item>, Result<Scanner, ScanError>) {
    let mut scanner = Scanner::new(limits);
    let mut items = Vec::new();
    for mut piece in pieces {
        loop {
            match scanner.next(&mut piece) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Err(error)),
            }
        }
        assert!(piece.is_empty(), "a starved scanner has read everything");
    }
    (items, Ok(scanner))
}

/// What follows [`HEADER`] in `text`, one item after the other.
fn items(text: &str) -> Vec<Item> {
    let whole = format!("{HEADER}{text}");
    let (mut items, end) = scan(Limits::AUTHENTICATED, [whole.as_bytes()]);
    end.unwrap_or_else(|error| panic!("{text}: {error}"));
    assert!(matches!(items.remove(0), Item::Open(_)));
    items
}

/// The error that `bytes` end in, as one piece and byte by byte.
fn error(bytes: &[u8]) -> ScanError {
    error_within(Limits::AUTHENTICATED, bytes)
}

fn error_within(limits: Limits, bytes: &[u8]) -> ScanError {
    let (items, whole) = scan(limits, [bytes]);
    let (same_items, in_bytes) = scan(limits, bytes.chunks(1));
    assert_eq!(items, same_items);
    let shown = String::from_utf8_lossy(bytes);
    let whole = whole.err().unwrap_or_else(|| panic!("accepted: {shown}"));
    assert_eq!(Some(whole), in_bytes.err(), "{shown}");
    whole
}

/// The error that `text` behind [`HEADER`] ends in.
fn error_in_stream(text: impl AsRef<[u8]>) -> ScanError {
    error(&[HEADER.as_bytes(), text.as_ref()].concat())
}
