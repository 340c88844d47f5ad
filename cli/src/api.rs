//! The objects of the API that the commands show.

use crate::failure::Failure;
use crate::http_client::{get, not_a_console};
use crate::secret::Secret;
use crate::server_url::ServerUrl;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::{Display, Formatter};

/// An object as the API returns it, and what is read of it.
pub(crate) struct Object<T> {
    pub(crate) json: Value,
    pub(crate) value: T,
}

/// A key: `GET /api/v1/key`.
#[derive(Deserialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) account_id: String,
    pub(crate) mecha: Option<KeyMecha>,
    /// `None` means access to everything.
    pub(crate) scopes: Option<Vec<String>>,
    /// `None` means never.
    pub(crate) expires_at: Option<String>,
}

/// The Mecha that owns a key.
#[derive(Deserialize)]
pub(crate) struct KeyMecha {
    pub(crate) name: String,
}

/// A Mecha: `GET /api/v1/mecha`.
#[derive(Deserialize)]
pub(crate) struct Mecha {
    pub(crate) name: String,
    pub(crate) active: bool,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) runtimes: u32,
    #[serde(default)]
    pub(crate) offline_since: String,
    #[serde(default)]
    pub(crate) offline_because: String,
}

/// All Mechas of an account: `GET /api/v1/mechas`.
#[derive(Deserialize)]
pub(crate) struct Mechas {
    pub(crate) mechas: Vec<Mecha>,
}

/// Gets an object.
///
/// # Errors
/// There is no response, or it is not such an object.
pub(crate) async fn fetch<T: DeserializeOwned>(
    url: &ServerUrl,
    secret: &Secret,
    path: &str,
) -> Result<Object<T>, Failure> {
    let json = get(url, secret, path).await?;
    let value = T::deserialize(&json).map_err(|_| not_a_console(url))?;
    Ok(Object { json, value })
}

/// A key in words: its name and whose it is.
impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match &self.mecha {
            Some(mecha) => write!(f, "the key {:?} of the Mecha {:?}", self.name, mecha.name),
            None => write!(f, "the key {:?} of the account", self.name),
        }
    }
}
