//! Several nodes on one PostgreSQL database. `tools/postgres.sh cargo test …` provides the server.

mod forwarding;

use crate::coherence::{History, REVOCATIONS, RacedKey, race};
use crate::key_events::{event, listen};
use crate::runtimes::{Peer, Place, serve};
use crate::test_app::{PASSWORD, TestApp, client_request, fresh_database, postgres, rounds, verify};
use axum::http::StatusCode;
use futures::SinkExt;
use server::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

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
    let mut stream = listen(&ada, &format!("?key={id}")).await;
    // The other node learns asynchronously that the key is watched, so the first requests may not be published.
    let received = loop {
        nodes[1].advance(1_000);
        client_request(&nodes[1].router, "/verify", &[("x-api-key", &secret), ("user-agent", "curl/8.5")])
            .await;
        if let Ok(received) = timeout(Duration::from_millis(100), event(&mut stream)).await {
            break received;
        }
    };
    assert!(received.first_request.contains("First request received: 0.0.0.0, curl/8.5"), "{received:?}");
    assert!(!received.list.contains("Never used"), "{received:?}");
}

#[tokio::test]
async fn a_change_on_one_node_arrives_on_a_page_of_another_node() {
    let nodes = nodes(2).await;
    let mut ada = nodes[0].owner("ada@example.com").await;
    let (id, _) = ada.create("Deploy").await;
    let mut on_other = nodes[1].anonymous();
    on_other.cookie = ada.cookie.clone();
    let mut stream = listen(&on_other, "").await;
    ada.post("/rpc/keys/rename", &[("key_id", &id), ("name", "Renamed")]).await.list();
    assert!(event(&mut stream).await.list.contains("Renamed"));
    ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Renamed")]).await.list();
    assert!(event(&mut stream).await.list.contains("No API keys yet"));
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
                let key = RacedKey::create(&mut owner, trial / 3).await;
                let (responded_at, began) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
                let racers: Vec<_> = nodes
                    .iter()
                    .map(|node| {
                        let (router, history) = (node.router.clone(), Arc::clone(&history));
                        let (responded_at, began) = (Arc::clone(&responded_at), Arc::clone(&began));
                        tokio::spawn(race(router, history, key.secret.clone(), responded_at, began))
                    })
                    .collect();
                while !began.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                }
                // Revokes on each node in turn, not only on the node that created the key.
                owner.router = nodes[trial % 3].router.clone();
                key.revoke(&mut owner, trial / 3).await;
                responded_at.store(history.now().max(1), Ordering::SeqCst);
                for racer in racers {
                    racer.await.unwrap();
                }
                key.delete(&mut owner, trial / 3).await;
            }
        }));
    }
    for lane in running {
        lane.await.unwrap();
    }
    assert!(history.allowed() >= (trials / lanes * lanes) as u64);
}

/// Three nodes, and a runtime on each; the owner is on the first one.
async fn nodes_with_runtimes() -> (Place, [TestApp; 2], [Peer; 3]) {
    let place = Place::of(TestApp::new().await).await;
    assert!(postgres().is_some(), "these tests need PostgreSQL: run them with tools/postgres.sh");
    let others = [place.app.restart().await, place.app.restart().await];
    let secret = place.key.secret.clone();
    let peers = [
        Peer::welcomed(place.address, &secret, "a").await,
        Peer::welcomed(serve(&others[0]).await, &secret, "b").await,
        Peer::welcomed(serve(&others[1]).await, &secret, "c").await,
    ];
    (place, others, peers)
}

#[tokio::test]
async fn every_node_shows_the_runtimes_of_all_nodes_and_reaches_them() {
    let (mut place, others, [mut a, b, mut c]) = nodes_with_runtimes().await;
    drop(b);
    place.wait_for("the connection was lost").await;
    let (mecha, routers) = (place.mecha.clone(), [place.app.router.clone(), others[0].router.clone()]);
    for router in &routers {
        place.ada.router = router.clone();
        assert!(place.ada.get("/mechas").await.body.contains("Connected: 2 runtimes, idle"));
    }
    let mut on_other = others[0].anonymous();
    on_other.cookie.clone_from(&place.ada.cookie);
    let mut stream = listen(&on_other, &format!("?mecha={mecha}")).await;
    c.status("on the third node").await;
    loop {
        let received = timeout(Duration::from_secs(10), event(&mut stream)).await.unwrap();
        if received.list.contains("on the third node") {
            break;
        }
    }
    // The second node reaches the runtimes on the first and on the third node.
    let page = place.page().await;
    let ids = page.split("name=\"runtime_id\" value=\"").skip(1).map(|rest| rest[..32].to_owned());
    let ids: std::collections::BTreeSet<_> = ids.collect();
    assert_eq!(ids.len(), 2);
    let tests = ids.iter().map(|id| {
        let (mut ada, mecha) = (place.ada.clone(), mecha.clone());
        async move {
            let fields = [("mecha_id", mecha.as_str()), ("runtime_id", id), ("command", "test")];
            ada.post("/rpc/mechas/command", &fields).await.status
        }
    });
    // The library responds to pings while it reads.
    let reads = async {
        let _ = tokio::join!(
            timeout(Duration::from_secs(6), a.frame()),
            timeout(Duration::from_secs(6), c.frame())
        );
    };
    let statuses = tokio::select! {
        statuses = futures::future::join_all(tests) => statuses,
        () = reads => unreachable!(),
    };
    assert_eq!(statuses, [StatusCode::OK; 2]);
    let runtime = place.runtime().await;
    let fields = [("mecha_id", mecha.as_str()), ("runtime_id", &runtime)];
    assert_eq!(place.ada.post("/rpc/mechas/disconnect", &fields).await.status, StatusCode::OK);
    let mut closed = [
        timeout(Duration::from_secs(2), a.close_code()).await,
        timeout(Duration::from_secs(2), c.close_code()).await,
    ];
    closed.sort_by_key(Result::is_ok);
    assert_eq!(closed[1], Ok(4410));
}

#[tokio::test]
async fn a_revocation_on_one_node_disconnects_the_runtimes_on_all_nodes_within_a_second() {
    let (mut place, others, peers) = nodes_with_runtimes().await;
    place.ada.router = others[1].router.clone();
    let fields = [("key_id", place.key.id.as_str()), ("active", "false")];
    place.ada.post("/rpc/keys/set-active", &fields).await.list();
    let acknowledged = tokio::time::Instant::now();
    for mut peer in peers {
        let late = serde_json::json!({"type": "status", "state": "busy", "note": "after response"});
        let _ = peer.0.send(Message::text(late.to_string())).await;
        assert_eq!(peer.close_code().await, 4403);
        assert!(acknowledged.elapsed() < Duration::from_secs(1));
    }
    place.wait_for("No runtime is connected").await;
    assert!(!place.page().await.contains("after response"));
}

#[tokio::test]
async fn an_instance_that_reconnects_to_another_node_replaces_its_earlier_connection() {
    let (place, others, [mut a, _b, _c]) = nodes_with_runtimes().await;
    let _again = Peer::welcomed(serve(&others[1]).await, &place.key.secret, "a").await;
    assert_eq!(a.close_code().await, 4409);
}

#[tokio::test]
async fn a_node_without_a_lease_lets_frames_wait_and_its_runtimes_leave_the_page_with_its_lease() {
    let (mut place, others, [_a, mut b, mut c]) = nodes_with_runtimes().await;
    assert!(place.ada.get("/mechas").await.body.contains("Connected: 3 runtimes"));
    // The second node no longer extends its lease, as if it had lost the database.
    others[0].console.key_cache.shut_down().await;
    let started = tokio::time::Instant::now();
    assert!(place.ada.get("/mechas").await.body.contains("Connected: 2 runtimes"));
    b.status("without a lease").await;
    c.status("with a lease").await;
    place.wait_for("with a lease").await;
    assert_eq!(b.close_code().await, 1013);
    assert!(started.elapsed() < Duration::from_secs(13), "{:?}", started.elapsed());
    place.wait_for("the connection was lost").await;
    assert!(!place.page().await.contains("without a lease"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_frame_on_any_node_that_is_sent_after_the_response_to_a_revocation_takes_effect() {
    let place = Place::of(TestApp::new().await).await;
    assert!(postgres().is_some(), "these tests need PostgreSQL: run them with tools/postgres.sh");
    let nodes = [place.app.restart().await, place.app.restart().await];
    let addresses = [place.address, serve(&nodes[0]).await, serve(&nodes[1]).await];
    let mut owner = place.ada.clone();
    let mut effects = 0;
    for trial in 0..rounds(24, 600) {
        let key = RacedKey::of_mecha(&mut owner).await;
        let responded_at = Arc::<std::sync::OnceLock<std::time::Instant>>::default();
        let peers = (0..9).map(|n| {
            let (address, secret, responded_at) =
                (addresses[n % 3], key.secret.clone(), Arc::clone(&responded_at));
            tokio::spawn(async move {
                let mut peer = Peer::welcomed(address, &secret, &n.to_string()).await;
                let mut sent = Vec::new();
                tokio::time::sleep(Duration::from_millis(n as u64 * 6)).await;
                loop {
                    sent.push(std::time::Instant::now());
                    let note = format!("{n}.{}", sent.len() - 1);
                    let frame = serde_json::json!({"type": "status", "state": "busy", "note": note});
                    if peer.0.send(Message::text(frame.to_string())).await.is_err()
                        || responded_at.get().is_some_and(|at| at.elapsed() > Duration::from_millis(300))
                    {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(51)).await;
                }
                assert!([4401, 4403].contains(&peer.close_code().await));
                sent
            })
        });
        let peers: Vec<_> = peers.collect();
        tokio::time::sleep(Duration::from_millis(150)).await;
        owner.router = [&place.app, &nodes[0], &nodes[1]][trial % 3].router.clone();
        key.revoke(&mut owner, trial % REVOCATIONS).await;
        let responded = *responded_at.get_or_init(std::time::Instant::now);
        let mut sent = Vec::new();
        for peer in peers {
            sent.push(peer.await.unwrap());
        }
        // The last note that took effect is stored when the connection has ended.
        let notes: Vec<(String, Option<i64>)> = loop {
            let notes: Vec<(String, Option<i64>)> =
                sqlx::query_as("SELECT note, ended_at FROM runtimes WHERE mecha_id = $1")
                    .bind(key.mecha.as_deref().unwrap())
                    .fetch_all(&mut place.app.database().await)
                    .await
                    .unwrap();
            if notes.iter().all(|(_, ended)| ended.is_some()) {
                break notes;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        for (note, _) in notes {
            let Some((n, frame)) = note.split_once('.') else { continue };
            effects += 1;
            let sent_at = sent[n.parse::<usize>().unwrap()][frame.parse::<usize>().unwrap()];
            assert!(
                sent_at < responded,
                "frame {note} was sent {:?} after the response",
                sent_at - responded
            );
        }
        owner.router = place.app.router.clone();
        key.delete(&mut owner, trial % REVOCATIONS).await;
    }
    assert!(effects > 0, "no frame took effect at all");
}
