//! Fills a database with many keys for `make bench`, and writes some of their secrets to a file, one per line.
//!
//!     fill DATABASE_URL KEYS SECRETS_FILE UNKNOWN_FILE
//!
//! The secrets in SECRETS_FILE are spread over all keys. Those in UNKNOWN_FILE are well-formed and belong to no key.

use app::domain::timestamp::DAY;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use server::clock::Clock;
use server::secret::{PlainSecret, Prefix};
use server::store::Store;
use sqlx::{Connection, SqliteConnection};
use std::error::Error;

const KEYS_PER_ACCOUNT: usize = 10;
const SECRETS: usize = 100_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, keys, secrets_file, unknown_file] = arguments.as_slice() else {
        return Err("usage: fill DATABASE_URL KEYS SECRETS_FILE UNKNOWN_FILE".into());
    };
    let keys: usize = keys.parse()?;
    Store::open(url).await?.close().await;
    let rng = &mut UnwrapErr(SysRng);
    let now = Clock::System.now();
    let mut database = SqliteConnection::connect(url).await?;
    let mut tx = database.begin().await?;
    let mut secrets = Vec::new();
    for n in 0..keys {
        let account = format!("{:032x}", n / KEYS_PER_ACCOUNT);
        if n % KEYS_PER_ACCOUNT == 0 {
            sqlx::query(
                "INSERT INTO accounts (id, email, email_folded, password_hash, created_at)
                 VALUES ($1, $1, $1, '', $2)",
            )
            .bind(&account)
            .bind(now.0)
            .execute(&mut *tx)
            .await?;
        }
        let secret = PlainSecret::generate(&Prefix::default(), rng);
        let name = format!("Service {n}");
        sqlx::query(
            "INSERT INTO api_keys (id, account_id, name, name_folded, description, secret_digest, last_four, created_at,
                                   expires_at, prefix)
             VALUES ($1, $2, $3, $3, '', $4, $5, $6, $7, $8)",
        )
        .bind(format!("{:032x}", (1_u128 << 120) + n as u128))
        .bind(&account)
        .bind(&name)
        .bind(secret.digest().as_bytes().as_slice())
        .bind(secret.last_four())
        .bind(now.0)
        .bind(now.plus(3_650 * DAY).0)
        .bind(Prefix::default().to_string())
        .execute(&mut *tx)
        .await?;
        if n % keys.div_ceil(SECRETS) == 0 {
            secrets.push(secret.reveal().to_owned());
        }
    }
    sqlx::query("INSERT INTO key_prefixes (prefix) VALUES ($1)")
        .bind(Prefix::default().to_string())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut database).await?;
    database.close().await?;
    let unknown: Vec<_> =
        (0..SECRETS).map(|_| PlainSecret::generate(&Prefix::default(), rng).reveal().to_owned()).collect();
    std::fs::write(secrets_file, secrets.join("\n"))?;
    std::fs::write(unknown_file, unknown.join("\n"))?;
    Ok(())
}
