//! A statement for many rows at once: one round trip instead of one for each row.
//!
//! The rows are a table expression named `rows`, which the statement may use like any other. On PostgreSQL each column is a
//! parameter, an array; on SQLite each value is one, in statements for fixed numbers of rows, so that few are prepared.

use sqlx::postgres::Postgres;
use sqlx::query::Query;
use sqlx::sqlite::Sqlite;

use super::{Connection, Row, Value, bind};
use crate::fault::Fault;

/// For how many rows there is a statement on SQLite. Most rows go in the largest ones, the rest in what is left.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// The type of a column of `rows`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Boolean,
    Text,
    OptionalBytes,
}

/// A statement, and what `rows` is made of.
pub(crate) struct Bulk {
    kinds: Vec<Kind>,
    postgres: String,
    sqlite: [String; SIZES.len()],
}

impl Bulk {
    /// Of a statement that stands behind `WITH rows (columns) AS (…)`.
    pub(crate) fn new(columns: &[(&str, Kind)], statement: &str) -> Self {
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        let with = |rows: String| format!("WITH rows ({}) AS ({rows}) {statement}", names.join(", "));
        let arrays: Vec<_> =
            (1..).zip(columns).map(|(place, (_, kind))| format!("${place}::{}", kind.array())).collect();
        let row = format!("({})", vec!["?"; columns.len()].join(", "));
        Self {
            kinds: columns.iter().map(|(_, kind)| *kind).collect(),
            postgres: with(format!("SELECT * FROM unnest({})", arrays.join(", "))),
            sqlite: SIZES.map(|size| with(format!("VALUES {}", vec![row.as_str(); size].join(", ")))),
        }
    }
}

impl Kind {
    fn array(self) -> &'static str {
        match self {
            Kind::Integer => "bigint[]",
            Kind::Boolean => "boolean[]",
            Kind::Text => "text[]",
            Kind::OptionalBytes => "bytea[]",
        }
    }
}

impl Connection {
    /// Runs a statement for rows, one after the other in `values`, and tells what it yields.
    pub(crate) async fn rows_for(&mut self, bulk: &'static Bulk, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        let mut rows = Vec::new();
        match self {
            Connection::Sqlite(connection) => {
                for (sql, values) in bulk.in_chunks(values) {
                    let found = bind::<Sqlite>(sql, values).fetch_all(&mut **connection).await?;
                    rows.extend(found.into_iter().map(Row::Sqlite));
                }
            }
            Connection::Postgres(connection) => {
                let found = bulk.bind_arrays(values)?.fetch_all(&mut **connection).await?;
                rows.extend(found.into_iter().map(Row::Postgres));
            }
        }
        Ok(rows)
    }

    /// Runs a statement for rows, one after the other in `values`.
    pub(crate) async fn execute_for(&mut self, bulk: &'static Bulk, values: &[Value<'_>]) -> Result<(), Fault> {
        match self {
            Connection::Sqlite(connection) => {
                for (sql, values) in bulk.in_chunks(values) {
                    bind::<Sqlite>(sql, values).execute(&mut **connection).await?;
                }
            }
            Connection::Postgres(connection) => {
                bulk.bind_arrays(values)?.execute(&mut **connection).await?;
            }
        }
        Ok(())
    }
}

impl Bulk {
    fn in_chunks<'v, 'a>(
        &'static self,
        values: &'v [Value<'a>],
    ) -> impl Iterator<Item = (&'static str, &'v [Value<'a>])> {
        let mut rest = values;
        std::iter::from_fn(move || {
            let rows = rest.len() / self.kinds.len();
            let size = SIZES.iter().position(|size| *size <= rows)?;
            let (chunk, behind) = rest.split_at(SIZES[size] * self.kinds.len());
            rest = behind;
            Some((self.sqlite[size].as_str(), chunk))
        })
    }

    fn bind_arrays<'q>(
        &'static self,
        values: &[Value<'_>],
    ) -> Result<Query<'q, Postgres, sqlx::postgres::PgArguments>, Fault> {
        let mut query = sqlx::query(self.postgres.as_str());
        for (column, kind) in self.kinds.iter().enumerate() {
            let values = values.iter().skip(column).step_by(self.kinds.len());
            query = match kind {
                Kind::Integer => query.bind(collect(values, |value| match value {
                    Value::Integer(value) => Some(value),
                    _ => None,
                })?),
                Kind::Boolean => query.bind(collect(values, |value| match value {
                    Value::Boolean(value) => Some(value),
                    _ => None,
                })?),
                Kind::Text => query.bind(collect(values, |value| match value {
                    Value::Text(value) => Some(value),
                    _ => None,
                })?),
                Kind::OptionalBytes => query.bind(collect(values, |value| match value {
                    Value::Bytes(value) => Some(Some(value)),
                    Value::OptionalBytes(value) => Some(value),
                    _ => None,
                })?),
            };
        }
        Ok(query)
    }
}

/// A column's values.
fn collect<'v, 'a: 'v, T>(
    values: impl Iterator<Item = &'v Value<'a>>,
    convert: impl Fn(Value<'a>) -> Option<T>,
) -> Result<Vec<T>, Fault> {
    let values: Option<Vec<_>> = values.map(|value| convert(*value)).collect();
    values.ok_or_else(|| Fault::Broken("a row has a value of another type than its column".into()))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static BULK: LazyLock<Bulk> =
        LazyLock::new(|| Bulk::new(&[("a", Kind::Integer), ("b", Kind::Text)], "SELECT a, b FROM rows"));

    #[test]
    fn rows_are_an_array_for_each_column_or_a_parameter_for_each_value() {
        let arrays = "WITH rows (a, b) AS (SELECT * FROM unnest($1::bigint[], $2::text[])) SELECT a, b FROM rows";
        assert_eq!(BULK.postgres, arrays);
        assert_eq!(BULK.sqlite[3], "WITH rows (a, b) AS (VALUES (?, ?)) SELECT a, b FROM rows");
    }

    #[test]
    fn any_number_of_rows_is_made_up_of_few_statements() {
        let values = [Value::Integer(1), Value::Text("one")].repeat(64 + 16 + 4 + 4 + 1);
        let chunks: Vec<_> = BULK.in_chunks(&values).map(|(_, values)| values.len() / 2).collect();
        assert_eq!(chunks, [64, 16, 4, 4, 1]);
        assert_eq!(BULK.in_chunks(&[]).count(), 0);
    }
}
