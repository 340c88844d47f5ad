//! The whole server as one service: gateways' questions first, and for everything else the router.
//!
//! A router boxes a request several times on its way to a handler, and a connection's address travels in a map
//! of its own; a verification needs neither, and would cost a third more with them. It is answered on the thread that
//! reads it, unless it has to wait; that, and all else, is handed over to others.

use crate::http::middleware::client_ip::{Peer, TrustedProxies};
use crate::http::page_runtime::{PageRuntime, PendingResponse};
use crate::http::problem::ApiProblem;
use crate::http::verify::endpoint;
use crate::metrics::TIMED_VERIFICATIONS;
use crate::state::AppState;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::{Either, Ready, ready};
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tower::{BoxError, Service};

/// When a request arrived, in its extensions: before it waited for another thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived(pub(crate) Instant);

/// Answers the requests of one connection.
///
/// It is copied for each request: what the copies count is the connection's own, so that no core waits for another's.
#[derive(Clone, Debug)]
pub struct Dispatch(Arc<Connection>);

#[derive(Clone, Debug)]
struct Connection {
    peer: Option<Peer>,
    console: Arc<AppState>,
    proxies: Arc<TrustedProxies>,
    router: Router,
    others: PageRuntime,
}

impl Dispatch {
    /// The threads that this is called on answer what is no verification.
    pub(crate) fn new(console: Arc<AppState>, proxies: Arc<TrustedProxies>, router: Router) -> Self {
        Self(Arc::new(Connection { peer: None, console, proxies, router, others: PageRuntime::to_these() }))
    }

    /// For the requests of a connection with this other end.
    #[must_use]
    pub fn of(&self, peer: Peer) -> Self {
        Self(Arc::new(Connection { peer: Some(peer), ..Connection::clone(&self.0) }))
    }
}

/// Whether this verification is one of those that are timed.
fn is_timed() -> bool {
    thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(0) };
    }
    COUNT.with(|count| count.replace(count.get().wrapping_add(1))).is_multiple_of(TIMED_VERIFICATIONS)
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
        let Connection { peer, console, proxies, router, others } = &*self.0;
        if endpoint::is_verify_path(request.uri().path()) {
            let began = is_timed().then(Instant::now);
            let client = proxies.client(*peer, request.headers()).address;
            let answer = endpoint::verify(console, &request, client);
            if let Some(began) = began {
                console.metrics.verified(began.elapsed());
            }
            return match answer {
                Either::Left(answer) => Either::Left(ready(Ok(answer))),
                Either::Right(answer) => Either::Right(others.answer(answer)),
            };
        }
        if let Some(peer) = *peer {
            if peer.may_only_verify() {
                return Either::Left(ready(Ok(ApiProblem::NotFound.into_response())));
            }
            request.extensions_mut().insert(peer);
        }
        request.extensions_mut().insert(Arrived(Instant::now()));
        let answer = Service::<Request<Body>>::call(&mut router.clone(), request.map(Body::new));
        Either::Right(others.answer(answer.map(|answer| answer.unwrap_or_else(|never| match never {}))))
    }
}
