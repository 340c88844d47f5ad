//! The address of a console.

use crate::failure::Failure;
use http::Uri;
use std::fmt::{Display, Formatter};
use std::net::IpAddr;

/// The origin of a console: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    pub(crate) is_https: bool,
    /// The host: a name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl ServerUrl {
    /// Parses a URL such as `https://console.example.com`.
    ///
    /// # Errors
    /// It is not the URL of a console, or would send the key through a network in plain text.
    pub(crate) fn parse(text: &str, allow_http: bool) -> Result<Self, Failure> {
        let not_a_url = || {
            Failure::usage(format!("{text:?} is not the URL of a console"))
                .hint("For example: https://console.example.com, or http://127.0.0.1:3000")
        };
        let uri: Uri = text.trim().parse().map_err(|_| not_a_url())?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(not_a_url()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let host = authority.ok_or_else(not_a_url)?.host().trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() || uri.path().len() > 1 || uri.query().is_some() {
            return Err(not_a_url());
        }
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        if !is_https && !allow_http && !is_loopback(&host) {
            return Err(Failure::usage(format!(
                "{text} would send the key in plain text through the network"
            ))
            .hint("Use https://…, or --allow-http if this network is trusted."));
        }
        Ok(Self { is_https, host, port })
    }

    /// Host and port, as the `Host` header names them (RFC 9110, section 7.2).
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.is_https { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

impl Display for ServerUrl {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.is_https { "https" } else { "http" }, self.authority())
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_origins() {
        for (text, shown) in [
            ("https://console.example.com", "https://console.example.com"),
            ("https://Console.Example.com:443/", "https://console.example.com"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://localhost:3000/", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ] {
            assert_eq!(ServerUrl::parse(text, false).unwrap().to_string(), shown, "{text}");
        }
        for text in [
            "",
            "console",
            "console:3000",
            "ftp://a",
            "https://a/b",
            "https://a?b",
            "https://u:p@a",
            "https://",
        ] {
            assert!(ServerUrl::parse(text, true).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_leaves_the_machine_only_if_it_is_allowed() {
        for text in
            ["http://console.example.com", "http://10.0.0.1", "http://localhost.example.com", "http://[::2]"]
        {
            assert!(ServerUrl::parse(text, false).is_err(), "{text}");
            assert!(ServerUrl::parse(text, true).is_ok(), "{text}");
        }
    }
}
