//! Copies of the database, for the operator.
//!
//! A copy does not know what was revoked since it was made: put back as it is, it would let in again whoever was
//! locked out. So a restored database lets nobody in until somebody has decided.

use crate::clock::Clock;
use crate::store::backup::{BackedUpKey, Copy};
use crate::store::{Claim, StoreError, beside, file_of, give_to_owner};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What SQLite keeps beside a database, by the ends of the names.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why a copy was not made or not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is a file already.
    #[error("{0} is there already; nothing was written")]
    Exists(PathBuf),
    /// There is a database, and nobody has said that it may be replaced.
    #[error("there is a database at {0} already; say --overwrite to replace it (it is kept beside)")]
    WouldOverwrite(PathBuf),
    /// The copy has a journal beside it: it is a database that was not closed, and not all of it is in the one file.
    #[error("{0} has changes beside it that are not in it yet; copy databases with `backup`")]
    Unfinished(PathBuf),
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// A database could not be read or written.
    #[error("{0}: {1}")]
    Database(PathBuf, StoreError),
    /// Of the database to be copied or replaced.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Result<T> = std::result::Result<T, BackupError>;

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
    /// What became of keys since the copy was made; `None` if the database that was there could not tell.
    pub since: Option<Vec<(Since, BackedUpKey)>>,
    /// Where the database is now that was there.
    pub replaced: Option<PathBuf>,
}

/// Copies the database, also while it is served; answers how many keys the copy has.
///
/// # Errors
/// The copy is there already, or cannot be written. Nothing is left of it then.
pub async fn backup(url: &str, to: &Path) -> Result<usize> {
    let database = file_of(url)?;
    let part = beside(to, ".part");
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let written = async {
        create_private(&part)?;
        let mut source = Copy::open(&database).await.map_err(in_file(&database))?;
        source.write_to(&part).await.map_err(in_file(&part))?;
        let mut copy = Copy::open(&part).await.map_err(in_file(&part))?;
        copy.check().await.map_err(in_file(&part))?;
        let keys = copy.keys().await.map_err(in_file(&part))?.len();
        copy.close().await.map_err(in_file(&part))?;
        sync(&part)?;
        // Unlike a rename, a link fails if somebody has made the file meanwhile; not all file systems have links.
        match fs::hard_link(&part, to) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(BackupError::Exists(to.to_owned()));
            }
            Err(_) => {
                fs::rename(&part, to).map_err(|error| BackupError::File(to.to_owned(), error))?;
            }
            Ok(()) => {}
        }
        Ok(keys)
    };
    let written: Result<usize> = written.await;
    let _ = fs::remove_file(&part);
    let keys = written?;
    sync_folder(to)?;
    Ok(keys)
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

fn in_file(file: &Path) -> impl FnOnce(StoreError) -> BackupError + use<> {
    let file = file.to_owned();
    move |error| BackupError::Database(file, error)
}

/// An empty file that only its owner reads.
fn create_private(file: &Path) -> Result<()> {
    let _ = fs::remove_file(file);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    made.map(drop).map_err(|error| BackupError::File(file.to_owned(), error))
}

fn remove_all(database: &Path) -> Result<()> {
    for file in [database.to_owned()].into_iter().chain(BESIDE.map(|end| beside(database, end))) {
        if file.exists() {
            fs::remove_file(&file).map_err(|error| BackupError::File(file, error))?;
        }
    }
    Ok(())
}

fn sync(file: &Path) -> Result<()> {
    let synced = File::open(file).and_then(|open| open.sync_all());
    synced.map_err(|error| BackupError::File(file.to_owned(), error))
}

/// The names in a folder are on the disk, too.
fn sync_folder(of: &Path) -> Result<()> {
    match of.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync(folder),
        _ => sync(Path::new(".")),
    }
}
