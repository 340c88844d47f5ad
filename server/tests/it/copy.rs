//! The `copy` command: copies all data to another database.

use crate::mechas::create_mecha;
use crate::runtimes::{Peer, serve};
use crate::test_app::{TestApp, file, fresh_database, postgres, verify, verify_scope};
use axum::http::StatusCode;
use server::commands::copy::{CopyError, copy};
use server::store::tables::TABLES;
use server::store::{Claim, StoreError};
use sqlx::{AnyConnection, Connection};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// A console with rows in every table. Returns a secret that works and the secret of a deleted key.
async fn filled() -> (TestApp, String, String) {
    let app = TestApp::in_file().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, _) = ada.create("Dürer \\ \"größer\"").await;
    let restricted = [("name", "Stays"), ("expire_in", "90"), ("access", "chosen"), ("scopes", "read")];
    let stays = ada.post("/rpc/keys/create", &restricted).await.list().new.unwrap().secret;
    let (gone, deleted) = ada.create("Gone").await;
    ada.post("/rpc/keys/delete", &[("key_id", &gone), ("confirm_name", "Gone")]).await.list();
    let new = ada.post("/rpc/keys/rotate", &[("key_id", &id), ("grace", "24h")]).await.list().new.unwrap();
    for secret in [&new.secret, &stays] {
        assert_eq!(verify(&app.router, secret).await, StatusCode::NO_CONTENT);
    }
    let mecha = create_mecha(&mut ada, "Größe \\ \"n\"").await;
    let of_mecha = [("name", "Of a Mecha"), ("expire_in", "never"), ("mecha_id", mecha.as_str())];
    let of_mecha = ada.post("/rpc/keys/create", &of_mecha).await.list().new.unwrap();
    let mut runtime = Peer::welcomed(serve(&app).await, &of_mecha.secret, "a").await;
    runtime.send(serde_json::json!({"type": "bye"})).await;
    runtime.close_code().await;
    ada.post("/rpc/keys/set-active", &[("key_id", &id), ("active", "false")]).await.list();
    assert_eq!(verify(&app.router, &new.secret).await, StatusCode::UNAUTHORIZED);
    app.console.keys.flush_usage().await.unwrap();
    (app, stays, deleted)
}

/// Stops a console and closes its connections, so that other processes can claim the database.
async fn stop(app: &TestApp) {
    app.console.runtimes.shut_down().await;
    app.console.key_cache.shut_down().await;
    app.console.store.close().await;
}

#[tokio::test]
async fn all_data_is_copied_to_an_empty_database_and_back() {
    let (app, stays, deleted) = filled().await;
    stop(&app).await;
    let target = tempfile::tempdir().unwrap();
    let to = fresh_database(&target).await;
    let progress = Mutex::new(Vec::new());
    copy(&app.url, &to, |line| progress.lock().unwrap().push(line)).await.unwrap();
    let progress = progress.into_inner().unwrap();
    assert_eq!(progress.len(), TABLES.len());
    assert!(progress.iter().all(|line| !line.contains(": 0 ")), "each table has rows: {progress:?}");
    let back = tempfile::tempdir().unwrap();
    copy(&to, &file(&back), |_| {}).await.unwrap();
    for app in [TestApp::at_url(&to).await, TestApp::open(back).await] {
        assert_eq!(verify_scope(&app.router, &stays, "read").await, StatusCode::NO_CONTENT);
        assert_eq!(verify_scope(&app.router, &stays, "write").await, StatusCode::FORBIDDEN);
        assert_eq!(verify(&app.router, &deleted).await, StatusCode::UNAUTHORIZED);
        let mut ada = app.anonymous();
        ada.sign_in("ada@example.com").await;
        let keys = ada.list().await;
        assert_eq!(
            keys.iter().map(|key| &*key.name).collect::<BTreeSet<_>>(),
            ["Dürer \\ \"größer\"", "Stays"].into()
        );
        // New activity is listed before the copied activity.
        ada.create("New").await;
        let page = ada.get("/settings/activity").await.body;
        assert!(page.find("New").unwrap() < page.find("Stays").unwrap());
    }
}

#[tokio::test]
async fn a_copy_is_rejected_if_the_target_is_not_empty_or_a_server_is_running_on_either_database() {
    let (app, ..) = filled().await;
    let source_served = {
        let _serving = Claim::of(&app.url).unwrap();
        copy(&app.url, &fresh_database(&tempfile::tempdir().unwrap()).await, |_| {}).await
    };
    assert!(matches!(source_served, Err(CopyError::Served("source"))));
    let other = TestApp::new().await;
    other.owner("bob@example.com").await;
    let target_served = copy(&app.url, &other.url, |_| {}).await;
    if postgres().is_some() {
        assert!(matches!(target_served, Err(CopyError::Served("target"))), "{target_served:?}");
    }
    stop(&other).await;
    let full = copy(&app.url, &other.url, |_| {}).await;
    assert!(matches!(full, Err(CopyError::NotEmpty("accounts"))), "{full:?}");
    let nowhere = tempfile::tempdir().unwrap();
    let missing = copy(&file(&nowhere), &fresh_database(&tempfile::tempdir().unwrap()).await, |_| {}).await;
    assert!(matches!(missing, Err(CopyError::NoSource(_))), "{missing:?}");
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0, "no file was created");
    let unknown = copy("mysql://x", &app.url, |_| {}).await;
    assert!(matches!(unknown, Err(CopyError::Store(StoreError::UnknownDatabase))), "{unknown:?}");
    for bad in ["mysql://x", "postgres://127.0.0.1:1/x"] {
        assert!(copy(&app.url, bad, |_| {}).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn every_column_of_every_table_is_copied() {
    let app = TestApp::new().await;
    let mut database = AnyConnection::connect(&app.url).await.unwrap();
    let select = if postgres().is_some() {
        "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'"
    } else {
        "SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
    };
    let expected: BTreeSet<String> =
        sqlx::query_scalar(select).fetch_all(&mut database).await.unwrap().into_iter().collect();
    let excluded = [
        "_sqlx_migrations.",
        "sqlite_sequence.",
        "revision.",
        "key_changes.",
        "nodes.",
        "attempts.",
        "runtime_commands.",
    ];
    let expected: BTreeSet<_> =
        expected.into_iter().filter(|name| !excluded.iter().any(|table| name.starts_with(table))).collect();
    let copied =
        TABLES.iter().flat_map(|table| table.columns().map(|column| format!("{}.{column}", table.name)));
    assert_eq!(copied.collect::<BTreeSet<_>>(), expected);
}
