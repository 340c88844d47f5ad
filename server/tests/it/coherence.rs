//! Revocation takes effect immediately: verifications race changes that revoke a secret, or narrow its access. A logical clock orders the
//! start of each verification and the response to each change. A verification that starts after the response must be
//! denied.

use crate::mechas::create_mecha;
use crate::test_app::{Browser, TestApp, postgres, verify_scope};
use axum::Router;
use axum::http::StatusCode;
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

/// Verifies repeatedly that `secret` has the scope `trigger`, until a verification that started after the response to the change has completed.
pub(crate) async fn race(
    router: Router,
    history: Arc<History>,
    secret: String,
    responded_at: Arc<AtomicU64>,
    began: Arc<AtomicBool>,
) {
    loop {
        let begin = history.now();
        let status = verify_scope(&router, &secret, "trigger").await;
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

/// Number of ways to revoke a secret.
pub(crate) const REVOCATIONS: usize = 6;
/// With the narrowing of its access, which does not disconnect a runtime.
const WAYS: usize = REVOCATIONS + 1;

/// A key whose secret is revoked while it is verified.
pub(crate) struct RacedKey {
    id: String,
    pub(crate) secret: String,
    /// The Mecha that owns it, if one does.
    pub(crate) mecha: Option<String>,
}

impl RacedKey {
    /// Creates the key for a trial. `how` determines how it is revoked.
    pub(crate) async fn create(owner: &mut Browser, how: usize) -> Self {
        let mecha =
            if [4, 5].contains(&(how % WAYS)) { Some(create_mecha(owner, "Raced").await) } else { None };
        Self::of(owner, mecha).await
    }

    /// Creates a key of a new Mecha.
    pub(crate) async fn of_mecha(owner: &mut Browser) -> Self {
        let mecha = create_mecha(owner, "Raced").await;
        Self::of(owner, Some(mecha)).await
    }

    async fn of(owner: &mut Browser, mecha: Option<String>) -> Self {
        let mut fields = vec![("name", "Raced"), ("expire_in", "90")];
        if let Some(mecha) = &mecha {
            fields.push(("mecha_id", mecha));
        }
        let new = owner.post("/rpc/keys/create", &fields).await.list().new.unwrap();
        Self { id: new.id.as_str().to_owned(), secret: new.secret, mecha }
    }

    /// Revokes the current secret: by deleting the key, switching it off, rotating it, rotating and retiring, by switching
    /// off or deleting its Mecha, or by narrowing its access.
    pub(crate) async fn revoke(&self, owner: &mut Browser, how: usize) {
        let key = ("key_id", self.id.as_str());
        let mecha = ("mecha_id", self.mecha.as_deref().unwrap_or_default());
        let response = match how % WAYS {
            0 => owner.post("/rpc/keys/delete", &[key, ("confirm_name", "Raced")]).await,
            1 => owner.post("/rpc/keys/set-active", &[key, ("active", "false")]).await,
            2 => owner.post("/rpc/keys/rotate", &[key, ("grace", "0")]).await,
            3 => {
                owner.post("/rpc/keys/rotate", &[key, ("grace", "24h")]).await.list();
                owner.post("/rpc/keys/retire", &[key]).await
            }
            4 => owner.post("/rpc/mechas/set-active", &[mecha, ("active", "false")]).await,
            6 => {
                let narrowed = [key, ("name", "Raced"), ("access", "chosen"), ("scopes", "read")];
                owner.post("/rpc/keys/edit", &narrowed).await
            }
            _ => owner.post("/rpc/mechas/delete", &[mecha, ("confirm_name", "Raced")]).await,
        };
        assert_eq!(response.status, StatusCode::OK, "{}", response.body);
    }

    /// Deletes what is left of it.
    pub(crate) async fn delete(self, owner: &mut Browser, how: usize) {
        let (path, id) = match (how % WAYS, self.mecha) {
            (5, _) | (0, None) => return,
            (_, Some(mecha)) => ("/rpc/mechas/delete", ("mecha_id", mecha)),
            (_, None) => ("/rpc/keys/delete", ("key_id", self.id)),
        };
        let response = owner.post(path, &[(id.0, &id.1), ("confirm_name", "Raced")]).await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.body);
    }
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
                let key = RacedKey::create(&mut owner, trial).await;
                let (responded_at, began) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
                let racers: Vec<_> = (0..2)
                    .map(|_| {
                        let (router, history) = (owner.router.clone(), Arc::clone(&history));
                        let (responded_at, began) = (Arc::clone(&responded_at), Arc::clone(&began));
                        tokio::spawn(race(router, history, key.secret.clone(), responded_at, began))
                    })
                    .collect();
                while !began.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                }
                key.revoke(&mut owner, trial).await;
                responded_at.store(history.now().max(1), Ordering::SeqCst);
                for racer in racers {
                    racer.await.unwrap();
                }
                key.delete(&mut owner, trial).await;
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
