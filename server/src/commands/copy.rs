//! From one database to another, as from a file to PostgreSQL when one machine is no longer enough.

use crate::store::tables::{Sum, TABLES, go_on};
use crate::store::{Claim, Store, StoreError, file_of};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often it is said how far it has come.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// Why a database was not copied. The target is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The target has something already.
    #[error("the target is not empty: it has {0}; nothing was copied")]
    NotEmpty(&'static str),
    /// There is no such file.
    #[error("there is no database at {0}; nothing was copied")]
    NoSource(PathBuf),
    /// Servers are running on a database.
    #[error(
        "servers are running on the {0}: stop them first, or what they do meanwhile is lost; nothing was copied"
    )]
    Served(&'static str),
    /// What was read back is not what was written.
    #[error("what was written of {0} is not what was read back; nothing was copied")]
    Different(&'static str),
    /// Of either database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs the command.
///
/// # Errors
/// As [`copy`].
#[expect(clippy::print_stdout, reason = "the output of the command")]
pub async fn run(from: &str, to: &str) -> Result<(), MoveError> {
    copy(from, to, |progress| println!("{progress}")).await?;
    println!(
        "Everything is copied. Start servers with the new DATABASE_URL; the previous database is unchanged."
    );
    Ok(())
}

/// Copies everything, and tells `say` what it did. All of it is there afterwards, or nothing.
///
/// # Errors
/// See [`MoveError`].
pub async fn copy(from: &str, to: &str, say: impl Fn(String) + Sync) -> Result<(), MoveError> {
    // To open it would make it.
    match file_of(from) {
        Ok(file) if !file.exists() => return Err(MoveError::NoSource(file)),
        Ok(_) | Err(StoreError::NoFile) => {}
        Err(error) => return Err(error.into()),
    }
    let claim = |url, which| match Claim::of(url) {
        Err(StoreError::Served) => Err(MoveError::Served(which)),
        claimed => Ok(claimed?),
    };
    let _claims = (claim(from, "source")?, claim(to, "target")?);
    let (from, to) = (Store::open(from).await?, Store::open(to).await?);
    for (store, which) in [(&from, "source"), (&to, "target")] {
        if store.is_shared() && store.node_count().await? > 0 {
            return Err(MoveError::Served(which));
        }
    }
    let mut source = from.begin_copy().await?;
    let mut target = to.begin_copy().await?;
    for table in TABLES {
        if !table.is_empty(&mut target).await? {
            return Err(MoveError::NotEmpty(table.name));
        }
    }
    for table in TABLES {
        let mut told = Instant::now();
        let mut progress = |what: &str, rows| {
            if told.elapsed() >= REPORT_INTERVAL {
                told = Instant::now();
                say(format!("{}: {rows} {what}", table.name));
            }
        };
        let read: Sum = table.copy(&mut source, &mut target, |rows| progress("copied", rows)).await?;
        let written = table.sum(&mut target, |rows| progress("read back", rows)).await?;
        if read != written {
            return Err(MoveError::Different(table.name));
        }
        say(format!("{}: {} copied, counted and compared", table.name, read.rows));
    }
    go_on(&mut target).await?;
    target.commit().await.map_err(StoreError::from)?;
    drop(source);
    from.close().await;
    to.close().await;
    Ok(())
}
