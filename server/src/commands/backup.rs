//! `backup FILE`: a copy of the database, also while it is served.

use crate::config::DatabaseOptions;
use crate::store::backup_file::Copy;
use crate::store::{StoreError, beside, file_of};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
        "{} is a copy of the whole database, with {keys} keys. It contains account data and no usable credential. Keep it private.",
        file.display()
    );
    Ok(())
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

pub(super) fn in_file(file: &Path) -> impl FnOnce(StoreError) -> BackupError + use<> {
    let file = file.to_owned();
    move |error| BackupError::Database(file, error)
}

/// An empty file that only its owner reads.
fn create_private(file: &Path) -> Result<()> {
    let _ = fs::remove_file(file);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    made.map(drop).map_err(|error| BackupError::File(file.to_owned(), error))
}

pub(super) fn sync(file: &Path) -> Result<()> {
    let synced = File::open(file).and_then(|open| open.sync_all());
    synced.map_err(|error| BackupError::File(file.to_owned(), error))
}

/// The names in a folder are on the disk, too.
pub(super) fn sync_folder(of: &Path) -> Result<()> {
    match of.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync(folder),
        _ => sync(Path::new(".")),
    }
}
