//! The listeners for gateways, at `--verify-listen` and `--socket`: verifications only, without a router.
//!
//! They have a runtime of their own, so that pages and password hashes do not delay verifications. A router boxes a
//! request several times on its way to a handler. Without it, a verification costs a third less.

use crate::http::middleware::client_ip::{Peer, TrustedProxies};
use crate::http::problem::ApiProblem;
use crate::http::verify::endpoint;
use crate::state::AppState;
use axum::http::Request;
use axum::response::Response;
use futures::future::{Either, Ready, ready};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tower::Service;

/// The service for the requests of one connection of a gateway. The response to any path other than `/verify` is 404.
///
/// It is cloned for each request. Each connection has its own reference count, so that cores do not contend for one.
#[derive(Clone, Debug)]
pub struct VerifyService(Arc<Connection>);

#[derive(Clone, Debug)]
struct Connection {
    peer: Option<Peer>,
    state: Arc<AppState>,
    proxies: Arc<TrustedProxies>,
    main_runtime: Handle,
}

impl VerifyService {
    /// A service without a peer. Verifications that wait for the database do so on the runtime that this is called on,
    /// to which the connections of the database belong.
    pub fn new(state: AppState, proxies: TrustedProxies) -> Self {
        let (state, proxies) = (Arc::new(state), Arc::new(proxies));
        Self(Arc::new(Connection { peer: None, state, proxies, main_runtime: Handle::current() }))
    }

    /// The service for the requests of a connection with this peer.
    #[must_use]
    pub fn of(&self, peer: Peer) -> Self {
        Self(Arc::new(Connection { peer: Some(peer), ..Connection::clone(&self.0) }))
    }
}

impl<B> Service<Request<B>> for VerifyService {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, PendingResponse>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Connection { peer, state, proxies, main_runtime } = &*self.0;
        if !endpoint::is_verify_path(request.uri().path()) {
            return Either::Left(ready(Ok(ApiProblem::NotFound.without_body())));
        }
        let client = proxies.client(*peer, request.headers()).address;
        match endpoint::verify(state, &request, client) {
            Either::Left(response) => Either::Left(ready(Ok(response))),
            Either::Right(response) => {
                Either::Right(PendingResponse(AbortOnDropHandle::new(main_runtime.spawn(response))))
            }
        }
    }
}

/// A response that is computed on the main runtime. Dropping it aborts the task.
#[derive(Debug)]
pub struct PendingResponse(AbortOnDropHandle<Response>);

impl Future for PendingResponse {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|joined| {
            Ok(joined.unwrap_or_else(|error| {
                tracing::error!(%error, "a verification failed");
                ApiProblem::Internal.without_body()
            }))
        })
    }
}
