//! Runs requests on another runtime than the one that serves connections, so that slow requests do not delay
//! verifications.

use crate::http::problem::ApiProblem;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::response::{IntoResponse, Response};
use futures::future::FutureExt;
use futures::stream::{self, Stream, StreamExt};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Limit on the chunks of a body that are collected before the head is sent, if they are ready.
const READY_CHUNKS_LIMIT: usize = 64;

type Chunk = Result<Bytes, axum::Error>;

/// The runtime for requests other than immediate verifications.
#[derive(Clone, Debug)]
pub(crate) struct PageRuntime(Handle);

/// A response computed on another runtime. Dropping it aborts the task.
#[derive(Debug)]
pub struct PendingResponse(AbortOnDropHandle<Response>);

impl PageRuntime {
    /// The runtime that this is called on.
    pub(crate) fn current() -> Self {
        Self(Handle::current())
    }

    /// Computes a response on this runtime. Its body is rendered there only if it went through [`render_body`].
    pub(crate) fn answer(
        &self,
        response: impl Future<Output = Response> + Send + 'static,
    ) -> PendingResponse {
        PendingResponse(AbortOnDropHandle::new(self.0.spawn(response)))
    }
}

impl Future for PendingResponse {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let joined = ready!(self.0.poll_unpin(context));
        Poll::Ready(Ok(joined.unwrap_or_else(|error| {
            tracing::error!(%error, "the task of a request failed");
            ApiProblem::Internal.into_response()
        })))
    }
}

/// Renders a body on the current runtime. Otherwise the runtime that reads the body would also render pages, compress
/// and read files.
pub(crate) async fn render_body(response: Response) -> Response {
    // A body of known length is complete already.
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let (head, body) = response.into_parts();
    let mut body = body.into_data_stream();
    let mut ready_chunks = Vec::new();
    while let Some(chunk) = body.next().now_or_never() {
        let Some(chunk) = chunk else { return Response::from_parts(head, complete_body(ready_chunks)) };
        ready_chunks.push(chunk);
        if ready_chunks.len() == READY_CHUNKS_LIMIT {
            break;
        }
    }
    let chunks = stream::iter(ready_chunks).chain(read_ahead(body));
    Response::from_parts(head, Body::from_stream(chunks))
}

/// Builds a body with a length, which is sent together with the head. If a chunk is an error, the body streams the
/// chunks before it, and then breaks the connection.
fn complete_body(chunks: Vec<Chunk>) -> Body {
    if chunks.iter().all(Result::is_ok) {
        Body::from(chunks.into_iter().flatten().collect::<Vec<_>>().concat())
    } else {
        Body::from_stream(stream::iter(chunks))
    }
}

/// Spawns a task that renders the body on the current runtime, one chunk ahead of the reader.
fn read_ahead(mut body: BodyDataStream) -> impl Stream<Item = Chunk> {
    let (sender, receiver) = mpsc::channel(1);
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok(permit) = sender.reserve().await {
            let Some(chunk) = body.next().await else { break };
            permit.send(chunk);
        }
    }));
    let chunks = stream::unfold(Some((receiver, task)), async |state| {
        let (mut receiver, task) = state?;
        if let Some(chunk) = receiver.recv().await {
            return Some((chunk, Some((receiver, task))));
        }
        // A body that could not be rendered completely must not look complete.
        let error = task.await.err()?;
        tracing::error!(%error, "a response body could not be rendered completely");
        Some((Err(axum::Error::new(error)), None))
    });
    chunks.fuse()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use std::io;

    fn streamed(chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response {
        Response::new(Body::from_stream(chunks))
    }

    async fn dispatched(response: Response) -> Response {
        PageRuntime::current().answer(render_body(response)).await.unwrap()
    }

    async fn read(response: Response) -> Result<Bytes, axum::Error> {
        to_bytes(dispatched(response).await.into_body(), usize::MAX).await
    }

    #[tokio::test]
    async fn all_chunks_of_a_body_arrive_in_order() {
        let numbers = || (0..100).map(|n| format!("{n},"));
        let chunks = stream::iter(numbers().map(|text| Ok(Bytes::from(text))));
        assert_eq!(read(streamed(chunks)).await.unwrap(), numbers().collect::<String>());
        assert_eq!(read(Response::new(Body::from("at once"))).await.unwrap(), "at once");
    }

    #[tokio::test]
    async fn a_body_that_is_ready_has_a_length_and_one_that_waits_has_none() {
        let chunks = || stream::iter(["two ", "pieces"].map(|chunk| Ok(Bytes::from(chunk))));
        let wait = stream::once(tokio::task::yield_now()).filter_map(async |()| None);
        for (body, length) in [(streamed(chunks()), Some(10)), (streamed(chunks().chain(wait)), None)] {
            let response = dispatched(body).await;
            assert_eq!(response.body().size_hint().exact(), length);
            assert_eq!(to_bytes(response.into_body(), usize::MAX).await.unwrap(), "two pieces");
        }
    }

    #[tokio::test]
    async fn a_body_that_could_not_be_rendered_is_not_complete() {
        let first = || stream::iter([Ok(Bytes::from("begun"))]);
        let fails = stream::iter([Err(io::Error::other("gone"))]);
        assert!(read(streamed(first().chain(fails))).await.is_err());
        let panics = stream::once(tokio::task::yield_now()).map(|()| panic!("a defect"));
        assert!(read(streamed(first().chain(panics))).await.is_err());
    }

    #[tokio::test]
    async fn a_panic_becomes_an_internal_server_error() {
        let response = PageRuntime::current().answer(async { panic!("a defect") }).await;
        assert_eq!(response.unwrap().status(), axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn dropping_a_response_or_its_body_aborts_the_task() {
        let (held, mut released) = mpsc::channel::<()>(1);
        let (by_response, by_body) = (held.clone(), held);
        let response = PageRuntime::current().answer(async move {
            let _held = by_response;
            std::future::pending().await
        });
        let endless = stream::poll_fn(move |_| {
            let _held = &by_body;
            Poll::Pending
        });
        let body = dispatched(streamed(endless)).await;
        drop((response, body));
        // Returns `None` once both tasks have dropped their senders.
        assert_eq!(released.recv().await, None);
    }
}
