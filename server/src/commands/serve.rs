//! `serve`: runs the server until shutdown.

use crate::clock::Clock;
use crate::config::ServeOptions;
use crate::http::console::site_files::SiteFiles;
use crate::http::middleware::client_ip::TrustedProxies;
use crate::http::verify::gateway_listeners::GatewayListeners;
use crate::http::verify::service::VerifyService;
use crate::http::{listeners, metrics_endpoint, node_listener, router};
use crate::services::keys::Keys;
use crate::services::retention::Retention;
use crate::state::AppState;
use crate::store::{Claim, Store};
use axum::Extension;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use futures::FutureExt;
use futures::future::try_join3;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval_at};
use tower::Layer;

/// Interval at which data past its retention period is deleted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Interval of clock checks, whose result `/readyz` shows.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// Interval at which usage is flushed to the database.
const FLUSH_INTERVAL: Duration = Duration::from_secs(60);

/// Serves until SIGTERM or SIGINT, then drains connections and flushes usage.
///
/// # Errors
/// Another server uses the database, the database cannot be opened, or the server cannot listen on the address or
/// socket.
pub async fn serve(options: ServeOptions) -> Result<(), Box<dyn Error>> {
    raise_file_limit();
    let is_reachable = |address: SocketAddr| !address.ip().is_unspecified() && address.port() != 0;
    if options.node_url.is_none() && options.node_listen.is_some_and(|address| !is_reachable(address)) {
        return Err(
            "--node-listen with this address needs --node-url: other nodes cannot reach it there".into()
        );
    }
    let _claim = Claim::of(&options.database.database_url)?;
    let store = Store::open(&options.database.database_url).await?;
    let began = Instant::now();
    let console = AppState::open(store.clone(), Clock::default(), &options).await?;
    let secrets = console.key_cache.index.len();
    tracing::info!(secrets, milliseconds = began.elapsed().as_millis(), "the key cache is loaded");
    tokio::spawn(retain(console.retention.clone()));
    tokio::spawn(flush_usage(console.keys.clone()));
    let keys = console.keys.clone();
    let (draining, shutdown) = (console.draining.clone(), console.shutdown.clone());
    let usage = Arc::clone(&console.usage);
    let runtimes = console.runtimes.clone();
    let shutdown_delay = Duration::from_secs(options.shutdown_delay.into());
    let background = console.accounts.background.clone();
    if options.public_url.is_none() && !options.listen.ip().is_loopback() {
        tracing::warn!(
            "the console is reachable from other machines without encryption: use HTTPS, and set --public-url"
        );
    }
    let listener = listeners::bind_tcp(options.listen).await?;
    let address = listener.local_addr()?;
    let gateways = GatewayListeners::bind(&options)?;
    if let Some(address) = options.metrics {
        let operators = metrics_endpoint::router(Arc::new(console.clone()));
        let listener = listeners::bind_tcp(address).await?;
        tokio::spawn(listeners::serve(listener, move |_| operators.clone(), shutdown.clone()));
    }
    let nodes = match options.node_listen {
        Some(address) => {
            let nodes = node_listener::router(Arc::new(console.clone()));
            let listener = listeners::bind_tcp(address).await?;
            Some(tokio::spawn(listeners::serve(listener, move |_| nodes.clone(), shutdown.clone())))
        }
        None => None,
    };
    let files = SiteFiles::open(options.site_root.as_deref());
    let proxies = TrustedProxies(options.trusted_proxies);
    let verifications = VerifyService::new(console.clone(), proxies.clone());
    let router = router::build(console, files, proxies);
    let url = options.public_url.map_or_else(|| format!("http://{address}"), |origin| origin.to_string());
    tracing::info!("the console is available at {url}");
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            shutdown_signal().await;
            tracing::info!("shutdown started");
            draining.cancel();
            // A second signal ends the delay.
            let _ = tokio::time::timeout(shutdown_delay, shutdown_signal()).await;
            usage.flush_without_pauses.cancel();
            shutdown.cancel();
        }
    });
    let service_of = |peer: SocketAddr| Extension(ConnectInfo(peer)).layer(router.clone());
    let main = listeners::serve(listener, service_of, shutdown.clone());
    let close_runtimes = async {
        shutdown.cancelled().await;
        runtimes.shut_down().await;
    };
    let all = (main.map(Ok), close_runtimes.map(Ok), gateways.serve(verifications, shutdown.clone()));
    try_join3(all.0, all.1, all.2).await?;
    if let Some(nodes) = nodes {
        nodes.await?;
    }
    background.close();
    background.wait().await;
    if let Err(error) = keys.flush_usage().await {
        tracing::warn!(%error, "the usage since the last flush is lost");
    }
    keys.key_cache.shut_down().await;
    store.close().await;
    Ok(())
}

/// Raises the limit of open files to what the system allows: each connection is a file, and the usual soft limit is 1,024.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, limit.current, "the limit of open files could not be raised");
    }
}

/// Flushes usage to the database at regular intervals.
async fn flush_usage(keys: Keys) {
    let mut interval = tokio::time::interval(FLUSH_INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = keys.flush_usage().await {
            tracing::warn!(%error, "usage could not be flushed; it is kept for the next flush");
        }
    }
}

/// Checks the clock and deletes data past its retention period, at regular intervals. It deletes nothing at start-up: a
/// clock that is wrong at that time, such as before the network is up, can still be corrected.
async fn retain(retention: Retention) {
    let mut checks = tokio::time::interval(CLOCK_CHECK_INTERVAL);
    let mut sweeps = interval_at(Instant::now() + SWEEP_INTERVAL, SWEEP_INTERVAL);
    loop {
        let done = tokio::select! {
            _ = checks.tick() => retention.check_clock().await.map(drop),
            _ = sweeps.tick() => retention.sweep().await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "retention failed: the database does not respond");
        }
    }
}

/// Waits for SIGTERM or SIGINT.
async fn shutdown_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
