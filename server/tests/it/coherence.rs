//! What "immediately" means: a history of verifications that race changes. Each verification notes when it
//! began, each change when it was answered, on one clock that only counts; none that began after the answer
//! may succeed.

use crate::test_app::{Browser, TestApp, postgres, verify};
use axum::http::StatusCode;
use server::http::dispatch::Dispatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const TRIALS: usize = 10_000;
/// Trials that go on at once, each with an owner of its own.
const LANES: usize = 8;

#[derive(Default)]
pub(crate) struct History {
    clock: AtomicU64,
    verifications: AtomicU64,
    admitted: AtomicU64,
}

impl History {
    pub(crate) fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// How many verifications succeeded.
    pub(crate) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::SeqCst)
    }
}

/// Verifies until the change was answered and one that began later was answered too.
pub(crate) async fn race(
    router: Dispatch,
    history: Arc<History>,
    secret: String,
    answered_at: Arc<AtomicU64>,
    began: Arc<AtomicBool>,
) {
    loop {
        let begin = history.now();
        let status = verify(&router, &secret).await;
        began.store(true, Ordering::SeqCst);
        let answered = answered_at.load(Ordering::SeqCst);
        history.verifications.fetch_add(1, Ordering::Relaxed);
        if status == StatusCode::NO_CONTENT {
            history.admitted.fetch_add(1, Ordering::Relaxed);
            assert!(answered == 0 || begin < answered, "let in at {begin}, revoked at {answered}");
        }
        if answered != 0 && begin > answered {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// One change that takes the right from `secret`.
pub(crate) async fn revoke(owner: &mut Browser, id: &str, how: usize) {
    let answer = match how % 4 {
        0 => owner.post("/rpc/keys/delete", &[("key_id", id), ("confirm_name", "Raced")]).await,
        1 => owner.post("/rpc/keys/set-active", &[("key_id", id), ("active", "false")]).await,
        2 => owner.post("/rpc/keys/rotate", &[("key_id", id), ("grace", "0")]).await,
        _ => {
            owner.post("/rpc/keys/rotate", &[("key_id", id), ("grace", "24h")]).await.list();
            owner.post("/rpc/keys/retire", &[("key_id", id)]).await
        }
    };
    answer.list();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_verification_that_begins_after_the_answer_succeeds() {
    let app = TestApp::new().await;
    // On PostgreSQL it is `nodes.rs` that does so at length.
    let trials = if postgres().is_some() { 400 } else { TRIALS };
    let history = Arc::<History>::default();
    let mut lanes = Vec::new();
    for lane in 0..LANES {
        let mut owner = app.owner(&format!("lane{lane}@example.com")).await;
        let history = Arc::clone(&history);
        lanes.push(tokio::spawn(async move {
            for trial in 0..trials / LANES {
                let (id, secret) = owner.create("Raced").await;
                let (answered_at, began) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
                let racers: Vec<_> = (0..2)
                    .map(|_| {
                        let (router, history) = (owner.router.clone(), Arc::clone(&history));
                        let (answered_at, began) = (Arc::clone(&answered_at), Arc::clone(&began));
                        tokio::spawn(race(router, history, secret.clone(), answered_at, began))
                    })
                    .collect();
                while !began.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                }
                revoke(&mut owner, &id, trial).await;
                answered_at.store(history.now().max(1), Ordering::SeqCst);
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
    // The race is one: many are let in before the answer, and at least one in each trial begins after it.
    assert!(of(&history.admitted) >= trials as u64);
    assert!(of(&history.verifications) - of(&history.admitted) >= trials as u64);
    assert!(app.console.key_cache.index.is_empty());
}
