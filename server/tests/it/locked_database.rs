//! A database file that another process has locked.

use crate::test_app::{Browser, TestApp, TestResponse, client_request, verify};
use axum::http::StatusCode;
use futures::future::join_all;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Longer than a request waits for the lock, and shorter than the request timeout of the server.
const SOON: Duration = Duration::from_secs(15);

async fn lock(app: &TestApp) -> SqliteConnection {
    let file = app.folder.path().join("data/console.db");
    let mut other = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    other
}

async fn unlock(mut other: SqliteConnection) {
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

async fn create(mut browser: Browser, name: String) -> TestResponse {
    browser.post("/rpc/keys/create", &[("name", &name), ("expire_in", "7")]).await
}

fn is_unavailable(response: &TestResponse) {
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE, "{}", response.body);
    assert!(!response.header("retry-after").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_return_503_within_the_timeout_and_are_not_committed_later() {
    let app = TestApp::in_file().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Before").await;
    let other = lock(&app).await;
    let began = Instant::now();
    let responses = join_all((0..9).map(|n| create(ada.clone(), format!("During {n}")))).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    responses.iter().for_each(is_unavailable);
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
    unlock(other).await;
    ada.create("After").await;
    let names: BTreeSet<_> = ada.list().await.into_iter().map(|key| key.name).collect();
    assert_eq!(names, ["After", "Before"].map(String::from).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_client_disconnects_before_it_starts_is_not_committed() {
    let app = TestApp::in_file().await;
    let mut ada = app.owner("ada@example.com").await;
    let other = lock(&app).await;
    let gone = tokio::time::timeout(Duration::from_millis(300), create(ada.clone(), "Gone".to_owned())).await;
    assert!(gone.is_err(), "it waits for the lock");
    unlock(other).await;
    ada.create("Stays").await;
    let names: Vec<_> = ada.list().await.into_iter().map(|key| key.name).collect();
    assert_eq!(names, ["Stays"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_uses_of_a_new_secret_return_503_within_the_timeout_and_retire_the_previous_secret_afterwards()
{
    let app = TestApp::in_file().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    let rotated = ada.post("/rpc/keys/rotate", &[("key_id", &id), ("grace", "first-use")]).await;
    let secret = rotated.list().new.unwrap().secret;
    let other = lock(&app).await;
    let began = Instant::now();
    let bearer = [("authorization", &*format!("Bearer {secret}"))];
    let responses = join_all((0..9).map(|_| client_request(&app.router, "/verify", &bearer))).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    responses.iter().for_each(is_unavailable);
    unlock(other).await;
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
    assert_eq!(verify(&app.router, &previous).await, StatusCode::UNAUTHORIZED);
}
