//! Listeners: where connections come from, and their limits.

use crate::http::minimum_rate::MinimumRate;
use crate::store::with_suffix;
use axum::extract::Request;
use axum::response::Response;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::fs::OFlags;
use std::convert::Infallible;
use std::fs::{File, Permissions, TryLockError, metadata, remove_file, set_permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// Timeout for a client to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Size limit of a request head, in bytes. The response to a larger one is 431 (RFC 6585). It is checked between reads,
/// so a head of less than twice this size can pass.
const HEAD_LIMIT: usize = 64 * 1024;
/// Permissions of a Unix socket: the server's user and its group may connect.
const SOCKET_MODE: u32 = 0o660;

/// Limit on the unsent bytes of a response in the kernel's buffer (`TCP_NOTSENT_LOWAT`). Without it, the kernel buffers
/// megabytes, which would count as read by the client.
const UNSENT_BYTES_LIMIT: u32 = 16 * 1024;
/// How long requests in flight may take after shutdown has begun.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(9);

/// Listens on a TCP address.
///
/// # Errors
/// The address is in use, or not one of this machine.
pub async fn bind_tcp(address: SocketAddr) -> io::Result<impl Listener<Io = TcpStream, Addr = SocketAddr>> {
    use axum::serve::ListenerExt;
    Ok(TcpListener::bind(address).await?.tap_io(|stream| {
        // Disables the Nagle algorithm (RFC 9293, 3.7.4), which would delay responses.
        let socket = socket2::SockRef::from(&*stream);
        if let Err(error) =
            socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_notsent_lowat(UNSENT_BYTES_LIMIT))
        {
            tracing::debug!(%error, "the options of a connection could not be set");
        }
    }))
}

/// Serves the connections of a listener until `shutdown`. Then it closes the listener and idle connections, and waits up to
/// [`DRAIN_TIMEOUT`] for requests in flight. `service_of` creates the service for the requests of one connection.
///
/// Connections use HTTP/1 only: HTTP/2 lets a client open hundreds of streams at once and read none of them, and no gateway
/// needs it here. A connection that a response upgrades is no longer this function's concern.
pub async fn serve<L, S>(
    mut listener: L,
    mut service_of: impl FnMut(L::Addr) -> S,
    shutdown: CancellationToken,
) where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut builder = http1::Builder::new();
    // Without a timer, the timeout has no effect (axum#2741).
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    // Dropping the set aborts the connections that are left.
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
            // Forgets connections that have ended.
            Some(_) = connections.join_next() => continue,
        };
        let io = TokioIo::new(MinimumRate::new(stream));
        let service = TowerToHyperService::new(service_of(peer));
        let connection = builder.serve_connection(io, service).with_upgrades();
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            tokio::pin!(connection);
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection failed");
            }
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("requests in flight are aborted: they took longer than {DRAIN_TIMEOUT:?} to complete");
    }
}

/// The file of a Unix socket. It is removed on drop.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// An exclusive lock on that path: of two processes that start together, neither removes the other's file.
    _lock: File,
}

/// Creates a Unix socket at this path and listens on it.
///
/// # Errors
/// [`ErrorKind::AddrInUse`] if another process uses the path, or a file of another kind exists there. Any other error
/// of creating the file.
pub(crate) fn bind_socket(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let in_use = || io::Error::new(ErrorKind::AddrInUse, "the path is already in use");
    // Do not follow a symlink and do not truncate a file: other users may be able to write to the folder, such as /tmp.
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(with_suffix(path, ".lock"))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => in_use(),
        TryLockError::Error(error) => error,
    })?;
    match metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // A process that was killed leaves its socket. Check the file type: other files refuse connections, too.
        Ok(file) if file.file_type().is_socket() && is_stale(path) => remove_file(path)?,
        Ok(_) => return Err(in_use()),
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile { path: path.to_owned(), _lock: lock };
    set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    listener.set_nonblocking(true)?;
    Ok((listener, file))
}

/// Returns true if no process listens on the socket.
fn is_stale(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(path: &Path) -> ErrorKind {
        bind_socket(path).unwrap_err().kind()
    }

    #[test]
    fn the_socket_of_a_killed_process_is_replaced_and_that_of_a_running_process_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (listener, file) = bind_socket(&path).unwrap();
        assert_eq!(metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert_eq!(error_of(&path), ErrorKind::AddrInUse);
        // The path stays in use after the listener is closed, until requests in flight are done.
        drop(listener);
        assert_eq!(error_of(&path), ErrorKind::AddrInUse);
        drop(file);
        assert!(!path.exists());
        bind_socket(&path).unwrap();
    }

    #[test]
    fn a_lock_file_that_is_a_symlink_is_not_followed_and_its_target_stays_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("socket"), folder.path().join("target"));
        std::fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, with_suffix(&path, ".lock")).unwrap();
        let error = bind_socket(&path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine");
    }

    #[tokio::test]
    async fn a_client_that_begins_with_http_2_is_rejected_at_once() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = bind_tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/", axum::routing::get(async || "ok"));
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, move |_| router.clone(), shutdown.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        // The preface and an empty SETTINGS frame (RFC 9113, 3.4).
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut response = Vec::new();
        client.read_to_end(&mut response).await.unwrap();
        assert!(response.starts_with(b"HTTP/1.1 400") || response.is_empty(), "{response:?}");
    }

    #[test]
    fn sockets_in_use_and_files_of_other_kinds_are_left_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _other = UnixListener::bind(&path).unwrap();
        assert_eq!(error_of(&path), ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
        let notes = folder.path().join("notes");
        std::fs::write(&notes, "mine").unwrap();
        assert_eq!(error_of(&notes), ErrorKind::AddrInUse);
        assert_eq!(std::fs::read_to_string(&notes).unwrap(), "mine");
    }
}
