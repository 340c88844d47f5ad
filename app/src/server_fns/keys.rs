//! API keys. Every action answers with the list as it is afterwards.

#[cfg(feature = "ssr")]
use crate::{
    backend::{self, require_account},
    components::api_keys::shown,
    domain::{api_key::KeyId, description::Description, expiry::Period, key_name::KeyName, rotation::Grace},
    error::{ConsoleError, Field, Problem, Problems},
};
use crate::{domain::api_key::KeyList, error::Refusal};
use leptos::prelude::*;

/// Makes a key; answers with its secret, this once.
///
/// # Errors
/// Fields that need mending, or the limit of keys.
#[server(name = CreateKey, prefix = "/rpc", endpoint = "keys/create")]
pub async fn create_key(
    name: String,
    expire_in: String,
    #[server(default)] description: String,
) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let mut problems = Problems::default();
    let name = problems.check(Field::Name, KeyName::parse(&name));
    let period = problems.check(Field::ExpireIn, Period::parse(&expire_in).ok_or(Problem::NotOnOffer));
    let description = problems.check(Field::Description, Description::parse(&description));
    let (Some(name), Some(period), Some(description)) = (name, period, description) else {
        return Err(ConsoleError::from(problems).into());
    };
    Ok(shown(backend::keys()?.create(&who, name, period, description).await?))
}

/// Gives a key another name.
///
/// # Errors
/// A name that needs mending, or no such key.
#[server(name = RenameKey, prefix = "/rpc", endpoint = "keys/rename")]
pub async fn rename_key(key_id: String, name: String) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    let name = KeyName::parse(&name).map_err(|problem| ConsoleError::field(Field::Name, problem))?;
    Ok(shown(backend::keys()?.rename(&who, &key, name).await?))
}

/// Moves the expiry of a key later.
///
/// # Errors
/// A period that needs mending, an expired key, or no such key.
#[server(name = RefreshKey, prefix = "/rpc", endpoint = "keys/refresh")]
pub async fn refresh_key(key_id: String, expire_in: String) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    let period =
        Period::parse(&expire_in).ok_or_else(|| ConsoleError::field(Field::ExpireIn, Problem::NotOnOffer))?;
    Ok(shown(backend::keys()?.refresh(&who, &key, period).await?))
}

/// Switches a key on or off.
///
/// # Errors
/// An expired key, or no such key.
#[server(name = SetKeyActive, prefix = "/rpc", endpoint = "keys/set-active")]
pub async fn set_key_active(key_id: String, active: bool) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    Ok(shown(backend::keys()?.set_active(&who, &key, active).await?))
}

/// Gives a key another secret; answers with it, this once.
///
/// # Errors
/// A grace time that needs mending, a rotation that has not ended yet, an expired key, or no such key.
#[server(name = RotateKey, prefix = "/rpc", endpoint = "keys/rotate")]
pub async fn rotate_key(key_id: String, grace: String) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    let grace = Grace::parse(&grace).ok_or_else(|| ConsoleError::field(Field::Grace, Problem::NotOnOffer))?;
    Ok(shown(backend::keys()?.rotate(&who, &key, grace).await?))
}

/// Ends the grace of an old secret at once.
///
/// # Errors
/// No such key.
#[server(name = RetireKey, prefix = "/rpc", endpoint = "keys/retire")]
pub async fn retire_key(key_id: String) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    Ok(shown(backend::keys()?.retire(&who, &key).await?))
}

/// Deletes a key for ever, if its name was re-entered.
///
/// # Errors
/// A name that does not match, or no such key.
#[server(name = DeleteKey, prefix = "/rpc", endpoint = "keys/delete")]
pub async fn delete_key(key_id: String, confirm_name: String) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    Ok(shown(backend::keys()?.delete(&who, &key, &confirm_name).await?))
}
