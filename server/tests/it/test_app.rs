//! A separate console for each test, and clients that send requests to its router.

use app::backend::KeyBackend;
use app::domain::account::AccountId;
use app::domain::api_key::{KeyId, KeyList};
use app::domain::mecha::KeyOwner;
use app::domain::timestamp::Timestamp;
use app::domain::usage::KeyUsage;
use app::view::refusal::Refusal;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use clap::Parser;
use server::clock::Clock;
use server::config::Cli;
use server::http::console::site_files::SiteFiles;
use server::http::middleware::client_ip::TrustedProxies;
use server::http::router::build;
use server::state::AppState;
use server::store::Store;
use sqlx::postgres::PgConnection;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU16, AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

pub(crate) const PASSWORD: &str = "plum orchard tuesday lantern";
/// The command-line flags of a console, unless a test has its own.
const FLAGS: [&str; 4] = ["--sign-ups", "open", "--scopes", "read,write"];
/// 2026-11-21T12:00:00Z.
pub(crate) const START: Timestamp = Timestamp(1_795_262_400_000);
const AUTHORITY: &str = "127.0.0.1:3000";

/// Rounds of a race test: `usual`, or `torture` under `make torture`.
pub(crate) fn rounds(usual: usize, torture: usize) -> usize {
    if std::env::var_os("TORTURE").is_some() { torture } else { usual }
}

/// A console with its own database. Its clock stands still until the test advances it.
pub(crate) struct TestApp {
    pub(crate) router: Router,
    pub(crate) console: AppState,
    pub(crate) folder: TempDir,
    pub(crate) url: String,
    clock: Arc<AtomicI64>,
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Self::with(&FLAGS).await
    }

    /// Starts a console with these command-line flags.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = fresh_database(&folder).await;
        Self::on(folder, url, flags, START.0).await
    }

    /// Starts a console whose clock shows `now`.
    pub(crate) async fn at(now: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = fresh_database(&folder).await;
        Self::on(folder, url, &FLAGS, now.0).await
    }

    /// Starts a console on a SQLite file, even if the other tests run on PostgreSQL.
    pub(crate) async fn in_file() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    async fn on(folder: TempDir, url: String, flags: &[&str], now: i64) -> Self {
        // Tests send changes faster than users do, so the limit is off unless the test sets one.
        let is_limited = flags.iter().any(|flag| flag.starts_with("--changes-per-minute"));
        let unlimited = (!is_limited).then_some("--changes-per-minute=0");
        let flags =
            ["server", "--database-url", &url].into_iter().chain(unlimited).chain(flags.iter().copied());
        let options = Cli::parse_from(flags).serve;
        let clock = Arc::new(AtomicI64::new(now));
        let store = Store::open(&options.database.database_url).await.unwrap();
        let console = AppState::open(store, Clock::Set(Arc::clone(&clock)), &options).await.unwrap();
        let router = router_of(&console, TrustedProxies(options.trusted_proxies));
        Self { router, console, folder, url, clock }
    }

    /// Opens the SQLite file in this folder.
    pub(crate) async fn open(folder: TempDir) -> Self {
        let url = file(&folder);
        Self::on(folder, url, &FLAGS, START.0).await
    }

    /// Opens the database at this URL.
    pub(crate) async fn at_url(url: &str) -> Self {
        Self::on(tempfile::tempdir().unwrap(), url.to_owned(), &FLAGS, START.0).await
    }

    /// Starts another node on the same database: after this one on SQLite, or concurrently on PostgreSQL.
    pub(crate) async fn restart(&self) -> Self {
        self.restart_with(&FLAGS).await
    }

    /// Like [`Self::restart`], with these command-line flags.
    pub(crate) async fn restart_with(&self, flags: &[&str]) -> Self {
        let (folder, now) = (tempfile::tempdir().unwrap(), self.clock.load(Ordering::SeqCst));
        Self::on(folder, self.url.clone(), flags, now).await
    }

    /// Waits until no trigger is in flight on this node.
    pub(crate) async fn wait_until_no_trigger_is_in_flight(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.console.runtimes.triggers() > 0 {
            assert!(Instant::now() < deadline, "triggers are left in flight");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// A direct connection to the database, without the server.
    pub(crate) async fn database(&self) -> AnyConnection {
        AnyConnection::connect(&self.url).await.unwrap()
    }

    /// Moves the clock forward, or back if negative.
    pub(crate) fn advance(&self, milliseconds: i64) {
        self.clock.fetch_add(milliseconds, Ordering::SeqCst);
    }

    /// Denied requests of a key as its owner sees them: the number for each reason, sorted by reason.
    pub(crate) async fn denials(&self, key: &str) -> Vec<(String, u64)> {
        let mut times = BTreeMap::new();
        for denied in self.usage(key).await.denied {
            *times.entry(denied.reason.name().to_owned()).or_default() += denied.times;
        }
        times.into_iter().collect()
    }

    /// Usage of a key as its owner sees it.
    pub(crate) async fn usage(&self, key: &str) -> KeyUsage {
        let id = KeyId::parse(key).unwrap();
        let own = self.console.store.key_by_id(&id).await.unwrap().unwrap();
        self.console.keys.usage(&AccountId(own.account_id), &id).await.unwrap()
    }

    /// A browser without a session, on its own network, so that rate limits of tests do not interfere.
    pub(crate) fn anonymous(&self) -> Browser {
        static NETWORKS: AtomicU16 = AtomicU16::new(0);
        let [high, low] = NETWORKS.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        Browser {
            router: self.router.clone(),
            console: self.console.clone(),
            cookie: None,
            peer: SocketAddr::from(([10, 9, high, low], 1)),
        }
    }

    /// Creates an account and returns its browser, signed in.
    pub(crate) async fn owner(&self, email: &str) -> Browser {
        let mut browser = self.anonymous();
        let response =
            browser.post("/rpc/account/sign-up", &[("email", email), ("password", PASSWORD)]).await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.body);
        browser
    }
}

pub(crate) fn file(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("data/console.db").display())
}

/// URL of the PostgreSQL server to test on, set by `tools/postgres.sh`; `None` to test on SQLite.
pub(crate) fn postgres() -> Option<String> {
    std::env::var("POSTGRES").ok()
}

/// The URL of a new database that no other test uses: a SQLite file, or a database on the PostgreSQL server.
pub(crate) async fn fresh_database(folder: &TempDir) -> String {
    static NUMBERS: AtomicU32 = AtomicU32::new(0);
    let Some(server) = postgres() else { return file(folder) };
    let name = format!("test_{}_{}", std::process::id(), NUMBERS.fetch_add(1, Ordering::SeqCst));
    let mut admin = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    format!("{server}/{name}")
}

/// A browser: stores the session cookie and sends requests from a fixed address.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) router: Router,
    console: AppState,
    pub(crate) cookie: Option<String>,
    peer: SocketAddr,
}

pub(crate) struct TestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl TestResponse {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn list(&self) -> KeyList {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn refusal(&self) -> Refusal {
        let refusal: Refusal = serde_json::from_str(&self.body).unwrap();
        assert_eq!(refusal.status, self.status.as_u16());
        refusal
    }
}

impl Browser {
    /// Sends a form as the island does, and accepts JSON.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> TestResponse {
        self.send(form(path).header(ACCEPT, "application/json"), fields).await
    }

    /// Submits a form as a browser without JavaScript does, and accepts HTML.
    pub(crate) async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> TestResponse {
        self.send(form(path).header(ACCEPT, "text/html,application/xhtml+xml"), fields).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> TestResponse {
        self.send(Request::get(path).header(ACCEPT, "text/html"), &[]).await
    }

    pub(crate) async fn send(
        &mut self,
        request: axum::http::request::Builder,
        fields: &[(&str, &str)],
    ) -> TestResponse {
        let mut request = request.extension(ConnectInfo(self.peer));
        if request.headers_ref().is_some_and(|headers| !headers.contains_key(HOST)) {
            request = request.header(HOST, AUTHORITY);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let body = serde_urlencoded::to_string(fields).unwrap();
        let response = call(&self.router, request.body(Body::from(body)).unwrap()).await;
        if let Some(cookie) = response.headers.get(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            self.cookie = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
        }
        response
    }

    /// Signs in again, for tests that advance the clock past the end of the session.
    pub(crate) async fn sign_in(&mut self, email: &str) {
        let response = self.post("/rpc/account/sign-in", &[("email", email), ("password", PASSWORD)]).await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.body);
    }

    /// Creates a key; returns its Key ID and its secret.
    pub(crate) async fn create(&mut self, name: &str) -> (String, String) {
        let list = self.post("/rpc/keys/create", &[("name", name), ("expire_in", "90")]).await.list();
        let new = list.new.unwrap();
        (new.id.as_str().to_owned(), new.secret)
    }

    /// All keys, as the page shows them.
    pub(crate) async fn list(&mut self) -> Vec<app::domain::api_key::ApiKey> {
        let account = self.send(Request::get("/api/v1/account"), &[]).await;
        assert_eq!(account.status, StatusCode::OK, "{}", account.body);
        let account: serde_json::Value = serde_json::from_str(&account.body).unwrap();
        let account = AccountId(account["id"].as_str().unwrap().to_owned());
        self.console.keys.list(&account, &KeyOwner::Account).await.unwrap().keys
    }
}

/// Builds the router of the main listener.
pub(crate) fn router_of(console: &AppState, proxies: TrustedProxies) -> Router {
    build(console.clone(), SiteFiles::default(), proxies)
}

pub(crate) fn form(path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ORIGIN, format!("http://{AUTHORITY}"))
}

pub(crate) async fn call(router: &Router, request: Request<Body>) -> TestResponse {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    TestResponse {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

/// Sends a GET request with these headers and no cookie, as an API client does.
pub(crate) async fn client_request(router: &Router, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    let mut request = Request::get(path).header(HOST, AUTHORITY);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    call(router, request.body(Body::empty()).unwrap()).await
}

/// The status of `/verify` with this secret as bearer token.
pub(crate) async fn verify(router: &Router, secret: &str) -> StatusCode {
    client_request(router, "/verify", &[("authorization", &format!("Bearer {secret}"))]).await.status
}

/// The status of `/verify` for a route that requires these scopes.
pub(crate) async fn verify_scope(router: &Router, secret: &str, scope: &str) -> StatusCode {
    let path = format!("/verify?scope={scope}");
    client_request(router, &path, &[("authorization", &format!("Bearer {secret}"))]).await.status
}

/// The status of `/api/v1/key` with this secret as bearer token.
pub(crate) async fn bearer(router: &Router, secret: &str) -> StatusCode {
    client_request(router, "/api/v1/key", &[("authorization", &format!("Bearer {secret}"))]).await.status
}
