//! The use cases that pages need, one method each.
//!
//! Server functions cannot be generic, so the server provides its implementations in Leptos' context as `Arc<dyn …>`. That
//! also keeps the database crates out of WebAssembly.

use crate::domain::account::{AccountId, Email, Password};
use crate::domain::activity::ActivityPage;
use crate::domain::api_key::{KeyId, KeyList};
use crate::domain::description::Description;
use crate::domain::expiry::Period;
use crate::domain::key_name::KeyName;
use crate::domain::rotation::Grace;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::KeyUsage;
use crate::error::ConsoleError;
use http::request::Parts;
use leptos::prelude::use_context;
use std::sync::Arc;

/// The result of a use case.
pub type Result<T> = std::result::Result<T, ConsoleError>;

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The account.
    pub account: AccountId,
    /// The address it signs in with.
    pub email: String,
    /// The network address of the request.
    pub address: String,
    /// What the server knows the session by.
    pub session: Vec<u8>,
}

/// A session of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last seen, to the minute.
    pub last_seen_at: Timestamp,
    /// The address that it began from.
    pub address: String,
    /// What it began with: the browser's `User-Agent`.
    pub agent: String,
    /// Whether it is the session of this request.
    pub is_current: bool,
}

/// What Settings → Account shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountPage {
    /// The sessions that have not ended, newest first.
    pub sessions: Vec<SessionView>,
    /// How many keys it has.
    pub keys: usize,
    /// The present moment.
    pub now: Timestamp,
}

/// What programs may call, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// `GET`; more than one, if it is the same with each.
    pub method: String,
    /// `/api/v1/key`.
    pub path: String,
    /// What it is, in a few words.
    pub title: String,
    /// What it is, in some sentences.
    pub description: String,
    /// Whether a key may call it.
    pub is_open_to_keys: bool,
    /// Parameters of the address: name and meaning.
    pub parameters: Vec<(String, String)>,
    /// Members of the JSON that it answers with: name and meaning.
    pub members: Vec<(String, String)>,
    /// Statuses and what they mean.
    pub answers: Vec<(String, String)>,
}

/// Use cases of accounts and their sessions.
#[async_trait::async_trait]
pub trait AccountBackend: Send + Sync + 'static {
    /// The account whose session this request belongs to; `None` if there is none.
    async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>>;
    /// Whether a visitor may create an account now.
    async fn is_sign_up_open(&self) -> Result<bool>;
    /// The address by which the reader of this request reaches the console: `https://keys.example.com`.
    fn origin(&self, request: &Parts) -> String;
    /// Whether the responses of this console travel unencrypted over a network.
    fn is_unencrypted(&self, request: &Parts) -> bool;
    /// Creates an account and begins a session.
    async fn sign_up(&self, request: &Parts, email: Email, password: Password) -> Result<()>;
    /// Begins a session.
    async fn sign_in(&self, request: &Parts, email: Email, password: Password) -> Result<()>;
    /// Ends the session of this request. Changes of requests in flight are not made afterwards.
    async fn sign_out(&self, request: &Parts) -> Result<()>;
    /// What Settings → Account shows.
    async fn account(&self, request: &Parts, who: &SignedIn) -> Result<AccountPage>;
    /// Sets another password, if `current` is the account's. All of its sessions end but this one, which continues under
    /// another id.
    async fn change_password(
        &self,
        request: &Parts,
        who: &SignedIn,
        current: Password,
        new: Password,
    ) -> Result<()>;
    /// Ends all sessions of the account, this one too.
    async fn sign_out_everywhere(&self, request: &Parts, who: &SignedIn) -> Result<()>;
    /// Deletes the account with everything that it owns, if this is its password.
    async fn delete_account(&self, request: &Parts, who: &SignedIn, password: Password) -> Result<()>;
    /// The activity of the account before the entry with this number, newest first.
    async fn activity(&self, account: &AccountId, before: Option<i64>) -> Result<ActivityPage>;
}

/// Use cases of API keys. Each change returns the list as it is after it, read in the same transaction: a secret is never
/// lost to a later error.
#[async_trait::async_trait]
pub trait KeyBackend: Send + Sync + 'static {
    /// All keys of the account.
    async fn list(&self, account: &AccountId) -> Result<KeyList>;
    /// Creates a key.
    async fn create(
        &self,
        who: &SignedIn,
        name: KeyName,
        period: Period,
        description: Description,
    ) -> Result<KeyList>;
    /// Renames a key.
    async fn rename(&self, who: &SignedIn, key: &KeyId, name: KeyName) -> Result<KeyList>;
    /// Moves the expiry of a key later, counted from now.
    async fn refresh(&self, who: &SignedIn, key: &KeyId, period: Period) -> Result<KeyList>;
    /// Switches a key on or off.
    async fn set_active(&self, who: &SignedIn, key: &KeyId, active: bool) -> Result<KeyList>;
    /// Generates a new secret for a key; the previous one stays valid for the grace period.
    async fn rotate(&self, who: &SignedIn, key: &KeyId, grace: Grace) -> Result<KeyList>;
    /// Retires the previous secret of a key.
    async fn retire(&self, who: &SignedIn, key: &KeyId) -> Result<KeyList>;
    /// Who used a key in the last 30 days, and whose requests with it were denied.
    async fn usage(&self, account: &AccountId, key: &KeyId) -> Result<KeyUsage>;
    /// Deletes a key, if `confirm_name` is its name.
    async fn delete(&self, who: &SignedIn, key: &KeyId, confirm_name: &str) -> Result<KeyList>;
}

/// The operations of `/api/v1` for the page that lists them, in Leptos' context.
#[derive(Clone, Debug)]
pub struct ApiReference(pub Arc<[Operation]>);

/// The use cases of accounts.
///
/// # Errors
/// [`ConsoleError::Internal`] outside a request.
pub fn accounts() -> Result<Arc<dyn AccountBackend>> {
    use_context().ok_or(ConsoleError::Internal)
}

/// The use cases of API keys.
///
/// # Errors
/// [`ConsoleError::Internal`] outside a request.
pub fn keys() -> Result<Arc<dyn KeyBackend>> {
    use_context().ok_or(ConsoleError::Internal)
}

/// The request being answered.
///
/// # Errors
/// [`ConsoleError::Internal`] outside a request.
pub fn request() -> Result<Parts> {
    use_context().ok_or(ConsoleError::Internal)
}

/// The account whose session this request belongs to: the first line of whatever needs one.
///
/// # Errors
/// [`ConsoleError::SignedOut`] if there is no session.
pub async fn require_account() -> Result<SignedIn> {
    let request = request()?;
    accounts()?.signed_in(&request).await?.ok_or(ConsoleError::SignedOut)
}
