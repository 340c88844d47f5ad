//! Concurrent requests, and clients that disconnect. `make torture` runs many more rounds.

use crate::test_app::{Browser, TestApp, rounds, verify};
use app::domain::api_key::ApiKey;
use app::domain::timestamp::MINUTE;
use axum::http::StatusCode;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

async fn create(mut browser: Browser, name: String) -> StatusCode {
    browser.post("/rpc/keys/create", &[("name", &name), ("expire_in", "7")]).await.status
}

async fn delete_all(browser: &mut Browser) {
    for ApiKey { id, name, .. } in browser.list().await {
        let fields = [("key_id", id.as_str()), ("confirm_name", &name)];
        browser.post("/rpc/keys/delete", &fields).await.list();
    }
}

fn counts(statuses: Vec<StatusCode>) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    statuses.iter().for_each(|status| *counts.entry(status.as_u16()).or_default() += 1);
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_concurrent_creates_exactly_ten_succeed() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    for round in 0..rounds(3, 1_000) {
        let attempts = (0..100).map(|n| tokio::spawn(create(ada.clone(), format!("Key {n}"))));
        let statuses = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(counts(statuses), BTreeMap::from([(200, 10), (409, 90)]), "round {round}");
        assert_eq!(ada.list().await.len(), 10);
        delete_all(&mut ada).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_concurrent_creates_with_the_same_name_exactly_one_succeeds() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    for round in 0..rounds(3, 1_000) {
        let name = |n| if n % 2 == 0 { "Straße" } else { "STRASSE" };
        let attempts = (0..100).map(|n| tokio::spawn(create(ada.clone(), name(n).to_owned())));
        let statuses = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(counts(statuses), BTreeMap::from([(200, 1), (422, 99)]), "round {round}");
        assert_eq!(ada.list().await.len(), 1);
        delete_all(&mut ada).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_rename_create_and_delete_leave_at_most_one_key_of_each_name() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    for round in 0..rounds(20, 1_000) {
        let (id, secret) = ada.create("Before").await;
        let act = |path: &'static str, field: &'static str, value: &'static str| {
            let (mut browser, id) = (ada.clone(), id.clone());
            tokio::spawn(async move {
                let fields = [("key_id", id.as_str()), (field, value)];
                browser.post(&format!("/rpc/keys/{path}"), &fields).await.status
            })
        };
        let rename = act("rename", "name", "After");
        let create = tokio::spawn(create(ada.clone(), "After".to_owned()));
        let delete = act("delete", "confirm_name", "Before");
        let [renamed, created, deleted] =
            [rename.await, create.await, delete.await].map(|done| done.unwrap() == 200);
        let names: Vec<_> = ada.list().await.into_iter().map(|key| key.name).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "round {round}: {names:?}");
        // In any order of execution, the list matches the responses.
        let mut expected = Vec::new();
        expected.extend(created.then_some("After"));
        expected.extend((!deleted && renamed).then_some("After"));
        expected.extend((!deleted && !renamed).then_some("Before"));
        assert_eq!(names.len(), expected.len(), "round {round}: {renamed} {created} {deleted} {names:?}");
        let is_allowed = verify(&app.router, &secret).await == StatusCode::NO_CONTENT;
        assert_eq!(is_allowed, !deleted, "round {round}");
        delete_all(&mut ada).await;
    }
}

#[tokio::test]
async fn a_client_that_disconnects_at_any_point_of_a_create_leaves_no_key_or_one_that_can_be_deleted() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    for _ in 0..rounds(1, 20) {
        let mut created = 0;
        for polls in 0.. {
            let done = {
                let mut client = ada.clone();
                let mut request =
                    pin!(client.post("/rpc/keys/create", &[("name", "Cut off"), ("expire_in", "7")]));
                let mut response = None;
                for _ in 0..polls {
                    if let Poll::Ready(ready) = request.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                    {
                        response = Some(ready.status);
                        break;
                    }
                    // Lets the tasks that the request awaits make progress.
                    tokio::task::yield_now().await;
                }
                response
                // Dropping the request disconnects the client.
            };
            // Changes are serialized, so this create also shows that the aborted one holds no lock or connection.
            let (id, secret) = ada.create("Next").await;
            assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
            ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Next")]).await.list();
            let left = ada.list().await;
            assert!(left.len() <= 1 && left.iter().all(|key| key.name == "Cut off"), "{polls}: {left:?}");
            created += left.len();
            delete_all(&mut ada).await;
            if done.is_some() {
                assert!(polls > 2 && created > 0, "{polls} polls, {created} created");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_out_also_ends_the_session_for_copied_cookies_even_with_requests_in_flight() {
    let app = TestApp::new().await;
    app.owner("ada@example.com").await;
    for round in 0..rounds(20, 1_000) {
        let mut ada = app.anonymous();
        ada.sign_in("ada@example.com").await;
        // Long enough for the next request to record the activity of the session.
        app.advance(2 * MINUTE);
        let mut copies: Vec<Browser> = (0..8).map(|_| ada.clone()).collect();
        let in_flight: Vec<_> = copies
            .iter()
            .cloned()
            .map(|mut copy| tokio::spawn(async move { copy.get("/settings/api-keys").await }))
            .collect();
        let out = ada.post("/rpc/account/sign-out", &[]).await;
        assert_eq!(out.status, StatusCode::OK);
        assert!(ada.cookie.is_none());
        join_all(in_flight).await;
        for copy in &mut copies {
            assert_eq!(copy.get("/settings/api-keys").await.status, StatusCode::SEE_OTHER, "round {round}");
        }
    }
}

#[tokio::test]
async fn changes_succeed_again_after_the_database_rolled_back_transactions_by_itself() {
    let app = TestApp::in_file().await;
    let mut ada = app.owner("ada@example.com").await;
    let mut database = app.database().await;
    // SQLite rolls back a transaction by itself when the disk is full.
    let fault = "CREATE TRIGGER fault BEFORE INSERT ON api_keys BEGIN SELECT RAISE(ROLLBACK, 'no room'); END";
    sqlx::query(fault).execute(&mut database).await.unwrap();
    for n in 0..3 {
        assert_eq!(create(ada.clone(), format!("Key {n}")).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    sqlx::query("DROP TRIGGER fault").execute(&mut database).await.unwrap();
    assert_eq!(create(ada.clone(), "After".to_owned()).await, StatusCode::OK);
    assert_eq!(ada.list().await.len(), 1);
}
