//! Reads and verifies the credential of a request: bearer (RFC 6750), a pair of headers, one header, or basic (RFC
//! 7617).
//!
//! A key in the URL is ignored.

use crate::client::Client;
use crate::http::problem::ApiProblem;
use crate::key_cache::denial::Denial;
use crate::key_cache::outcome_counters::{CountedOutcome, OutcomeCounters};
use crate::key_cache::verifier::{AllowedKey, Credential, Outcome, Requirement};
use crate::services::rate_limit::DenialLimiter;
use crate::state::AppState;
use crate::store::StoreError;
use app::domain::usage::DenialReason;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::{BoxFuture, Either};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

const KEY: HeaderName = HeaderName::from_static("x-api-key");
const KEY_ID: HeaderName = HeaderName::from_static("x-api-key-id");
const KEY_SECRET: HeaderName = HeaderName::from_static("x-api-key-secret");

/// The key of an allowed request, or the problem to respond with.
type Verification = Result<AllowedKey, ApiProblem>;

/// Verifies the credential of a request.
///
/// # Errors
/// Why the request is rejected. The problem does not reveal why a key is denied.
pub(crate) async fn authenticate(
    state: &AppState,
    headers: &HeaderMap,
    client: IpAddr,
    requirement: Requirement,
) -> Verification {
    match verify(state, headers, client, requirement) {
        Either::Left(verification) => verification,
        Either::Right(verification) => verification.await,
    }
}

/// As [`authenticate`], but returns a future only for a lookup in the database and for the first use of a new secret.
pub(crate) fn verify(
    state: &AppState,
    headers: &HeaderMap,
    client: IpAddr,
    requirement: Requirement,
) -> Either<Verification, BoxFuture<'static, Verification>> {
    let verifier = &state.verifier;
    let reject = |outcome, problem| {
        verifier.outcomes.count(outcome);
        Either::Left(Err(problem))
    };
    let credential = match read(headers) {
        Ok(Some(credential)) => credential,
        Ok(None) => return reject(CountedOutcome::NoCredential, ApiProblem::Unauthenticated),
        Err(ApiProblem::InvalidRequest) => {
            return reject(CountedOutcome::Ambiguous, ApiProblem::InvalidRequest);
        }
        Err(problem) => return reject(CountedOutcome::Denied(Denial::Malformed), problem),
    };
    let outcome = verifier.verify(&credential, Client::at(client, headers), requirement);
    let finish = Finish { outcomes: &verifier.outcomes, limiter: &state.denial_limiter, client };
    match outcome {
        Outcome::Allowed(key) => Either::Left(finish.allowed(key)),
        Outcome::Denied(denial) => Either::Left(finish.denied(denial)),
        other => {
            let (outcomes, limiter) = (Arc::clone(finish.outcomes), finish.limiter.clone());
            Either::Right(Box::pin(async move {
                Finish { outcomes: &outcomes, limiter: &limiter, client }.resolve(other).await
            }))
        }
    }
}

/// Counts the outcome of a verification, and converts it to the key or the problem.
struct Finish<'s> {
    outcomes: &'s Arc<OutcomeCounters>,
    limiter: &'s DenialLimiter,
    client: IpAddr,
}

impl Finish<'_> {
    fn allowed(&self, key: AllowedKey) -> Verification {
        self.outcomes.count(CountedOutcome::Allowed);
        Ok(key)
    }

    /// Returns the same problem for every invalid credential, so that the client does not learn why it was denied.
    fn denied(&self, denial: Denial) -> Verification {
        self.outcomes.count(CountedOutcome::Denied(denial));
        tracing::debug!(?denial, client = %self.client, "credential denied");
        if matches!(denial, Denial::Key(DenialReason::ClosedModule | DenialReason::InsufficientScope)) {
            return Err(ApiProblem::InsufficientScope);
        }
        // Only denied requests are rate-limited: a valid key never is, whatever other clients at its address do.
        Err(self.limiter.count(self.client).map_or(ApiProblem::InvalidToken, ApiProblem::TooManyRequests))
    }

    fn unavailable(error: &StoreError) -> ApiProblem {
        tracing::error!(%error, "a credential could not be verified");
        ApiProblem::Unavailable
    }

    async fn resolve(&self, outcome: Outcome) -> Verification {
        let outcome = match outcome {
            Outcome::NeedsDatabase(lookup) => lookup.run().await.map_err(|error| {
                self.outcomes.count(CountedOutcome::Unavailable);
                Self::unavailable(&error)
            })?,
            outcome => outcome,
        };
        match outcome {
            Outcome::Allowed(key) => self.allowed(key),
            Outcome::Denied(denial) => self.denied(denial),
            Outcome::RetiresPreviousSecret(first_use) => {
                let key = first_use.retire_previous().await.map_err(|error| Self::unavailable(&error))?;
                self.allowed(key)
            }
            // `DatabaseLookup::run` never returns this outcome.
            Outcome::NeedsDatabase(_) => Err(ApiProblem::Internal),
        }
    }
}

/// Reads the credential that these headers present; `None` if they present none.
fn read(headers: &HeaderMap) -> Result<Option<Credential<'_>>, ApiProblem> {
    let (mut authorization, mut key, mut id, mut secret) = (None, None, None, None);
    for (name, value) in headers {
        let slot = match *name {
            AUTHORIZATION => &mut authorization,
            _ if *name == KEY => &mut key,
            _ if *name == KEY_ID => &mut id,
            _ if *name == KEY_SECRET => &mut secret,
            _ => continue,
        };
        // `HeaderMap::get` would use the first of several values without an error.
        if slot.replace(value).is_some() {
            return Err(ApiProblem::InvalidRequest);
        }
    }
    let is_pair = id.is_some() || secret.is_some();
    if usize::from(authorization.is_some()) + usize::from(key.is_some()) + usize::from(is_pair) > 1 {
        return Err(ApiProblem::InvalidRequest);
    }
    if let Some(value) = authorization {
        return from_authorization(value).map(Some).ok_or(ApiProblem::InvalidToken);
    }
    if let Some(value) = key {
        return Ok(Some(Credential { id: None, secret: text(value) }));
    }
    match (id, secret) {
        (None, None) => Ok(None),
        (Some(id), Some(secret)) => Ok(Some(Credential { id: Some(text(id)), secret: text(secret) })),
        _ => Err(ApiProblem::InvalidToken),
    }
}

/// `None` for a scheme that presents no API key, and for a malformed value.
fn from_authorization(value: &HeaderValue) -> Option<Credential<'_>> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(Credential { id: None, secret: rest.into() })
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (id, secret) = pair.split_once(':')?;
        Some(Credential { id: Some(id.to_owned().into()), secret: secret.to_owned().into() })
    } else {
        None
    }
}

/// Returns an empty text for a value that is not ASCII, which cannot be a secret.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    value.to_str().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), value.parse().ok()?)))
            .collect()
    }

    fn presented(pairs: &[(&'static str, &str)]) -> Result<Option<(Option<String>, String)>, ApiProblem> {
        let headers = headers(pairs);
        let own = |it: Credential<'_>| (it.id.map(Cow::into_owned), it.secret.into_owned());
        read(&headers).map(|credential| credential.map(own))
    }

    #[test]
    fn a_key_is_presented_in_four_ways() {
        let alone = Ok(Some((None, "s".to_owned())));
        let pair = Ok(Some((Some("i".to_owned()), "s".to_owned())));
        assert_eq!(presented(&[("authorization", "Bearer s")]), alone);
        assert_eq!(presented(&[("authorization", "bEARER  s ")]), alone);
        assert_eq!(presented(&[("x-api-key", "s")]), alone);
        assert_eq!(presented(&[("x-api-key-id", "i"), ("x-api-key-secret", "s")]), pair);
        assert_eq!(presented(&[("authorization", "Basic aTpz")]), pair);
        assert_eq!(presented(&[]), Ok(None));
    }

    #[test]
    fn two_credentials_or_one_header_twice_are_an_invalid_request() {
        for pairs in [
            [("authorization", "Bearer s"), ("x-api-key", "s")],
            [("authorization", "Bearer s"), ("authorization", "Bearer s")],
            [("x-api-key", "s"), ("x-api-key", "s")],
            [("x-api-key", "s"), ("x-api-key-id", "i")],
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in pairs {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(read(&map).err(), Some(ApiProblem::InvalidRequest), "{pairs:?}");
        }
    }

    #[test]
    fn half_a_pair_and_other_schemes_are_invalid() {
        for pair in [
            ("x-api-key-id", "i"),
            ("x-api-key-secret", "s"),
            ("authorization", "Bearer"),
            ("authorization", "Digest s"),
            ("authorization", "Basic aXM="),
            ("authorization", "Basic ?"),
        ] {
            assert_eq!(presented(&[pair]), Err(ApiProblem::InvalidToken), "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn one_credential_is_read_and_two_or_one_header_twice_are_an_invalid_request(
            given in proptest::collection::vec((0usize..4, "[!-~]{1,40}"), 0..5)
        ) {
            let names = [AUTHORIZATION, KEY, KEY_ID, KEY_SECRET];
            let mut map = HeaderMap::new();
            let mut times = [0; 4];
            for (which, value) in &given {
                map.append(&names[*which], HeaderValue::from_str(value).unwrap());
                times[*which] += 1;
            }
            let [authorization, key, id, secret] = times;
            let forms = usize::from(authorization > 0) + usize::from(key > 0) + usize::from(id + secret > 0);
            let is_invalid_request = times.iter().any(|times| *times > 1) || forms > 1;
            match read(&map) {
                Err(ApiProblem::InvalidRequest) => prop_assert!(is_invalid_request),
                Ok(None) => prop_assert!(given.is_empty()),
                Ok(Some(_)) | Err(ApiProblem::InvalidToken) => prop_assert!(!is_invalid_request && forms == 1),
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn a_basic_credential_is_read_unchanged(id in "[^:\\PC]{0,40}", secret in "\\PC{0,60}") {
            let value = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
            prop_assert_eq!(presented(&[("authorization", &value)]), Ok(Some((Some(id), secret))));
        }

        #[test]
        fn any_header_is_read_without_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                for name in [AUTHORIZATION, KEY, KEY_ID, KEY_SECRET] {
                    let _ = read(&HeaderMap::from_iter([(name, value.clone())]));
                }
            }
        }
    }
}
