//! The listeners for gateways: `--verify-listen` and `--socket`, on a runtime of their own.

use crate::config::{ServeOptions, cores_minus_one};
use crate::http::listeners::{SocketFile, bind_socket, bind_tcp, serve};
use crate::http::middleware::client_ip::Peer;
use crate::http::verify::service::VerifyService;
use futures::future::try_join;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// The listeners that are configured, and their runtime.
pub(crate) struct GatewayListeners {
    address: Option<SocketAddr>,
    socket: Option<(UnixListener, SocketFile)>,
    runtime: OwnRuntime,
}

impl GatewayListeners {
    /// Creates the Unix socket, if one is configured.
    ///
    /// # Errors
    /// The socket cannot be created, or the system cannot create more threads.
    pub(crate) fn bind(options: &ServeOptions) -> Result<Self, String> {
        let socket = options.socket.as_deref();
        let socket =
            socket.map(|file| bind_socket(file).map_err(|error| format!("{}: {error}", file.display())));
        let is_used = options.verify_listen.is_some() || options.socket.is_some();
        let runtime = is_used.then(|| runtime(options.verification_threads)).transpose();
        Ok(Self {
            address: options.verify_listen,
            socket: socket.transpose()?,
            runtime: OwnRuntime(runtime.map_err(|error| error.to_string())?),
        })
    }

    /// Serves until `shutdown`; returns at once if no listener is configured.
    ///
    /// # Errors
    /// The server cannot listen on the address.
    pub(crate) async fn serve(self, service: VerifyService, shutdown: CancellationToken) -> io::Result<()> {
        let Some(runtime) = &self.runtime.0 else { return Ok(()) };
        let (socket, _file) = self.socket.unzip();
        let both = try_join(
            serve_address(service.clone(), self.address, shutdown.clone()),
            serve_socket(service, socket, shutdown),
        );
        runtime.spawn(both).await??;
        Ok(())
    }
}

async fn serve_address(
    service: VerifyService,
    address: Option<SocketAddr>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let Some(address) = address else { return Ok(()) };
    let listener = bind_tcp(address).await?;
    tracing::info!("listening for gateways at http://{address}/verify");
    serve(listener, |peer| service.of(Peer::Tcp(peer.ip())), shutdown).await;
    Ok(())
}

async fn serve_socket(
    service: VerifyService,
    socket: Option<UnixListener>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let Some(listener) = socket else { return Ok(()) };
    if let Some(path) = listener.local_addr()?.as_pathname() {
        tracing::info!("listening for gateways on this machine at {}", path.display());
    }
    let listener = tokio::net::UnixListener::from_std(listener)?;
    serve(listener, |_| service.of(Peer::UnixSocket), shutdown).await;
    Ok(())
}

/// Without a `count`, the runtime has a thread for each core but one: that core is for the gateway, which often runs on
/// the same machine, and for all other work.
fn runtime(count: Option<u16>) -> io::Result<Runtime> {
    let threads = count.map_or_else(cores_minus_one, usize::from);
    Builder::new_multi_thread().worker_threads(threads).thread_name("verification").enable_all().build()
}

/// Shuts the runtime down without waiting: dropping a [`Runtime`] in an async context panics.
struct OwnRuntime(Option<Runtime>);

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
