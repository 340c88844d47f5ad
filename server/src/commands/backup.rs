//! `backup FILE`: copies the database to a file, also while a server uses it.

use crate::config::DatabaseOptions;
use crate::store::backup_file::Copy;
use crate::store::{StoreError, database_path, with_suffix};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why a backup or a restore failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file to create already exists.
    #[error("{0} already exists; nothing was written")]
    Exists(PathBuf),
    /// A database exists, and `--overwrite` was not set.
    #[error(
        "a database already exists at {0}; use --overwrite to replace it (it is kept with the suffix .replaced)"
    )]
    WouldOverwrite(PathBuf),
    /// The backup has a write-ahead log beside it. It is a database that was not closed, and the file is incomplete.
    #[error(
        "{0} is incomplete: some of its changes are in the -wal file beside it; create backups with `backup`"
    )]
    Unfinished(PathBuf),
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// A database could not be read or written.
    #[error("{0}: {1}")]
    Database(PathBuf, StoreError),
    /// The database is not in a file, or a server uses it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of `backup` and `restore`.
pub type Result<T> = std::result::Result<T, BackupError>;

/// Runs the command.
///
/// # Errors
/// As [`backup`].
#[expect(clippy::print_stdout, reason = "the output of the command")]
pub async fn run(file: &Path, database: &DatabaseOptions) -> Result<()> {
    let keys = backup(&database.database_url, file).await?;
    println!(
        "{} is a copy of the whole database, with {keys} keys. It contains account data and no usable credential. \
         Keep it private.",
        file.display()
    );
    Ok(())
}

/// Copies the database to a new file, also while a server uses it. Returns the number of keys in the copy.
///
/// # Errors
/// The file already exists or cannot be written, or the database cannot be read. No partial copy is left behind.
pub async fn backup(url: &str, to: &Path) -> Result<usize> {
    let database = database_path(url)?;
    let part = with_suffix(to, ".part");
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
        // Unlike a rename, a hard link fails if the file was created in the meantime. Some file systems have no hard
        // links.
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

pub(super) fn in_file(file: &Path) -> impl FnOnce(StoreError) -> BackupError + use<> {
    let file = file.to_owned();
    move |error| BackupError::Database(file, error)
}

/// Creates an empty file that only its owner can read and write.
fn create_private(file: &Path) -> Result<()> {
    let _ = fs::remove_file(file);
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    created.map(drop).map_err(|error| BackupError::File(file.to_owned(), error))
}

/// Flushes a file or folder to disk.
pub(super) fn sync(file: &Path) -> Result<()> {
    let synced = File::open(file).and_then(|open| open.sync_all());
    synced.map_err(|error| BackupError::File(file.to_owned(), error))
}

/// Flushes the folder of a file to disk, so that the file's name persists, too.
pub(super) fn sync_folder(of: &Path) -> Result<()> {
    match of.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync(folder),
        _ => sync(Path::new(".")),
    }
}
