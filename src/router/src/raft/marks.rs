//! Marks in the journal, by which lost and changed data is told from a torn tail.
//!
//! Each batch opens with a mark: its number, the number of the last batch that was durable when it was written, and a digest of
//! all that is stored once it is written. At a start,
//!
//! - the digest of what can be read must be the one of the newest mark that can be read: nothing is changed, missing or back again;
//! - no mark in the journal's files may say that a later batch was durable: after a crash only batches behind the last sync may be
//!   missing. If more is, then recovery stopped at damage and dropped durable batches with it.
//!
//! Otherwise the directory is refused. In the second case it is also condemned by a file in it, because the database has cut its
//! journal at the damage and would look sound at the next start.

use std::io;
use std::path::Path;

use super::codec;
use super::host::OpenError;

/// The key of the newest mark.
pub(crate) const KEY: &[u8] = b"mark";

/// The database's place within the directory.
pub(crate) const DATABASE: &str = "log";

/// A batch's mark. The default is that of an empty directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The batch's number, from 1.
    pub(crate) round: u64,
    /// The last batch that was durable when this one was written; 0 for none.
    pub(crate) durable: u64,
    /// Digest of all records there are with this batch: [`fingerprint`]s, combined by exclusive or.
    pub(crate) digest: u64,
}

/// A record's part in the digest: adding it and taking it away are the same operation.
pub(crate) fn fingerprint(area: u8, key: &[u8], record: &[u8]) -> u64 {
    let own_checksum = record.last_chunk::<8>().map_or(record, |checksum| &checksum[..]);
    codec::checksum(&[&[area], key, own_checksum].concat())
}

/// A mark as it lies in the journal: a word to find it by, the three numbers, a checksum.
pub(crate) fn encode(mark: Mark) -> Vec<u8> {
    let mut bytes = WORD.to_vec();
    for number in [mark.round, mark.durable, mark.digest] {
        bytes.extend(number.to_le_bytes());
    }
    let sum = codec::checksum(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// Decodes [`encode`]; None if the bytes are none.
pub(crate) fn decode(bytes: &[u8]) -> Option<Mark> {
    let bytes = bytes.strip_prefix(WORD)?.get(..LENGTH - WORD.len())?;
    let (numbers, _) = bytes.as_chunks::<8>();
    let [round, durable, digest, _] = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let mark = Mark { round, durable, digest };
    encode(mark).ends_with(bytes).then_some(mark)
}

/// The last batch that was durable, as far as the journal's files tell. Zero for an empty directory.
pub(crate) fn durable_before(directory: &Path) -> io::Result<u64> {
    let database = directory.join(DATABASE);
    if !database.exists() {
        return Ok(0);
    }
    let mut durable = 0;
    for file in std::fs::read_dir(database)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            durable = durable.max(highest(&std::fs::read(path)?));
        }
    }
    Ok(durable)
}

fn highest(journal: &[u8]) -> u64 {
    let candidates = written(journal).windows(LENGTH).filter(|window| window.starts_with(WORD));
    candidates.filter_map(decode).map(|mark| mark.durable).max().unwrap_or(0)
}

/// The database makes its files larger than their content; what follows is zeros.
pub(crate) fn written(mut journal: &[u8]) -> &[u8] {
    while let Some((rest, block)) = journal.split_last_chunk::<4096>()
        && *block == [0; 4096]
    {
        journal = rest;
    }
    journal
}

/// Fails if the directory was found damaged before.
pub(crate) fn refuse_condemned(directory: &Path) -> Result<(), OpenError> {
    match std::fs::read_to_string(directory.join(CONDEMNED)) {
        Ok(reason) => Err(OpenError::Damaged { directory: directory.display().to_string(), reason }),
        Err(_) => Ok(()),
    }
}

/// Condemns the directory for all starts to come.
pub(crate) fn condemn(directory: &Path, reason: &str) {
    // If even this can't be written, this start is refused all the same.
    if let Err(error) = std::fs::write(directory.join(CONDEMNED), reason) {
        tracing::error!(%error, "the damaged Raft log could not be marked as such");
    }
}

const CONDEMNED: &str = "DAMAGED";
const WORD: &[u8; 16] = b"vesta-raft-mark\0";
const LENGTH: usize = WORD.len() + 4 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(round: u64, durable: u64) -> Mark {
        Mark { round, durable, digest: round * 77 }
    }

    #[test]
    fn the_highest_mark_is_found_among_other_bytes() {
        let journal =
            [&[7; 100][..], &encode(mark(3, 2)), b"vesta-raft-", &encode(mark(4, 3)), &encode(mark(5, 3)), &[0; 9000]];
        assert_eq!(highest(&journal.concat()), 3);
        assert_eq!(highest(&[]), 0);
    }

    #[test]
    fn a_damaged_mark_is_none() {
        let bytes = encode(mark(9, 8));
        assert_eq!(decode(&bytes), Some(mark(9, 8)));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(decode(&bytes[..LENGTH - 1]), None);
    }

    #[test]
    fn the_digest_knows_area_key_and_content() {
        let digests = [fingerprint(0, b"key", b"content1"), fingerprint(1, b"key", b"content1")];
        assert_ne!(digests[0], digests[1]);
        assert_ne!(digests[0], fingerprint(0, b"kez", b"content1"));
        assert_ne!(digests[0], fingerprint(0, b"key", b"content2"));
    }
}
