//! Texts of Settings → Integrate.

pub const TITLE: &str = "Integrate";
pub const LEAD: &str = "Send a key with each request, and let a gateway verify it in front of your API.";
pub const WAYS: &str = "Send a key";
pub const WAYS_LEAD: &str =
    "Keep the secret in the environment or a secret store, never in the code. Any of these works.";
pub const REFERENCE: &str = "See the API reference";
pub const BEARER: &str = "Bearer token";
pub const PAIR: &str = "A pair of headers";
pub const ONE_HEADER: &str = "One header";
pub const BASIC: &str = "Basic authentication";
pub const BRUNO: &str = "Bruno";
pub const BRUNO_FILE: &str = "key.bru";
pub const OPENAPI: &str = "OpenAPI file";
pub const OPENAPI_LEAD: &str =
    "For Bruno, Postman, Insomnia and code generators. Import it from this address:";
pub const CURL: &str = "curl";
pub const CLIENTS: &str = "Programs that send requests";
pub const GATEWAY_TABS: &str = "Gateways";
pub const PREFILL: &str = "Link to a prefilled form";
pub const PREFILL_LEAD: &str = "Your documentation can link to the New API key dialog with the fields filled in. The link fills the form \
     and never submits it. All parameters are optional: name, description, expire_in (7, 30, 90, 180, 365, never, or date with expires_on=2027-01-31), and \
     scopes (separated by spaces).";
pub const GATEWAYS: &str = "Protect your API";
pub const GATEWAYS_LEAD: &str = "A gateway in front of your API verifies each request with this console, and passes the identity of the key on to your API. The files listen on port 8080 and expect your API on port 8000: change both to yours. Lines that begin with #scope: are an example of a route that requires a scope of the key.";
pub const TRY: &str = "Try it";
pub const TRY_LEAD: &str =
    "Through the gateway, with one of your keys. Without a key, or with a deleted one, the response is 401.";
pub const CALL: &str = "A request";
pub const STREAM: &str = "A stream of events";
