//! Who used a key, and who was refused with it.

use crate::test_app::{START, TestApp, program, verify};
use app::domain::timestamp::{DAY, MINUTE};
use app::domain::usage::{ClientName, DenialReason, USAGE_KEPT_FOR};
use axum::http::StatusCode;

fn from(agent: &str) -> ClientName {
    ClientName { address: "0.0.0.0".to_owned(), agent: agent.to_owned() }
}

#[tokio::test]
async fn a_use_is_known_at_once_and_written_down_later() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    assert_eq!(ada.list().await[0].last_used_at, None);
    let bearer = format!("Bearer {secret}");
    for agent in ["curl/8.5", "curl/8.5", "python-httpx/0.28"] {
        program(&app.router, "/verify", &[("authorization", &bearer), ("user-agent", agent)]).await;
        app.advance(1);
    }
    let listed = ada.list().await.remove(0);
    assert_eq!(listed.last_used_at, Some(START.plus(2)));
    assert_eq!(listed.last_used_from.as_deref(), Some("0.0.0.0, python-httpx/0.28"));
    for _ in 0..2 {
        let uses = app.traffic(&id).await.uses;
        let counts: Vec<_> = uses.iter().map(|used| (used.program.clone(), used.times)).collect();
        assert_eq!(counts, [(from("python-httpx/0.28"), 1), (from("curl/8.5"), 2)]);
        assert_eq!(ada.list().await[0], listed);
        app.console.keys.flush_usage().await.unwrap();
    }
    app.advance(DAY);
    program(&app.router, "/verify", &[("authorization", &bearer), ("user-agent", "curl/8.5")]).await;
    app.console.keys.flush_usage().await.unwrap();
    let uses = app.traffic(&id).await.uses;
    assert_eq!((uses[0].program.clone(), uses[0].times), (from("curl/8.5"), 3));
}

#[tokio::test]
async fn writing_down_a_use_never_revives_a_key_nor_undoes_a_change() {
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
async fn what_could_not_be_written_down_is_kept() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    verify(&app.router, &secret).await;
    let traffic = &app.console.usage;
    let closed = server::store::Store::open(&app.url).await.unwrap();
    closed.close().await;
    assert!(traffic.flush(&closed).await.is_err());
    assert_eq!(ada.list().await[0].last_used_at, Some(START));
}

#[tokio::test]
async fn every_refusal_of_a_known_key_is_explained_to_its_owner_and_to_nobody_else() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let (other, other_secret) = ada.create("Other").await;
    let refuse = async |headers: &[(&str, &str)]| {
        let status = program(&app.router, "/verify", headers).await.status;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    };
    // The secret of one key under the Key ID of the other, and a secret of none.
    refuse(&[("x-api-key-id", &other), ("x-api-key-secret", &secret)]).await;
    refuse(&[("x-api-key-id", &other), ("x-api-key-secret", "mm_tok_junk")]).await;
    refuse(&[("x-api-key-id", "junk"), ("x-api-key-secret", &secret)]).await;
    ada.post("/rpc/keys/set-active", &[("key_id", &id), ("active", "false")]).await.list();
    refuse(&[("x-api-key", &secret)]).await;
    app.advance(90 * DAY);
    refuse(&[("x-api-key", &secret)]).await;
    refuse(&[("x-api-key", &other_secret)]).await;
    for _ in 0..2 {
        let expected = [("expired".to_owned(), 1), ("inactive".to_owned(), 1), ("wrong-id".to_owned(), 2)];
        // What was before 30 days is not told any more.
        assert_eq!(app.refused(&id).await[..1], expected[..1]);
        assert_eq!(app.refused(&other).await[0], ("expired".to_owned(), 1));
        app.console.keys.flush_usage().await.unwrap();
    }
    let mut eve = app.owner("eve@example.com").await;
    let page = eve.get(&format!("/settings/api-keys/traffic?key_id={id}")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(!page.body.contains("expired"), "{}", page.body);
}

#[tokio::test]
async fn each_reason_is_told_with_its_time_and_place() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let (other, _) = ada.create("Other").await;
    let headers = [("x-api-key-id", &*other), ("x-api-key-secret", &*secret), ("user-agent", "curl/8.5")];
    for _ in 0..3 {
        program(&app.router, "/verify", &headers).await;
    }
    for (key, reason) in [(&id, DenialReason::WrongId), (&other, DenialReason::WrongSecret)] {
        let refused = app.traffic(key).await.refused;
        assert_eq!(refused.len(), 1);
        let told = (refused[0].reason, refused[0].times, refused[0].last_at, refused[0].program.clone());
        assert_eq!(told, (reason, 3, START, from("curl/8.5")));
    }
}

#[tokio::test]
async fn a_refused_request_that_names_no_key_leaves_nothing() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    ada.create("Deploy").await;
    let unknown = "0".repeat(32);
    let stranger = "mm_tok_00000000000000000000000000000000000000";
    for headers in [
        &[("x-api-key", "junk")][..],
        &[("x-api-key", stranger)][..],
        &[("x-api-key-id", &*unknown), ("x-api-key-secret", stranger)][..],
    ] {
        program(&app.router, "/verify", headers).await;
    }
    app.console.keys.flush_usage().await.unwrap();
    let mut database = app.database().await;
    let rows: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM api_key_refusals").fetch_one(&mut database).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn what_is_kept_of_a_key_is_bounded_and_forgotten_in_time() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let (other, _) = ada.create("Other").await;
    for n in 0..60 {
        let agent = format!("agent/{n}");
        let good = [("x-api-key", &*secret), ("user-agent", &*agent)];
        let bad = [("x-api-key-id", &*other), ("x-api-key-secret", &*secret), ("user-agent", &*agent)];
        for headers in [&good[..], &bad[..]] {
            program(&app.router, "/verify", headers).await;
        }
        if n % 10 == 0 {
            app.console.keys.flush_usage().await.unwrap();
        }
        app.advance(MINUTE);
    }
    app.console.keys.flush_usage().await.unwrap();
    let traffic = app.traffic(&id).await;
    assert_eq!(traffic.uses.iter().map(|used| used.times).sum::<u64>(), 60);
    assert!(traffic.uses.len() <= 21, "{}", traffic.uses.len());
    assert!(traffic.refused.len() <= 20, "{}", traffic.refused.len());
    app.advance(USAGE_KEPT_FOR + DAY);
    app.console.keys.sweep().await.unwrap();
    let traffic = app.traffic(&id).await;
    assert!(traffic.uses.is_empty() && traffic.refused.is_empty());
}

#[tokio::test]
async fn of_many_keys_and_programs_each_use_is_counted_once_however_often_it_is_written_down() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mut keys = Vec::new();
    for n in 0..3 {
        keys.push(ada.create(&format!("Deploy {n}")).await);
    }
    // In two halves, and the second time with programs that were there before.
    for agents in [0..15, 5..30] {
        for agent in agents.map(|n| format!("agent/{n}")) {
            for (_, secret) in &keys {
                program(&app.router, "/verify", &[("x-api-key", secret), ("user-agent", &agent)]).await;
            }
            app.advance(1);
        }
        app.console.keys.flush_usage().await.unwrap();
    }
    for (id, _) in &keys {
        let uses = app.traffic(id).await.uses;
        assert_eq!(uses.iter().map(|used| used.times).sum::<u64>(), 40);
        let (apart, others): (Vec<_>, Vec<_>) =
            uses.into_iter().partition(|used| used.program != ClientName::default());
        // Nobody is counted again under another name: those that are told apart have all their uses.
        assert_eq!((apart.len(), others.len()), (20, 1));
        for used in apart {
            let n: u32 = used.program.agent.strip_prefix("agent/").unwrap().parse().unwrap();
            assert_eq!(used.times, if (5..15).contains(&n) { 2 } else { 1 }, "agent/{n}");
        }
    }
    assert_eq!(ada.list().await[0].last_used_at, Some(START.plus(39)));
}
