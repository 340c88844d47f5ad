//! Listening: where connections come from, what a client may take of them, and the threads that serve them.

use crate::config::all_cores_but_one;
use crate::http::minimum_rate::{AnyAcceptor, TcpAcceptor};
use crate::store::beside;
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

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes; a larger one is 431 (RFC 6585).
const HEAD_LIMIT: usize = 64 * 1024;
/// Who may open a Unix socket: the server's user and its group.
const SOCKET_MODE: u32 = 0o660;

/// Connections from anywhere.
pub(crate) fn on_address(address: SocketAddr) -> Server<SocketAddr, TcpAcceptor> {
    limited(axum_server::bind(address).acceptor(TcpAcceptor))
}

/// The file of a Unix socket, for as long as it is kept.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// The right to that path: of two processes that start together, neither removes the other's file.
    _lock: File,
}

/// Makes the file of a Unix socket.
///
/// # Errors
/// Another process listens there, or there may be no such file.
pub(crate) fn make_socket(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let in_use = || io::Error::new(ErrorKind::AddrInUse, "it is there already, and in use");
    // What is there already is neither followed elsewhere nor emptied: anybody may write to the folder, such as /tmp.
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(beside(path, ".lock"))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => in_use(),
        TryLockError::Error(error) => error,
    })?;
    match metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // A process that was killed leaves its file. Files of other kinds refuse connections, too.
        Ok(file) if file.file_type().is_socket() && refuses(path) => remove_file(path)?,
        Ok(_) => return Err(in_use()),
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile { path: path.to_owned(), _lock: lock };
    set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    listener.set_nonblocking(true)?;
    Ok((listener, file))
}

fn refuses(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = remove_file(&self.path);
    }
}

/// Connections from this machine, which the runtime accepts that this is called on.
///
/// # Errors
/// The runtime cannot wait for them.
pub(crate) fn on_socket(listener: UnixListener) -> io::Result<Server<UnixAddr, AnyAcceptor>> {
    Ok(limited(axum_server::from_unix(listener)?.acceptor(AnyAcceptor)))
}

fn limited<A: Address, Acceptor>(server: Server<A, Acceptor>) -> Server<A, Acceptor> {
    // HTTP/2 lets a client open hundreds of responses at once and read none of them, and no gateway speaks it here.
    let mut server = server.http1_only();
    // Without a timer the timeouts would be inert (axum#2741).
    let mut http1 = server.http_builder().http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    server
}

/// The threads that serve connections and answer verifications. One core is left to what asks them, which is often on
/// the same machine, and to all else.
///
/// # Errors
/// The system has no threads left.
pub(crate) fn threads(count: Option<u16>) -> io::Result<Runtime> {
    let threads = count.map_or_else(all_cores_but_one, usize::from);
    Builder::new_multi_thread().worker_threads(threads).thread_name("connections").enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(path: &Path) -> ErrorKind {
        make_socket(path).unwrap_err().kind()
    }

    #[test]
    fn the_file_of_a_process_that_was_killed_is_no_obstacle_and_that_of_a_living_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (listener, file) = make_socket(&path).unwrap();
        assert_eq!(metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert_eq!(error_of(&path), ErrorKind::AddrInUse);
        // Also while it listens no more, but has requests in flight.
        drop(listener);
        assert_eq!(error_of(&path), ErrorKind::AddrInUse);
        drop(file);
        assert!(!path.exists());
        make_socket(&path).unwrap();
    }

    #[test]
    fn a_lock_that_is_a_link_is_not_followed_and_what_it_leads_to_stays_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("socket"), folder.path().join("target"));
        std::fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, beside(&path, ".lock")).unwrap();
        let refused = make_socket(&path).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine");
    }

    #[tokio::test]
    async fn a_client_that_begins_with_http_2_is_rejected_at_once() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let handle = axum_server::Handle::new();
        let server = on_address(([127, 0, 0, 1], 0).into()).handle(handle.clone());
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
    fn what_other_programs_listen_at_and_what_is_no_socket_is_left_alone() {
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
