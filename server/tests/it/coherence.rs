//! Revocation takes effect immediately: verifications race changes that revoke a secret. A logical clock orders the
//! start of each verification and the response to each change. A verification that starts after the response must be
//! denied.

use crate::test_app::{Browser, TestApp, postgres, verify};
use axum::http::StatusCode;
use server::http::dispatch::Dispatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const TRIALS: usize = 10_000;
/// Concurrent sequences of trials, each with its own account.
const LANES: usize = 8;

#[derive(Default)]
pub(crate) struct History {
    clock: AtomicU64,
    verifications: AtomicU64,
    allowed: AtomicU64,
}

impl History {
    /// The next tick of the logical clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Number of verifications that were allowed.
    pub(crate) fn allowed(&self) -> u64 {
        self.allowed.load(Ordering::SeqCst)
    }
}

/// Verifies `secret` repeatedly, until a verification that started after the response to the change has completed.
pub(crate) async fn race(
    router: Dispatch,
    history: Arc<History>,
    secret: String,
    responded_at: Arc<AtomicU64>,
    began: Arc<AtomicBool>,
) {
    loop {
        let begin = history.now();
        let status = verify(&router, &secret).await;
        began.store(true, Ordering::SeqCst);
        let responded = responded_at.load(Ordering::SeqCst);
        history.verifications.fetch_add(1, Ordering::Relaxed);
        if status == StatusCode::NO_CONTENT {
            history.allowed.fetch_add(1, Ordering::Relaxed);
            assert!(responded == 0 || begin < responded, "allowed at {begin}, revoked at {responded}");
        }
        if responded != 0 && begin > responded {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Revokes the current secret of a key: by deleting, switching off, or rotating and retiring, depending on `how`.
pub(crate) async fn revoke(owner: &mut Browser, id: &str, how: usize) {
    let response = match how % 4 {
        0 => owner.post("/rpc/keys/delete", &[("key_id", id), ("confirm_name", "Raced")]).await,
        1 => owner.post("/rpc/keys/set-active", &[("key_id", id), ("active", "false")]).await,
        2 => owner.post("/rpc/keys/rotate", &[("key_id", id), ("grace", "0")]).await,
        _ => {
            owner.post("/rpc/keys/rotate", &[("key_id", id), ("grace", "24h")]).await.list();
            owner.post("/rpc/keys/retire", &[("key_id", id)]).await
        }
    };
    response.list();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_verification_that_starts_after_the_response_to_a_revocation_is_allowed() {
    let app = TestApp::new().await;
    // On PostgreSQL, `several_nodes.rs` runs the long version of this test.
    let trials = if postgres().is_some() { 400 } else { TRIALS };
    let history = Arc::<History>::default();
    let mut lanes = Vec::new();
    for lane in 0..LANES {
        let mut owner = app.owner(&format!("lane{lane}@example.com")).await;
        let history = Arc::clone(&history);
        lanes.push(tokio::spawn(async move {
            for trial in 0..trials / LANES {
                let (id, secret) = owner.create("Raced").await;
                let (responded_at, began) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
                let racers: Vec<_> = (0..2)
                    .map(|_| {
                        let (router, history) = (owner.router.clone(), Arc::clone(&history));
                        let (responded_at, began) = (Arc::clone(&responded_at), Arc::clone(&began));
                        tokio::spawn(race(router, history, secret.clone(), responded_at, began))
                    })
                    .collect();
                while !began.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                }
                revoke(&mut owner, &id, trial).await;
                responded_at.store(history.now().max(1), Ordering::SeqCst);
                for racer in racers {
                    racer.await.unwrap();
                }
                if trial % 4 != 0 {
                    let fields = [("key_id", &*id), ("confirm_name", "Raced")];
                    owner.post("/rpc/keys/delete", &fields).await.list();
                }
            }
        }));
    }
    for lane in lanes {
        lane.await.unwrap();
    }
    let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
    // Checks that the trials raced: on average, each has a verification allowed before the response and one denied.
    assert!(of(&history.allowed) >= trials as u64);
    assert!(of(&history.verifications) - of(&history.allowed) >= trials as u64);
    assert!(app.console.key_cache.index.is_empty());
}
