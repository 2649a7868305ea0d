//! openraft's own tests of a log store and a state machine, on both stores.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use vesta_wire::raft::GroupId;

use super::cluster::{Ledger, no_failure};
use crate::raft::disk::Disk;
use crate::raft::log::LogStore;
use crate::raft::machine::{Replica, StateMachine};
use crate::raft::types::Types;

type Built<G> = Result<(G, LogStore, StateMachine<Ledger>), StorageError<Types>>;

struct InMemory;

impl StoreBuilder<Types, LogStore, StateMachine<Ledger>> for InMemory {
    async fn build(&self) -> Built<()> {
        let replica = Arc::new(Replica::new(Ledger::default()));
        Ok(((), LogStore::in_memory(), StateMachine::in_memory(replica, false)))
    }
}

struct OnDisk;

impl StoreBuilder<Types, LogStore, StateMachine<Ledger>, (Disk, TempDir)> for OnDisk {
    async fn build(&self) -> Built<(Disk, TempDir)> {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path(), no_failure()).unwrap();
        let group = GroupId(7);
        let found = disk.load(group).unwrap();
        let replica = Arc::new(Replica::new(Ledger::default()));
        let log = LogStore::on_disk(disk.group(group), found);
        let machine = StateMachine::on_disk(replica, disk.group(group), None);
        Ok(((disk, directory), log, machine))
    }
}

#[tokio::test]
async fn the_store_in_memory_fulfils_openrafts_contract() {
    Suite::test_all(InMemory).await.unwrap();
}

#[tokio::test]
async fn the_store_on_disk_fulfils_openrafts_contract() {
    Suite::test_all(OnDisk).await.unwrap();
}
