//! Marks in the journal, by which damage in its middle is told from a torn tail.
//!
//! Each batch opens with a mark: its number, and the number of the last batch that was durable when it was written. After a crash
//! only batches behind the last sync may be missing. So if the journal's files hold a mark that says "batch n was durable", and
//! recovery gave back less than n, then recovery stopped at damage and dropped durable batches. The directory is then condemned by
//! a file, because the database has cut its journal there and would look sound at the next start.

use std::io;
use std::path::Path;

use super::codec;
use super::host::OpenError;

/// The key of the newest mark.
pub(crate) const KEY: &[u8] = b"mark";

/// The database's place within the directory.
pub(crate) const DATABASE: &str = "log";

/// A batch's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The batch's number, from 1.
    pub(crate) round: u64,
    /// The last batch that was durable when this one was written; 0 for none.
    pub(crate) durable: u64,
}

/// A mark as it lies in the journal: a word to find it by, the two numbers, a checksum.
pub(crate) fn encode(round: u64, durable: u64) -> Vec<u8> {
    let mut mark = [&WORD[..], &round.to_le_bytes(), &durable.to_le_bytes()].concat();
    let sum = codec::checksum(&mark);
    mark.extend(sum.to_le_bytes());
    mark
}

/// Decodes [`encode`]; None if the bytes are none.
pub(crate) fn decode(bytes: &[u8]) -> Option<Mark> {
    let (covered, sum) = bytes.get(..LENGTH)?.split_last_chunk::<8>()?;
    let numbers = covered.strip_prefix(WORD)?;
    let (round, durable) = numbers.split_first_chunk::<8>()?;
    let durable = durable.first_chunk::<8>()?;
    (codec::checksum(covered) == u64::from_le_bytes(*sum))
        .then(|| Mark { round: u64::from_le_bytes(*round), durable: u64::from_le_bytes(*durable) })
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
pub(crate) fn condemn(directory: &Path, durable: u64, reached: u64) -> OpenError {
    let reason = format!("batch {durable} was durable, but what can be read ends at batch {reached}");
    // If even this can't be written, this start is refused all the same.
    if let Err(error) = std::fs::write(directory.join(CONDEMNED), &reason) {
        tracing::error!(%error, "the damaged Raft log could not be marked as such");
    }
    OpenError::Damaged { directory: directory.display().to_string(), reason }
}

const CONDEMNED: &str = "DAMAGED";
const WORD: &[u8; 16] = b"vesta-raft-mark\0";
const LENGTH: usize = WORD.len() + 3 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_mark_is_found_among_other_bytes() {
        let journal = [&[7; 100][..], &encode(3, 2), b"vesta-raft-", &encode(4, 3), &encode(5, 3), &[0; 9]].concat();
        assert_eq!(highest(&journal), 3);
        assert_eq!(highest(&[]), 0);
    }

    #[test]
    fn a_damaged_mark_is_none() {
        let mark = encode(9, 8);
        assert_eq!(decode(&mark), Some(Mark { round: 9, durable: 8 }));
        for bit in 0..mark.len() * 8 {
            let mut damaged = mark.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(decode(&mark[..LENGTH - 1]), None);
    }
}
