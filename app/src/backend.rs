//! What the pages ask of the server: one method a use case.
//!
//! Server functions cannot be generic, so the server puts its implementation into Leptos' context as
//! `Arc<dyn Backend>`. In exchange no database crate ever meets WebAssembly.

use crate::domain::account::{AccountId, Email, Password};
use crate::domain::activity::ActivityPage;
use crate::domain::api_key::{KeyId, KeyList};
use crate::domain::description::Description;
use crate::domain::expiry::Period;
use crate::domain::key_name::KeyName;
use crate::domain::rotation::Grace;
use crate::domain::timestamp::Timestamp;
use crate::domain::traffic::Traffic;
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

/// The server's use cases, as the pages see them.
#[async_trait::async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The account whose session this request belongs to; `None` if there is none.
    async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>>;
    /// What programs may call.
    fn operations(&self) -> Vec<Operation>;
    /// Whether a stranger may make an account now.
    async fn is_sign_up_open(&self) -> Result<bool>;
    /// The address by which the reader of this request reaches the console: `https://keys.example.com`.
    fn origin(&self, request: &Parts) -> String;
    /// Whether what this console sends travels unencrypted over a network.
    fn is_unencrypted(&self, request: &Parts) -> bool;
    /// Makes an account and signs it in.
    async fn sign_up(&self, request: &Parts, email: Email, password: Password) -> Result<()>;
    /// Begins a session.
    async fn sign_in(&self, request: &Parts, email: Email, password: Password) -> Result<()>;
    /// Ends the session of this request, whatever else is in flight.
    async fn sign_out(&self, request: &Parts) -> Result<()>;
    /// What Settings → Account shows.
    async fn account(&self, request: &Parts, who: &SignedIn) -> Result<AccountPage>;
    /// Gives the account another password, if `current` is the one it has, and ends all its sessions but this, which
    /// goes on under another id.
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
    /// What was done to the account before the entry of this number, newest first.
    async fn activity(&self, account: &AccountId, before: Option<i64>) -> Result<ActivityPage>;

    /// All keys of the account.
    async fn keys(&self, account: &AccountId) -> Result<KeyList>;
    /// Makes a key. The list is read in the same transaction: a secret is never lost to a later error.
    async fn create_key(
        &self,
        who: &SignedIn,
        name: KeyName,
        period: Period,
        description: Description,
    ) -> Result<KeyList>;
    /// Gives a key another name.
    async fn rename_key(&self, who: &SignedIn, key: &KeyId, name: KeyName) -> Result<KeyList>;
    /// Moves the expiry of a key later, counted from now.
    async fn refresh_key(&self, who: &SignedIn, key: &KeyId, period: Period) -> Result<KeyList>;
    /// Switches a key on or off.
    async fn set_key_active(&self, who: &SignedIn, key: &KeyId, active: bool) -> Result<KeyList>;
    /// Gives a key another secret; for the grace time the old one works too.
    async fn rotate_key(&self, who: &SignedIn, key: &KeyId, grace: Grace) -> Result<KeyList>;
    /// Ends the grace of an old secret at once.
    async fn retire_key(&self, who: &SignedIn, key: &KeyId) -> Result<KeyList>;
    /// Who used a key lately, and who was refused with it.
    async fn traffic(&self, account: &AccountId, key: &KeyId) -> Result<Traffic>;
    /// Deletes a key, if `confirm_name` is its name.
    async fn delete_key(&self, who: &SignedIn, key: &KeyId, confirm_name: &str) -> Result<KeyList>;
}

/// The server behind this request.
///
/// # Errors
/// [`ConsoleError::Internal`] outside a request.
pub fn backend() -> Result<Arc<dyn Backend>> {
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
    backend()?.signed_in(&request).await?.ok_or(ConsoleError::SignedOut)
}
