//! Texts of the API reference page.

pub const TITLE: &str = "API reference";
pub const LEAD: &str =
    "All endpoints, with their parameters and responses. Errors are application/problem+json (RFC 9457).";
pub const DOCUMENT: &str = "OpenAPI 3.1 file";
pub const FOR_KEYS: &str = "For API keys";
pub const FOR_SESSIONS: &str = "Browser sessions only";
pub const PARAMETERS: &str = "Parameters";
pub const MEMBERS: &str = "Response fields";
pub const ANSWERS: &str = "Status codes";
pub const ENDPOINTS: &str = "Endpoints";
pub const REQUEST: &str = "Request";
pub const RESPONSE: &str = "Response";
pub const COPY_REQUEST: &str = "request";
pub const COPY_RESPONSE: &str = "response";
pub const FRAMES: &str = "Frames";
pub const CLOSE_CODES: &str = "Close codes";
/// Example of the first frame of a runtime.
pub const HELLO: &str = r#"{"type":"hello","instance":"5f0c…","name":"porter","version":"1.2",
 "os":"linux","arch":"x86_64","host":"dock-7","actions":["chat"]}"#;
