//! Changing the prefix of new secrets.

use crate::test_app::{START, TestApp, verify};
use axum::http::StatusCode;
use clap::Parser;
use server::clock::Clock;
use server::config::Cli;
use server::services::key_prefixes::PrefixError;
use server::state::{AppState, OpenError};
use server::store::Store;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

const MOVED: [&str; 4] = ["--key-prefix", "acme_", "--previous-key-prefixes", "mm_tok_"];

/// Starts a server with these flags. Returns the prefix that the flags do not list and its number of keys, or `None` if
/// the server starts.
async fn start_error(app: &TestApp, flags: &[&str]) -> Option<(String, i64)> {
    let database = ["server", "--database-url", &*app.url];
    let flags = database.iter().chain(flags).copied();
    let store = Store::open(&app.url).await.unwrap();
    let clock = Clock::Set(Arc::new(AtomicI64::new(START.0)));
    let error = AppState::open(store, clock, &Cli::parse_from(flags).serve).await.err()?;
    assert!(matches!(error, OpenError::Prefixes(PrefixError::Unlisted { .. })), "{error}");
    let OpenError::Prefixes(PrefixError::Unlisted { prefix, keys }) = error else { return None };
    Some((prefix, keys))
}

#[tokio::test]
async fn a_server_does_not_start_with_a_prefix_that_would_reject_existing_keys() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, _) = ada.create("Deploy").await;
    ada.create("Other").await;
    assert_eq!(start_error(&app, &["--key-prefix", "acme_"]).await, Some(("mm_tok_".to_owned(), 2)));
    assert_eq!(start_error(&app, &[]).await, None);
    assert_eq!(start_error(&app, &MOVED).await, None);

    let restarted = app.restart_with(&MOVED).await;
    let mut ada = restarted.anonymous();
    ada.sign_in("ada@example.com").await;
    let rotated = ada.post("/rpc/keys/rotate", &[("key_id", &id), ("grace", "24h")]).await.list();
    assert!(rotated.new.unwrap().secret.starts_with("acme_"));
    // A previous secret counts too, until it is retired.
    assert_eq!(start_error(&app, &["--key-prefix", "acme_"]).await, Some(("mm_tok_".to_owned(), 2)));
    ada.post("/rpc/keys/retire", &[("key_id", &id)]).await.list();
    assert_eq!(start_error(&app, &["--key-prefix", "acme_"]).await, Some(("mm_tok_".to_owned(), 1)));
    let other = ada.list().await.into_iter().find(|key| key.name == "Other").unwrap();
    ada.post("/rpc/keys/delete", &[("key_id", other.id.as_str()), ("confirm_name", "Other")]).await.list();
    assert_eq!(start_error(&app, &["--key-prefix", "acme_"]).await, None);
}

#[tokio::test]
async fn secrets_with_a_previous_prefix_stay_valid() {
    let app = TestApp::new().await;
    let (_, previous) = app.owner("ada@example.com").await.create("Deploy").await;
    let restarted = app.restart_with(&MOVED).await;
    let mut ada = restarted.anonymous();
    ada.sign_in("ada@example.com").await;
    let (_, new) = ada.create("New").await;
    assert!(new.starts_with("acme_"));
    for secret in [&previous, &new] {
        assert_eq!(verify(&restarted.router, secret).await, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn keys_without_a_recorded_prefix_are_assigned_the_prefix_of_the_first_start() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    ada.create("Deploy").await;
    let mut database = app.database().await;
    for statement in ["UPDATE api_keys SET prefix = ''", "DELETE FROM key_prefixes"] {
        sqlx::query(statement).execute(&mut database).await.unwrap();
    }
    assert_eq!(start_error(&app, &[]).await, None);
    assert_eq!(start_error(&app, &["--key-prefix", "acme_"]).await, Some(("mm_tok_".to_owned(), 1)));
}
