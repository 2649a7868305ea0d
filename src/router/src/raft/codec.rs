//! How votes, entries and snapshots lie on the disk. The format is ours, so that neither another release of openraft nor of the
//! storage engine changes what old files mean.
//!
//! Numbers are little-endian; `bytes` is a length of 32 bit and that many bytes; an `option` is a byte 0 or 1, and the value
//! after a 1.
//!
//! ```text
//! record      version (1 byte, 1) · body · checksum (u64: FNV-1a over version and body)
//! vote        term u64 · node u64 · committed byte
//! log id      term u64 · index u64
//! entry       log id · kind byte: 0 blank, 1 batch (bytes), 2 membership
//! membership  count u32 of sets · for each: count u32 of voters, voters u64 · count u32 of members · for each: node u64,
//!             name bytes, address bytes
//! snapshot    option log id · option log id of the membership · membership · state bytes
//! batch       version (1 byte, 1) · commands, each as bytes, to the end
//! ```
//!
//! Every record carries a version so that a later one can be told apart; a version that is not known is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::EntryPayload;

use super::types::{Batch, Entry, LogId, Member, Membership, Snapshot, SnapshotMeta, StoredMembership, Vote, log_id};

/// Bytes that are not what this module writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damaged {
    /// The record ends before its content does, or goes on after it.
    #[error("the record has the wrong length")]
    Length,
    /// The bytes are not those that were written.
    #[error("the checksum does not match")]
    Checksum,
    /// Written by a newer release.
    #[error("the record has version {0}, and this release knows only version {VERSION}")]
    Version(u8),
    /// A value that is never written.
    #[error("the record holds no valid {0}")]
    Value(&'static str),
}

/// Encodes a vote as a record.
pub(crate) fn encode_vote(vote: &Vote) -> Vec<u8> {
    seal(|out| {
        out.put_u64_le(vote.leader_id.term);
        out.put_u64_le(vote.leader_id.voted_for);
        out.put_u8(u8::from(vote.committed));
    })
}

/// Decodes [`encode_vote`].
pub(crate) fn decode_vote(record: &[u8]) -> Result<Vote, Damaged> {
    open(record, |body| {
        let mut vote = Vote::new(take_u64(body)?, take_u64(body)?);
        vote.committed = take_bool(body)?;
        Ok(vote)
    })
}

/// Encodes the place of an entry as a record.
pub(crate) fn encode_log_id(id: &LogId) -> Vec<u8> {
    seal(|out| put_log_id(out, id))
}

/// Decodes [`encode_log_id`].
pub(crate) fn decode_log_id(record: &[u8]) -> Result<LogId, Damaged> {
    open(record, take_log_id)
}

/// Encodes an entry as a record.
pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    seal(|out| {
        put_log_id(out, &entry.log_id);
        match &entry.payload {
            EntryPayload::Blank => out.put_u8(BLANK),
            EntryPayload::Normal(Batch(bytes)) => {
                out.put_u8(BATCH);
                put_bytes(out, bytes);
            }
            EntryPayload::Membership(membership) => {
                out.put_u8(MEMBERSHIP);
                put_membership(out, membership);
            }
        }
    })
}

/// Decodes [`encode_entry`].
pub(crate) fn decode_entry(record: &[u8]) -> Result<Entry, Damaged> {
    open(record, |body| {
        let log_id = take_log_id(body)?;
        let payload = match take_u8(body)? {
            BLANK => EntryPayload::Blank,
            BATCH => EntryPayload::Normal(Batch(Bytes::copy_from_slice(take_bytes(body)?))),
            MEMBERSHIP => EntryPayload::Membership(take_membership(body)?),
            _ => return Err(Damaged::Value("kind of entry")),
        };
        Ok(Entry { log_id, payload })
    })
}

/// Encodes a snapshot as a record.
pub(crate) fn encode_snapshot(snapshot: &Snapshot) -> Vec<u8> {
    seal(|out| {
        put_optional_log_id(out, snapshot.meta.last_log_id.as_ref());
        put_optional_log_id(out, snapshot.meta.last_membership.log_id().as_ref());
        put_membership(out, snapshot.meta.last_membership.membership());
        put_bytes(out, &snapshot.snapshot);
    })
}

/// Decodes [`encode_snapshot`].
pub(crate) fn decode_snapshot(record: &[u8]) -> Result<Snapshot, Damaged> {
    open(record, |body| {
        let last_log_id = take_optional_log_id(body)?;
        let membership_id = take_optional_log_id(body)?;
        let last_membership = StoredMembership::new(membership_id, take_membership(body)?);
        let state = Bytes::copy_from_slice(take_bytes(body)?);
        Ok(Snapshot { meta: SnapshotMeta { last_log_id, last_membership }, snapshot: state })
    })
}

/// Puts a value of the node's identity into a record.
pub(crate) fn encode_value(value: &[u8]) -> Vec<u8> {
    seal(|out| put_bytes(out, value))
}

/// Decodes [`encode_value`].
pub(crate) fn decode_value(record: &[u8]) -> Result<Bytes, Damaged> {
    open(record, |body| Ok(Bytes::copy_from_slice(take_bytes(body)?)))
}

/// Puts commands into one batch, in their order.
pub(crate) fn encode_batch<'a>(commands: impl IntoIterator<Item = &'a Bytes>) -> Batch {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    for command in commands {
        put_bytes(&mut out, command);
    }
    Batch(out.freeze())
}

/// The commands of a batch, in their order; each shares the batch's memory.
pub(crate) fn decode_batch(batch: &Batch) -> Result<Vec<Bytes>, Damaged> {
    let mut rest = batch.0.clone();
    known(take_u8(&mut rest)?)?;
    let mut commands = Vec::new();
    while rest.has_remaining() {
        let length = take_u32(&mut rest)? as usize;
        if rest.len() < length {
            return Err(Damaged::Length);
        }
        commands.push(rest.split_to(length));
    }
    Ok(commands)
}

/// FNV-1a of 64 bit. A single changed byte always changes it, which is what a check on stored bytes is for; it is no
/// protection against intent.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn seal(body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut record = vec![VERSION];
    body(&mut record);
    let sum = checksum(&record);
    record.put_u64_le(sum);
    record
}

fn open<T>(record: &[u8], body: impl FnOnce(&mut &[u8]) -> Result<T, Damaged>) -> Result<T, Damaged> {
    let (covered, mut sum) =
        record.split_last_chunk::<8>().map(|(head, tail)| (head, &tail[..])).ok_or(Damaged::Length)?;
    if checksum(covered) != sum.get_u64_le() {
        return Err(Damaged::Checksum);
    }
    let mut rest = covered;
    known(take_u8(&mut rest)?)?;
    let value = body(&mut rest)?;
    if rest.is_empty() { Ok(value) } else { Err(Damaged::Length) }
}

fn known(version: u8) -> Result<(), Damaged> {
    if version == VERSION { Ok(()) } else { Err(Damaged::Version(version)) }
}

fn put_bytes(out: &mut impl BufMut, bytes: &[u8]) {
    out.put_u32_le(u32::try_from(bytes.len()).expect("commands and snapshots are far below 4 GiB"));
    out.put_slice(bytes);
}

fn put_log_id(out: &mut Vec<u8>, id: &LogId) {
    out.put_u64_le(id.committed_leader_id().term);
    out.put_u64_le(id.index());
}

fn put_optional_log_id(out: &mut Vec<u8>, id: Option<&LogId>) {
    out.put_u8(u8::from(id.is_some()));
    if let Some(id) = id {
        put_log_id(out, id);
    }
}

fn put_membership(out: &mut Vec<u8>, membership: &Membership) {
    put_count(out, membership.get_joint_config().len());
    for set in membership.get_joint_config() {
        put_count(out, set.len());
        set.iter().for_each(|node| out.put_u64_le(*node));
    }
    put_count(out, membership.nodes().count());
    for (node, member) in membership.nodes() {
        out.put_u64_le(*node);
        put_bytes(out, member.name.as_bytes());
        put_bytes(out, member.address.as_bytes());
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32_le(u32::try_from(count).expect("a group has a handful of members"));
}

fn take_u8(body: &mut impl Buf) -> Result<u8, Damaged> {
    body.try_get_u8().map_err(|_| Damaged::Length)
}

fn take_u32(body: &mut impl Buf) -> Result<u32, Damaged> {
    body.try_get_u32_le().map_err(|_| Damaged::Length)
}

fn take_u64(body: &mut &[u8]) -> Result<u64, Damaged> {
    body.try_get_u64_le().map_err(|_| Damaged::Length)
}

fn take_bool(body: &mut &[u8]) -> Result<bool, Damaged> {
    match take_u8(body)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Damaged::Value("flag")),
    }
}

fn take_bytes<'a>(body: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    let length = take_u32(body)? as usize;
    let (bytes, rest) = body.split_at_checked(length).ok_or(Damaged::Length)?;
    *body = rest;
    Ok(bytes)
}

fn take_text(body: &mut &[u8]) -> Result<Arc<str>, Damaged> {
    std::str::from_utf8(take_bytes(body)?).map(Arc::from).map_err(|_| Damaged::Value("text"))
}

fn take_log_id(body: &mut &[u8]) -> Result<LogId, Damaged> {
    Ok(log_id(take_u64(body)?, take_u64(body)?))
}

fn take_optional_log_id(body: &mut &[u8]) -> Result<Option<LogId>, Damaged> {
    if take_bool(body)? { take_log_id(body).map(Some) } else { Ok(None) }
}

fn take_membership(body: &mut &[u8]) -> Result<Membership, Damaged> {
    let mut sets = Vec::new();
    for _ in 0..take_u32(body)? {
        let mut set = BTreeSet::new();
        for _ in 0..take_u32(body)? {
            set.insert(take_u64(body)?);
        }
        sets.push(set);
    }
    let mut members = BTreeMap::new();
    for _ in 0..take_u32(body)? {
        let node = take_u64(body)?;
        members.insert(node, Member { name: take_text(body)?, address: take_text(body)? });
    }
    if sets.is_empty() && members.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(sets, members).map_err(|_| Damaged::Value("membership"))
}

/// The version that this release writes.
const VERSION: u8 = 1;

const BLANK: u8 = 0;
const BATCH: u8 = 1;
const MEMBERSHIP: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn members(nodes: &[u64]) -> BTreeMap<u64, Member> {
        nodes
            .iter()
            .map(|node| (*node, Member { name: format!("router-{node}").into(), address: "a:1".into() }))
            .collect()
    }

    fn joint() -> Membership {
        Membership::new(vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])], members(&[1, 2, 3, 4])).unwrap()
    }

    #[test]
    fn votes_and_places_come_back_as_written() {
        for vote in [Vote::new(7, 3), Vote::new_committed(u64::MAX, 1)] {
            assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);
        }
        assert_eq!(decode_log_id(&encode_log_id(&log_id(4, 9))).unwrap(), log_id(4, 9));
        assert_eq!(decode_value(&encode_value(b"cluster")).unwrap(), "cluster");
    }

    #[test]
    fn entries_of_every_kind_come_back_as_written() {
        let batch = encode_batch(&[Bytes::from_static(b"bind"), Bytes::new()]);
        for payload in [EntryPayload::Blank, EntryPayload::Normal(batch), EntryPayload::Membership(joint())] {
            let entry = Entry { log_id: log_id(2, 5), payload };
            assert_eq!(decode_entry(&encode_entry(&entry)).unwrap(), entry);
        }
    }

    #[test]
    fn snapshots_come_back_as_written() {
        for (last, membership) in [(None, Membership::default()), (Some(log_id(3, 8)), joint())] {
            let last_membership = StoredMembership::new(last, membership);
            let meta = SnapshotMeta { last_log_id: last, last_membership };
            let snapshot = Snapshot { meta, snapshot: Bytes::from_static(b"state") };
            let read = decode_snapshot(&encode_snapshot(&snapshot)).unwrap();
            assert_eq!((read.meta, read.snapshot), (snapshot.meta, snapshot.snapshot));
        }
    }

    #[test]
    fn a_batch_keeps_its_commands_and_their_order() {
        let commands = [Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")];
        assert_eq!(decode_batch(&encode_batch(&commands)).unwrap(), commands);
        assert_eq!(decode_batch(&Batch(Bytes::from_static(&[2]))), Err(Damaged::Version(2)));
        assert_eq!(decode_batch(&Batch(Bytes::from_static(&[1, 9, 0, 0, 0, 7]))), Err(Damaged::Length));
        assert_eq!(decode_batch(&Batch(Bytes::new())), Err(Damaged::Length));
    }

    #[test]
    fn no_flipped_bit_and_no_cut_is_overlooked() {
        let entry = Entry { log_id: log_id(2, 5), payload: EntryPayload::Membership(joint()) };
        let record = encode_entry(&entry);
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_entry(&damaged), Err(Damaged::Checksum), "bit {bit}");
        }
        for length in 0..record.len() {
            assert!(decode_entry(&record[..length]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn a_record_of_a_newer_release_is_refused_by_name() {
        let mut record = vec![2, 0];
        record.put_u64_le(checksum(&[2, 0]));
        assert_eq!(decode_vote(&record), Err(Damaged::Version(2)));
    }
}
