//! Many nodes on one PostgreSQL: `tools/postgres.sh cargo test …` gives these tests one.

use crate::coherence::{History, race};
use crate::key_events::{event, listen};
use crate::test_app::{PASSWORD, TestApp, fresh_database, postgres, program, rounds, verify};
use axum::http::StatusCode;
use server::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// So many nodes on a database of their own.
async fn nodes(count: usize) -> Vec<TestApp> {
    assert!(postgres().is_some(), "these tests need PostgreSQL: run them with tools/postgres.sh");
    let mut nodes = vec![TestApp::new().await];
    while nodes.len() < count {
        nodes.push(nodes[0].restart().await);
    }
    nodes
}

#[tokio::test]
async fn who_signs_in_on_one_node_is_signed_in_on_all_and_signed_out_of_all() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let mut on_other_nodes = ada.clone();
    on_other_nodes.router = nodes[1].router.clone();
    assert_eq!(on_other_nodes.get("/settings/api-keys").await.status, StatusCode::OK);
    ada.post("/rpc/account/sign-out", &[]).await;
    assert_eq!(on_other_nodes.get("/settings/api-keys").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_on_an_empty_database_make_its_tables_once() {
    assert!(postgres().is_some(), "these tests need PostgreSQL: run them with tools/postgres.sh");
    for _ in 0..rounds(3, 50) {
        let url = fresh_database(&tempfile::tempdir().unwrap()).await;
        let starts = (0..4).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Store::open(&url).await.map(|_| ()) })
        });
        for started in futures::future::join_all(starts).await {
            started.unwrap().unwrap();
        }
        let app = TestApp::at_url(&url).await;
        app.owner("ada@example.com").await.create("Deploy").await;
    }
}

#[tokio::test]
async fn who_tries_too_often_is_told_to_wait_by_all_nodes() {
    let nodes = nodes(2).await;
    nodes[0].owner("ada@example.com").await;
    let mut stranger = nodes[0].stranger();
    let mut statuses = Vec::new();
    for attempt in 0..12 {
        stranger.router = nodes[attempt % 2].router.clone();
        let fields = [("email", "ada@example.com"), ("password", "wrong wrong wrong wrong")];
        statuses.push(stranger.post("/rpc/account/sign-in", &fields).await.status.as_u16());
    }
    assert!(!statuses[..10].contains(&429), "{statuses:?}");
    assert_eq!(statuses[10..], [429; 2]);
    let forgotten = sqlx::query("UPDATE attempts SET empty_at = 0");
    forgotten.execute(&mut nodes[0].database().await).await.unwrap();
    nodes[0].console.sessions.sweep().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM attempts")
        .fetch_one(&mut nodes[0].database().await)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_is_done_on_one_node_is_so_on_all_once_it_is_answered() {
    let nodes = nodes(3).await;
    let [mut a, mut b] = [nodes[0].owner("ada@example.com").await, nodes[0].stranger()];
    b.cookie.clone_from(&a.cookie);
    b.router = nodes[1].router.clone();
    let all = async |secret: &str| {
        let mut statuses = Vec::new();
        for node in &nodes {
            assert!(node.console.key_cache.lease.holds());
            statuses.push(verify(&node.router, secret).await.as_u16());
        }
        statuses
    };
    let (id, secret) = a.create("Deploy").await;
    assert_eq!(all(&secret).await, [204; 3]);
    b.post("/rpc/keys/set-active", &[("key_id", &id), ("active", "false")]).await.list();
    assert_eq!(all(&secret).await, [401; 3]);
    a.post("/rpc/keys/set-active", &[("key_id", &id), ("active", "true")]).await.list();
    assert_eq!(all(&secret).await, [204; 3]);
    let new =
        b.post("/rpc/keys/rotate", &[("key_id", &id), ("grace", "first-use")]).await.list().new.unwrap();
    assert_eq!(all(&secret).await, [204; 3]);
    assert_eq!(verify(&nodes[2].router, &new.secret).await, StatusCode::NO_CONTENT);
    assert_eq!(all(&secret).await, [401; 3]);
    assert_eq!(all(&new.secret).await, [204; 3]);
    a.post("/rpc/account/delete", &[("confirm_password", PASSWORD)]).await;
    assert_eq!(all(&new.secret).await, [401; 3]);
}

#[tokio::test]
async fn who_watches_on_one_node_sees_the_first_request_on_another() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let mut stream = listen(&ada).await;
    // That it is watched is told on its way; a request may come before.
    let told = loop {
        nodes[1].advance(1_000);
        program(&nodes[1].router, "/verify", &[("x-api-key", &secret), ("user-agent", "curl/8.5")]).await;
        if let Ok(told) = timeout(Duration::from_millis(100), event(&mut stream)).await {
            break told;
        }
    };
    assert_eq!(told["key_id"], id.as_str());
    assert_eq!(told["first_request"], "First request received: 0.0.0.0, curl/8.5");
    assert!(!told["list"]["keys"][0]["html"].as_str().unwrap().contains("Never used"), "{told}");
}

#[tokio::test]
async fn a_node_without_a_lease_asks_the_database_and_without_that_says_so() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let secrets = &nodes[1].console.key_cache;
    secrets.shut_down().await;
    assert!(!secrets.lease.holds());
    assert_eq!(verify(&nodes[1].router, &secret).await, StatusCode::NO_CONTENT);
    ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Deploy")]).await.list();
    assert!(secrets.index.len() == 1, "it follows no more");
    assert_eq!(verify(&nodes[1].router, &secret).await, StatusCode::UNAUTHORIZED);
    secrets.store.close().await;
    assert_eq!(verify(&nodes[1].router, &secret).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_old_secret_that_was_ended_is_over_also_by_a_clock_that_is_behind() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    nodes[1].advance(-60_000);
    for how in ["0", "24h", "first-use"] {
        let (id, old) = ada.create("Deploy").await;
        let rotated = ada.post("/rpc/keys/rotate", &[("key_id", &id), ("grace", how)]).await.list();
        match how {
            "24h" => drop(ada.post("/rpc/keys/retire", &[("key_id", &id)]).await.list()),
            "first-use" => {
                assert_eq!(
                    verify(&nodes[0].router, &rotated.new.unwrap().secret).await,
                    StatusCode::NO_CONTENT
                );
            }
            _ => {}
        }
        assert_eq!(verify(&nodes[1].router, &old).await, StatusCode::UNAUTHORIZED, "{how}");
        // It is over, so that another rotation may begin there, too.
        ada.router = nodes[1].router.clone();
        ada.post("/rpc/keys/rotate", &[("key_id", &id), ("grace", "0")]).await.list();
        ada.router = nodes[0].router.clone();
        ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Deploy")]).await.list();
    }
}

#[tokio::test]
async fn who_is_told_that_a_key_is_gone_finds_it_gone_on_all_nodes() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    for _ in 0..rounds(30, 1_000) {
        let (id, secret) = ada.create("Deploy").await;
        let fields = [("key_id", &*id), ("confirm_name", "Deploy")];
        let mut twice = [ada.clone(), ada.clone()];
        twice[1].router = nodes[1].router.clone();
        let [first, second] = &mut twice;
        let delete = async |owner: &mut crate::test_app::Browser| {
            let status = owner.post("/rpc/keys/delete", &fields).await.status.as_u16();
            assert!([200, 404].contains(&status), "{status}");
            for node in &nodes {
                assert_eq!(verify(&node.router, &secret).await, StatusCode::UNAUTHORIZED, "after {status}");
            }
        };
        tokio::join!(delete(first), delete(second));
    }
}

#[tokio::test]
async fn a_node_that_is_gone_keeps_a_change_waiting_for_no_longer_than_its_lease() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let (id, _) = ada.create("Deploy").await;
    // As a process that was killed: it follows nothing, and has not given its lease back.
    let sql = "INSERT INTO nodes (id, lease_until, applied) VALUES ('gone', clock_timestamp() + interval '1 second', 0)";
    sqlx::query(sql).execute(&mut nodes[0].database().await).await.unwrap();
    let began = std::time::Instant::now();
    ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Deploy")]).await.list();
    let took = began.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(2)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_node_that_was_away_for_long_reads_everything_anew() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let (id, deleted) = ada.create("Deploy").await;
    let (_, kept) = ada.create("Kept").await;
    // What it would have followed is forgotten, in one step with a change that nobody was told of.
    let mut database = nodes[0].database().await;
    for sql in [
        "BEGIN",
        "DELETE FROM api_keys WHERE name = 'Deploy'",
        "UPDATE revision SET number = number + 100",
        "DELETE FROM key_changes",
        "COMMIT",
    ] {
        sqlx::query(sql).execute(&mut database).await.unwrap();
    }
    ada.post("/rpc/keys/create", &[("name", "New"), ("expire_in", "90")]).await.list();
    for node in &nodes {
        assert_eq!(verify(&node.router, &deleted).await, StatusCode::UNAUTHORIZED, "{id}");
        assert_eq!(verify(&node.router, &kept).await, StatusCode::NO_CONTENT);
        assert_eq!(node.console.key_cache.index.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_verification_on_any_node_that_begins_after_the_answer_on_one_succeeds() {
    let nodes = Arc::new(nodes(3).await);
    let trials = rounds(600, 10_000);
    let lanes = 6;
    let history = Arc::<History>::default();
    let mut running = Vec::new();
    for lane in 0..lanes {
        let mut owner = nodes[lane % 3].owner(&format!("lane{lane}@example.com")).await;
        let (history, nodes) = (Arc::clone(&history), Arc::clone(&nodes));
        running.push(tokio::spawn(async move {
            for trial in 0..trials / lanes {
                let (id, secret) = owner.create("Raced").await;
                let (answered_at, began) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
                let racers: Vec<_> = nodes
                    .iter()
                    .map(|node| {
                        let (router, history) = (node.router.clone(), Arc::clone(&history));
                        let (answered_at, began) = (Arc::clone(&answered_at), Arc::clone(&began));
                        tokio::spawn(race(router, history, secret.clone(), answered_at, began))
                    })
                    .collect();
                while !began.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                }
                // On any node, whoever made the key.
                owner.router = nodes[trial % 3].router.clone();
                crate::coherence::revoke(&mut owner, &id, trial / 3).await;
                answered_at.store(history.now().max(1), Ordering::SeqCst);
                for racer in racers {
                    racer.await.unwrap();
                }
                if trial / 3 % 4 != 0 {
                    let fields = [("key_id", &*id), ("confirm_name", "Raced")];
                    owner.post("/rpc/keys/delete", &fields).await.list();
                }
            }
        }));
    }
    for lane in running {
        lane.await.unwrap();
    }
    assert!(history.admitted() >= (trials / lanes * lanes) as u64);
}
