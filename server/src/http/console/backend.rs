//! Implements the use cases that pages need of accounts: those of [`Accounts`](crate::services::accounts::Accounts),
//! with the session of the request.

use crate::client::Client;
use crate::random::system_rng;
use crate::services::sessions::{self, Authenticated};
use crate::state::AppState;
use app::backend::{AccountBackend, AccountPage, Result, SessionView, SignedIn};
use app::domain::account::{AccountId, Email, Password};
use app::domain::activity::{ActivityKind, ActivityPage, ActivityQuery};
use app::domain::timestamp::Timestamp;
use app::error::ConsoleError;
use async_trait::async_trait;
use axum::http::request::Parts;

#[async_trait]
impl AccountBackend for AppState {
    async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>> {
        sessions::signed_in(&request.extensions, &request.headers).await
    }

    fn origin(&self, request: &Parts) -> String {
        self.origin_of(&request.extensions, &request.headers).to_string()
    }

    fn is_unencrypted(&self, request: &Parts) -> bool {
        !self.origin_of(&request.extensions, &request.headers).is_secure_context()
    }

    async fn is_sign_up_open(&self) -> Result<bool> {
        self.accounts.is_sign_up_open().await
    }

    async fn sign_up(&self, request: &Parts, email: Email, password: Password) -> Result<()> {
        let client = Client::of(request);
        let account = self.accounts.sign_up(email, password, client, &mut system_rng()).await?;
        sessions::begin(request, &Authenticated { account, password_version: 0 }).await
    }

    async fn sign_in(&self, request: &Parts, email: Email, password: Password) -> Result<()> {
        let client = Client::of(request);
        sessions::begin(request, &self.accounts.authenticate(&email, &password, client).await?).await
    }

    async fn sign_out(&self, request: &Parts) -> Result<()> {
        if let Some(who) = self.signed_in(request).await? {
            self.accounts.record(&who.account, ActivityKind::SignedOut, &who.client).await?;
        }
        sessions::end(sessions::of(&request.extensions)?).await
    }

    async fn account(&self, request: &Parts, who: &SignedIn) -> Result<AccountPage> {
        let current = sessions::of(&request.extensions)?.id().map(|id| sessions::hash(&id));
        let sessions = self.sessions.of_account(&who.account).await?;
        let keys = self.store.key_count_of(&who.account).await?;
        let sessions = sessions.into_iter().map(|row| SessionView {
            id: sessions::hex(&row.id_hash),
            created_at: Timestamp(row.created_at),
            last_seen_at: Timestamp(row.last_seen_at),
            address: row.address,
            agent: row.agent,
            is_current: current.as_ref() == Some(&row.id_hash),
        });
        Ok(AccountPage { sessions: sessions.collect(), keys, now: self.clock.now() })
    }

    async fn change_password(
        &self,
        request: &Parts,
        who: &SignedIn,
        current: Password,
        new: Password,
    ) -> Result<()> {
        let row = self.store.account(&who.account).await?.ok_or(ConsoleError::SignedOut)?;
        let client = Client::of(request);
        self.accounts.set_password(&row, Some((who, current, client)), new, &mut system_rng()).await?;
        // All sessions have ended, including that of this request. It continues under another id (OWASP ASVS 5.0,
        // 7.2.4).
        let password_version = row.password_version + 1;
        sessions::begin(request, &Authenticated { account: who.account.clone(), password_version }).await
    }

    async fn sign_out_everywhere(&self, request: &Parts, who: &SignedIn) -> Result<()> {
        self.accounts.sign_out_everywhere(who).await?;
        sessions::end(sessions::of(&request.extensions)?).await
    }

    async fn delete_account(&self, request: &Parts, who: &SignedIn, password: Password) -> Result<()> {
        let row = self.store.account(&who.account).await?.ok_or(ConsoleError::SignedOut)?;
        let client = Client::of(request);
        self.accounts.delete(&self.key_cache, who, &row, &password, client).await?;
        sessions::end(sessions::of(&request.extensions)?).await
    }

    async fn end_session(&self, who: &SignedIn, session: &str) -> Result<()> {
        self.accounts.end_session(who, session).await
    }

    async fn activity(&self, account: &AccountId, query: &ActivityQuery) -> Result<ActivityPage> {
        Ok(self.store.activity(account, query).await?)
    }
}
