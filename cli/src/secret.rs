//! The key that authenticates the command, and where it is read from.

use crate::failure::Failure;
use std::env::{self, VarError};
use std::fmt::{Debug, Display, Formatter};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Length limit of a secret, in bytes.
const SECRET_LIMIT: usize = 512;
/// The name of the key among the credentials that systemd passes on.
const CREDENTIAL: &str = "mecha-key";

/// The secret of an API key. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Parses a secret; whitespace around it is ignored.
    ///
    /// # Errors
    /// It cannot be a secret. The message does not contain it.
    pub(crate) fn parse(text: &str, source: &str) -> Result<Self, Failure> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Failure::usage(format!("{source} is empty, where a key is expected")));
        }
        if text.len() > SECRET_LIMIT || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::usage(format!("{source} does not contain a key"))
                .hint("A key is one word, as the console shows it once: mm_tok_…"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The secret in plain text.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// Where a key is read from.
#[derive(Clone, Debug)]
pub(crate) enum KeySource {
    /// The secret itself.
    Value(Secret),
    /// A file with the secret. It may be replaced by another secret.
    File(PathBuf),
}

impl Display for KeySource {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(_) => f.write_str("MECHA_KEY"),
            Self::File(path) => write!(f, "the key file {}", path.display()),
        }
    }
}

impl KeySource {
    /// The source that the command line or the environment names: `--key-file`, `MECHA_KEY`, `MECHA_KEY_FILE`, or the
    /// credential `mecha-key` of systemd. `None` if there is none of them.
    ///
    /// # Errors
    /// A variable does not have a valid value.
    pub(crate) fn from_environment(key_file: Option<&Path>) -> Result<Option<Self>, Failure> {
        if let Some(path) = key_file {
            return Ok(Some(Self::File(path.to_owned())));
        }
        if let Some(key) = variable("MECHA_KEY")? {
            return Ok(Some(Self::Value(Secret::parse(&key, "MECHA_KEY")?)));
        }
        if let Some(path) = variable("MECHA_KEY_FILE")? {
            return Ok(Some(Self::File(path.into())));
        }
        let folder = variable("CREDENTIALS_DIRECTORY")?.map(PathBuf::from);
        let file = folder.map(|folder| folder.join(CREDENTIAL)).filter(|file| file.exists());
        Ok(file.map(Self::File))
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// The file cannot be read, or contains no secret.
    pub(crate) fn read(&self) -> Result<Secret, Failure> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(path) => {
                let name = self.to_string();
                let text = fs::read_to_string(path).map_err(|error| {
                    let hint = match error.kind() {
                        io::ErrorKind::NotFound => "Save the key there, readable by you alone (chmod 600).",
                        io::ErrorKind::PermissionDenied => "Run this as the user who may read the file.",
                        _ => "Save the key there, and nothing else.",
                    };
                    Failure::usage(format!("{name} cannot be read: {error}")).hint(hint)
                })?;
                Secret::parse(&text, &name)
            }
        }
    }
}

/// The value of an environment variable.
///
/// # Errors
/// It is empty or not UTF-8: another source would be used in its place unnoticed.
pub(crate) fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Err(VarError::NotPresent) => Ok(None),
        Ok(value) if !value.is_empty() => Ok(Some(value)),
        Ok(_) => Err(Failure::usage(format!("the environment variable {name} is empty"))
            .hint("Set it, or unset it so that the next source is used.")),
        Err(VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("the environment variable {name} is not UTF-8")))
        }
    }
}
