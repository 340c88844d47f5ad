//! `serve`: runs the server until shutdown.

use crate::clock::Clock;
use crate::config::ServeOptions;
use crate::http::dispatch::Dispatch;
use crate::http::middleware::client_ip::{Peer, TrustedProxies};
use crate::http::{listeners, metrics_endpoint, router};
use crate::services::keys::Keys;
use crate::services::retention::Retention;
use crate::state::AppState;
use crate::store::{Claim, Store};
use axum_server::Handle;
use futures::future::try_join;
use leptos::config::LeptosOptions;
use std::convert::Infallible;
use std::error::Error;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval_at};
use tower::service_fn;

/// How long requests in flight may take at shutdown, after `--shutdown-delay`.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(9);
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
    let shutdown_delay = Duration::from_secs(options.shutdown_delay.into());
    let background = console.accounts.background.clone();
    if options.public_url.is_none() && !options.listen.ip().is_loopback() {
        tracing::warn!(
            "the console is reachable from other machines without encryption: use HTTPS, and set --public-url"
        );
    }
    let handle = Handle::new();
    let server = listeners::tcp_server(options.listen).handle(handle.clone());
    let (socket, _file) = options
        .socket
        .as_deref()
        .map(|file| listeners::bind_socket(file).map_err(|error| format!("{}: {error}", file.display())))
        .transpose()?
        .unzip();
    let socket_handle = Handle::new();
    if let Some(address) = options.metrics {
        let operators = metrics_endpoint::router(Arc::new(console.clone())).into_make_service();
        let server = listeners::tcp_server(address);
        tokio::spawn(async move {
            if let Err(error) = server.serve(operators).await {
                tracing::error!(%error, "cannot serve metrics at {address}");
            }
        });
    }
    let site = site(&options);
    let dispatch = router::build(console, site, TrustedProxies(options.trusted_proxies.clone()));
    let at_socket = serve_socket(dispatch.clone(), socket, socket_handle.clone());
    tokio::spawn({
        let handle = handle.clone();
        let public_url = options.public_url.clone();
        async move {
            if let Some(address) = handle.listening().await {
                let url = public_url.map_or_else(|| format!("http://{address}"), |origin| origin.to_string());
                tracing::info!("the console is available at {url}");
            }
        }
    });
    tokio::spawn(async move {
        shutdown_signal().await;
        tracing::info!("shutdown started");
        draining.cancel();
        // A second signal ends the delay.
        let _ = tokio::time::timeout(shutdown_delay, shutdown_signal()).await;
        shutdown.cancel();
        usage.flush_without_pauses.cancel();
        handle.graceful_shutdown(Some(DRAIN_TIMEOUT));
        socket_handle.graceful_shutdown(Some(DRAIN_TIMEOUT));
    });
    let of_peer = move |peer: SocketAddr| ready(Ok::<_, Infallible>(dispatch.of(Peer::Tcp(peer.ip()))));
    let served = try_join(server.serve(service_fn(of_peer)), at_socket);
    let connections = listeners::threads(options.verification_threads)?;
    let served = connections.spawn(served).await;
    // Dropping a runtime in an async context would panic.
    connections.shutdown_background();
    served??;
    background.close();
    background.wait().await;
    if let Err(error) = keys.flush_usage().await {
        tracing::warn!(%error, "the usage since the last flush is lost");
    }
    keys.key_cache.shut_down().await;
    store.close().await;
    Ok(())
}

/// Serves gateways on this machine, if `--socket` is set.
async fn serve_socket(
    dispatch: Dispatch,
    socket: Option<UnixListener>,
    handle: Handle<UnixAddr>,
) -> io::Result<()> {
    let Some(listener) = socket else { return Ok(()) };
    if let Some(path) = listener.local_addr()?.as_pathname() {
        tracing::info!("listening for gateways on this machine at {}", path.display());
    }
    let of_peer = move |_: UnixAddr| ready(Ok::<_, Infallible>(dispatch.of(Peer::UnixSocket)));
    listeners::unix_server(listener)?.handle(handle).serve(service_fn(of_peer)).await
}

/// Where the scripts and styles of the pages are. Their names contain hashes if `cargo leptos` has written `hash.txt`
/// beside the binary.
fn site(options: &ServeOptions) -> LeptosOptions {
    let hash_file = "hash.txt";
    let is_hashed = std::env::current_exe()
        .is_ok_and(|binary| binary.parent().is_some_and(|folder| folder.join(hash_file).exists()));
    LeptosOptions::builder()
        .output_name("mecha-console")
        .site_root(options.site_root.to_string_lossy().into_owned())
        .site_pkg_dir("pkg")
        .site_addr(options.listen)
        .hash_files(is_hashed)
        .hash_file(hash_file.into())
        .reload_port(3001_u32)
        .build()
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
