//! A bare axum reverse proxy for `make bench`: it passes every request on to an upstream, and verifies nothing.
//!
//!     bare_proxy ADDRESS:PORT UPSTREAM:PORT

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error;

#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    authority: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(authority)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bare_proxy ADDRESS:PORT UPSTREAM:PORT".into());
    };
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let upstream = Upstream { client: Client::builder(TokioExecutor::new()).build(connector), authority };
    let router = Router::new().fallback(pass_on).with_state(upstream);
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await?;
    Ok(())
}

async fn pass_on(State(upstream): State<Upstream>, mut request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let Ok(uri) = format!("http://{}{path}", upstream.authority).parse::<Uri>() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = uri;
    match upstream.client.request(request).await {
        Ok(response) => response.map(Body::new),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
