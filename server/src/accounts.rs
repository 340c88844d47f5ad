//! Use cases of accounts.

use crate::clock::Clock;
use crate::passwords::{Passwords, judge};
use crate::store::accounts::{self, Insertion, NewAccount};
use crate::store::{AccountRow, Store, StoreError, detached, sessions};
use crate::throttle::Throttle;
use app::domain::account::{AccountId, Email, Password};
use app::error::{ConsoleError, Field, Problem};
use rand::CryptoRng;
use std::net::IpAddr;

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
    pub throttle: Throttle,
    /// Whether anybody may make an account, and not only the first visitor.
    pub is_open: bool,
}

impl Accounts {
    /// Whether a stranger may make an account now.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn is_sign_up_open(&self) -> Result<bool, ConsoleError> {
        Ok(self.is_open || !self.store.has_accounts().await?)
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
        self.throttle.sign_up(client)?;
        self.add(email, password, self.is_open, rng).await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// As [`Accounts::sign_up`].
    pub async fn add(
        &self,
        email: Email,
        password: Password,
        is_open: bool,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<AccountId, ConsoleError> {
        judge(&password, &email).map_err(|problem| ConsoleError::field(Field::Password, problem))?;
        let password_hash = self.passwords.hash(&password, rng).await?;
        let id = AccountId(new_id(self.clock.now().0, rng));
        let (store, created_at) = (self.store.clone(), self.clock.now());
        detached(async move {
            let mut tx = store.begin().await?;
            let new = NewAccount { id: &id, email: &email, password_hash: &password_hash, created_at };
            match accounts::insert(&mut tx, &new, is_open).await? {
                Insertion::Done => {}
                Insertion::Taken => return Err(ConsoleError::field(Field::Email, Problem::Taken)),
                Insertion::Closed => return Err(ConsoleError::SignUpsClosed),
            }
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
    ) -> Result<AccountId, ConsoleError> {
        self.throttle.sign_in(email, client)?;
        let account = self.store.account_by_email(email).await?;
        let hash = account.as_ref().map(|account| account.password_hash.as_str());
        if self.passwords.verify(password, hash).await?
            && let Some(account) = account
        {
            return Ok(AccountId(account.id));
        }
        tracing::info!(%client, "sign-in refused");
        Err(ConsoleError::WrongCredentials)
    }

    /// Gives an account another password and ends its sessions.
    ///
    /// # Errors
    /// A guessable password, or no such account.
    pub async fn set_password(
        &self,
        email: Email,
        password: Password,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<(), ConsoleError> {
        judge(&password, &email).map_err(|problem| ConsoleError::field(Field::Password, problem))?;
        let password_hash = self.passwords.hash(&password, rng).await?;
        let store = self.store.clone();
        detached(async move {
            let mut tx = store.begin().await?;
            if !accounts::set_password(&mut tx, &email, &password_hash).await? {
                return Err(ConsoleError::WrongCredentials);
            }
            sessions::delete_all_of(&mut tx, &email).await?;
            tx.commit().await.map_err(StoreError::from)?;
            Ok(())
        })
        .await
    }

    /// All accounts, oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(&self) -> Result<Vec<AccountRow>, ConsoleError> {
        Ok(self.store.accounts().await?)
    }
}

/// A new handle: a UUID of version 7 (RFC 9562), which sorts by time, as 32 hex digits.
pub(crate) fn new_id(now: i64, rng: &mut impl CryptoRng) -> String {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    let milliseconds = u64::try_from(now).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid().simple().to_string()
}
