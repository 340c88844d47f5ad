//! Texts of Settings → Use it.

pub const TITLE: &str = "Use it";
pub const LEAD: &str = "How programs present a key, and how a gateway lets them through to your API.";
pub const WAYS: &str = "Present a key";
pub const WAYS_LEAD: &str =
    "Keep the secret in the environment or a secret store, never in the code. Any of these will do:";
pub const REFERENCE: &str = "What else programs may call";
pub const BEARER: &str = "Bearer token";
pub const PAIR: &str = "A pair of headers";
pub const ONE_HEADER: &str = "One header";
pub const BASIC: &str = "Basic authentication";
pub const GATEWAYS: &str = "Protect your API";
pub const GATEWAYS_LEAD: &str = "A gateway in front of your API asks this console about every request and tells the API who calls. The files listen on port 8080 and expect the API on port 8000: change these to yours.";
pub const TRY: &str = "Try it";
pub const TRY_LEAD: &str =
    "Through the gateway, with a key of yours. Without one, or after Delete, the answer is 401.";
pub const CALL: &str = "A request";
pub const STREAM: &str = "A stream of events";
