//! Hands requests over to other threads than those that serve connections: what takes long, or may, keeps no
//! verification waiting.

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

/// Pieces of a body that are sent together with the head if they are there by then.
const PIECES_AT_ONCE: usize = 64;

type Piece = Result<Bytes, axum::Error>;

/// Other threads.
#[derive(Clone, Debug)]
pub(crate) struct PageRuntime(Handle);

/// An answer that is made on other threads; dropped, it is made no further.
#[derive(Debug)]
pub struct PendingResponse(AbortOnDropHandle<Response>);

impl PageRuntime {
    /// To the threads that this is called on.
    pub(crate) fn to_these() -> Self {
        Self(Handle::current())
    }

    /// Has an answer made there; its body only if it went through [`render_body_here`].
    pub(crate) fn answer(&self, answer: impl Future<Output = Response> + Send + 'static) -> PendingResponse {
        PendingResponse(AbortOnDropHandle::new(self.0.spawn(answer)))
    }
}

impl Future for PendingResponse {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let made = ready!(self.0.poll_unpin(context));
        Poll::Ready(Ok(made.unwrap_or_else(|error| {
            tracing::error!(%error, "a request was not answered");
            ApiProblem::Internal.into_response()
        })))
    }
}

/// Whoever reads the body would otherwise also render, compress and read files.
pub(crate) async fn render_body_here(response: Response) -> Response {
    // What knows its length is there already.
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let (head, body) = response.into_parts();
    let mut body = body.into_data_stream();
    let mut there = Vec::new();
    while let Some(piece) = body.next().now_or_never() {
        let Some(piece) = piece else { return Response::from_parts(head, whole(there)) };
        there.push(piece);
        if there.len() == PIECES_AT_ONCE {
            break;
        }
    }
    let pieces = stream::iter(there).chain(read_ahead(body));
    Response::from_parts(head, Body::from_stream(pieces))
}

/// With a length, and sent at once with the head; if it failed, with what there was of it and then a broken connection.
fn whole(pieces: Vec<Piece>) -> Body {
    if pieces.iter().all(Result::is_ok) {
        Body::from(pieces.into_iter().flatten().collect::<Vec<_>>().concat())
    } else {
        Body::from_stream(stream::iter(pieces))
    }
}

/// Makes the pieces on these threads, one before it is asked for.
fn read_ahead(mut body: BodyDataStream) -> impl Stream<Item = Piece> {
    let (pieces, made) = mpsc::channel(1);
    let making = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok(room) = pieces.reserve().await {
            let Some(piece) = body.next().await else { break };
            room.send(piece);
        }
    }));
    let pieces = stream::unfold(Some((made, making)), async |state| {
        let (mut made, making) = state?;
        if let Some(piece) = made.recv().await {
            return Some((piece, Some((made, making))));
        }
        // A body that could not be made must not look whole.
        let error = making.await.err()?;
        tracing::error!(%error, "a body was not made to its end");
        Some((Err(axum::Error::new(error)), None))
    });
    pieces.fuse()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use std::io;

    fn streamed(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response {
        Response::new(Body::from_stream(pieces))
    }

    async fn made(response: Response) -> Response {
        PageRuntime::to_these().answer(render_body_here(response)).await.unwrap()
    }

    async fn read(response: Response) -> Result<Bytes, axum::Error> {
        to_bytes(made(response).await.into_body(), usize::MAX).await
    }

    #[tokio::test]
    async fn all_pieces_of_a_body_arrive_in_their_order() {
        let numbers = || (0..100).map(|n| format!("{n},"));
        let pieces = stream::iter(numbers().map(|text| Ok(Bytes::from(text))));
        assert_eq!(read(streamed(pieces)).await.unwrap(), numbers().collect::<String>());
        assert_eq!(read(Response::new(Body::from("at once"))).await.unwrap(), "at once");
    }

    #[tokio::test]
    async fn a_body_that_is_there_at_once_has_a_length_and_one_that_waits_has_not() {
        let pieces = || stream::iter(["two ", "pieces"].map(|piece| Ok(Bytes::from(piece))));
        let wait = stream::once(tokio::task::yield_now()).filter_map(async |()| None);
        for (body, length) in [(streamed(pieces()), Some(10)), (streamed(pieces().chain(wait)), None)] {
            let answer = made(body).await;
            assert_eq!(answer.body().size_hint().exact(), length);
            assert_eq!(to_bytes(answer.into_body(), usize::MAX).await.unwrap(), "two pieces");
        }
    }

    #[tokio::test]
    async fn a_body_that_could_not_be_made_is_not_whole() {
        let first = || stream::iter([Ok(Bytes::from("begun"))]);
        let fails = stream::iter([Err(io::Error::other("gone"))]);
        assert!(read(streamed(first().chain(fails))).await.is_err());
        let panics = stream::once(tokio::task::yield_now()).map(|()| panic!("a defect"));
        assert!(read(streamed(first().chain(panics))).await.is_err());
    }

    #[tokio::test]
    async fn an_answer_that_panics_is_a_refusal() {
        let answer = PageRuntime::to_these().answer(async { panic!("a defect") }).await;
        assert_eq!(answer.unwrap().status(), axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_made_no_further() {
        let (held, mut watch) = mpsc::channel::<()>(1);
        let (by_answer, by_body) = (held.clone(), held);
        let answer = PageRuntime::to_these().answer(async move {
            let _held = by_answer;
            std::future::pending().await
        });
        let endless = stream::poll_fn(move |_| {
            let _held = &by_body;
            Poll::Pending
        });
        let body = made(streamed(endless)).await;
        drop((answer, body));
        // Until both have let go of it.
        assert_eq!(watch.recv().await, None);
    }
}
