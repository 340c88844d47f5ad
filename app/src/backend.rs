//! The use cases that pages need, one method each.
//!
//! Server functions cannot be generic, so the server provides its implementations in Leptos' context as `Arc<dyn …>`.
//! That also keeps the database crates out of the WebAssembly.

use crate::domain::access::Access;
use crate::domain::account::{AccountId, Email, Password};
use crate::domain::activity::{ActivityPage, ActivityQuery};
use crate::domain::api_key::{KeyId, KeyList};
use crate::domain::description::Description;
use crate::domain::expiry::Expiry;
use crate::domain::key_name::KeyName;
use crate::domain::key_policy::KeyPolicy;
use crate::domain::mecha::{KeyOwner, Mecha, MechaId};
use crate::domain::rotation::Grace;
use crate::domain::runtime::{MechaList, MechaRuntimes, RuntimeCommand, RuntimeId};
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{ClientName, DailyUsage, KeyUsage};
use crate::error::ConsoleError;
use http::request::Parts;
use leptos::prelude::use_context;
use std::collections::HashMap;
use std::sync::Arc;

/// The result of a use case.
pub type Result<T> = std::result::Result<T, ConsoleError>;

/// The signed-in account and session of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The account.
    pub account: AccountId,
    /// E-mail address of the account.
    pub email: String,
    /// Client of the request.
    pub client: ClientName,
    /// Hash of the session id, under which the server stores the session.
    pub session: Vec<u8>,
}

/// A session of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Identifies the session in forms: the hash of its id, in hexadecimal.
    pub id: String,
    /// When the session was created.
    pub created_at: Timestamp,
    /// Time of its last request, to the minute.
    pub last_seen_at: Timestamp,
    /// IP address of the sign-in.
    pub address: String,
    /// `User-Agent` of the sign-in.
    pub agent: String,
    /// Whether this request belongs to it.
    pub is_current: bool,
}

/// What Settings → Account shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountPage {
    /// The active sessions, newest first.
    pub sessions: Vec<SessionView>,
    /// Number of keys of the account.
    pub keys: usize,
    /// The server's clock.
    pub now: Timestamp,
}

/// One operation of `/api/v1`, for the API reference page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// HTTP method, such as `GET`. Contains several methods if the operation is the same for each.
    pub method: String,
    /// Path, such as `/api/v1/key`.
    pub path: String,
    /// Title.
    pub title: String,
    /// Description in full sentences.
    pub description: String,
    /// Whether API keys are accepted.
    pub is_open_to_keys: bool,
    /// Parameters of the URL: name and meaning.
    pub parameters: Vec<(String, String)>,
    /// Members of the JSON response: name and meaning.
    pub members: Vec<(String, String)>,
    /// Example of a successful response: the JSON body, or the status and the headers of a response without a body.
    pub response: String,
    /// Possible responses: status and meaning.
    pub answers: Vec<(String, String)>,
}

/// Use cases of accounts and their sessions.
#[async_trait::async_trait]
pub trait AccountBackend: Send + Sync + 'static {
    /// Returns the account and session of this request; `None` without a valid session.
    async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>>;
    /// Whether visitors may create accounts.
    async fn is_sign_up_open(&self) -> Result<bool>;
    /// The origin at which this client reaches the console: `https://keys.example.com`.
    fn origin(&self, request: &Parts) -> String;
    /// Whether this request and its response are sent unencrypted over a network.
    fn is_unencrypted(&self, request: &Parts) -> bool;
    /// Creates an account and a session.
    async fn sign_up(&self, request: &Parts, email: Email, password: Password) -> Result<()>;
    /// Creates a session.
    async fn sign_in(&self, request: &Parts, email: Email, password: Password) -> Result<()>;
    /// Ends the session of this request. Requests in flight make no changes afterwards.
    async fn sign_out(&self, request: &Parts) -> Result<()>;
    /// Returns what Settings → Account shows.
    async fn account(&self, request: &Parts, who: &SignedIn) -> Result<AccountPage>;
    /// Sets a new password, if `current` is the account's password. Ends all sessions of the account except this one,
    /// which continues under a new id.
    async fn change_password(
        &self,
        request: &Parts,
        who: &SignedIn,
        current: Password,
        new: Password,
    ) -> Result<()>;
    /// Ends all sessions of the account, including this one.
    async fn sign_out_everywhere(&self, request: &Parts, who: &SignedIn) -> Result<()>;
    /// Deletes the account and all of its data, if `password` is its password.
    async fn delete_account(&self, request: &Parts, who: &SignedIn, password: Password) -> Result<()>;
    /// Ends another session of the account. Succeeds if it has ended already.
    async fn end_session(&self, who: &SignedIn, session: &str) -> Result<()>;
    /// Returns a page of the account's activity, newest first.
    async fn activity(&self, account: &AccountId, query: &ActivityQuery) -> Result<ActivityPage>;
}

/// A key to create.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What is to own it.
    pub owner: KeyOwner,
    /// Its name.
    pub name: KeyName,
    /// When it expires.
    pub expiry: Expiry,
    /// Its description.
    pub description: Description,
    /// What it has access to.
    pub access: Access,
}

/// What the owner of a key can edit.
#[derive(Clone, Debug)]
pub struct KeyEdit {
    /// The new name.
    pub name: KeyName,
    /// The new description.
    pub description: Description,
    /// What the key has access to from then on.
    pub access: Access,
    /// The access that the form showed ([`Access::shown`]): if the key has another one, nothing is changed. Empty if it
    /// does not matter.
    pub shown_access: String,
}

/// Use cases of API keys. Each change returns the list after the change, read in the same transaction, so that a later
/// error cannot lose a new secret.
#[async_trait::async_trait]
pub trait KeyBackend: Send + Sync + 'static {
    /// Returns what the operator allows for keys.
    fn policy(&self) -> Arc<KeyPolicy>;
    /// Returns all keys of an owner.
    async fn list(&self, account: &AccountId, owner: &KeyOwner) -> Result<KeyList>;
    /// Creates a key.
    async fn create(&self, who: &SignedIn, new: NewKey) -> Result<KeyList>;
    /// Changes the name, the description and the access of a key.
    async fn edit(&self, who: &SignedIn, key: &KeyId, edit: KeyEdit) -> Result<KeyList>;
    /// Renames a key.
    async fn rename(&self, who: &SignedIn, key: &KeyId, name: KeyName) -> Result<KeyList>;
    /// Moves the expiry of a key to a later time.
    async fn refresh(&self, who: &SignedIn, key: &KeyId, expiry: Expiry) -> Result<KeyList>;
    /// Switches a key on or off.
    async fn set_active(&self, who: &SignedIn, key: &KeyId, active: bool) -> Result<KeyList>;
    /// Generates a new secret for a key. The previous secret stays valid for the grace period.
    async fn rotate(&self, who: &SignedIn, key: &KeyId, grace: Grace) -> Result<KeyList>;
    /// Retires the previous secret of a key.
    async fn retire(&self, who: &SignedIn, key: &KeyId) -> Result<KeyList>;
    /// Returns the usage per day of the keys in this list that were used.
    async fn daily_usage(&self, account: &AccountId, list: &KeyList) -> Result<HashMap<KeyId, DailyUsage>>;
    /// Returns the usage of a key in the last 30 days: allowed and denied requests, by client.
    async fn usage(&self, account: &AccountId, key: &KeyId) -> Result<KeyUsage>;
    /// Deletes a key, if `confirm_name` is its name.
    async fn delete(&self, who: &SignedIn, key: &KeyId, confirm_name: &str) -> Result<KeyList>;
}

/// Use cases of Mechas.
#[async_trait::async_trait]
pub trait MechaBackend: Send + Sync + 'static {
    /// Returns all Mechas of the account, each with its state.
    async fn list(&self, account: &AccountId) -> Result<MechaList>;
    /// Returns a Mecha of the account; `None` if it has none with this id.
    async fn find(&self, account: &AccountId, mecha: &MechaId) -> Result<Option<Mecha>>;
    /// Creates a Mecha.
    async fn create(&self, who: &SignedIn, name: KeyName, description: Description) -> Result<MechaId>;
    /// Changes the name and the description of a Mecha.
    async fn describe(
        &self,
        who: &SignedIn,
        mecha: &MechaId,
        name: KeyName,
        description: Description,
    ) -> Result<()>;
    /// Switches a Mecha on or off. While it is off, all its keys are denied.
    async fn set_active(&self, who: &SignedIn, mecha: &MechaId, active: bool) -> Result<()>;
    /// Returns the runtimes of a Mecha, on all nodes.
    async fn runtimes(&self, account: &AccountId, mecha: &MechaId) -> Result<MechaRuntimes>;
    /// Lets the node that holds a runtime execute a command, and waits for that. Returns the Mecha of the runtime.
    async fn command(&self, who: &SignedIn, runtime: &RuntimeId, command: RuntimeCommand) -> Result<MechaId>;
    /// Deletes a Mecha and its keys, if `confirm_name` is its name.
    async fn delete(&self, who: &SignedIn, mecha: &MechaId, confirm_name: &str) -> Result<()>;
}

/// The operations of `/api/v1`, provided in Leptos' context for the API reference page.
#[derive(Clone, Debug)]
pub struct ApiReference(pub Arc<[Operation]>);

/// Returns the use cases of accounts.
///
/// # Errors
/// [`ConsoleError::Internal`] outside a request.
pub fn accounts() -> Result<Arc<dyn AccountBackend>> {
    use_context().ok_or(ConsoleError::Internal)
}

/// Returns the use cases of API keys.
///
/// # Errors
/// [`ConsoleError::Internal`] outside a request.
pub fn keys() -> Result<Arc<dyn KeyBackend>> {
    use_context().ok_or(ConsoleError::Internal)
}

/// Returns the use cases of Mechas.
///
/// # Errors
/// [`ConsoleError::Internal`] outside a request.
pub fn mechas() -> Result<Arc<dyn MechaBackend>> {
    use_context().ok_or(ConsoleError::Internal)
}

/// Returns the current request.
///
/// # Errors
/// [`ConsoleError::Internal`] outside a request.
pub fn request() -> Result<Parts> {
    use_context().ok_or(ConsoleError::Internal)
}

/// Returns the account and session of the current request. Every function that needs an account calls this first.
///
/// # Errors
/// [`ConsoleError::SignedOut`] without a valid session; otherwise the errors of the backend.
pub async fn require_account() -> Result<SignedIn> {
    let request = request()?;
    accounts()?.signed_in(&request).await?.ok_or(ConsoleError::SignedOut)
}
