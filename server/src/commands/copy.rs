//! `copy`: copies all data to another database, such as from SQLite to PostgreSQL when one machine is no longer enough.

use crate::store::tables::{Sum, TABLES, finish_copy};
use crate::store::{Claim, Store, StoreError, database_path};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Interval of progress reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// Why a database was not copied. The target is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A table of the target has rows.
    #[error("the target is not empty: its table {0} has rows; nothing was copied")]
    NotEmpty(&'static str),
    /// The source is a file that does not exist.
    #[error("there is no database at {0}; nothing was copied")]
    NoSource(PathBuf),
    /// A server is running on the source or the target.
    #[error(
        "servers are running on the {0}: stop them first, or their changes would be lost; nothing was copied"
    )]
    Served(&'static str),
    /// The rows that were read back from the target differ from those of the source.
    #[error("the rows of {0} in the target differ from those in the source; nothing was copied")]
    Different(&'static str),
    /// The source or the target failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs the command.
///
/// # Errors
/// As [`copy`].
#[expect(clippy::print_stdout, reason = "the output of the command")]
pub async fn run(from: &str, to: &str) -> Result<(), CopyError> {
    copy(from, to, |progress| println!("{progress}")).await?;
    println!(
        "All data was copied. Start servers with the new DATABASE_URL. The previous database is unchanged."
    );
    Ok(())
}

/// Copies all data in one transaction: all of it or nothing. Passes each progress message to `report`.
///
/// # Errors
/// See [`CopyError`].
pub async fn copy(from: &str, to: &str, report: impl Fn(String) + Sync) -> Result<(), CopyError> {
    // Opening a database creates its file.
    match database_path(from) {
        Ok(file) if !file.exists() => return Err(CopyError::NoSource(file)),
        Ok(_) | Err(StoreError::NoFile) => {}
        Err(error) => return Err(error.into()),
    }
    let claim = |url, which| match Claim::of(url) {
        Err(StoreError::Served) => Err(CopyError::Served(which)),
        claimed => Ok(claimed?),
    };
    let _claims = (claim(from, "source")?, claim(to, "target")?);
    let (from, to) = (Store::open(from).await?, Store::open(to).await?);
    for (store, which) in [(&from, "source"), (&to, "target")] {
        if store.is_shared() && store.node_count().await? > 0 {
            return Err(CopyError::Served(which));
        }
    }
    let mut source = from.begin_copy().await?;
    let mut target = to.begin_copy().await?;
    for table in TABLES {
        if !table.is_empty(&mut target).await? {
            return Err(CopyError::NotEmpty(table.name));
        }
    }
    for table in TABLES {
        let mut reported = Instant::now();
        let mut progress = |what: &str, rows| {
            if reported.elapsed() >= REPORT_INTERVAL {
                reported = Instant::now();
                report(format!("{}: {rows} rows {what}", table.name));
            }
        };
        let read: Sum = table.copy(&mut source, &mut target, |rows| progress("copied", rows)).await?;
        let written = table.sum(&mut target, |rows| progress("read back", rows)).await?;
        if read != written {
            return Err(CopyError::Different(table.name));
        }
        report(format!("{}: {} rows copied and verified", table.name, read.rows));
    }
    finish_copy(&mut target).await?;
    target.commit().await.map_err(StoreError::from)?;
    drop(source);
    from.close().await;
    to.close().await;
    Ok(())
}
