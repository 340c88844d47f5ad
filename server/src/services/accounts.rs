//! Account use cases: sign-up, sign-in, password changes and deletion.

use crate::client::Client;
use crate::clock::Clock;
use crate::ids::new_id;
use crate::key_cache::cache::KeyCache;
use crate::services::passwords::{Passwords, check_strength};
use crate::services::rate_limit::SignInLimiter;
use crate::services::sessions::{Authenticated, hex, limits};
use crate::store::accounts::{self, InsertOutcome, NewAccount};
use crate::store::activity::{self, NewActivity};
use crate::store::{AccountRow, Store, StoreError, Tx, sessions, spawn_transaction};
use app::backend::SignedIn;
use app::domain::account::{AccountId, Email, Password};
use app::domain::activity::ActivityKind;
use app::domain::field_error::{Field, FieldError};
use app::domain::timestamp::Timestamp;
use app::domain::usage::ClientName;
use app::error::ConsoleError;
use rand::CryptoRng;
use tokio_util::task::TaskTracker;

/// Creates, authenticates and changes accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// The database.
    pub store: Store,
    /// Source of the current time.
    pub clock: Clock,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// Limits sign-in and sign-up attempts.
    pub sign_in_limiter: SignInLimiter,
    /// Whether anyone may create an account. If not, only the first visitor may.
    pub is_open: bool,
    /// Tasks that write to the database after the response. Shutdown waits for them.
    pub background: TaskTracker,
}

impl Accounts {
    /// Whether a visitor may create an account now.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn is_sign_up_open(&self) -> Result<bool, ConsoleError> {
        Ok(self.is_open || !self.store.had_account().await?)
    }

    /// Creates an account for a visitor.
    ///
    /// # Errors
    /// Sign-ups are closed, there were too many attempts, the password is easy to guess, the e-mail address is taken,
    /// or the database does not respond.
    pub async fn sign_up(
        &self,
        email: Email,
        password: Password,
        client: Client<'_>,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<AccountId, ConsoleError> {
        if !self.is_sign_up_open().await? {
            return Err(ConsoleError::SignUpsClosed);
        }
        self.sign_in_limiter.sign_up(client.address).await?;
        self.add(email, password, self.is_open, client.name(), rng).await
    }

    /// Creates an account. `client` is recorded; it is empty on the command line.
    ///
    /// # Errors
    /// As [`Accounts::sign_up`].
    pub async fn add(
        &self,
        email: Email,
        password: Password,
        is_open: bool,
        client: ClientName,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<AccountId, ConsoleError> {
        check_strength(&password, &email).map_err(|problem| ConsoleError::field(Field::Password, problem))?;
        let password_hash = self.passwords.hash(&password, rng).await?;
        let id = AccountId(new_id(self.clock.now().0, rng));
        let (store, created_at) = (self.store.clone(), self.clock.now());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            let new = NewAccount { id: &id, email: &email, password_hash: &password_hash, created_at };
            match accounts::insert(&mut tx, &new, is_open).await? {
                InsertOutcome::Done => {}
                InsertOutcome::Taken => return Err(ConsoleError::field(Field::Email, FieldError::Taken)),
                InsertOutcome::Closed => return Err(ConsoleError::SignUpsClosed),
            }
            insert_activity(&mut tx, &id, created_at, ActivityKind::AccountCreated, &client).await?;
            tx.commit().await.map_err(StoreError::from)?;
            tracing::info!(account = id.0, "account created");
            Ok(id)
        })
        .await
    }

    /// Returns the account with this e-mail address if the password is correct. An unknown address gets the same
    /// response after the same time as a wrong password (OWASP ASVS 5.0, 6.3.8).
    ///
    /// # Errors
    /// The credentials are wrong, there were too many attempts, or the database does not respond.
    pub async fn authenticate(
        &self,
        email: &Email,
        password: &Password,
        client: Client<'_>,
    ) -> Result<Authenticated, ConsoleError> {
        self.sign_in_limiter.sign_in(email, client.address).await?;
        let account = self.store.account_by_email(email).await?;
        let hash = account.as_ref().map(|account| account.password_hash.as_str());
        let is_right = self.passwords.verify(password, hash).await?;
        let known = account.map(|row| (AccountId(row.id), row.password_version));
        let Some((account, password_version)) = known else {
            tracing::info!(client = %client.address, "sign-in rejected: unknown address");
            return Err(ConsoleError::WrongCredentials);
        };
        if is_right {
            self.record(&account, ActivityKind::SignedIn, &client.name()).await?;
            return Ok(Authenticated { account, password_version });
        }
        tracing::info!(client = %client.address, account = account.0, "sign-in rejected: wrong password");
        // Recorded in the background: the response must not take longer than for an unknown address.
        let (accounts, client) = (self.clone(), client.name());
        self.background.spawn(async move {
            if let Err(error) = accounts.record(&account, ActivityKind::SignInRejected, &client).await {
                tracing::error!(?error, "a rejected sign-in was not recorded");
            }
        });
        Err(ConsoleError::WrongCredentials)
    }

    /// Adds an entry to the activity log of an account.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn record(
        &self,
        account: &AccountId,
        what: ActivityKind,
        client: &ClientName,
    ) -> Result<(), ConsoleError> {
        let (store, now) = (self.store.clone(), self.clock.now());
        let (account, client) = (account.clone(), client.clone());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            insert_activity(&mut tx, &account, now, what, &client).await?;
            Ok(tx.commit().await.map_err(StoreError::from)?)
        })
        .await
    }

    /// Changes the password of an account and ends all its sessions. `by` is the signed-in owner with the current
    /// password and the client; checking that password is rate-limited like a sign-in. `None` is the operator,
    /// who does not need it.
    ///
    /// # Errors
    /// The current password is wrong, the new one is easy to guess, there were too many attempts, or the database does
    /// not respond. [`ConsoleError::SignedOut`] if the session has ended or the account was changed in the meantime.
    pub async fn set_password(
        &self,
        account: &AccountRow,
        by: Option<(&SignedIn, Password, Client<'_>)>,
        new: Password,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<(), ConsoleError> {
        let email = Email::parse(&account.email).map_err(|_| ConsoleError::Internal)?;
        let id = AccountId(account.id.clone());
        let (field, client, who) = match by {
            Some((who, current, client)) => {
                self.confirm(account, &email, &current, client, Field::CurrentPassword).await?;
                if new == current {
                    return Err(ConsoleError::field(Field::NewPassword, FieldError::Taken));
                }
                (Field::NewPassword, client.name(), Some(who.clone()))
            }
            None => (Field::Password, ClientName::default(), None),
        };
        check_strength(&new, &email).map_err(|problem| ConsoleError::field(field, problem))?;
        let (version, hash) = (account.password_version, self.passwords.hash(&new, rng).await?);
        let (store, now) = (self.store.clone(), self.clock.now());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            if let Some(who) = who {
                require_session(&mut tx, &who, now).await?;
            }
            if !accounts::set_password(&mut tx, &id, version, &hash).await? {
                // The password was changed in the meantime, or the account was deleted.
                return Err(ConsoleError::SignedOut);
            }
            sessions::delete_all_of(&mut tx, &id).await?;
            insert_activity(&mut tx, &id, now, ActivityKind::PasswordChanged, &client).await?;
            tx.commit().await.map_err(StoreError::from)?;
            tracing::info!(account = id.0, "password changed");
            Ok(())
        })
        .await
    }

    /// Ends another session of the signed-in account: the one whose hash is `session`, in hexadecimal. Succeeds if it has
    /// ended already.
    ///
    /// # Errors
    /// [`ConsoleError::SignedOut`] if the session of the request has ended, or the database does not respond.
    pub async fn end_session(&self, who: &SignedIn, session: &str) -> Result<(), ConsoleError> {
        let now = self.clock.now();
        let (idle_since, created_since) = limits(now);
        let listed = self.store.sessions_of(&who.account, idle_since, created_since).await?;
        let Some(other) = listed.into_iter().find(|listed| hex(&listed.id_hash) == session) else {
            return Ok(());
        };
        let (store, who) = (self.store.clone(), who.clone());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            require_session(&mut tx, &who, now).await?;
            sessions::delete(&mut tx, &other.id_hash).await?;
            let entry = NewActivity {
                account: &who.account,
                at: now,
                what: ActivityKind::SessionEnded,
                key: ("", ""),
                mecha: ("", ""),
                became: &other.agent,
                client: &who.client,
            };
            activity::insert(&mut tx, &entry).await?;
            Ok(tx.commit().await.map_err(StoreError::from)?)
        })
        .await
    }

    /// Ends all sessions of an account.
    ///
    /// # Errors
    /// [`ConsoleError::SignedOut`] if the session has ended already, or the database does not respond.
    pub async fn sign_out_everywhere(&self, who: &SignedIn) -> Result<(), ConsoleError> {
        let (store, now, who) = (self.store.clone(), self.clock.now(), who.clone());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            require_session(&mut tx, &who, now).await?;
            sessions::delete_all_of(&mut tx, &who.account).await?;
            insert_activity(&mut tx, &who.account, now, ActivityKind::SignedOutEverywhere, &who.client)
                .await?;
            Ok(tx.commit().await.map_err(StoreError::from)?)
        })
        .await
    }

    /// Deletes an account and everything that it owns, if the password is correct. When this returns, its keys are
    /// denied on every node.
    ///
    /// # Errors
    /// The password is wrong, there were too many attempts, or the database does not respond.
    /// [`ConsoleError::SignedOut`] if the session has ended or the password was changed in the meantime.
    pub async fn delete(
        &self,
        key_cache: &KeyCache,
        who: &SignedIn,
        account: &AccountRow,
        password: &Password,
        client: Client<'_>,
    ) -> Result<(), ConsoleError> {
        let email = Email::parse(&account.email).map_err(|_| ConsoleError::Internal)?;
        self.confirm(account, &email, password, client, Field::ConfirmPassword).await?;
        let (key_cache, id, version) =
            (key_cache.clone(), AccountId(account.id.clone()), account.password_version);
        let (who, now, address) = (who.clone(), self.clock.now(), client.address);
        spawn_transaction(async move {
            let mut change = key_cache.begin(&id).await?;
            require_session(&mut change.tx, &who, now).await?;
            if !accounts::delete(&mut change.tx, &id, version).await? {
                return Err(ConsoleError::SignedOut);
            }
            change.commit().await?;
            tracing::info!(account = id.0, client = %address, "account deleted");
            Ok(())
        })
        .await
    }

    /// Verifies the password of a signed-in account again, rate-limited like a sign-in (OWASP ASVS 5.0, 7.5.1).
    async fn confirm(
        &self,
        account: &AccountRow,
        email: &Email,
        password: &Password,
        client: Client<'_>,
        field: Field,
    ) -> Result<(), ConsoleError> {
        self.sign_in_limiter.sign_in(email, client.address).await?;
        if self.passwords.verify(password, Some(&account.password_hash)).await? {
            return Ok(());
        }
        self.record(&AccountId(account.id.clone()), ActivityKind::SignInRejected, &client.name()).await?;
        Err(ConsoleError::field(field, FieldError::WrongPassword))
    }

    /// Returns all accounts, oldest first.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn list(&self) -> Result<Vec<AccountRow>, ConsoleError> {
        Ok(self.store.accounts().await?)
    }
}

/// Checks within the transaction of a change that the session has not ended. A request that is in flight when its
/// session ends then changes nothing (OWASP ASVS 5.0, 7.4.1). The check locks the account, so its sessions can only end
/// after the transaction.
///
/// # Errors
/// [`ConsoleError::SignedOut`] if the session has ended, or the database does not respond.
pub(crate) async fn require_session(tx: &mut Tx, who: &SignedIn, now: Timestamp) -> Result<(), ConsoleError> {
    let (idle_since, created_since) = limits(now);
    if sessions::is_live(tx, &who.account, &who.session, idle_since, created_since).await? {
        Ok(())
    } else {
        Err(ConsoleError::SignedOut)
    }
}

/// Adds an entry to the activity log of an account in an open transaction.
async fn insert_activity(
    tx: &mut Tx,
    account: &AccountId,
    at: Timestamp,
    what: ActivityKind,
    client: &ClientName,
) -> Result<(), StoreError> {
    activity::insert(
        tx,
        &NewActivity { account, at, what, key: ("", ""), mecha: ("", ""), became: "", client },
    )
    .await
}
