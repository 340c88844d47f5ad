//! Fills a new database for the browser tests and the screenshots in the README: an account with a key in every state,
//! one with three keys, one with ten, and one whose keys are used every day. Expired keys are created in the past, with a clock that the program sets.

use app::backend::{KeyBackend, KeyEdit, NewKey, SignedIn};
use app::domain::access::Access;
use app::domain::account::{Email, Password};
use app::domain::api_key::NewSecret;
use app::domain::description::Description;
use app::domain::expiry::{Expiry, Period};
use app::domain::key_name::KeyName;
use app::domain::mecha::KeyOwner;
use app::domain::timestamp::{DAY, HOUR, Timestamp};
use app::domain::usage::ClientName;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use clap::Parser;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use server::clock::Clock;
use server::config::Cli;
use server::http::console::site_files::SiteFiles;
use server::http::middleware::client_ip::TrustedProxies;
use server::http::router::build;
use server::services::sessions::hash;
use server::state::AppState;
use server::store::Store;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use time::OffsetDateTime;
use tower::ServiceExt;
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};

/// `User-Agent` of the owner.
const AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/159.0.0.0 Safari/537.36";
const PASSWORD: &str = "plum orchard tuesday lantern";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: seed DATABASE_URL")?;
    let options = Cli::parse_from(["server", "--sign-ups", "open", "--scopes", "chat:read,chat:write"]).serve;
    let now = Clock::System.now();
    let clock = Arc::new(AtomicI64::new(now.0));
    let console = AppState::open(Store::open(&url).await?, Clock::Set(Arc::clone(&clock)), &options)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let seed = Seed { console, clock };

    let states = seed.account("states@example.com").await?;
    seed.create(&states, now.plus(-20 * DAY), "Old importer", Period::Days7, "Replaced in October").await?;
    seed.create(&states, now.plus(-40 * DAY), "Backup to cold storage", Period::NoExpiry, "").await?;
    let paused = seed
        .create(&states, now.plus(-9 * DAY), "Mobile app", Period::Days90, "Paused until the release")
        .await?;
    seed.console.keys.set_active(&states, &paused.id, false).await.map_err(|error| format!("{error:?}"))?;
    seed.create(&states, now.plus(-13 * HOUR), "CI/CD Pipeline", Period::Days7, "Deploys to staging").await?;
    seed.create(
        &states,
        now.plus(-HOUR),
        "Nightly report",
        Period::Days90,
        "Summarizes the day\nRuns at 02:00 UTC",
    )
    .await?;

    let three = seed.account("three@example.com").await?;
    for (hours, name, what) in [
        (50, "CI/CD Pipeline", "Deploys to staging and runs the smoke tests"),
        (26, "Mobile app backend", "Chat in the app"),
        (1, "Nightly report", ""),
    ] {
        seed.create(&three, now.plus(-hours * HOUR), name, Period::Days90, what).await?;
    }

    let full = seed.account("full@example.com").await?;
    for n in 1..=10 {
        seed.create(&full, now.plus(-n * DAY), &format!("API key {n}"), Period::Days180, "").await?;
    }
    let busy = seed.account("busy@example.com").await?;
    let router = build(seed.console.clone(), SiteFiles::default(), TrustedProxies::default());
    for (name, what, requests) in [
        ("Mobile app backend", "Chat in the app", [9, 12, 11, 14, 13, 4, 3]),
        ("CI/CD Pipeline", "Deploys to staging and runs the smoke tests", [2, 5, 3, 6, 8, 0, 0]),
        ("Nightly report", "", [1, 1, 1, 1, 1, 1, 1]),
        ("Partner integration", "Until the contract ends in March", [0, 0, 3, 4, 2, 7, 1]),
    ] {
        let key = seed.create(&busy, now.plus(-40 * DAY), name, Period::Days180, what).await?;
        if name == "Partner integration" {
            seed.restrict(&busy, &key, name, what).await?;
        }
        for day in 0..30 {
            seed.clock.store(now.plus((day - 29) * DAY).0, Ordering::SeqCst);
            let times = requests.iter().cycle().nth(usize::try_from(day)?).copied().unwrap_or_default();
            for _ in 0..times {
                send(&router, &[("x-api-key", &key.secret)]).await?;
            }
            // The last days of one key have denied requests.
            if name == "Partner integration" && day > 25 {
                let wrong = [("x-api-key-id", key.id.as_str()), ("x-api-key-secret", "mm_tok_wrong")];
                send(&router, &wrong).await?;
            }
            seed.console.keys.flush_usage().await?;
        }
    }
    seed.console.key_cache.shut_down().await;
    seed.console.store.close().await;
    Ok(())
}

/// Sends a verification with these headers.
async fn send(router: &Router, headers: &[(&str, &str)]) -> Result<(), Box<dyn Error>> {
    let mut request = Request::get("/verify").header("host", "127.0.0.1").header("user-agent", "curl/8.5.0");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router.clone().oneshot(request.body(Body::empty())?).await?;
    Ok(())
}

struct Seed {
    console: AppState,
    /// The time that the console's clock shows, in milliseconds since 1970.
    clock: Arc<AtomicI64>,
}

impl Seed {
    async fn account(&self, email: &str) -> Result<SignedIn, Box<dyn Error>> {
        let typed = email;
        let email = Email::parse(email).map_err(|problem| format!("{problem:?}"))?;
        let password = Password::parse_new(PASSWORD).map_err(|problem| format!("{problem:?}"))?;
        let rng = &mut UnwrapErr(SysRng);
        let added = self.console.accounts.add(email, password, true, ClientName::default(), rng).await;
        let account = added.map_err(|error| format!("{error:?}"))?;
        // A change requires a live session.
        let id = Id::default();
        let data = [("account", account.0.clone().into()), ("password_version", 0.into())];
        let data = data.map(|(name, value)| (name.to_owned(), value)).into();
        let mut record = Record { id, data, expiry_date: OffsetDateTime::UNIX_EPOCH };
        self.console.sessions.create(&mut record).await?;
        let session = hash(&id);
        Ok(SignedIn {
            account,
            email: typed.to_owned(),
            client: ClientName { address: "198.51.100.7".to_owned(), agent: AGENT.to_owned() },
            session,
        })
    }

    /// Restricts a key to a scope.
    async fn restrict(
        &self,
        who: &SignedIn,
        key: &NewSecret,
        name: &str,
        description: &str,
    ) -> Result<(), Box<dyn Error>> {
        let name = KeyName::parse(name).map_err(|problem| format!("{problem:?}"))?;
        let description = Description::parse(description).map_err(|problem| format!("{problem:?}"))?;
        let edit = KeyEdit {
            name,
            description,
            access: Access::from_text(Some("chat:read")),
            shown_access: String::new(),
        };
        self.console.keys.edit(who, &key.id, edit).await.map_err(|error| format!("{error:?}"))?;
        Ok(())
    }

    async fn create(
        &self,
        who: &SignedIn,
        at: Timestamp,
        name: &str,
        period: Period,
        description: &str,
    ) -> Result<NewSecret, Box<dyn Error>> {
        self.clock.store(at.0, Ordering::SeqCst);
        let name = KeyName::parse(name).map_err(|problem| format!("{problem:?}"))?;
        let description = Description::parse(description).map_err(|problem| format!("{problem:?}"))?;
        let (expiry, access) = (Expiry::After(period), Access::Everything);
        let new = NewKey { owner: KeyOwner::Account, name, expiry, description, access };
        let created = self.console.keys.create(who, new).await;
        let list = created.map_err(|error| format!("{error:?}"))?;
        Ok(list.new.ok_or("no key")?)
    }
}
