//! Requests in flight when a session ends.

use crate::test_app::{Browser, PASSWORD, TestApp, rounds};
use app::backend::KeyBackend;
use app::domain::account::AccountId;
use app::domain::api_key::ApiKey;
use app::domain::mecha::KeyOwner;
use axum::http::StatusCode;
use futures::future::join_all;
use server::store::sessions::SESSIONS_PER_ACCOUNT;

const OTHER: &str = "velvet anchor nineteen moss";
const RENAMES: usize = 60;

async fn keys(app: &TestApp) -> Vec<ApiKey> {
    let account = app.console.accounts.list().await.unwrap().remove(0);
    app.console.keys.list(&AccountId(account.id), &KeyOwner::Account).await.unwrap().keys
}

/// Ends a session: by signing out everywhere, signing out, or changing the password.
async fn end(browser: &mut Browser, how: usize) {
    let response = match how {
        0 => browser.post("/rpc/account/sign-out-everywhere", &[]).await,
        1 => browser.post("/rpc/account/sign-out", &[]).await,
        _ => {
            let fields = [("current_password", PASSWORD), ("new_password", OTHER)];
            browser.post("/rpc/account/change-password", &fields).await
        }
    };
    assert_eq!(response.status, StatusCode::OK, "{}", response.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_committed_after_its_session_has_ended() {
    for round in 0..rounds(6, 100) {
        let app = TestApp::new().await;
        let mut ada = app.owner("ada@example.com").await;
        let (key, _) = ada.create("Deploy").await;
        let renames = (0..RENAMES).map(|n| {
            let (mut ada, key) = (ada.clone(), key.clone());
            tokio::spawn(async move {
                let fields = [("key_id", &*key), ("name", &*format!("Name {n}"))];
                ada.post("/rpc/keys/rename", &fields).await.status
            })
        });
        let renames: Vec<_> = renames.collect();
        tokio::task::yield_now().await;
        end(&mut ada.clone(), round % 3).await;
        let after_the_end = keys(&app).await;
        for status in join_all(renames).await {
            let status = status.unwrap();
            assert!(matches!(status, StatusCode::OK | StatusCode::UNAUTHORIZED), "{status}");
        }
        assert_eq!(keys(&app).await, after_the_end, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_in_flight_while_the_account_is_deleted_never_return_a_server_error() {
    for _ in 0..rounds(3, 50) {
        let app = TestApp::new().await;
        let ada = app.owner("ada@example.com").await;
        let creates = (0..20).map(|n| {
            let mut ada = ada.clone();
            tokio::spawn(async move {
                let fields = [("name", &*format!("Key {n}")), ("expire_in", "7")];
                ada.post("/rpc/keys/create", &fields).await.status
            })
        });
        let creates: Vec<_> = creates.collect();
        tokio::task::yield_now().await;
        let deleted = ada.clone().post("/rpc/account/delete", &[("confirm_password", PASSWORD)]).await;
        assert_eq!(deleted.status, StatusCode::OK);
        for status in join_all(creates).await {
            let expected = [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::CONFLICT];
            let status = status.unwrap();
            assert!(expected.contains(&status), "{status}");
        }
    }
}

#[tokio::test]
async fn the_number_of_sessions_of_an_account_is_limited_and_the_oldest_ends_first() {
    let app = TestApp::new().await;
    let mut first = app.owner("ada@example.com").await;
    let mut second = app.anonymous();
    app.advance(1);
    second.sign_in("ada@example.com").await;
    for _ in 2..SESSIONS_PER_ACCOUNT {
        app.advance(1);
        app.anonymous().sign_in("ada@example.com").await;
    }
    assert_eq!(first.get("/settings/account").await.status, StatusCode::OK);
    app.anonymous().sign_in("ada@example.com").await;
    assert_eq!(first.get("/settings/account").await.status, StatusCode::SEE_OTHER);
    let page = second.get("/settings/account").await;
    assert_eq!(page.status, StatusCode::OK);
    let account = AccountId(app.console.accounts.list().await.unwrap().remove(0).id);
    let sessions = app.console.sessions.of_account(&account).await.unwrap();
    assert_eq!(sessions.len() as i64, SESSIONS_PER_ACCOUNT);
}
