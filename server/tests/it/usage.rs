//! Usage of keys: recorded uses and denials.

use crate::test_app::{START, TestApp, client_request, verify};
use app::backend::KeyBackend;
use app::domain::account::{AccountId, Email};
use app::domain::mecha::KeyOwner;
use app::domain::timestamp::{DAY, MINUTE};
use app::domain::usage::{ClientName, DailyUsage, DayUsage, DenialReason, USAGE_RETENTION};
use axum::http::StatusCode;

fn client(agent: &str) -> ClientName {
    ClientName { address: "0.0.0.0".to_owned(), agent: agent.to_owned() }
}

#[tokio::test]
async fn a_use_is_visible_immediately_and_unchanged_after_the_flush() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    assert_eq!(ada.list().await[0].last_used_at, None);
    let bearer = format!("Bearer {secret}");
    for agent in ["curl/8.5", "curl/8.5", "python-httpx/0.28"] {
        client_request(&app.router, "/verify", &[("authorization", &bearer), ("user-agent", agent)]).await;
        app.advance(1);
    }
    let listed = ada.list().await.remove(0);
    assert_eq!(listed.last_used_at, Some(START.plus(2)));
    assert_eq!(listed.last_used_from.as_deref(), Some("0.0.0.0, python-httpx/0.28"));
    for _ in 0..2 {
        let uses = app.usage(&id).await.uses;
        let counts: Vec<_> = uses.iter().map(|used| (used.client.clone(), used.times)).collect();
        assert_eq!(counts, [(client("python-httpx/0.28"), 1), (client("curl/8.5"), 2)]);
        assert_eq!(ada.list().await[0], listed);
        app.console.keys.flush_usage().await.unwrap();
    }
    app.advance(DAY);
    client_request(&app.router, "/verify", &[("authorization", &bearer), ("user-agent", "curl/8.5")]).await;
    app.console.keys.flush_usage().await.unwrap();
    let uses = app.usage(&id).await.uses;
    assert_eq!((uses[0].client.clone(), uses[0].times), (client("curl/8.5"), 3));
}

#[tokio::test]
async fn requests_per_day_are_the_same_before_and_after_the_flush_and_cover_30_days() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let mut expected = DailyUsage::none(START.day());
    for (day, allowed, denied) in [(0, 2, 1), (1, 0, 0), (2, 3, 0), (31, 1, 2)] {
        expected = moved_to(&expected, START.day() + day);
        app.advance(START.plus(day * DAY).0 - app.console.accounts.clock.now().0);
        for agent in ["a", "b", "c"].into_iter().take(allowed) {
            let headers = [("x-api-key", secret.as_str()), ("user-agent", agent)];
            client_request(&app.router, "/verify", &headers).await;
        }
        for _ in 0..denied {
            let headers = [("x-api-key-id", id.as_str()), ("x-api-key-secret", "mm_tok_junk")];
            client_request(&app.router, "/verify", &headers).await;
        }
        expected.add(START.day() + day, DayUsage { allowed: allowed as u64, denied });
        for _ in 0..2 {
            assert_eq!(daily_usage(&app).await, [expected], "day {day}");
            app.console.keys.flush_usage().await.unwrap();
        }
    }
    assert_eq!(expected.total(), DayUsage { allowed: 4, denied: 2 }, "the first day is past");
    // The first session has ended.
    ada.sign_in("ada@example.com").await;
    let page = ada.get("/settings/api-keys").await.body;
    assert!(page.contains("Last 30 days: 4 requests allowed, 2 refused, most on"), "{page}");
    assert!(page.contains("2 requests refused yesterday and today (UTC)"));
    app.console.keys.sweep().await.unwrap();
    assert_eq!(daily_usage(&app).await, [expected]);
}

async fn daily_usage(app: &TestApp) -> Vec<DailyUsage> {
    let email = Email::parse("ada@example.com").unwrap();
    let account = AccountId(app.console.store.account_by_email(&email).await.unwrap().unwrap().id);
    let list = app.console.keys.list(&account, &KeyOwner::Account).await.unwrap();
    app.console.keys.daily_usage(&account, &list).await.unwrap().into_values().collect()
}

/// The same usage as of another day.
fn moved_to(usage: &DailyUsage, today: i64) -> DailyUsage {
    let mut moved = DailyUsage::none(today);
    for (day, age) in usage.days.iter().rev().zip(0..) {
        moved.add(usage.today - age, *day);
    }
    moved
}

#[tokio::test]
async fn flushing_usage_never_restores_a_deleted_key_or_reverts_a_change() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (off, off_secret) = ada.create("Off").await;
    let (gone, gone_secret) = ada.create("Gone").await;
    for secret in [&off_secret, &gone_secret] {
        assert_eq!(verify(&app.router, secret).await, StatusCode::NO_CONTENT);
    }
    ada.post("/rpc/keys/set-active", &[("key_id", &off), ("active", "false")]).await.list();
    ada.post("/rpc/keys/rename", &[("key_id", &off), ("name", "Paused")]).await.list();
    ada.post("/rpc/keys/delete", &[("key_id", &gone), ("confirm_name", "Gone")]).await.list();
    app.console.keys.flush_usage().await.unwrap();
    let keys = ada.list().await;
    assert_eq!((keys.len(), keys[0].active, keys[0].name.as_str()), (1, false, "Paused"));
    assert_eq!(keys[0].last_used_at, Some(START));
    for secret in [&off_secret, &gone_secret] {
        assert_eq!(verify(&app.router, secret).await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn usage_that_cannot_be_flushed_is_kept() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    verify(&app.router, &secret).await;
    let recorder = &app.console.usage;
    let closed = server::store::Store::open(&app.url).await.unwrap();
    closed.close().await;
    assert!(recorder.flush(&closed).await.is_err());
    assert_eq!(ada.list().await[0].last_used_at, Some(START));
}

#[tokio::test]
async fn denials_of_a_known_key_are_reported_with_their_reason_only_to_its_owner() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let (other, other_secret) = ada.create("Other").await;
    let expect_denied = async |headers: &[(&str, &str)]| {
        let status = client_request(&app.router, "/verify", headers).await.status;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    };
    // The secret of one key with the Key ID of the other, an unknown secret, and a malformed Key ID.
    expect_denied(&[("x-api-key-id", &other), ("x-api-key-secret", &secret)]).await;
    expect_denied(&[("x-api-key-id", &other), ("x-api-key-secret", "mm_tok_junk")]).await;
    expect_denied(&[("x-api-key-id", "junk"), ("x-api-key-secret", &secret)]).await;
    ada.post("/rpc/keys/set-active", &[("key_id", &id), ("active", "false")]).await.list();
    expect_denied(&[("x-api-key", &secret)]).await;
    app.advance(90 * DAY);
    expect_denied(&[("x-api-key", &secret)]).await;
    expect_denied(&[("x-api-key", &other_secret)]).await;
    for _ in 0..2 {
        let expected = [("expired".to_owned(), 1), ("inactive".to_owned(), 1), ("wrong-id".to_owned(), 2)];
        // Denials older than 30 days are no longer reported.
        assert_eq!(app.denials(&id).await[..1], expected[..1]);
        assert_eq!(app.denials(&other).await[0], ("expired".to_owned(), 1));
        app.console.keys.flush_usage().await.unwrap();
    }
    let mut eve = app.owner("eve@example.com").await;
    let page = eve.get(&format!("/settings/api-keys?dialog=usage&key_id={id}")).await;
    assert!(page.body.contains("This API key no longer exists"));
    assert!(!page.body.contains("expired"), "{}", page.body);
}

#[tokio::test]
async fn each_denial_is_recorded_with_its_reason_count_time_and_client() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let (other, _) = ada.create("Other").await;
    let headers = [("x-api-key-id", &*other), ("x-api-key-secret", &*secret), ("user-agent", "curl/8.5")];
    for _ in 0..3 {
        client_request(&app.router, "/verify", &headers).await;
    }
    for (key, reason) in [(&id, DenialReason::WrongId), (&other, DenialReason::WrongSecret)] {
        let denied = app.usage(key).await.denied;
        assert_eq!(denied.len(), 1);
        let recorded = (denied[0].reason, denied[0].times, denied[0].last_at, denied[0].client.clone());
        assert_eq!(recorded, (reason, 3, START, client("curl/8.5")));
    }
}

#[tokio::test]
async fn a_denied_request_that_matches_no_key_is_not_recorded() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    ada.create("Deploy").await;
    let unknown_id = "0".repeat(32);
    let unknown_secret = "mm_tok_00000000000000000000000000000000000000";
    for headers in [
        &[("x-api-key", "junk")][..],
        &[("x-api-key", unknown_secret)][..],
        &[("x-api-key-id", &*unknown_id), ("x-api-key-secret", unknown_secret)][..],
    ] {
        client_request(&app.router, "/verify", headers).await;
    }
    app.console.keys.flush_usage().await.unwrap();
    let mut database = app.database().await;
    let rows: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM api_key_refusals").fetch_one(&mut database).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn the_recorded_usage_of_a_key_is_bounded_and_deleted_after_its_retention_time() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let (other, _) = ada.create("Other").await;
    for n in 0..60 {
        let agent = format!("agent/{n}");
        let good = [("x-api-key", &*secret), ("user-agent", &*agent)];
        let bad = [("x-api-key-id", &*other), ("x-api-key-secret", &*secret), ("user-agent", &*agent)];
        for headers in [&good[..], &bad[..]] {
            client_request(&app.router, "/verify", headers).await;
        }
        if n % 10 == 0 {
            app.console.keys.flush_usage().await.unwrap();
        }
        app.advance(MINUTE);
    }
    app.console.keys.flush_usage().await.unwrap();
    let usage = app.usage(&id).await;
    assert_eq!(usage.uses.iter().map(|used| used.times).sum::<u64>(), 60);
    assert!(usage.uses.len() <= 21, "{}", usage.uses.len());
    assert!(usage.denied.len() <= 20, "{}", usage.denied.len());
    app.advance(USAGE_RETENTION + DAY);
    app.console.keys.sweep().await.unwrap();
    let usage = app.usage(&id).await;
    assert!(usage.uses.is_empty() && usage.denied.is_empty());
}

#[tokio::test]
async fn uses_by_many_clients_of_many_keys_are_counted_exactly_once_across_flushes() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mut keys = Vec::new();
    for n in 0..3 {
        keys.push(ada.create(&format!("Deploy {n}")).await);
    }
    // In two flushes; some clients of the first appear again in the second.
    for agents in [0..15, 5..30] {
        for agent in agents.map(|n| format!("agent/{n}")) {
            for (_, secret) in &keys {
                client_request(&app.router, "/verify", &[("x-api-key", secret), ("user-agent", &agent)])
                    .await;
            }
            app.advance(1);
        }
        app.console.keys.flush_usage().await.unwrap();
    }
    for (id, _) in &keys {
        let uses = app.usage(id).await.uses;
        assert_eq!(uses.iter().map(|used| used.times).sum::<u64>(), 40);
        let (individual, others): (Vec<_>, Vec<_>) =
            uses.into_iter().partition(|used| used.client != ClientName::default());
        // No use is counted twice: each client that is listed individually has all of its uses.
        assert_eq!((individual.len(), others.len()), (20, 1));
        for used in individual {
            let n: u32 = used.client.agent.strip_prefix("agent/").unwrap().parse().unwrap();
            assert_eq!(used.times, if (5..15).contains(&n) { 2 } else { 1 }, "agent/{n}");
        }
    }
    assert_eq!(ada.list().await[0].last_used_at, Some(START.plus(39)));
}
