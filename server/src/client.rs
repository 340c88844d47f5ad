//! The client of a request.

use axum::http::Extensions;
use std::net::{IpAddr, Ipv4Addr};

/// The address and the scheme of the client. Middleware inserts it into the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIp {
    /// The IP address of the client.
    pub address: IpAddr,
    /// Whether the client connected to the reverse proxy over HTTPS.
    pub is_https: bool,
}

impl ClientIp {
    /// The IP address of the client, or `0.0.0.0` if the extensions contain no [`ClientIp`].
    #[must_use]
    pub fn of(extensions: &Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.address)
    }
}

/// The client that presents a key.
#[derive(Clone, Copy, Debug)]
pub struct Client<'r> {
    /// Its IP address.
    pub address: IpAddr,
    /// Its `User-Agent` header.
    pub user_agent: &'r str,
}
