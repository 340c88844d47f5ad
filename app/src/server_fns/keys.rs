//! Server functions for API keys. All need a session, and each returns the list of keys after the change.

use crate::{
    backend::{self, KeyEdit, NewKey, require_account},
    domain::{
        access::Access,
        api_key::KeyId,
        description::Description,
        expiry::Expiry,
        field_error::{Field, FieldError},
        key_name::KeyName,
        mecha::{KeyOwner, MechaId},
        rotation::Grace,
    },
    error::{ConsoleError, FieldErrors},
};
use crate::{domain::api_key::KeyList, view::refusal::Refusal};
use leptos::prelude::*;

/// Creates a key of the account, or of the Mecha `mecha_id`. The returned list contains its secret; no later response does.
/// Without `access` and `scopes`, the key has access to everything.
///
/// # Errors
/// Field errors, or the limit of keys is reached.
#[server(name = CreateKey, prefix = "/rpc", endpoint = "keys/create")]
pub async fn create_key(
    name: String,
    expire_in: String,
    #[server(default)] expires_on: String,
    #[server(default)] description: String,
    #[server(default)] access: String,
    #[server(default)] scopes: Vec<String>,
    #[server(default)] mecha_id: String,
) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let owner = match mecha_id.as_str() {
        "" => KeyOwner::Account,
        id => KeyOwner::Mecha(MechaId::parse(id).ok_or(ConsoleError::MechaNotFound)?),
    };
    let mut problems = FieldErrors::default();
    let name = problems.check(Field::Name, KeyName::parse(&name));
    let expiry = problems.collect(Expiry::parse(&expire_in, &expires_on));
    let description = problems.check(Field::Description, Description::parse(&description));
    let access = match access.as_str() {
        "" if scopes.is_empty() => Some(Access::Everything),
        access => problems.check(Field::Scopes, Access::parse(access, &scopes)),
    };
    let (Some(name), Some(expiry), Some(description), Some(access)) = (name, expiry, description, access)
    else {
        return Err(ConsoleError::from(problems).into());
    };
    let new = NewKey { owner, name, expiry, description, access };
    backend::keys()?.create(&who, new).await.map_err(Into::into)
}

/// Changes the name, the description and the access of a key. Where access is narrowed, it has ended on every node when
/// this returns.
///
/// # Errors
/// Field errors, or no such key.
#[server(name = EditKey, prefix = "/rpc", endpoint = "keys/edit")]
pub async fn edit_key(
    key_id: String,
    name: String,
    #[server(default)] description: String,
    access: String,
    #[server(default)] scopes: Vec<String>,
    #[server(default)] shown_access: String,
) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    let mut problems = FieldErrors::default();
    let name = problems.check(Field::Name, KeyName::parse(&name));
    let description = problems.check(Field::Description, Description::parse(&description));
    let access = problems.check(Field::Scopes, Access::parse(&access, &scopes));
    let (Some(name), Some(description), Some(access)) = (name, description, access) else {
        return Err(ConsoleError::from(problems).into());
    };
    let edit = KeyEdit { name, description, access, shown_access };
    backend::keys()?.edit(&who, &key, edit).await.map_err(Into::into)
}

/// Renames a key.
///
/// # Errors
/// A field error for the name, or no such key.
#[server(name = RenameKey, prefix = "/rpc", endpoint = "keys/rename")]
pub async fn rename_key(key_id: String, name: String) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    let name = KeyName::parse(&name).map_err(|problem| ConsoleError::field(Field::Name, problem))?;
    backend::keys()?.rename(&who, &key, name).await.map_err(Into::into)
}

/// Extends the expiry of a key, counted from now.
///
/// # Errors
/// A field error for the period or the date, an expired key, or no such key.
#[server(name = RefreshKey, prefix = "/rpc", endpoint = "keys/refresh")]
pub async fn refresh_key(
    key_id: String,
    expire_in: String,
    #[server(default)] expires_on: String,
) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    let expiry = Expiry::parse(&expire_in, &expires_on).map_err(|it| ConsoleError::Fields(vec![it]))?;
    backend::keys()?.refresh(&who, &key, expiry).await.map_err(Into::into)
}

/// Switches a key on or off.
///
/// # Errors
/// An expired key, or no such key.
#[server(name = SetKeyActive, prefix = "/rpc", endpoint = "keys/set-active")]
pub async fn set_key_active(key_id: String, active: bool) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    backend::keys()?.set_active(&who, &key, active).await.map_err(Into::into)
}

/// Generates a new secret for a key. The returned list contains the secret; no later response does.
///
/// # Errors
/// A field error for the grace period, a previous secret that is still valid, an expired key, or no such key.
#[server(name = RotateKey, prefix = "/rpc", endpoint = "keys/rotate")]
pub async fn rotate_key(key_id: String, grace: String) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    let grace =
        Grace::parse(&grace).ok_or_else(|| ConsoleError::field(Field::Grace, FieldError::NotOnOffer))?;
    backend::keys()?.rotate(&who, &key, grace).await.map_err(Into::into)
}

/// Retires the previous secret of a key.
///
/// # Errors
/// No such key.
#[server(name = RetireKey, prefix = "/rpc", endpoint = "keys/retire")]
pub async fn retire_key(key_id: String) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    backend::keys()?.retire(&who, &key).await.map_err(Into::into)
}

/// Deletes a key permanently, if `confirm_name` is its name.
///
/// # Errors
/// A field error if the name does not match, or no such key.
#[server(name = DeleteKey, prefix = "/rpc", endpoint = "keys/delete")]
pub async fn delete_key(key_id: String, confirm_name: String) -> Result<KeyList, Refusal> {
    let who = require_account().await?;
    let key = KeyId::parse(&key_id).ok_or(ConsoleError::NotFound)?;
    backend::keys()?.delete(&who, &key, &confirm_name).await.map_err(Into::into)
}
