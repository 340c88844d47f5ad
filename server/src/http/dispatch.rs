//! The server as one service: it handles verifications itself, and passes all other requests to the router.
//!
//! A router boxes a request several times on its way to a handler, and the address of the connection is passed in the
//! request's extensions. A verification needs neither, and would cost a third more with them. It runs on the thread
//! that reads the request, unless it has to wait. Verifications that wait, and all other requests, run on the page
//! runtime.

use crate::http::middleware::client_ip::{Peer, TrustedProxies};
use crate::http::page_runtime::{PageRuntime, PendingResponse};
use crate::http::problem::ApiProblem;
use crate::http::verify::endpoint;
use crate::metrics::VERIFICATIONS_PER_SAMPLE;
use crate::state::AppState;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::{Either, Ready, ready};
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tower::{BoxError, Service};

/// The time at which a request arrived, in its extensions. It precedes the wait for a thread of the page runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived(pub(crate) Instant);

/// The service for the requests of one connection.
///
/// It is cloned for each request. Each connection has its own reference count, so that cores do not contend for one.
#[derive(Clone, Debug)]
pub struct Dispatch(Arc<Connection>);

#[derive(Clone, Debug)]
struct Connection {
    peer: Option<Peer>,
    state: Arc<AppState>,
    proxies: Arc<TrustedProxies>,
    router: Router,
    page_runtime: PageRuntime,
}

impl Dispatch {
    /// A service without a peer. Requests other than verifications run on the runtime that this is called on.
    pub(crate) fn new(state: Arc<AppState>, proxies: Arc<TrustedProxies>, router: Router) -> Self {
        Self(Arc::new(Connection {
            peer: None,
            state,
            proxies,
            router,
            page_runtime: PageRuntime::current(),
        }))
    }

    /// The service for the requests of a connection with this peer.
    #[must_use]
    pub fn of(&self, peer: Peer) -> Self {
        Self(Arc::new(Connection { peer: Some(peer), ..Connection::clone(&self.0) }))
    }
}

/// Returns true for one in [`VERIFICATIONS_PER_SAMPLE`] verifications of this thread.
fn is_timed() -> bool {
    thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(0) };
    }
    COUNT.with(|count| count.replace(count.get().wrapping_add(1))).is_multiple_of(VERIFICATIONS_PER_SAMPLE)
}

impl<B> Service<Request<B>> for Dispatch
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, PendingResponse>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Connection { peer, state, proxies, router, page_runtime } = &*self.0;
        if endpoint::is_verify_path(request.uri().path()) {
            let began = is_timed().then(Instant::now);
            let client = proxies.client(*peer, request.headers()).address;
            let verification = endpoint::verify(state, &request, client);
            if let Some(began) = began {
                state.metrics.record_verification(began.elapsed());
            }
            return match verification {
                Either::Left(response) => Either::Left(ready(Ok(response))),
                Either::Right(response) => Either::Right(page_runtime.answer(response)),
            };
        }
        if let Some(peer) = *peer {
            if peer.is_gateway_socket() {
                return Either::Left(ready(Ok(ApiProblem::NotFound.into_response())));
            }
            request.extensions_mut().insert(peer);
        }
        // The authority form is for CONNECT alone (RFC 9112, 3.2.3).
        if request.uri().path_and_query().is_none() {
            return Either::Left(ready(Ok(StatusCode::BAD_REQUEST.into_response())));
        }
        request.extensions_mut().insert(Arrived(Instant::now()));
        let response = Service::<Request<Body>>::call(&mut router.clone(), request.map(Body::new));
        Either::Right(
            page_runtime.answer(response.map(|result| result.unwrap_or_else(|never| match never {}))),
        )
    }
}
