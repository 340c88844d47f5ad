//! Texts of the API reference page.

pub const TITLE: &str = "API reference";
pub const LEAD: &str =
    "What programs may call, and what they are answered. Errors are application/problem+json (RFC 9457).";
pub const DOCUMENT: &str = "The same for programs (OpenAPI 3.1)";
pub const FOR_KEYS: &str = "For API keys, however they are presented.";
pub const FOR_SESSIONS: &str = "For the session of a browser; closed to API keys.";
pub const PARAMETERS: &str = "Parameters";
pub const MEMBERS: &str = "Members of the answer";
pub const ANSWERS: &str = "Answers";
