//! Profiles: the consoles that `mecha login` has stored, each with its key.

use crate::failure::Failure;
use crate::secret::variable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

/// The file `config.toml`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// A console and its key.
#[derive(Deserialize, Serialize)]
pub(crate) struct Profile {
    pub(crate) url: String,
    pub(crate) key: String,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Config {
    /// The path of the file: `$XDG_CONFIG_HOME/mecha/config.toml`, by default in `~/.config`.
    ///
    /// # Errors
    /// The user has no home directory.
    pub(crate) fn path() -> Result<PathBuf, Failure> {
        // The XDG Base Directory Specification says that relative paths are ignored.
        let stated =
            variable("XDG_CONFIG_HOME").ok().flatten().map(PathBuf::from).filter(|it| it.is_absolute());
        let folder = match stated {
            Some(folder) => folder,
            None => {
                let home = variable("HOME")?.ok_or_else(|| {
                    Failure::usage("neither XDG_CONFIG_HOME nor HOME is set")
                        .hint("Set MECHA_URL and MECHA_KEY.")
                })?;
                PathBuf::from(home).join(".config")
            }
        };
        Ok(folder.join("mecha/config.toml"))
    }

    /// Reads the file; without one, there are no profiles.
    ///
    /// # Errors
    /// The file cannot be read, or is not valid.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            text => {
                text.map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?
            }
        };
        // The error of the parser would show the line, and perhaps a key.
        toml::from_str(&text).map_err(|_| {
            Failure::usage(format!("{} is not valid", path.display()))
                .hint("Correct the file, or delete it and run mecha login.")
        })
    }

    /// Replaces the file, readable by this user alone.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).map_err(|error| Failure::error(error.to_string()))?;
        // A link to a file elsewhere stays one.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let new = path.with_extension(format!("{}.new", process::id()));
        let replaced = (|| {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
            written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))
        })();
        replaced.map_err(|error| Failure::error(format!("{} cannot be written: {error}", path.display())))
    }
}
