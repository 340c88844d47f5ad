//! Backups of the database taken under load, and their restore.

use crate::test_app::{TestApp, verify};
use app::domain::account::{AccountId, Email};
use app::domain::activity::{ActivityKind, ActivityQuery};
use axum::http::StatusCode;
use server::clock::Clock;
use server::commands::backup::{BackupError, backup};
use server::commands::restore::{Since, restore};
use server::store::{Claim, StoreError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

fn database(app: &TestApp) -> String {
    url(&app.folder.path().join("data/console.db"))
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_backups_taken_under_load_can_all_be_restored_with_working_keys() {
    let app = TestApp::in_file().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, kept) = ada.create("Kept").await;
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = tokio::spawn({
        let (stop, rounds, mut ada) = (Arc::clone(&stop), Arc::clone(&rounds), ada.clone());
        async move {
            while !stop.load(Ordering::SeqCst) {
                let (id, _) = ada.create("Passing").await;
                ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Passing")]).await.list();
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    for n in 0..50 {
        let file = folder.path().join(format!("{n}.db"));
        // Ensures load during every backup: waits for a round of changes after the previous one.
        while rounds.load(Ordering::SeqCst) <= n {
            tokio::task::yield_now().await;
        }
        let keys = backup(&database(&app), &file).await.unwrap();
        assert!((1..=2).contains(&keys), "{keys} keys");
        assert_eq!(mode(&file), 0o600);
    }
    stop.store(true, Ordering::SeqCst);
    load.await.unwrap();
    for n in 0..50 {
        let other = tempfile::tempdir().unwrap();
        let target = other.path().join("data/console.db");
        let from = folder.path().join(format!("{n}.db"));
        restore(&url(&target), &from, false, true, &Clock::default()).await.unwrap();
        let restored = TestApp::open(other).await;
        assert_eq!(verify(&restored.router, &kept).await, StatusCode::NO_CONTENT, "backup {n}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 50, "no temporary files remain");
}

/// A stopped console and a backup of it. After the backup, one key was deleted, one switched off, and one created.
/// Returns the secrets of these keys in this order.
async fn changed_since_backup() -> (TestApp, PathBuf, [String; 3]) {
    let app = TestApp::in_file().await;
    let mut ada = app.owner("ada@example.com").await;
    let (leaked, leaked_secret) = ada.create("Leaked").await;
    let (paused, paused_secret) = ada.create("Paused").await;
    let copy = app.folder.path().join("copy.db");
    assert_eq!(backup(&database(&app), &copy).await.unwrap(), 2);
    ada.post("/rpc/keys/delete", &[("key_id", &leaked), ("confirm_name", "Leaked")]).await.list();
    ada.post("/rpc/keys/set-active", &[("key_id", &paused), ("active", "false")]).await.list();
    let (_, new_secret) = ada.create("New").await;
    app.console.store.close().await;
    (app, copy, [leaked_secret, paused_secret, new_secret])
}

#[tokio::test]
async fn a_restore_reports_the_keys_that_changed_since_the_backup_and_switches_all_keys_off() {
    let (app, copy, secrets) = changed_since_backup().await;
    // A killed server leaves this file behind. The restored database must not use it.
    let file = app.folder.path().join("data/console.db");
    std::fs::write(app.folder.path().join("data/console.db-shm"), b"stale").unwrap();
    let restored = restore(&url(&file), &copy, true, false, &Clock::default()).await.unwrap();
    let mut since: Vec<_> = restored.since.unwrap().into_iter().map(|(what, key)| (key.name, what)).collect();
    since.sort_by(|a, b| a.0.cmp(&b.0));
    let named = |name: &str, what| (name.to_owned(), what);
    assert_eq!(
        since,
        [named("Leaked", Since::Deleted), named("New", Since::Created), named("Paused", Since::Changed)]
    );
    let replaced = restored.replaced.unwrap();
    assert!(replaced.exists());
    // A second restore does not overwrite the database that the first one set aside.
    let again = restore(&url(&file), &copy, true, false, &Clock::default()).await;
    assert!(matches!(again, Err(BackupError::Exists(there)) if there == replaced));
    assert!(!app.folder.path().join("data/console.db-wal").exists());
    assert_eq!(mode(&file), 0o600);
    let again = app.restart().await;
    for secret in &secrets {
        assert_eq!(verify(&again.router, secret).await, StatusCode::UNAUTHORIZED);
    }
    // Her session has ended, and the activity log shows that the restore switched her keys off.
    let mut ada = again.anonymous();
    ada.sign_in("ada@example.com").await;
    let listed = ada.list().await;
    assert!(listed.len() == 2 && listed.iter().all(|key| !key.active));
    let email = Email::parse("ada@example.com").unwrap();
    let id = again.console.store.account_by_email(&email).await.unwrap().unwrap().id;
    let activity =
        again.console.store.activity(&AccountId(id), &ActivityQuery::default()).await.unwrap().entries;
    assert_eq!(activity.iter().filter(|it| it.what == ActivityKind::KeySwitchedOff).count(), 2);
    let on = ada.post("/rpc/keys/set-active", &[("key_id", listed[0].id.as_str()), ("active", "true")]).await;
    assert!(on.list().keys.iter().any(|key| key.active));
}

#[tokio::test]
async fn a_restore_keeps_keys_active_only_if_requested_and_never_keeps_sessions() {
    let (app, copy, [leaked, ..]) = changed_since_backup().await;
    restore(&database(&app), &copy, true, true, &Clock::default()).await.unwrap();
    let again = app.restart().await;
    assert_eq!(verify(&again.router, &leaked).await, StatusCode::NO_CONTENT);
    assert_eq!(again.anonymous().get("/settings/api-keys").await.status, StatusCode::SEE_OTHER);
    let store = &again.console.store;
    let email = Email::parse("ada@example.com").unwrap();
    let id = AccountId(store.account_by_email(&email).await.unwrap().unwrap().id);
    assert!(again.console.sessions.of_account(&id).await.unwrap().is_empty());
}

#[tokio::test]
async fn existing_files_are_overwritten_only_if_requested_and_an_invalid_backup_changes_nothing() {
    let (app, copy, [.., new]) = changed_since_backup().await;
    let url = database(&app);
    let clock = Clock::default();
    assert!(matches!(backup(&url, &copy).await, Err(BackupError::Exists(_))));
    assert!(matches!(restore(&url, &copy, false, false, &clock).await, Err(BackupError::WouldOverwrite(_))));
    let journal = app.folder.path().join("copy.db-wal");
    std::fs::write(&journal, b"not in the copy yet").unwrap();
    assert!(matches!(restore(&url, &copy, true, false, &clock).await, Err(BackupError::Unfinished(_))));
    std::fs::remove_file(&journal).unwrap();
    let whole = std::fs::read(&copy).unwrap();
    let mut torn = whole.clone();
    torn[4096..8192].fill(0xAA);
    let other = app.folder.path().join("other.db");
    for (what, bytes) in [
        ("torn", torn),
        ("cut short", whole[..whole.len() / 2].to_vec()),
        ("no database", b"hello".to_vec()),
        ("empty", Vec::new()),
    ] {
        std::fs::write(&other, bytes).unwrap();
        assert!(restore(&url, &other, true, false, &clock).await.is_err(), "{what}");
    }
    assert!(restore(&url, Path::new("/nonexistent"), true, false, &clock).await.is_err());
    {
        let _served = Claim::of(&url).unwrap();
        let rejected = restore(&url, &copy, true, false, &clock).await;
        assert!(matches!(rejected, Err(BackupError::Store(StoreError::Served))));
    }
    assert_eq!(verify(&app.restart().await.router, &new).await, StatusCode::NO_CONTENT);
    assert!(!app.folder.path().join("data/console.db.restoring").exists());
}
