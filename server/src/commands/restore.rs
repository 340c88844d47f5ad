//! `restore FILE`: puts a copy in the place of the database.
//!
//! A copy does not know what was revoked since it was made: restored as it is, it would make revoked keys valid again. So
//! all keys of a restored database are switched off until their owners decide, unless the operator asks otherwise.

use super::backup::{BackupError, Result, in_file, sync, sync_folder};
use crate::clock::Clock;
use crate::config::DatabaseOptions;
use crate::store::backup_file::{BackedUpKey, Copy};
use crate::store::{Claim, beside, file_of, give_to_owner};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What SQLite keeps beside a database, by the ends of the names.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What a key became since a copy was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// It was made since: its programs are refused now.
    Made,
    /// It was deleted since: it is back.
    Deleted,
    /// Its secret, switch, name or expiry was changed since: it is again what it was.
    Changed,
}

/// What came of putting a copy back.
#[derive(Debug)]
pub struct Restored {
    /// How many keys there are now.
    pub keys: usize,
    /// What became of keys since the copy was made; `None` if the database that was there could not publish.
    pub since: Option<Vec<(Since, BackedUpKey)>>,
    /// Where the database is now that was there.
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
    println!("The database is restored from {}, with {} keys.", file.display(), restored.keys);
    if let Some(replaced) = restored.replaced {
        println!("The previous database is kept at {}.", replaced.display());
    }
    match restored.since {
        None => println!("Which keys were created, changed or deleted since is not known."),
        Some(since) if since.is_empty() => println!("No key was created, changed or deleted since."),
        Some(since) => {
            println!("Since the copy was made:");
            for (what, key) in since {
                let what = match what {
                    Since::Made => "created; it is gone now",
                    Since::Deleted => "deleted; it is back now",
                    Since::Changed => "changed; it is as before now",
                };
                println!("  {}  {what}: {:?} of {}", key.id, key.name, key.email);
            }
        }
    }
    if keep_active {
        println!("Keys that were switched on are valid. Delete those that must not be.");
    } else {
        println!("All keys are switched off: their owners switch on those that are to be valid.");
    }
    println!("All sessions have ended; passwords are those of the copy.");
    Ok(())
}

/// Puts a copy in the place of the database.
///
/// # Errors
/// The database is served, or is there and not to be replaced; or the copy cannot be read. The database is then as it
/// was.
pub async fn restore(
    url: &str,
    from: &Path,
    overwrite: bool,
    keep_active: bool,
    clock: &Clock,
) -> Result<Restored> {
    let database = file_of(url)?;
    let _claim = Claim::of(url)?;
    let is_there = fs::metadata(&database).is_ok_and(|file| file.len() > 0);
    if is_there && !overwrite {
        return Err(BackupError::WouldOverwrite(database));
    }
    let replaced = beside(&database, ".replaced");
    if is_there && replaced.exists() {
        return Err(BackupError::Exists(replaced));
    }
    if fs::metadata(beside(from, "-wal")).is_ok_and(|wal| wal.len() > 0) {
        return Err(BackupError::Unfinished(from.to_owned()));
    }
    let new = beside(&database, ".restoring");
    remove_all(&new)?;
    let prepared = prepare(from, &new, keep_active, clock).await;
    if prepared.is_err() {
        remove_all(&new)?;
    }
    let keys = prepared?;
    give_to_owner(&new, &database);
    let before = if is_there { keys_of(&database).await } else { None };
    if is_there {
        // A second name, so that at every moment there is a database under the first.
        fs::hard_link(&database, &replaced)
            .or_else(|_| fs::copy(&database, &replaced).map(drop))
            .map_err(|error| BackupError::File(replaced.clone(), error))?;
    }
    // What is beside the old database, if it was not closed, would be taken for the new one's.
    for end in BESIDE {
        let old = beside(&database, end);
        if old.exists() {
            let moved = beside(&replaced, end);
            fs::rename(&old, &moved).map_err(|error| BackupError::File(old, error))?;
        }
    }
    fs::rename(&new, &database).map_err(|error| BackupError::File(database.clone(), error))?;
    sync_folder(&database)?;
    Ok(Restored {
        keys: keys.len(),
        since: before.map(|before| differences(&keys, before)),
        replaced: is_there.then_some(replaced),
    })
}

/// A copy of the copy, with nobody signed in, and with nobody let in unless that is wished. Answers the keys as they
/// were in it.
async fn prepare(
    from: &Path,
    new: &Path,
    keep_active: bool,
    clock: &Clock,
) -> Result<BTreeMap<String, BackedUpKey>> {
    fs::copy(from, new).map_err(|error| BackupError::File(from.to_owned(), error))?;
    fs::set_permissions(new, Permissions::from_mode(0o600))
        .map_err(|error| BackupError::File(new.to_owned(), error))?;
    let wrong = in_file(from);
    let keys = async {
        let mut copy = Copy::open(new).await?;
        copy.check().await?;
        copy.migrate().await?;
        let keys = copy.keys().await?;
        copy.end_sessions().await?;
        copy.forget_clock().await?;
        if !keep_active {
            copy.switch_all_off(clock.now()).await?;
        }
        copy.close().await?;
        Ok(keys)
    };
    let keys = keys.await.map_err(wrong)?;
    sync(new)?;
    Ok(keys)
}

/// The keys of a database that may be of any state.
async fn keys_of(database: &Path) -> Option<BTreeMap<String, BackedUpKey>> {
    let mut copy = Copy::open(database).await.ok()?;
    let keys = copy.keys().await.ok();
    let _ = copy.close().await;
    keys
}

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
    since.extend(before.into_values().map(|key| (Since::Made, key)));
    since
}

fn remove_all(database: &Path) -> Result<()> {
    for file in [database.to_owned()].into_iter().chain(BESIDE.map(|end| beside(database, end))) {
        if file.exists() {
            fs::remove_file(&file).map_err(|error| BackupError::File(file, error))?;
        }
    }
    Ok(())
}
