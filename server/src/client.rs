//! The client of a request.

use app::domain::usage::ClientName;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use std::net::{IpAddr, Ipv4Addr};

/// Length limit of a recorded `User-Agent`, in bytes.
const USER_AGENT_LIMIT: usize = 200;

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

/// The client of a request, as it is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Client<'r> {
    /// Its IP address.
    pub address: IpAddr,
    /// Its `User-Agent` header.
    pub user_agent: &'r str,
}

impl<'r> Client<'r> {
    /// The client with this address, and the user agent of these headers.
    #[must_use]
    pub fn at(address: IpAddr, headers: &'r HeaderMap) -> Self {
        let user_agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Self { address, user_agent }
    }

    /// The client of a request.
    #[must_use]
    pub fn of(request: &'r Parts) -> Self {
        Self::at(ClientIp::of(&request.extensions), &request.headers)
    }

    /// Its address and its `User-Agent`, shortened.
    #[must_use]
    pub fn name(self) -> ClientName {
        let agent = self.user_agent.get(..USER_AGENT_LIMIT).unwrap_or(self.user_agent);
        ClientName { address: self.address.to_string(), agent: agent.to_owned() }
    }
}
