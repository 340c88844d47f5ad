//! `/rpc/keys/rotate` and `/rpc/keys/retire`.

use crate::test_app::{Browser, START, TestApp, bearer, client_request, verify};
use app::domain::timestamp::{DAY, HOUR};
use axum::http::StatusCode;
use futures::future::join_all;

pub(crate) async fn rotate(owner: &mut Browser, key: &str, grace: &str) -> String {
    let list = owner.post("/rpc/keys/rotate", &[("key_id", key), ("grace", grace)]).await.list();
    list.new.unwrap().secret
}

#[tokio::test]
async fn both_secrets_are_allowed_until_the_instant_at_which_the_grace_period_ends() {
    for (grace, time) in [("1h", HOUR), ("24h", DAY), ("7d", 7 * DAY)] {
        let app = TestApp::new().await;
        let mut ada = app.owner("ada@example.com").await;
        let (id, previous) = ada.create("Deploy").await;
        let new = rotate(&mut ada, &id, grace).await;
        assert_ne!(previous, new);
        let key = ada.list().await.remove(0);
        let kept = key.previous.unwrap();
        assert_eq!((kept.last_four.as_str(), kept.until), (&previous[41..], START.plus(time)));
        assert_eq!(key.last_four, new[41..]);
        for secret in [&new, &previous] {
            assert_eq!(verify(&app.router, secret).await, StatusCode::NO_CONTENT);
            assert_eq!(bearer(&app.router, secret).await, StatusCode::OK);
        }
        app.advance(time - 1);
        assert_eq!(verify(&app.router, &previous).await, StatusCode::NO_CONTENT);
        app.advance(1);
        assert_eq!(verify(&app.router, &previous).await, StatusCode::UNAUTHORIZED);
        assert_eq!(verify(&app.router, &new).await, StatusCode::NO_CONTENT);
        assert_eq!(app.denials(&id).await, [("retired".to_owned(), 1)]);
    }
}

#[tokio::test]
async fn without_a_grace_period_the_previous_secret_is_denied_immediately() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    let new = rotate(&mut ada, &id, "0").await;
    assert_eq!(verify(&app.router, &previous).await, StatusCode::UNAUTHORIZED);
    assert_eq!(verify(&app.router, &new).await, StatusCode::NO_CONTENT);
    // No rotation is in progress, so the key can be rotated again.
    rotate(&mut ada, &id, "0").await;
    assert_eq!(verify(&app.router, &new).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_first_use_of_the_new_secret_retires_the_previous_secret() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    let new = rotate(&mut ada, &id, "first-use").await;
    app.advance(6 * DAY);
    assert_eq!(verify(&app.router, &previous).await, StatusCode::NO_CONTENT);
    let first = join_all((0..20).map(|_| verify(&app.router, &new))).await;
    assert!(first.iter().all(|status| *status == StatusCode::NO_CONTENT));
    assert_eq!(verify(&app.router, &previous).await, StatusCode::UNAUTHORIZED);
    ada.sign_in("ada@example.com").await;
    assert_eq!(ada.list().await[0].previous.as_ref().unwrap().until, START.plus(6 * DAY));
}

#[tokio::test]
async fn a_new_secret_is_verified_in_memory_once_the_previous_secret_is_retired() {
    for ended in ["by use", "by hand", "by time"] {
        let app = TestApp::new().await;
        let mut ada = app.owner("ada@example.com").await;
        let (id, _) = ada.create("Deploy").await;
        let new = rotate(&mut ada, &id, "first-use").await;
        match ended {
            "by hand" => drop(ada.post("/rpc/keys/retire", &[("key_id", &id)]).await.list()),
            "by time" => app.advance(8 * DAY),
            _ => {}
        }
        assert_eq!(verify(&app.router, &new).await, StatusCode::NO_CONTENT);
        // With the database closed, only verifications from memory succeed.
        app.console.store.close().await;
        assert_eq!(verify(&app.router, &new).await, StatusCode::NO_CONTENT, "{ended}");
    }
}

#[tokio::test]
async fn a_first_use_that_cannot_retire_the_previous_secret_is_rejected() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    let new = rotate(&mut ada, &id, "first-use").await;
    app.console.store.close().await;
    assert_eq!(verify(&app.router, &new).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(verify(&app.router, &previous).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_request_to_a_closed_module_neither_counts_as_use_nor_retires_the_previous_secret() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    let new = rotate(&mut ada, &id, "first-use").await;
    for path in ["/verify?module=users", "/api/v1/users/me"] {
        assert_eq!(
            client_request(&app.router, path, &[("x-api-key", &new)]).await.status,
            StatusCode::FORBIDDEN
        );
    }
    assert_eq!(ada.list().await[0].last_used_at, None);
    assert_eq!(app.denials(&id).await, [("closed-module".to_owned(), 2)]);
    assert_eq!(verify(&app.router, &previous).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_previous_secret_is_retired_after_seven_days_even_if_the_new_secret_is_never_used() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    rotate(&mut ada, &id, "first-use").await;
    app.advance(7 * DAY);
    assert_eq!(verify(&app.router, &previous).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_has_at_most_one_rotation_in_progress_and_retiring_the_previous_secret_ends_it() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    let statuses = {
        let rotations = (0..20).map(|_| {
            let mut ada = ada.clone();
            let id = id.clone();
            async move { ada.post("/rpc/keys/rotate", &[("key_id", &id), ("grace", "24h")]).await.status }
        });
        join_all(rotations).await
    };
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CONFLICT).count(), 19);
    assert_eq!(verify(&app.router, &previous).await, StatusCode::NO_CONTENT);
    for _ in 0..2 {
        ada.post("/rpc/keys/retire", &[("key_id", &id)]).await.list();
        assert_eq!(verify(&app.router, &previous).await, StatusCode::UNAUTHORIZED);
    }
    rotate(&mut ada, &id, "1h").await;
}

#[tokio::test]
async fn the_previous_secret_is_denied_while_the_key_is_switched_off_expired_or_deleted() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let fields = [("name", "Brief"), ("expire_in", "7")];
    let created = ada.post("/rpc/keys/create", &fields).await.list().new.unwrap();
    let (id, previous) = (created.id.as_str(), created.secret);
    app.advance(6 * DAY);
    ada.sign_in("ada@example.com").await;
    rotate(&mut ada, id, "7d").await;
    ada.post("/rpc/keys/set-active", &[("key_id", id), ("active", "false")]).await.list();
    assert_eq!(verify(&app.router, &previous).await, StatusCode::UNAUTHORIZED);
    ada.post("/rpc/keys/set-active", &[("key_id", id), ("active", "true")]).await.list();
    assert_eq!(verify(&app.router, &previous).await, StatusCode::NO_CONTENT);
    app.advance(DAY);
    ada.sign_in("ada@example.com").await;
    assert_eq!(verify(&app.router, &previous).await, StatusCode::UNAUTHORIZED);
    assert_eq!(app.denials(id).await, [("expired".to_owned(), 1), ("inactive".to_owned(), 1)]);
    let rejected = ada.post("/rpc/keys/rotate", &[("key_id", id), ("grace", "0")]).await;
    assert_eq!(rejected.refusal().status, 409);

    let (id, previous) = ada.create("Gone").await;
    let new = rotate(&mut ada, &id, "7d").await;
    ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Gone")]).await.list();
    for secret in [previous, new] {
        assert_eq!(verify(&app.router, &secret).await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn rotate_and_retire_are_rejected_without_a_session_and_for_keys_of_another_account() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    let fields = [("key_id", &*id), ("grace", "0")];
    let mut eve = app.owner("eve@example.com").await;
    for path in ["/rpc/keys/rotate", "/rpc/keys/retire"] {
        assert_eq!(app.anonymous().post(path, &fields).await.refusal().status, 401);
        let missing = eve.post(path, &[("key_id", &*"0".repeat(32)), ("grace", "0")]).await;
        let foreign = eve.post(path, &fields).await;
        assert_eq!((foreign.status, &foreign.body), (StatusCode::NOT_FOUND, &missing.body));
    }
    assert_eq!(verify(&app.router, &previous).await, StatusCode::NO_CONTENT);
    let bad = ada.post("/rpc/keys/rotate", &[("key_id", &id), ("grace", "8d")]).await.refusal();
    assert_eq!((bad.status, bad.fields.len()), (422, 1));
}

#[tokio::test]
async fn after_a_restart_the_key_cache_matches_the_committed_state() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    let new = rotate(&mut ada, &id, "24h").await;
    let (off, off_secret) = ada.create("Off").await;
    ada.post("/rpc/keys/set-active", &[("key_id", &off), ("active", "false")]).await.list();
    let again = app.restart().await;
    for (secret, status) in [(&previous, 204), (&new, 204), (&off_secret, 401)] {
        assert_eq!(verify(&again.router, secret).await.as_u16(), status);
    }
    again.advance(DAY);
    assert_eq!(verify(&again.router, &previous).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_retired_secret_is_deleted_after_thirty_days() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, previous) = ada.create("Deploy").await;
    rotate(&mut ada, &id, "0").await;
    assert_eq!(app.console.key_cache.index.len(), 2);
    app.advance(30 * DAY);
    app.console.keys.sweep().await.unwrap();
    assert_eq!(app.console.key_cache.index.len(), 1);
    verify(&app.router, &previous).await;
    assert!(app.denials(&id).await.is_empty());
    assert!(app.owner("bob@example.com").await.list().await.is_empty());
}

#[tokio::test]
async fn while_two_secrets_work_the_last_use_of_each_is_known_before_and_after_a_flush() {
    for is_flushed in [false, true] {
        let app = TestApp::new().await;
        let mut ada = app.owner("ada@example.com").await;
        let (id, previous) = ada.create("Deploy").await;
        let use_it = async |secret: &str| {
            app.advance(HOUR);
            assert_eq!(verify(&app.router, secret).await, StatusCode::NO_CONTENT);
            if is_flushed {
                app.console.keys.flush_usage().await.unwrap();
            }
            app.console.accounts.clock.now()
        };
        let before = use_it(&previous).await;
        app.advance(HOUR);
        let new = rotate(&mut ada, &id, "7d").await;
        let last = async |ada: &mut Browser| {
            let key = ada.list().await.remove(0);
            (key.last_use_of_previous().map(|(at, _)| at), key.last_use_of_current().map(|(at, _)| at))
        };
        assert_eq!(last(&mut ada).await, (Some(before), None), "{is_flushed}");
        let of_previous = use_it(&previous).await;
        assert_eq!(last(&mut ada).await, (Some(of_previous), None), "{is_flushed}");
        let of_new = use_it(&new).await;
        assert_eq!(last(&mut ada).await, (Some(of_previous), Some(of_new)), "{is_flushed}");
        let page = ada.get(&format!("/settings/api-keys?dialog=usage&key_id={id}")).await;
        assert!(page.body.contains("Old secret: last used 1 hour ago from 0.0.0.0"), "{}", page.body);
        assert!(page.body.contains("New secret: last used just now"));
    }
}
