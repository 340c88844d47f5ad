//! Responses to rejected requests of clients: `application/problem+json` (RFC 9457) with a stable `type`, and the
//! challenge of RFC 6750. They never echo input of the
//! client.

use axum::Json;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::openapi::{ContentBuilder, Header, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

/// Why a client's request is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiProblem {
    /// No credential was presented.
    Unauthenticated,
    /// The credential is malformed, unknown, inactive, expired, revoked, or a wrong pair. The response is the same for
    /// all.
    InvalidToken,
    /// Two credentials were presented, or one header twice.
    InvalidRequest,
    /// The key is valid, but the operation or module is closed to keys.
    InsufficientScope,
    /// The request has an `Origin` header, as those of browsers have, and the operation is for programs.
    OriginNotAllowed,
    /// The request lacks the subprotocol `mecha.runtime.v1`.
    SubprotocolRequired,
    /// The request lacks a header of the WebSocket handshake.
    InvalidUpgrade,
    /// The request does not upgrade the connection to a WebSocket.
    UpgradeRequired,
    /// The operation does not exist.
    NotFound,
    /// No runtime offers the action, and none did in the last 30 days.
    NoSuchAction,
    /// No runtime that is connected now offers the action.
    NoRuntime,
    /// The runtimes that offer the action, or this server, have too many requests in flight.
    Busy,
    /// A parameter of the URL is malformed, or given twice.
    InvalidParameter,
    /// The body of the request is too large.
    PayloadTooLarge,
    /// The body of the request did not arrive.
    BodyTimeout,
    /// The request needs HTTP/1.1.
    HttpVersion,
    /// The runtime was lost during the request.
    RuntimeLost,
    /// The response of the runtime is not one that it may send.
    InvalidResponse,
    /// The runtime did not respond in time.
    RuntimeTimeout,
    /// The runtime reports that the action failed: the status, and what it states about it.
    ActionFailed(StatusCode, Box<str>),
    /// Too many requests from one network were denied. The value is the time to wait, in seconds.
    TooManyRequests(u32),
    /// The database does not respond.
    Unavailable,
    /// The server has as many connections as it may have, or shuts down.
    Overloaded,
    /// The server has a defect.
    Internal,
}

/// Why a request was rejected (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(title = "Problem")]
pub(crate) struct ProblemBody {
    /// The stable URI of the problem.
    r#type: String,
    /// A short description of the problem.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// What the runtime states about it; absent for other problems.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Box<str>>,
}

impl ApiProblem {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest
            | Self::OriginNotAllowed
            | Self::SubprotocolRequired
            | Self::InvalidParameter
            | Self::InvalidUpgrade => StatusCode::BAD_REQUEST,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NoSuchAction => StatusCode::NOT_FOUND,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RuntimeLost | Self::InvalidResponse => StatusCode::BAD_GATEWAY,
            Self::RuntimeTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::ActionFailed(status, _) => *status,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::Overloaded | Self::NoRuntime | Self::Busy => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable name of the problem, which ends its `type`.
    fn name(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidToken => "invalid_token",
            Self::InvalidRequest => "invalid_request",
            Self::InsufficientScope => "insufficient_scope",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::SubprotocolRequired => "subprotocol_required",
            Self::InvalidUpgrade => "invalid_upgrade",
            Self::UpgradeRequired => "upgrade_required",
            Self::Overloaded => "overloaded",
            Self::NotFound => "not_found",
            Self::NoSuchAction => "no-such-action",
            Self::NoRuntime => "no-runtime",
            Self::Busy => "busy",
            Self::InvalidParameter => "invalid_parameter",
            Self::PayloadTooLarge => "payload_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::HttpVersion => "http_version",
            Self::RuntimeLost => "runtime-lost",
            Self::InvalidResponse => "invalid-response",
            Self::RuntimeTimeout => "runtime-timeout",
            Self::ActionFailed(..) => "action-failed",
            Self::TooManyRequests(_) => "too_many_requests",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal_server_error",
        }
    }

    /// A short description of the problem.
    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "This needs an API key.",
            Self::InvalidToken => "The API key is not valid.",
            Self::InvalidRequest => "Present one credential, once.",
            Self::InsufficientScope => "This is closed to this API key.",
            Self::OriginNotAllowed => "This is not for browsers: send no Origin header.",
            Self::SubprotocolRequired => "Request the subprotocol mecha.runtime.v1.",
            Self::InvalidUpgrade => "Send a complete WebSocket handshake.",
            Self::UpgradeRequired => "Connect with a WebSocket, over HTTP/1.1.",
            Self::Overloaded => "No more connections at the moment. Try again shortly.",
            Self::NotFound => "There is nothing at this address.",
            Self::NoSuchAction => "No runtime offers this action.",
            Self::NoRuntime => "No runtime that offers this action is connected. Try again later.",
            Self::Busy => "All runtimes are busy. Try again shortly.",
            Self::InvalidParameter => "Give each parameter once.",
            Self::PayloadTooLarge => "Send at most 1 MiB.",
            Self::BodyTimeout => "The body did not arrive in time.",
            Self::HttpVersion => "Request streams with HTTP/1.1.",
            Self::RuntimeLost => "The runtime was lost. The action may have been executed.",
            Self::InvalidResponse => "The runtime sent an invalid response.",
            Self::RuntimeTimeout => "The runtime did not respond in time.",
            Self::ActionFailed(..) => "The action failed.",
            Self::TooManyRequests(_) => "Too many refused requests. Try again later.",
            Self::Unavailable => "Try again shortly.",
            Self::Internal => "Internal Server Error",
        }
    }

    /// The challenge (RFC 6750, section 3). Never `Basic`: browsers would prompt for a password.
    fn challenge(&self) -> Option<HeaderValue> {
        let challenge = match self {
            Self::Unauthenticated => r#"Bearer realm="mecha-console""#,
            Self::InvalidToken => r#"Bearer realm="mecha-console", error="invalid_token""#,
            Self::InvalidRequest => r#"Bearer realm="mecha-console", error="invalid_request""#,
            Self::InsufficientScope => r#"Bearer realm="mecha-console", error="insufficient_scope""#,
            _ => return None,
        };
        Some(HeaderValue::from_static(challenge))
    }

    /// The response with status and headers only, for gateways, which do not read bodies.
    pub(crate) fn without_body(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        let retry_after = match self {
            Self::TooManyRequests(seconds) => Some(*seconds),
            Self::Unavailable | Self::Busy => Some(1),
            Self::Overloaded | Self::NoRuntime => Some(5),
            _ => None,
        };
        if *self == Self::UpgradeRequired {
            response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl ApiProblem {
    /// The problem as JSON (RFC 9457).
    pub(crate) fn body(&self) -> ProblemBody {
        let detail = match self {
            Self::ActionFailed(_, detail) => Some(detail.clone()).filter(|detail| !detail.is_empty()),
            _ => None,
        };
        ProblemBody {
            r#type: format!("urn:problem-type:mecha-console:{}", self.name()),
            title: self.title(),
            status: self.status().as_u16(),
            detail,
        }
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let mut response = Json(self.body()).into_response();
        *response.status_mut() = self.status();
        response.headers_mut().extend(self.without_body().headers().clone());
        if matches!(self, Self::ActionFailed(..)) {
            // The detail is the text of another program.
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

type Responses = BTreeMap<String, RefOr<utoipa::openapi::Response>>;

/// The problems of an operation that requires a key, for the OpenAPI document.
pub(crate) struct KeyProblems;

impl IntoResponses for KeyProblems {
    fn responses() -> Responses {
        problem_responses(true, &KEY_PROBLEMS)
    }
}

/// The problems of `/verify`, whose responses have no body.
pub(crate) struct GatewayProblems;

impl IntoResponses for GatewayProblems {
    fn responses() -> Responses {
        let mut responses = problem_responses(false, &KEY_PROBLEMS);
        responses.extend(problem_responses(
            false,
            &[(403, "The key is valid, but lacks a required scope, or this module is closed to keys")],
        ));
        responses
    }
}

/// The problems of an operation that is closed to keys.
pub(crate) struct OwnerProblems;

impl IntoResponses for OwnerProblems {
    fn responses() -> Responses {
        let mut responses = problem_responses(true, &KEY_PROBLEMS);
        responses.extend(problem_responses(
            true,
            &[(403, "A key was presented, and this operation is closed to keys")],
        ));
        responses
    }
}

/// Status and description of each problem.
const KEY_PROBLEMS: [(u16, &str); 4] = [
    (400, "Two credentials at once, or a header given twice"),
    (401, "No credential; or one that is malformed, unknown, inactive, expired, revoked, or a wrong pair"),
    (429, "Too many denied requests from this network"),
    (503, "The database does not respond"),
];

fn problem_responses(with_body: bool, problems: &[(u16, &str)]) -> Responses {
    let header = |what: &str| {
        let mut header = Header::new(String::schema());
        header.description = Some(what.to_owned());
        header
    };
    let responses = problems.iter().map(|(status, description)| {
        let mut response = ResponseBuilder::new().description(*description);
        if with_body {
            let body = ContentBuilder::new().schema(Some(ProblemBody::schema())).build();
            response = response.content("application/problem+json", body);
        }
        response = match status {
            429 | 503 => response.header("Retry-After", header("Seconds to wait")),
            _ => response.header("WWW-Authenticate", header("The challenge (RFC 6750)")),
        };
        (status.to_string(), response.build().into())
    });
    responses.collect()
}
