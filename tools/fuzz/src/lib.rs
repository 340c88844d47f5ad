//! A complete console in this process, as the target of fuzzing.

use axum::Router;
use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{Request, Response, StatusCode};
use clap::Parser;
use server::clock::Clock;
use server::config::Cli;
use server::state::AppState;
use server::http::console::site_files::SiteFiles;
use server::http::middleware::client_ip::TrustedProxies;
use server::http::router::build;
use server::store::Store;
use tokio::runtime::Runtime;
use tower::ServiceExt;

const OWNER: &str = "email=ada@example.com&password=plum orchard tuesday lantern";

/// A form of the console's own page.
pub fn form(path: &str) -> Builder {
    Request::post(format!("/rpc/{path}"))
        .header("host", "127.0.0.1:3000")
        .header("origin", "http://127.0.0.1:3000")
        .header("content-type", "application/x-www-form-urlencoded")
}

/// Handles requests one after another.
pub struct Target {
    runtime: Runtime,
    router: Router,
    /// The session of an owner.
    pub cookie: String,
}

impl Default for Target {
    fn default() -> Self {
        let file = std::env::temp_dir().join(format!("fuzz-{}.db", std::process::id()));
        let url = format!("sqlite:{}", file.display());
        let options = Cli::parse_from(["server", "--database-url", &url, "--trusted-proxies", "0.0.0.0/0"]).serve;
        let _ = std::fs::remove_file(&file);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let router = runtime.block_on(async {
            let store = Store::open(&url).await.expect("a database");
            let console = AppState::open(store, Clock::default(), &options).await.expect("a console");
            build(console, SiteFiles::default(), TrustedProxies(options.trusted_proxies))
        });
        let mut target = Self { runtime, router, cookie: String::new() };
        let answer = target.ask(form("account/sign-up").body(Body::from(OWNER)).expect("a request"));
        let cookie = answer.headers().get("set-cookie").expect("a session").to_str().expect("text");
        target.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        target
    }
}

impl Target {
    /// The answer to a request, which is no defect of the server whatever was sent.
    pub fn ask(&self, request: Request<Body>) -> Response<Body> {
        let Ok(answer) = self.runtime.block_on(self.router.clone().oneshot(request));
        assert_ne!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        answer
    }
}
