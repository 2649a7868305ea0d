//! Only the newest leader of a shard writes: each transaction takes the rows of its shards to the fences of its writes, and
//! leaves out the writes of those that are older than what stands there.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use vesta_engine::Fence;

use crate::database::{Bulk, Connection, Kind, Value};
use crate::fault::Fault;

static PASS: LazyLock<Bulk> = LazyLock::new(|| {
    let columns = [("shard", Kind::Integer), ("generation", Kind::Integer), ("term", Kind::Integer)];
    let statement = "INSERT INTO fences (shard, generation, term) SELECT shard, generation, term FROM rows WHERE TRUE \
                     ON CONFLICT (shard) DO UPDATE SET generation = excluded.generation, term = excluded.term \
                     WHERE (fences.generation, fences.term) <= (excluded.generation, excluded.term) RETURNING shard";
    Bulk::new(&columns, statement)
});

/// What has become of the fences of a transaction. The rows of its shards are locked until it ends.
pub(crate) struct Fences {
    /// By shard: the fence that was tried last, and whether it passed.
    tried: HashMap<u32, (Fence, bool)>,
}

impl Fences {
    /// Takes all shards of some writes to the first of their fences in one statement, in the order of the shards.
    pub(crate) async fn pass(connection: &mut Connection, fences: impl Iterator<Item = Fence>) -> Result<Self, Fault> {
        let mut firsts = BTreeMap::new();
        for fence in fences {
            firsts.entry(fence.shard).or_insert(fence);
        }
        let mut passed = Self { tried: HashMap::new() };
        passed.try_all(connection, firsts.into_values().collect()).await?;
        Ok(passed)
    }

    /// Whether a write may happen. Where several leaders of one shard are in one transaction, each is tried in its turn.
    pub(crate) async fn let_through(&mut self, connection: &mut Connection, fence: Fence) -> Result<bool, Fault> {
        if self.outcome(fence).is_none() {
            self.try_all(connection, vec![fence]).await?;
        }
        Ok(self.outcome(fence) == Some(true))
    }

    fn outcome(&self, fence: Fence) -> Option<bool> {
        self.tried.get(&fence.shard).filter(|(tried, _)| *tried == fence).map(|(_, passed)| *passed)
    }

    async fn try_all(&mut self, connection: &mut Connection, fences: Vec<Fence>) -> Result<(), Fault> {
        let row = |fence: &Fence| {
            [Value::Integer(fence.shard.into()), Value::number(fence.generation), Value::number(fence.term)]
        };
        let values: Vec<_> = fences.iter().flat_map(row).collect();
        let rows = connection.rows_for(&PASS, &values).await?;
        let passed = rows.iter().map(|row| row.number("shard")).collect::<Result<Vec<_>, _>>()?;
        for fence in fences {
            self.tried.insert(fence.shard, (fence, passed.contains(&fence.shard.into())));
        }
        Ok(())
    }
}
