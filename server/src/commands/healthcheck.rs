//! `healthcheck`: whether the server is ready, for containers without another HTTP client.

use crate::config::HealthcheckOptions;
use axum::body::Body;
use axum::http::header::{CONNECTION, HOST};
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Timeout for the whole check. The server itself waits for its database for less.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Requests `/readyz` from the server at `--listen` on this machine.
///
/// # Errors
/// The server cannot be reached, does not respond in time, or is not ready.
pub async fn run(options: HealthcheckOptions) -> Result<(), Box<dyn Error>> {
    let address = reachable(options.listen);
    let (status, body) =
        timeout(TIMEOUT, get(address)).await.map_err(|_| format!("{address} did not respond in time"))??;
    if status != StatusCode::OK {
        return Err(format!("not ready: {status}").into());
    }
    tracing::info!("{body}");
    Ok(())
}

/// A wildcard address is where a server listens. To connect to it, use a loopback address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(address) if address.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

async fn get(address: SocketAddr) -> Result<(StatusCode, String), Box<dyn Error>> {
    let stream = TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/readyz").header(HOST, address.to_string()).header(CONNECTION, "close");
    let (head, body) = sender.send_request(request.body(Body::empty())?).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_on_all_addresses_is_checked_on_a_loopback_address() {
        for (listen, expected) in [
            ("0.0.0.0:3000", "127.0.0.1:3000"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:3000", "192.0.2.1:3000"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
