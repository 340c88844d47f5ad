//! Texts of the page for a request with an unknown host name.

pub const TITLE: &str = "This console is not reached by this address";
pub const LEAD: &str = "It listens on this machine only, and its pages are at http://localhost or http://127.0.0.1 \
     with its port.";
pub const REMEDY: &str = "To reach it by another address, such as through a reverse proxy, start it with that \
     address: --public-url https://keys.example.com (or MECHA_PUBLIC_URL).";
