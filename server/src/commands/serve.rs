//! Serving, and shutdown.

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

/// How long requests in flight may take once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(9);
/// How often what has been kept for long enough is deleted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How often the clock is checked, for `/readyz`.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is written down who used which key.
const FLUSH_INTERVAL: Duration = Duration::from_secs(60);

/// Serves until told to stop.
///
/// # Errors
/// The database cannot be opened, or the address cannot be listened on.
pub async fn serve(options: ServeOptions) -> Result<(), Box<dyn Error>> {
    let _claim = Claim::of(&options.database.database_url)?;
    let store = Store::open(&options.database.database_url).await?;
    let began = Instant::now();
    let console = AppState::open(store.clone(), Clock::default(), &options).await?;
    let secrets = console.key_cache.index.len();
    tracing::info!(secrets, milliseconds = began.elapsed().as_millis(), "secrets are in memory");
    tokio::spawn(retain(console.retention.clone()));
    tokio::spawn(flush_usage(console.keys.clone()));
    let keys = console.keys.clone();
    let (draining, shutdown) = (console.draining.clone(), console.shutdown.clone());
    let usage = Arc::clone(&console.usage);
    let shutdown_delay = Duration::from_secs(options.shutdown_delay.into());
    let background = console.accounts.background.clone();
    if options.public_url.is_none() && !options.listen.ip().is_loopback() {
        tracing::warn!(
            "reachable from other machines without encryption: put it behind HTTPS, and set --public-url"
        );
    }
    let handle = Handle::new();
    let server = listeners::on_address(options.listen).handle(handle.clone());
    let (socket, _file) = options
        .socket
        .as_deref()
        .map(|file| listeners::make_socket(file).map_err(|error| format!("{}: {error}", file.display())))
        .transpose()?
        .unzip();
    let socket_handle = Handle::new();
    if let Some(address) = options.metrics {
        let operators = metrics_endpoint::router(Arc::new(console.clone())).into_make_service();
        let server = listeners::on_address(address);
        tokio::spawn(async move {
            if let Err(error) = server.serve(operators).await {
                tracing::error!(%error, "there are no metrics at {address}");
            }
        });
    }
    let site = site(&options);
    let front = router::build(console, site, TrustedProxies(options.trusted_proxies.clone()));
    let at_socket = serve_socket(front.clone(), socket, socket_handle.clone());
    tokio::spawn({
        let handle = handle.clone();
        let public_url = options.public_url.clone();
        async move {
            if let Some(address) = handle.listening().await {
                let url = public_url.map_or_else(|| format!("http://{address}"), |origin| origin.to_string());
                tracing::info!("the console answers on {url}");
            }
        }
    });
    tokio::spawn(async move {
        stop_signal().await;
        tracing::info!("shutdown");
        draining.cancel();
        // Told so again, it waits no longer.
        let _ = tokio::time::timeout(shutdown_delay, stop_signal()).await;
        shutdown.cancel();
        usage.no_pauses.cancel();
        handle.graceful_shutdown(Some(DRAIN));
        socket_handle.graceful_shutdown(Some(DRAIN));
    });
    let of_peer = move |peer: SocketAddr| ready(Ok::<_, Infallible>(front.of(Peer::At(peer.ip()))));
    let served = try_join(server.serve(service_fn(of_peer)), at_socket);
    let connections = listeners::threads(options.verification_threads)?;
    let served = connections.spawn(served).await;
    // It may not be dropped where others wait.
    connections.shutdown_background();
    served??;
    background.close();
    background.wait().await;
    if let Err(error) = keys.flush_usage().await {
        tracing::warn!(%error, "the last uses of keys were not written down");
    }
    keys.key_cache.shut_down().await;
    store.close().await;
    Ok(())
}

/// Serves gateways on this machine, if there is a socket for them.
async fn serve_socket(
    front: Dispatch,
    socket: Option<UnixListener>,
    handle: Handle<UnixAddr>,
) -> io::Result<()> {
    let Some(listener) = socket else { return Ok(()) };
    if let Some(path) = listener.local_addr()?.as_pathname() {
        tracing::info!("gateways on this machine are answered at {}", path.display());
    }
    let of_peer = move |_: UnixAddr| ready(Ok::<_, Infallible>(front.of(Peer::OnThisMachine)));
    listeners::on_socket(listener)?.handle(handle).serve(service_fn(of_peer)).await
}

/// Where the pages' scripts and styles are. Their names carry hashes if `cargo leptos` has listed them
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

async fn flush_usage(keys: Keys) {
    let mut every = tokio::time::interval(FLUSH_INTERVAL);
    loop {
        every.tick().await;
        if let Err(error) = keys.flush_usage().await {
            tracing::warn!(%error, "uses of keys are not written down yet");
        }
    }
}

/// Deletes nothing at start-up: a clock that is wrong then, as before the network is up, has time to be corrected.
async fn retain(retention: Retention) {
    let mut checks = tokio::time::interval(CLOCK_CHECK_INTERVAL);
    let mut sweeps = interval_at(Instant::now() + SWEEP_INTERVAL, SWEEP_INTERVAL);
    loop {
        let done = tokio::select! {
            _ = checks.tick() => retention.check_clock().await.map(drop),
            _ = sweeps.tick() => retention.sweep().await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "retention: the database does not answer");
        }
    }
}

async fn stop_signal() {
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
