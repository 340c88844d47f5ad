//! Listeners: where connections come from, their limits, and the runtime that serves them.

use crate::config::cores_minus_one;
use crate::http::minimum_rate::{TcpAcceptor, UnixAcceptor};
use crate::store::with_suffix;
use axum_server::{Address, Server};
use hyper_util::rt::TokioTimer;
use rustix::fs::OFlags;
use std::fs::{File, Permissions, TryLockError, metadata, remove_file, set_permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Timeout for a client to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Size limit of a request head, in bytes. The response to a larger one is 431 (RFC 6585). It is checked between reads,
/// so a head of less than twice this size can pass.
const HEAD_LIMIT: usize = 64 * 1024;
/// Permissions of a Unix socket: the server's user and its group may connect.
const SOCKET_MODE: u32 = 0o660;

/// Listens on a TCP address.
pub(crate) fn tcp_server(address: SocketAddr) -> Server<SocketAddr, TcpAcceptor> {
    with_limits(axum_server::bind(address).acceptor(TcpAcceptor))
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

/// Accepts connections of a Unix socket, on the runtime that this is called on.
///
/// # Errors
/// The socket cannot be registered with the runtime.
pub(crate) fn unix_server(listener: UnixListener) -> io::Result<Server<UnixAddr, UnixAcceptor>> {
    Ok(with_limits(axum_server::from_unix(listener)?.acceptor(UnixAcceptor)))
}

fn with_limits<A: Address, Acceptor>(server: Server<A, Acceptor>) -> Server<A, Acceptor> {
    // HTTP/2 lets a client open hundreds of streams at once and read none of them. No gateway needs it here.
    let mut server = server.http1_only();
    // Without a timer, the timeouts have no effect (axum#2741).
    let mut http1 = server.http_builder().http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    server
}

/// Builds the runtime that serves connections and verifies keys. Without a `count`, it has a thread for each core but
/// one: that core is for the gateway, which often runs on the same machine, and for all other work.
///
/// # Errors
/// The system cannot create more threads.
pub(crate) fn threads(count: Option<u16>) -> io::Result<Runtime> {
    let threads = count.map_or_else(cores_minus_one, usize::from);
    Builder::new_multi_thread().worker_threads(threads).thread_name("connections").enable_all().build()
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
        let handle = axum_server::Handle::new();
        let server = tcp_server(([127, 0, 0, 1], 0).into()).handle(handle.clone());
        let router = axum::Router::new().route("/", axum::routing::get(async || "ok"));
        tokio::spawn(server.serve(router.into_make_service()));
        let address = handle.listening().await.unwrap();
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
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
