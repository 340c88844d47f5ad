//! The client of a request.

use axum::http::Extensions;
use std::net::{IpAddr, Ipv4Addr};

/// Where a request comes from, in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIp {
    /// The address of the client.
    pub address: IpAddr,
    /// Whether it reached the reverse proxy by HTTPS.
    pub is_https: bool,
}

impl ClientIp {
    /// The address of the client; unspecified where there is no connection, as in tests.
    #[must_use]
    pub fn of(extensions: &Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.address)
    }
}

/// Who presents a key.
#[derive(Clone, Copy, Debug)]
pub struct Client<'r> {
    /// Its address.
    pub address: IpAddr,
    /// Its `User-Agent`.
    pub user_agent: &'r str,
}
