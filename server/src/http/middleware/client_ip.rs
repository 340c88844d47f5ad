//! Determines the client of a request: its address, and whether it uses HTTPS.

use crate::client::ClientIp;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The remote end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// A TCP connection from this address.
    Tcp(IpAddr),
    /// A process of this machine that connected to the Unix socket.
    UnixSocket,
}

impl Peer {
    /// The peer of a request to the main listener; `None` without a connection, as in tests.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        request
            .extensions()
            .get()
            .map(|ConnectInfo(address): &ConnectInfo<SocketAddr>| Self::Tcp(address.ip()))
    }
}

/// Networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` headers are trusted.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

/// Adds the [`ClientIp`] of the request to its extensions.
pub(crate) async fn identify(
    State(proxies): State<Arc<TrustedProxies>>,
    mut request: Request,
    next: Next,
) -> Response {
    let client = proxies.client(Peer::of(&request), request.headers());
    request.extensions_mut().insert(client);
    next.run(request).await
}

impl TrustedProxies {
    /// Returns the client of a request from this peer.
    ///
    /// Reads `X-Forwarded-For` from the right. The first address that is not a trusted proxy is the client's. Entries
    /// to its left are ignored: any client can send them. If the peer is not trusted, it is the client itself.
    ///
    /// Peers on the Unix socket are trusted: the permissions of its file restrict who may connect. Without a
    /// connection, as in tests, the address is unspecified.
    pub(crate) fn client(&self, peer: Option<Peer>, headers: &HeaderMap) -> ClientIp {
        let is_trusted = |address: &IpAddr| self.0.iter().any(|network| network.contains(address));
        let (peer, is_peer_trusted) = match peer {
            Some(Peer::Tcp(address)) => {
                let address = address.to_canonical();
                (address, is_trusted(&address))
            }
            Some(Peer::UnixSocket) => (IpAddr::V4(Ipv4Addr::LOCALHOST), true),
            None => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), false),
        };
        if !is_peer_trusted {
            return ClientIp { address: peer, is_https: false };
        }
        let mut address = peer;
        let values = headers.get_all("x-forwarded-for").iter().rev();
        // Split bytes, not text: a non-ASCII byte from the client must not hide the entries that proxies appended.
        for hop in values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b',')) {
            let Some(hop) = parse_hop(hop) else { break };
            address = hop.to_canonical();
            if !is_trusted(&address) {
                break;
            }
        }
        let is_https = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        ClientIp { address, is_https }
    }
}

/// Parses an entry of `X-Forwarded-For`: an address with an optional port. An IPv6 address may be in brackets.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let with_port = || hop.parse().ok().map(|hop: SocketAddr| hop.ip());
    let in_brackets = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    hop.parse().ok().or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client(peer: &str, forwarded: &[&'static str]) -> String {
        let peer = peer.parse().map_or(Peer::UnixSocket, Peer::Tcp);
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        proxies.client(Some(peer), &headers).address.to_string()
    }

    #[test]
    fn forwarded_headers_of_untrusted_peers_are_ignored() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn behind_a_trusted_proxy_the_client_is_the_last_untrusted_address() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.1.1.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, junk"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn non_ascii_bytes_do_not_hide_entries_that_a_proxy_appended() {
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        for (value, expected) in [
            (&b"\xff, 198.51.100.9"[..], "198.51.100.9"),
            (b"\xff\xfe,198.51.100.9, 10.0.0.7", "198.51.100.9"),
            (b"198.51.100.9, \xff", "10.0.0.1"),
        ] {
            let headers = HeaderMap::from_iter([(
                "x-forwarded-for".parse().unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            )]);
            let client = proxies.client(Some(Peer::Tcp("10.0.0.1".parse().unwrap())), &headers);
            assert_eq!(client.address.to_string(), expected, "{value:?}");
        }
    }

    #[test]
    fn a_forwarded_address_may_have_a_port_and_brackets() {
        for (forwarded, expected) in [
            ("198.51.100.9:4711", "198.51.100.9"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[198.51.100.9", "10.0.0.1"),
            ("198.51.100.9:", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[forwarded]), expected);
        }
    }

    #[test]
    fn forwarded_headers_from_the_unix_socket_are_trusted() {
        assert_eq!(client("socket", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("socket", &["6.6.6.6, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("socket", &["6.6.6.6, 198.51.100.1, 10.1.1.1"]), "198.51.100.1");
        assert_eq!(client("socket", &[]), "127.0.0.1");
    }
}
