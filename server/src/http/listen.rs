//! Listening: where connections come from, what a client may take of them, and the threads that serve them.

use crate::config::all_cores_but_one;
use axum_server::accept::NoDelayAcceptor;
use axum_server::{Address, Server};
use hyper_util::rt::TokioTimer;
use std::fs::{Metadata, Permissions, metadata, remove_file, set_permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
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
pub(super) fn on_address(address: SocketAddr) -> Server<SocketAddr, NoDelayAcceptor> {
    // A body of several pieces would otherwise wait for the client between them, 40 ms at a time (RFC 9293, 3.7.4).
    limited(axum_server::bind(address)).acceptor(NoDelayAcceptor::new())
}

/// The file of a Unix socket, for as long as it is kept.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    made: Metadata,
}

/// Connections from this machine.
///
/// # Errors
/// Another process listens there, or there may be no file.
pub(super) fn on_socket(path: &Path) -> io::Result<(Server<UnixAddr>, SocketFile)> {
    let listener = UnixListener::bind(path).or_else(|error| {
        // A process that was killed leaves its file. Other files refuse connections, too.
        let is_left = error.kind() == ErrorKind::AddrInUse
            && metadata(path)?.file_type().is_socket()
            && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        if !is_left {
            return Err(error);
        }
        remove_file(path)?;
        UnixListener::bind(path)
    })?;
    let file = SocketFile { path: path.to_owned(), made: metadata(path)? };
    set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    listener.set_nonblocking(true)?;
    Ok((limited(axum_server::from_unix(listener)?), file))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be the next process's by now.
        if metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == (self.made.dev(), self.made.ino()))
        {
            let _ = remove_file(&self.path);
        }
    }
}

fn limited<A: Address>(mut server: Server<A>) -> Server<A> {
    // Without a timer the timeouts would be inert (axum#2741).
    let mut http1 = server.http_builder().http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    // Most answers are a head alone, which is written in less time as one buffer than as a list of one.
    http1.writev(false);
    let mut http2 = server.http_builder().http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT).max_header_list_size(HEAD_LIMIT as u32);
    server
}

/// The threads that serve connections and answer verifications. One core is left to what asks them, which is often on
/// the same machine, and to all else.
///
/// # Errors
/// The system has no threads left.
pub(super) fn threads(count: Option<u16>) -> io::Result<Runtime> {
    let threads = count.map_or_else(all_cores_but_one, usize::from);
    Builder::new_multi_thread().worker_threads(threads).thread_name("connections").enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_of_a_process_that_was_killed_is_no_obstacle_and_that_of_a_living_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (_server, file) = on_socket(&path).unwrap();
        assert_eq!(metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert_eq!(on_socket(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(on_socket(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn the_file_of_the_next_process_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (_server, file) = on_socket(&path).unwrap();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        let (_next, _file) = on_socket(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
