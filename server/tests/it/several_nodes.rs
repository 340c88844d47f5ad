//! Several nodes on one PostgreSQL database. `tools/postgres.sh cargo test …` provides the server.

use crate::coherence::{History, race};
use crate::key_events::{event, listen};
use crate::test_app::{PASSWORD, TestApp, client_request, fresh_database, postgres, rounds, verify};
use axum::http::StatusCode;
use server::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// Starts `count` nodes on one new database.
async fn nodes(count: usize) -> Vec<TestApp> {
    assert!(postgres().is_some(), "these tests need PostgreSQL: run them with tools/postgres.sh");
    let mut nodes = vec![TestApp::new().await];
    while nodes.len() < count {
        nodes.push(nodes[0].restart().await);
    }
    nodes
}

#[tokio::test]
async fn a_session_is_valid_on_all_nodes_and_sign_out_ends_it_on_all_nodes() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let mut on_other_node = ada.clone();
    on_other_node.router = nodes[1].router.clone();
    assert_eq!(on_other_node.get("/settings/api-keys").await.status, StatusCode::OK);
    ada.post("/rpc/account/sign-out", &[]).await;
    assert_eq!(on_other_node.get("/settings/api-keys").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_concurrently_on_an_empty_database_run_the_migrations_once() {
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
async fn sign_in_attempts_are_rate_limited_across_all_nodes() {
    let nodes = nodes(2).await;
    nodes[0].owner("ada@example.com").await;
    let mut anonymous = nodes[0].anonymous();
    let mut statuses = Vec::new();
    for attempt in 0..12 {
        anonymous.router = nodes[attempt % 2].router.clone();
        let fields = [("email", "ada@example.com"), ("password", "wrong wrong wrong wrong")];
        statuses.push(anonymous.post("/rpc/account/sign-in", &fields).await.status.as_u16());
    }
    assert!(!statuses[..10].contains(&429), "{statuses:?}");
    assert_eq!(statuses[10..], [429; 2]);
    let expire = sqlx::query("UPDATE attempts SET empty_at = 0");
    expire.execute(&mut nodes[0].database().await).await.unwrap();
    nodes[0].console.sessions.sweep().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM attempts")
        .fetch_one(&mut nodes[0].database().await)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_change_on_one_node_is_applied_on_all_nodes_before_its_response() {
    let nodes = nodes(3).await;
    let [mut a, mut b] = [nodes[0].owner("ada@example.com").await, nodes[0].anonymous()];
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
async fn an_event_stream_on_one_node_reports_the_first_request_on_another_node() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let mut stream = listen(&ada).await;
    // The other node learns asynchronously that the key is watched, so the first requests may not be published.
    let received = loop {
        nodes[1].advance(1_000);
        client_request(&nodes[1].router, "/verify", &[("x-api-key", &secret), ("user-agent", "curl/8.5")])
            .await;
        if let Ok(received) = timeout(Duration::from_millis(100), event(&mut stream)).await {
            break received;
        }
    };
    assert_eq!(received["key_id"], id.as_str());
    assert_eq!(received["first_request"], "First request received: 0.0.0.0, curl/8.5");
    assert!(!received["list"]["keys"][0]["html"].as_str().unwrap().contains("Never used"), "{received}");
}

#[tokio::test]
async fn a_node_without_a_lease_verifies_in_the_database_and_returns_503_without_the_database() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let key_cache = &nodes[1].console.key_cache;
    key_cache.shut_down().await;
    assert!(!key_cache.lease.holds());
    assert_eq!(verify(&nodes[1].router, &secret).await, StatusCode::NO_CONTENT);
    ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Deploy")]).await.list();
    assert!(key_cache.index.len() == 1, "it no longer applies changes");
    assert_eq!(verify(&nodes[1].router, &secret).await, StatusCode::UNAUTHORIZED);
    key_cache.store.close().await;
    assert_eq!(verify(&nodes[1].router, &secret).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_retired_secret_is_denied_on_a_node_whose_clock_is_behind() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    nodes[1].advance(-60_000);
    for how in ["0", "24h", "first-use"] {
        let (id, previous) = ada.create("Deploy").await;
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
        assert_eq!(verify(&nodes[1].router, &previous).await, StatusCode::UNAUTHORIZED, "{how}");
        // The rotation has ended on that node too, so another one can begin there.
        ada.router = nodes[1].router.clone();
        ada.post("/rpc/keys/rotate", &[("key_id", &id), ("grace", "0")]).await.list();
        ada.router = nodes[0].router.clone();
        ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Deploy")]).await.list();
    }
}

#[tokio::test]
async fn once_a_delete_returns_success_or_not_found_the_key_is_denied_on_all_nodes() {
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
async fn a_crashed_node_delays_a_change_no_longer_than_its_lease_lasts() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let (id, _) = ada.create("Deploy").await;
    // The row of a killed node: it applies no changes, and it has not released its lease.
    let sql = "INSERT INTO nodes (id, lease_until, applied) VALUES ('gone', clock_timestamp() + interval '1 second', 0)";
    sqlx::query(sql).execute(&mut nodes[0].database().await).await.unwrap();
    let began = std::time::Instant::now();
    ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Deploy")]).await.list();
    let took = began.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(2)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_node_that_missed_changes_reloads_its_whole_key_cache() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let (id, deleted) = ada.create("Deploy").await;
    let (_, kept) = ada.create("Kept").await;
    // Deletes a key and the log of changes in one transaction, without notifying the nodes.
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
async fn no_verification_on_any_node_that_starts_after_the_response_to_a_revocation_is_allowed() {
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
                let (responded_at, began) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
                let racers: Vec<_> = nodes
                    .iter()
                    .map(|node| {
                        let (router, history) = (node.router.clone(), Arc::clone(&history));
                        let (responded_at, began) = (Arc::clone(&responded_at), Arc::clone(&began));
                        tokio::spawn(race(router, history, secret.clone(), responded_at, began))
                    })
                    .collect();
                while !began.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                }
                // Revokes on each node in turn, not only on the node that created the key.
                owner.router = nodes[trial % 3].router.clone();
                crate::coherence::revoke(&mut owner, &id, trial / 3).await;
                responded_at.store(history.now().max(1), Ordering::SeqCst);
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
    assert!(history.allowed() >= (trials / lanes * lanes) as u64);
}
