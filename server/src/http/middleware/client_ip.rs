//! Who is on the other end of a connection.

use crate::client::ClientIp;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// A machine.
    At(IpAddr),
    /// A process of this machine that could open the file of the Unix socket.
    OnThisMachine,
}

impl Peer {
    /// The socket is for gateways. As what they forward is believed, nothing else is to be had there.
    pub(crate) const fn may_only_verify(self) -> bool {
        matches!(self, Self::OnThisMachine)
    }
}

/// Proxies whose word about their clients is taken.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

/// Finds out who the client is.
pub(crate) async fn identify(
    State(proxies): State<Arc<TrustedProxies>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let client = proxies.client(peer, request.headers());
    request.extensions_mut().insert(client);
    next.run(request).await
}

impl TrustedProxies {
    /// Forwarded headers count only as far as they were written by trusted proxies: from the right, the first
    /// address that is not one of them is the client's. What stands before it, anybody could have written.
    ///
    /// A process that could open the Unix socket is trusted: who may is said by the file's permissions. Where there is
    /// no connection, as in tests, the address is unspecified.
    pub(crate) fn client(&self, peer: Option<Peer>, headers: &HeaderMap) -> ClientIp {
        let is_trusted = |address: &IpAddr| self.0.iter().any(|network| network.contains(address));
        let (peer, is_believed) = match peer {
            Some(Peer::At(address)) => {
                let address = address.to_canonical();
                (address, is_trusted(&address))
            }
            Some(Peer::OnThisMachine) => (IpAddr::V4(Ipv4Addr::LOCALHOST), true),
            None => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), false),
        };
        if !is_believed {
            return ClientIp { address: peer, is_https: false };
        }
        let mut address = peer;
        let values = headers.get_all("x-forwarded-for").iter().rev();
        // Bytes, not text: one byte of a client that is not ASCII must not hide what the proxies appended.
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

/// One entry of `X-Forwarded-For`: an address, perhaps with a port, and an IPv6 address perhaps in brackets.
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
        let peer = peer.parse().map_or(Peer::OnThisMachine, Peer::At);
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        proxies.client(Some(peer), &headers).address.to_string()
    }

    #[test]
    fn forwarded_headers_of_strangers_change_nothing() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn behind_a_trusted_proxy_the_client_is_the_last_stranger() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.1.1.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, junk"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn bytes_that_are_not_ascii_hide_nothing_that_a_proxy_appended() {
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
            let client = proxies.client(Some(Peer::At("10.0.0.1".parse().unwrap())), &headers);
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
    fn what_asks_at_the_unix_socket_is_believed() {
        assert_eq!(client("socket", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("socket", &["6.6.6.6, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("socket", &["6.6.6.6, 198.51.100.1, 10.1.1.1"]), "198.51.100.1");
        assert_eq!(client("socket", &[]), "127.0.0.1");
    }
}
