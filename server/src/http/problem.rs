//! What programs are told when something is refused: `application/problem+json` (RFC 9457) with a stable
//! `type`, the challenge of RFC 6750, and no echo of what was sent.

use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a program is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiProblem {
    /// No credential was presented.
    Unauthenticated,
    /// Malformed, unknown, inactive, expired, revoked, or a wrong pair: one answer for all.
    InvalidToken,
    /// Two credentials at once, or one header twice.
    InvalidRequest,
    /// The database does not answer.
    Unavailable,
    /// A defect.
    Internal,
}

#[derive(Serialize)]
struct Body {
    r#type: String,
    title: &'static str,
    status: u16,
}

impl ApiProblem {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable name of the problem.
    fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidToken => "invalid_token",
            Self::InvalidRequest => "invalid_request",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal_server_error",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Unauthenticated => "This needs an API key.",
            Self::InvalidToken => "The API key is not valid.",
            Self::InvalidRequest => "Present one credential, once.",
            Self::Unavailable => "Try again shortly.",
            Self::Internal => "Internal Server Error",
        }
    }

    /// The challenge (RFC 6750, section 3). Never `Basic`, which would make browsers ask for a password.
    fn challenge(self) -> Option<HeaderValue> {
        match self {
            Self::Unauthenticated => Some(HeaderValue::from_static(r#"Bearer realm="mecha-console""#)),
            Self::InvalidToken => {
                Some(HeaderValue::from_static(r#"Bearer realm="mecha-console", error="invalid_token""#))
            }
            Self::InvalidRequest => {
                Some(HeaderValue::from_static(r#"Bearer realm="mecha-console", error="invalid_request""#))
            }
            Self::Unavailable | Self::Internal => None,
        }
    }

    /// Status and headers alone, for gateways, which do not read bodies.
    pub(super) fn without_body(self) -> Response {
        let mut response = (self.status(), [(CACHE_CONTROL, "no-store")]).into_response();
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if self == Self::Unavailable {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: format!("urn:problem-type:mecha-console:{}", self.name()),
            title: self.title(),
            status: self.status().as_u16(),
        };
        let mut response = Json(body).into_response();
        *response.status_mut() = self.status();
        response.headers_mut().extend(self.without_body().headers().clone());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
