//! `restore FILE`: replaces the database with a backup.
//!
//! A backup does not contain later revocations. Restored without changes, it would make revoked keys valid again. So
//! all keys of a restored database are switched off until their owners switch them on, unless the operator sets
//! `--keep-active`.

use super::backup::{BackupError, Result, in_file, sync, sync_folder};
use crate::clock::Clock;
use crate::config::DatabaseOptions;
use crate::store::backup_file::{BackedUpKey, Copy};
use crate::store::{Claim, copy_owner, database_path, with_suffix};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Suffixes of the files that SQLite keeps beside a database.
const SQLITE_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How a key was changed after the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// It was created after the backup. It no longer exists, and its secret is denied.
    Created,
    /// It was deleted after the backup. It exists again.
    Deleted,
    /// Its secret, switch, name, expiry or access was changed after the backup. The change is undone.
    Changed,
}

/// The result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// Number of keys in the restored database.
    pub keys: usize,
    /// The keys that were changed after the backup; `None` if there was no previous database or it could not be read.
    pub since: Option<Vec<(Since, BackedUpKey)>>,
    /// The file that the previous database was moved to; `None` if there was none.
    pub replaced: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// As [`restore`].
#[expect(clippy::print_stdout, reason = "the output of the command")]
pub async fn run(file: &Path, overwrite: bool, keep_active: bool, database: &DatabaseOptions) -> Result<()> {
    let url = &database.database_url;
    let restored = restore(url, file, overwrite, keep_active, &Clock::default()).await?;
    println!("The database was restored from {}, with {} keys.", file.display(), restored.keys);
    if let Some(replaced) = restored.replaced {
        println!("The previous database is kept at {}.", replaced.display());
    }
    match restored.since {
        None => println!("It is not known which keys were created, changed or deleted after the backup."),
        Some(since) if since.is_empty() => println!("No key was created, changed or deleted since."),
        Some(since) => {
            println!("Changes after the backup:");
            for (what, key) in since {
                let what = match what {
                    Since::Created => "created; it no longer exists",
                    Since::Deleted => "deleted; it exists again",
                    Since::Changed => "changed; it is as in the backup",
                };
                println!("  {}  {what}: {:?} of {}", key.id, key.name, key.email);
            }
        }
    }
    if keep_active {
        println!("Keys that were switched on in the backup are valid. Delete those that must not be.");
    } else {
        println!("All keys are switched off. Their owners can switch on those that should be valid.");
    }
    println!("All sessions have ended. Passwords are those of the backup.");
    Ok(())
}

/// Replaces the database with a backup.
///
/// # Errors
/// A server uses the database, a database exists and `overwrite` is false, or the backup is damaged or cannot be read.
/// The database is then unchanged.
pub async fn restore(
    url: &str,
    from: &Path,
    overwrite: bool,
    keep_active: bool,
    clock: &Clock,
) -> Result<Restored> {
    let database = database_path(url)?;
    let _claim = Claim::of(url)?;
    let exists = fs::metadata(&database).is_ok_and(|file| file.len() > 0);
    if exists && !overwrite {
        return Err(BackupError::WouldOverwrite(database));
    }
    let replaced = with_suffix(&database, ".replaced");
    if exists && replaced.exists() {
        return Err(BackupError::Exists(replaced));
    }
    if fs::metadata(with_suffix(from, "-wal")).is_ok_and(|wal| wal.len() > 0) {
        return Err(BackupError::Unfinished(from.to_owned()));
    }
    let new = with_suffix(&database, ".restoring");
    remove_all(&new)?;
    let prepared = prepare(from, &new, keep_active, clock).await;
    if prepared.is_err() {
        remove_all(&new)?;
    }
    let keys = prepared?;
    copy_owner(&new, &database);
    let before = if exists { keys_of(&database).await } else { None };
    if exists {
        // The previous database gets a second name, so that a database exists under the first name at every moment.
        fs::hard_link(&database, &replaced)
            .or_else(|_| fs::copy(&database, &replaced).map(drop))
            .map_err(|error| BackupError::File(replaced.clone(), error))?;
    }
    // If the previous database was not closed, SQLite would use the files beside it for the new database.
    for suffix in SQLITE_SUFFIXES {
        let file = with_suffix(&database, suffix);
        if file.exists() {
            let moved = with_suffix(&replaced, suffix);
            fs::rename(&file, &moved).map_err(|error| BackupError::File(file, error))?;
        }
    }
    fs::rename(&new, &database).map_err(|error| BackupError::File(database.clone(), error))?;
    sync_folder(&database)?;
    Ok(Restored {
        keys: keys.len(),
        since: before.map(|before| differences(&keys, before)),
        replaced: exists.then_some(replaced),
    })
}

/// Copies the backup to `new`, checks and migrates it, ends all sessions, and switches all keys off unless
/// `keep_active`. Returns the keys as they were in the backup.
async fn prepare(
    from: &Path,
    new: &Path,
    keep_active: bool,
    clock: &Clock,
) -> Result<BTreeMap<String, BackedUpKey>> {
    fs::copy(from, new).map_err(|error| BackupError::File(from.to_owned(), error))?;
    fs::set_permissions(new, Permissions::from_mode(0o600))
        .map_err(|error| BackupError::File(new.to_owned(), error))?;
    let in_backup = in_file(from);
    let keys = async {
        let mut copy = Copy::open(new).await?;
        copy.check().await?;
        copy.migrate().await?;
        let keys = copy.keys().await?;
        copy.delete_sessions().await?;
        copy.reset_clock_check().await?;
        if !keep_active {
            copy.deactivate_all_keys(clock.now()).await?;
        }
        copy.close().await?;
        Ok(keys)
    };
    let keys = keys.await.map_err(in_backup)?;
    sync(new)?;
    Ok(keys)
}

/// The keys of the previous database; `None` if it cannot be read.
async fn keys_of(database: &Path) -> Option<BTreeMap<String, BackedUpKey>> {
    let mut copy = Copy::open(database).await.ok()?;
    let keys = copy.keys().await.ok();
    let _ = copy.close().await;
    keys
}

/// Compares the keys of the backup with those of the previous database.
fn differences(
    copy: &BTreeMap<String, BackedUpKey>,
    mut before: BTreeMap<String, BackedUpKey>,
) -> Vec<(Since, BackedUpKey)> {
    let mut since = Vec::new();
    for key in copy.values() {
        match before.remove(&key.id) {
            None => since.push((Since::Deleted, key.clone())),
            Some(now) if now != *key => since.push((Since::Changed, now)),
            Some(_) => {}
        }
    }
    since.extend(before.into_values().map(|key| (Since::Created, key)));
    since
}

/// Removes a database file and the files beside it.
fn remove_all(database: &Path) -> Result<()> {
    let beside_it = SQLITE_SUFFIXES.map(|suffix| with_suffix(database, suffix));
    for file in [database.to_owned()].into_iter().chain(beside_it) {
        if file.exists() {
            fs::remove_file(&file).map_err(|error| BackupError::File(file, error))?;
        }
    }
    Ok(())
}
