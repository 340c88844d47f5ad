//! Use cases of accounts.

use crate::clock::Clock;
use crate::ids::new_id;
use crate::key_cache::cache::KeyCache;
use crate::services::passwords::{Passwords, judge};
use crate::services::rate_limit::SignInLimiter;
use crate::services::sessions::{Authenticated, limits};
use crate::store::accounts::{self, Insertion, NewAccount};
use crate::store::activity::{self, NewActivity};
use crate::store::{AccountRow, Store, StoreError, Tx, sessions, spawn_transaction};
use app::backend::SignedIn;
use app::domain::account::{AccountId, Email, Password};
use app::domain::activity::What;
use app::domain::timestamp::Timestamp;
use app::error::{ConsoleError, Field, Problem};
use rand::CryptoRng;
use std::net::IpAddr;
use tokio_util::task::TaskTracker;

/// Makes accounts and lets them in.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// Where they are kept.
    pub store: Store,
    /// Tells when they were made.
    pub clock: Clock,
    /// Judges and hashes passwords.
    pub passwords: Passwords,
    /// Counts attempts.
    pub sign_in_limiter: SignInLimiter,
    /// Whether anybody may make an account, and not only the first visitor.
    pub is_open: bool,
    /// What is written down while nobody waits for it; the server does before it stops.
    pub background: TaskTracker,
}

impl Accounts {
    /// Whether a stranger may make an account now.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn is_sign_up_open(&self) -> Result<bool, ConsoleError> {
        Ok(self.is_open || !self.store.had_account().await?)
    }

    /// Makes an account for a visitor.
    ///
    /// # Errors
    /// Closed sign-ups, too many attempts, a guessable password, or an address that is taken.
    pub async fn sign_up(
        &self,
        email: Email,
        password: Password,
        client: IpAddr,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<AccountId, ConsoleError> {
        if !self.is_sign_up_open().await? {
            return Err(ConsoleError::SignUpsClosed);
        }
        self.sign_in_limiter.sign_up(client).await?;
        self.add(email, password, self.is_open, client.to_string(), rng).await
    }

    /// Makes an account. `address` is where it is made from; empty: on the server itself.
    ///
    /// # Errors
    /// As [`Accounts::sign_up`].
    pub async fn add(
        &self,
        email: Email,
        password: Password,
        is_open: bool,
        address: String,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<AccountId, ConsoleError> {
        judge(&password, &email).map_err(|problem| ConsoleError::field(Field::Password, problem))?;
        let password_hash = self.passwords.hash(&password, rng).await?;
        let id = AccountId(new_id(self.clock.now().0, rng));
        let (store, created_at) = (self.store.clone(), self.clock.now());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            let new = NewAccount { id: &id, email: &email, password_hash: &password_hash, created_at };
            match accounts::insert(&mut tx, &new, is_open).await? {
                Insertion::Done => {}
                Insertion::Taken => return Err(ConsoleError::field(Field::Email, Problem::Taken)),
                Insertion::Closed => return Err(ConsoleError::SignUpsClosed),
            }
            insert_activity(&mut tx, &id, created_at, What::AccountMade, &address).await?;
            tx.commit().await.map_err(StoreError::from)?;
            tracing::info!(account = id.0, "account made");
            Ok(id)
        })
        .await
    }

    /// The account with this address and password. An unknown address gives the same answer in the same
    /// time as a wrong password (OWASP ASVS 5.0, 6.3.8).
    ///
    /// # Errors
    /// Wrong credentials, or too many attempts.
    pub async fn authenticate(
        &self,
        email: &Email,
        password: &Password,
        client: IpAddr,
    ) -> Result<Authenticated, ConsoleError> {
        self.sign_in_limiter.sign_in(email, client).await?;
        let account = self.store.account_by_email(email).await?;
        let hash = account.as_ref().map(|account| account.password_hash.as_str());
        let is_right = self.passwords.verify(password, hash).await?;
        let known = account.map(|row| (AccountId(row.id), row.password_version));
        let Some((account, password_version)) = known else {
            tracing::info!(%client, "sign-in refused: unknown address");
            return Err(ConsoleError::WrongCredentials);
        };
        if is_right {
            self.record(&account, What::SignedIn, &client.to_string()).await?;
            return Ok(Authenticated { account, password_version });
        }
        tracing::info!(%client, account = account.0, "sign-in refused: wrong password");
        // Nobody waits for it: the answer would take longer than for an unknown address.
        let accounts = self.clone();
        self.background.spawn(async move {
            if let Err(error) = accounts.record(&account, What::SignInRefused, &client.to_string()).await {
                tracing::error!(?error, "a refused sign-in was not written down");
            }
        });
        Err(ConsoleError::WrongCredentials)
    }

    /// Writes down what was done to an account.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn record(&self, account: &AccountId, what: What, address: &str) -> Result<(), ConsoleError> {
        let (store, now) = (self.store.clone(), self.clock.now());
        let (account, address) = (account.clone(), address.to_owned());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            insert_activity(&mut tx, &account, now, what, &address).await?;
            Ok(tx.commit().await.map_err(StoreError::from)?)
        })
        .await
    }

    /// Gives an account another password and ends all its sessions. Whoever is signed in enters the current one again,
    /// which is rate-limited like a sign-in; the operator need not.
    ///
    /// # Errors
    /// Another old password, a guessable new one, or too many attempts.
    pub async fn set_password(
        &self,
        account: &AccountRow,
        by: Option<(&SignedIn, Password, IpAddr)>,
        new: Password,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<(), ConsoleError> {
        let email = Email::parse(&account.email).map_err(|_| ConsoleError::Internal)?;
        let id = AccountId(account.id.clone());
        let (field, address, who) = match by {
            Some((who, current, client)) => {
                self.confirm(account, &email, &current, client, Field::CurrentPassword).await?;
                (Field::NewPassword, client.to_string(), Some(who.clone()))
            }
            None => (Field::Password, String::new(), None),
        };
        judge(&new, &email).map_err(|problem| ConsoleError::field(field, problem))?;
        let (version, hash) = (account.password_version, self.passwords.hash(&new, rng).await?);
        let (store, now) = (self.store.clone(), self.clock.now());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            if let Some(who) = who {
                require_session(&mut tx, &who, now).await?;
            }
            if !accounts::set_password(&mut tx, &id, version, &hash).await? {
                // Somebody else has changed it meanwhile, or deleted the account.
                return Err(ConsoleError::SignedOut);
            }
            sessions::delete_all_of(&mut tx, &id).await?;
            insert_activity(&mut tx, &id, now, What::PasswordChanged, &address).await?;
            tx.commit().await.map_err(StoreError::from)?;
            tracing::info!(account = id.0, "password changed");
            Ok(())
        })
        .await
    }

    /// Ends all sessions of an account.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sign_out_everywhere(&self, who: &SignedIn) -> Result<(), ConsoleError> {
        let (store, now, who) = (self.store.clone(), self.clock.now(), who.clone());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            require_session(&mut tx, &who, now).await?;
            sessions::delete_all_of(&mut tx, &who.account).await?;
            insert_activity(&mut tx, &who.account, now, What::SignedOutEverywhere, &who.address).await?;
            Ok(tx.commit().await.map_err(StoreError::from)?)
        })
        .await
    }

    /// Deletes an account with everything that it owns, if this is its password. Its keys are refused once this is
    /// answered.
    ///
    /// # Errors
    /// Another password, or too many attempts.
    pub async fn delete(
        &self,
        secrets: &KeyCache,
        who: &SignedIn,
        account: &AccountRow,
        password: &Password,
        client: IpAddr,
    ) -> Result<(), ConsoleError> {
        let email = Email::parse(&account.email).map_err(|_| ConsoleError::Internal)?;
        self.confirm(account, &email, password, client, Field::ConfirmPassword).await?;
        let (secrets, id, version) =
            (secrets.clone(), AccountId(account.id.clone()), account.password_version);
        let (who, now) = (who.clone(), self.clock.now());
        spawn_transaction(async move {
            let mut change = secrets.begin(&id).await?;
            require_session(&mut change.tx, &who, now).await?;
            if !accounts::delete(&mut change.tx, &id, version).await? {
                return Err(ConsoleError::SignedOut);
            }
            change.commit().await?;
            tracing::info!(account = id.0, %client, "account deleted");
            Ok(())
        })
        .await
    }

    /// Makes sure that who is signed in knows the password (OWASP ASVS 5.0, 7.5.1).
    async fn confirm(
        &self,
        account: &AccountRow,
        email: &Email,
        password: &Password,
        client: IpAddr,
        field: Field,
    ) -> Result<(), ConsoleError> {
        self.sign_in_limiter.sign_in(email, client).await?;
        if self.passwords.verify(password, Some(&account.password_hash)).await? {
            return Ok(());
        }
        self.record(&AccountId(account.id.clone()), What::SignInRefused, &client.to_string()).await?;
        Err(ConsoleError::field(field, Problem::WrongPassword))
    }

    /// All accounts, oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(&self) -> Result<Vec<AccountRow>, ConsoleError> {
        Ok(self.store.accounts().await?)
    }
}

/// Makes sure that the session of whoever makes a change has not ended: what is in flight when a session ends changes
/// nothing afterwards (OWASP ASVS 5.0, 7.4.1). Sessions of the account end after the transaction.
///
/// # Errors
/// [`ConsoleError::SignedOut`], or the database does not answer.
pub(crate) async fn require_session(tx: &mut Tx, who: &SignedIn, now: Timestamp) -> Result<(), ConsoleError> {
    let (idle_since, made_since) = limits(now);
    if sessions::is_live(tx, &who.account, &who.session, idle_since, made_since).await? {
        Ok(())
    } else {
        Err(ConsoleError::SignedOut)
    }
}

/// Writes down what is done to an account in the same transaction.
async fn insert_activity(
    tx: &mut Tx,
    account: &AccountId,
    at: Timestamp,
    what: What,
    address: &str,
) -> Result<(), StoreError> {
    activity::insert(tx, &NewActivity { account, at, what, key: ("", ""), became: "", address }).await
}
