//! A disk that lies: what was cut off while it was written is given up; what was durable and is damaged is never overlooked.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vesta_wire::raft::GroupId;

use super::cluster::no_failure;
use crate::raft::OpenError;
use crate::raft::codec;
use crate::raft::disk::{Change, Disk, Done};
use crate::raft::marks;
use crate::raft::types::{Entry, log_id};

const GROUP: GroupId = GroupId(3);
const ENTRIES: u64 = 20;

fn entry(index: u64) -> Entry {
    let batch = codec::encode_batch(&[bytes::Bytes::from(format!("command {index}"))]);
    Entry { log_id: log_id(1, index), payload: openraft::EntryPayload::Normal(batch) }
}

/// A directory whose log holds [`ENTRIES`] durable entries, each in a batch of its own; closed in order.
async fn filled() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), no_failure()).unwrap();
    for index in 0..ENTRIES {
        disk.group(GROUP).write_durably(vec![Change::append(&entry(index))]).await.unwrap();
    }
    disk.stop().await;
    directory
}

/// Opens the directory; the number of entries in it, or the refusal.
async fn entries_in(directory: &Path) -> Result<usize, OpenError> {
    let disk = Disk::open(directory, no_failure())?;
    let found = disk.load(GROUP).map(|found| found.entries.len());
    disk.stop().await;
    found
}

fn journal(directory: &Path) -> PathBuf {
    let mut journals = fs::read_dir(directory.join("log")).unwrap().map(|file| file.unwrap().path());
    journals.find(|path| path.extension().is_some_and(|extension| extension == "jnl")).unwrap()
}

/// A copy of the directory with its journal changed.
fn damaged(directory: &Path, change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_all(directory, copy.path());
    let mut bytes = marks::written(&fs::read(journal(copy.path())).unwrap()).to_vec();
    change(&mut bytes);
    fs::write(journal(copy.path()), bytes).unwrap();
    copy
}

fn copy_all(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_all(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}

/// The places of the marks in a journal; batches begin a few bytes before.
fn places_of_marks(bytes: &[u8]) -> Vec<usize> {
    bytes.windows(16).enumerate().filter(|(_, window)| window == b"vesta-raft-mark\0").map(|(place, _)| place).collect()
}

#[tokio::test]
async fn what_was_written_is_read_again() {
    let directory = filled().await;
    assert_eq!(entries_in(directory.path()).await.unwrap(), ENTRIES as usize);
    assert_eq!(entries_in(directory.path()).await.unwrap(), ENTRIES as usize);
}

#[tokio::test]
async fn no_flipped_bit_among_durable_batches_is_overlooked() {
    let directory = filled().await;
    let bytes = fs::read(journal(directory.path())).unwrap();
    let last = *places_of_marks(&bytes).last().unwrap();
    let mut refused = 0;
    for place in (0..last - 64).step_by(61) {
        let copy = damaged(directory.path(), |bytes| bytes[place] ^= 1 << (place % 8));
        match entries_in(copy.path()).await {
            // A bit of the database's own that changes nothing: all is there.
            Ok(found) => assert_eq!(found, ENTRIES as usize, "byte {place}"),
            Err(OpenError::Damaged { .. }) => {
                refused += 1;
                assert!(entries_in(copy.path()).await.is_err(), "byte {place}: a second start");
            }
            Err(other) => panic!("byte {place}: {other}"),
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_damaged_directory_stays_refused() {
    let directory = filled().await;
    let bytes = fs::read(journal(directory.path())).unwrap();
    let middle = places_of_marks(&bytes)[ENTRIES as usize / 2];
    let copy = damaged(directory.path(), |bytes| bytes[middle + 3] ^= 1);
    for _ in 0..2 {
        assert!(matches!(entries_in(copy.path()).await, Err(OpenError::Damaged { .. })));
    }
}

#[tokio::test]
async fn a_hole_in_the_log_refuses_the_directory() {
    let directory = filled().await;
    let disk = Disk::open(directory.path(), no_failure()).unwrap();
    disk.group(GROUP).write_durably(vec![Change::remove(7)]).await.unwrap();
    disk.stop().await;
    assert!(matches!(entries_in(directory.path()).await, Err(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn a_record_that_vanished_in_the_database_refuses_the_directory() {
    let directory = filled().await;
    {
        let database = fjall::Database::builder(directory.path().join("log")).open().unwrap();
        let log = database.keyspace("log", fjall::KeyspaceCreateOptions::default).unwrap();
        let last = log.last_key_value().unwrap().key().unwrap();
        log.remove(last).unwrap();
    }
    assert!(matches!(entries_in(directory.path()).await, Err(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn a_torn_tail_that_was_never_durable_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), no_failure()).unwrap();
    disk.group(GROUP).write_durably(vec![Change::append(&entry(0))]).await.unwrap();
    disk.group(GROUP).write_durably(vec![Change::append(&entry(1))]).await.unwrap();
    // A crash: the files as they are now, without an orderly end.
    let crashed = damaged(directory.path(), |_| {});
    disk.stop().await;
    assert_eq!(entries_in(crashed.path()).await.unwrap(), 2);

    let bytes = fs::read(journal(crashed.path())).unwrap();
    let last = *places_of_marks(&bytes).last().unwrap();
    for cut in [1, 5, 20] {
        let torn = damaged(crashed.path(), |bytes| bytes.truncate(last + cut));
        assert!(entries_in(torn.path()).await.is_ok(), "cut {cut} bytes into the last mark");
    }
}

#[tokio::test]
async fn groups_do_not_see_each_others_entries() {
    let directory = filled().await;
    let disk = Disk::open(directory.path(), no_failure()).unwrap();
    for other in [GroupId::META, GroupId(GROUP.0 - 1), GroupId(GROUP.0 + 1), GroupId(u32::MAX)] {
        disk.group(other).write(vec![Change::append(&entry(0))], Done::Nobody).await.unwrap();
    }
    disk.stop().await;
    assert_eq!(entries_in(directory.path()).await.unwrap(), ENTRIES as usize);
}
