//! Copies all data, row by row, from one database to another. Each may be SQLite or PostgreSQL.

use crate::store::{StoreError, is_postgres};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Bytes,
}
use Kind::{Bytes, Number, Text};

/// A table and its columns.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    columns: &'static [(&'static str, Kind)],
}

/// All tables to copy. Referenced tables come before the tables that refer to them. The tables of the cluster (leases,
/// changes of keys, rate limits, commands for runtimes) are not copied: they describe the nodes of one database.
pub const TABLES: [Table; 12] = [
    Table {
        name: "accounts",
        columns: &[
            ("id", Text),
            ("email", Text),
            ("email_folded", Text),
            ("password_hash", Text),
            ("created_at", Number),
            ("password_version", Number),
        ],
    },
    Table {
        name: "sessions",
        columns: &[
            ("id_hash", Bytes),
            ("account_id", Text),
            ("created_at", Number),
            ("last_seen_at", Number),
            ("address", Text),
            ("agent", Text),
        ],
    },
    Table {
        name: "mechas",
        columns: &[
            ("id", Text),
            ("account_id", Text),
            ("name", Text),
            ("name_folded", Text),
            ("description", Text),
            ("active", Number),
            ("created_at", Number),
        ],
    },
    Table {
        name: "api_keys",
        columns: &[
            ("id", Text),
            ("account_id", Text),
            ("name", Text),
            ("name_folded", Text),
            ("description", Text),
            ("secret_digest", Bytes),
            ("last_four", Text),
            ("created_at", Number),
            ("expires_at", Number),
            ("active", Number),
            ("old_digest", Bytes),
            ("old_last_four", Text),
            ("old_until", Number),
            ("old_ends_on_use", Number),
            ("old_ended", Number),
            ("prefix", Text),
            ("old_prefix", Text),
            ("rotated_at", Number),
            ("mecha_id", Text),
            ("scopes", Text),
        ],
    },
    Table {
        name: "api_key_last_uses",
        columns: &[
            ("key_id", Text),
            ("last_at", Number),
            ("address", Text),
            ("agent", Text),
            ("previous_last_at", Number),
            ("previous_address", Text),
            ("previous_agent", Text),
        ],
    },
    Table {
        name: "api_key_uses",
        columns: &[
            ("key_id", Text),
            ("day", Number),
            ("address", Text),
            ("agent", Text),
            ("uses", Number),
            ("last_at", Number),
        ],
    },
    Table {
        name: "api_key_days",
        columns: &[("key_id", Text), ("day", Number), ("allowed", Number), ("denied", Number)],
    },
    Table {
        name: "api_key_refusals",
        columns: &[
            ("key_id", Text),
            ("address", Text),
            ("agent", Text),
            ("reason", Text),
            ("times", Number),
            ("last_at", Number),
        ],
    },
    Table {
        name: "runtimes",
        columns: &[
            ("id", Text),
            ("account_id", Text),
            ("mecha_id", Text),
            ("key_id", Text),
            ("key_name", Text),
            ("secret_digest", Bytes),
            ("instance_hash", Bytes),
            ("node", Text),
            ("name", Text),
            ("version", Text),
            ("os", Text),
            ("arch", Text),
            ("host", Text),
            ("actions", Text),
            ("address", Text),
            ("state", Text),
            ("note", Text),
            ("round_trip", Number),
            ("connected_at", Number),
            ("ended_at", Number),
            ("end_reason", Text),
        ],
    },
    Table {
        name: "activity",
        columns: &[
            ("id", Number),
            ("account_id", Text),
            ("at", Number),
            ("what", Text),
            ("key_id", Text),
            ("key_name", Text),
            ("became", Text),
            ("address", Text),
            ("agent", Text),
            ("mecha_id", Text),
            ("mecha_name", Text),
        ],
    },
    Table { name: "instance_state", columns: &[("name", Text), ("value", Number)] },
    Table { name: "key_prefixes", columns: &[("prefix", Text)] },
];

/// Number of rows per `INSERT` statement.
const BATCH_SIZE: usize = 500;

/// The number of rows of a table, and a digest of all rows that does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The number of rows.
    pub rows: u64,
    digest: [u8; 32],
}

impl Sum {
    /// Adds a row. Rows have different primary keys, so two rows never cancel each other in the XOR.
    fn add(&mut self, row: &[Value]) {
        let mut hash = Sha256::new();
        for value in row {
            let (kind, bytes) = match value {
                Value::Number(None) | Value::Text(None) | Value::Bytes(None) => (0, &[][..]),
                Value::Number(Some(number)) => (1, &number.to_be_bytes()[..]),
                Value::Text(Some(text)) => (2, text.as_bytes()),
                Value::Bytes(Some(bytes)) => (3, &bytes[..]),
            };
            hash.update([kind]);
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        }
        self.rows += 1;
        self.digest.iter_mut().zip(hash.finalize()).for_each(|(sum, byte)| *sum ^= byte);
    }
}

#[derive(Clone, Debug)]
enum Value {
    Number(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl Table {
    /// The names of its columns.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|(name, _)| *name)
    }

    fn column_list(&self) -> String {
        self.columns().collect::<Vec<_>>().join(", ")
    }

    fn select(&self) -> AssertSqlSafe<String> {
        AssertSqlSafe(format!("SELECT {} FROM {}", self.column_list(), self.name))
    }

    fn values(&self, row: &AnyRow) -> Result<Vec<Value>, StoreError> {
        let value = |(index, (_, kind)): (usize, &(&str, Kind))| {
            Ok(match kind {
                Number => Value::Number(row.try_get(index)?),
                Text => Value::Text(row.try_get(index)?),
                Bytes => Value::Bytes(row.try_get(index)?),
            })
        };
        self.columns.iter().enumerate().map(value).collect()
    }

    /// Whether the table has no row.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn is_empty(&self, database: &mut AnyConnection) -> Result<bool, StoreError> {
        let any = sqlx::query(AssertSqlSafe(format!("SELECT 1 FROM {} LIMIT 1", self.name)));
        Ok(any.fetch_optional(database).await?.is_none())
    }

    /// Reads the table and computes its [`Sum`]. Calls `progress` with the number of rows read so far.
    ///
    /// # Errors
    /// The database does not respond, or a value has an unexpected type.
    pub async fn sum(
        &self,
        database: &mut AnyConnection,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Sum, StoreError> {
        let mut rows = sqlx::query(self.select()).fetch(database);
        let mut sum = Sum::default();
        while let Some(row) = rows.try_next().await? {
            sum.add(&self.values(&row)?);
            progress(sum.rows);
        }
        Ok(sum)
    }

    /// Copies all rows, and returns the [`Sum`] of the rows read. Calls `progress` with the number of rows copied so
    /// far.
    ///
    /// # Errors
    /// Either database does not respond, a value has an unexpected type, or the target rejects a row.
    pub async fn copy(
        &self,
        from: &mut AnyConnection,
        to: &mut AnyConnection,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Sum, StoreError> {
        let mut rows = sqlx::query(self.select()).fetch(from);
        let (mut sum, mut batch) = (Sum::default(), Vec::with_capacity(BATCH_SIZE));
        loop {
            let row = rows.try_next().await?;
            let is_last = row.is_none();
            if let Some(row) = row {
                let values = self.values(&row)?;
                sum.add(&values);
                batch.push(values);
            }
            if batch.len() >= BATCH_SIZE || is_last && !batch.is_empty() {
                self.insert(to, std::mem::take(&mut batch)).await?;
                progress(sum.rows);
            }
            if is_last {
                return Ok(sum);
            }
        }
    }

    async fn insert(&self, to: &mut AnyConnection, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        let mut number = 0;
        let mut row = || {
            let numbers = self.columns.iter().map(|_| {
                number += 1;
                format!("${number}")
            });
            format!("({})", numbers.collect::<Vec<_>>().join(", "))
        };
        let placeholders = rows.iter().map(|_| row()).collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT INTO {} ({}) VALUES {placeholders}", self.name, self.column_list());
        let mut query = sqlx::query(AssertSqlSafe(insert));
        for value in rows.into_iter().flatten() {
            query = match value {
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query.execute(to).await?;
        Ok(())
    }
}

/// Completes a copy: sets the next id of `activity` to the one after the copied entries, and increments the revision,
/// so that nodes that already serve the target reload all keys. Does nothing on SQLite.
///
/// # Errors
/// The database does not respond.
pub async fn finish_copy(to: &mut AnyConnection) -> Result<(), StoreError> {
    if is_postgres(to) {
        sqlx::query("SELECT setval(pg_get_serial_sequence('activity', 'id'), COALESCE(MAX(id), 0) + 1, false) FROM activity")
            .execute(&mut *to)
            .await?;
        sqlx::query("UPDATE revision SET number = number + 1").execute(to).await?;
    }
    Ok(())
}
