//! Texts of the page for a request with an unknown host name.

pub const TITLE: &str = "This console is not available at this address";
pub const LEAD: &str = "It accepts connections from this machine only. Open http://localhost or http://127.0.0.1 \
     with its port.";
pub const REMEDY: &str = "To use another address, such as through a reverse proxy, start it with that \
     address: --public-url https://keys.example.com (or MECHA_PUBLIC_URL).";
