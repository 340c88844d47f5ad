//! Listening, serving, and stopping.

use super::client::TrustedProxies;
use super::{build, metrics};
use crate::clock::Clock;
use crate::config::{ServeOptions, all_cores_but_one};
use crate::console::Console;
use crate::keys::Keys;
use crate::store::{Claim, Store};
use app::error::Refusal;
use axum_server::accept::NoDelayAcceptor;
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use leptos::config::LeptosOptions;
use std::convert::Infallible;
use std::error::Error;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tower::service_fn;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes; a larger one is 431 (RFC 6585).
const HEAD_LIMIT: usize = 64 * 1024;
/// How long requests in flight may take once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(9);
/// How often what has ended is cleared away.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often it is written down who used which key.
const WRITE_TRAFFIC_EVERY: Duration = Duration::from_secs(60);

/// Serves until told to stop.
///
/// # Errors
/// The database cannot be opened, or the address cannot be listened on.
pub async fn serve(options: ServeOptions) -> Result<(), Box<dyn Error>> {
    let _claim = Claim::of(&options.database.database_url)?;
    let store = Store::open(&options.database.database_url).await?;
    let began = Instant::now();
    let console = Console::open(store.clone(), Clock::default(), &options)
        .await
        .map_err(|error| Refusal::from(error).detail)?;
    let secrets = console.keys.verifier.secrets.index.len();
    tracing::info!(secrets, milliseconds = began.elapsed().as_millis(), "secrets are in memory");
    tokio::spawn(sweep(console.clone()));
    tokio::spawn(write_down_traffic(console.keys.clone()));
    let keys = console.keys.clone();
    let (leaving, stopping) = (console.leaving.clone(), console.stopping.clone());
    let traffic = Arc::clone(&keys.verifier.traffic);
    let stop_after = Duration::from_secs(options.stop_after.into());
    let background = console.accounts.background.clone();
    if options.public_url.is_none() && !options.listen.ip().is_loopback() {
        tracing::warn!(
            "reachable from other machines without encryption: put it behind HTTPS, and set --public-url"
        );
    }
    let handle = Handle::new();
    let server = listen(options.listen).handle(handle.clone());
    if let Some(address) = options.metrics {
        let operators = metrics::router(Arc::new(console.clone())).into_make_service();
        let server = listen(address);
        tokio::spawn(async move {
            if let Err(error) = server.serve(operators).await {
                tracing::error!(%error, "there are no metrics at {address}");
            }
        });
    }
    let site = site(&options);
    let front = build(console, site, TrustedProxies(options.trusted_proxies.clone()));
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
        tracing::info!("stopping");
        leaving.cancel();
        // Told so again, it waits no longer.
        let _ = tokio::time::timeout(stop_after, stop_signal()).await;
        stopping.cancel();
        traffic.hurry.cancel();
        handle.graceful_shutdown(Some(DRAIN));
    });
    let connections = connections(options.verification_threads)?;
    let serving =
        server.serve(service_fn(move |peer: SocketAddr| ready(Ok::<_, Infallible>(front.of(peer)))));
    let served = connections.spawn(serving).await;
    // It may not be dropped where others wait.
    connections.shutdown_background();
    served??;
    background.close();
    background.wait().await;
    if let Err(error) = keys.write_down_traffic().await {
        tracing::warn!(%error, "the last uses of keys were not written down");
    }
    keys.verifier.secrets.leave().await;
    store.close().await;
    Ok(())
}

/// The threads that serve connections and answer verifications. One core is left to what asks them, which is often on
/// the same machine, and to all else.
fn connections(threads: Option<u16>) -> io::Result<Runtime> {
    let threads = threads.map_or_else(all_cores_but_one, usize::from);
    Builder::new_multi_thread().worker_threads(threads).thread_name("connections").enable_all().build()
}

fn listen(address: SocketAddr) -> Server<SocketAddr, NoDelayAcceptor> {
    // A body of several pieces would otherwise wait for the client between them, 40 ms at a time (RFC 9293, 3.7.4).
    let mut server = axum_server::bind(address).acceptor(NoDelayAcceptor::new());
    // Without a timer the timeouts would be inert (axum#2741).
    let mut http1 = server.http_builder().http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    // Most answers are a head alone, which is written in less time as one buffer than as a list of one.
    http1.writev(false);
    let mut http2 = server.http_builder().http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT).max_header_list_size(HEAD_LIMIT as u32);
    server
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

async fn write_down_traffic(keys: Keys) {
    let mut every = tokio::time::interval(WRITE_TRAFFIC_EVERY);
    loop {
        every.tick().await;
        if let Err(error) = keys.write_down_traffic().await {
            tracing::warn!(%error, "uses of keys are not written down yet");
        }
    }
}

async fn sweep(console: Console) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        if let Err(error) = console.keys.sweep().await {
            tracing::warn!(%error, "expired keys were not cleared away");
        }
        if let Err(error) = console.sessions.sweep().await {
            tracing::warn!(%error, "ended sessions were not cleared away");
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
