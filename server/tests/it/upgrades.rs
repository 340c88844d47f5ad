//! Databases of earlier versions, and migrations that run concurrently or were interrupted.

use crate::test_app::{TestApp, rounds, verify};
use app::domain::timestamp::Timestamp;
use axum::http::StatusCode;
use futures::future::join_all;
use server::random::system_rng;
use server::secret::{PlainSecret, Prefix};
use server::store::Store;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tempfile::TempDir;

async fn migrations() -> Migrator {
    Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite")).await.unwrap()
}

fn file(folder: &TempDir) -> PathBuf {
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    folder.path().join("data/console.db")
}

async fn connect(folder: &TempDir) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file(folder)).create_if_missing(true).connect().await.unwrap()
}

fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", file(folder).display())
}

async fn versions(folder: &TempDir) -> Vec<i64> {
    sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success = 1 ORDER BY version")
        .fetch_all(&mut connect(folder).await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_database_of_every_earlier_version_opens_and_its_keys_work() {
    let all = migrations().await;
    let numbers: Vec<i64> = all.iter().map(|migration| migration.version).collect();
    for version in &numbers {
        let secret = PlainSecret::generate(&Prefix::default(), &mut system_rng());
        let folder = tempfile::tempdir().unwrap();
        let mut database = connect(&folder).await;
        all.run_to(*version, &mut database).await.unwrap();
        let now = crate::test_app::START.0;
        let account = "0193e4f2c1d47a3b9c5d6e7f80912a3b";
        sqlx::query(
            "INSERT INTO accounts (id, email, email_folded, password_hash, created_at)
             VALUES ($1, 'ada@example.com', 'ada@example.com', 'x', $2)",
        )
        .bind(account)
        .bind(now)
        .execute(&mut database)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO api_keys (id, account_id, name, name_folded, description, secret_digest, last_four, created_at)
             VALUES ($1, $1, 'Deploy', 'deploy', '', $2, 'abcd', $3)",
        )
        .bind(account)
        .bind(secret.digest().as_bytes().to_vec())
        .bind(now)
        .execute(&mut database)
        .await
        .unwrap();
        drop(database);
        let app = TestApp::open(folder).await;
        assert_eq!(
            verify(&app.router, secret.reveal()).await,
            StatusCode::NO_CONTENT,
            "from version {version}"
        );
        assert_eq!(versions(&app.folder).await, numbers, "from version {version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_run_once_when_several_servers_start_concurrently() {
    for _ in 0..rounds(10, 200) {
        let folder = tempfile::tempdir().unwrap();
        let url = url(&folder);
        let starts = (0..4).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Store::open(&url).await.map(|_| ()) })
        });
        for started in join_all(starts).await {
            started.unwrap().unwrap();
        }
        assert_eq!(versions(&folder).await.len(), migrations().await.iter().count());
    }
}

#[tokio::test]
async fn after_a_start_was_interrupted_during_migrations_the_next_start_completes_them() {
    // Interrupts the start after exponentially more polls, since most polls make no progress.
    for polls in (1..).map(|n: i32| 1.3_f64.powi(n) as usize) {
        let folder = tempfile::tempdir().unwrap();
        let url = url(&folder);
        let done = {
            let mut start = pin!(Store::open(&url));
            let mut done = false;
            for _ in 0..polls {
                if let Poll::Ready(opened) = start.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    opened.unwrap();
                    done = true;
                    break;
                }
                tokio::task::yield_now().await;
                std::thread::yield_now();
            }
            done
        };
        let app = TestApp::open(folder).await;
        assert_eq!(versions(&app.folder).await.len(), migrations().await.iter().count(), "{polls}");
        assert_eq!(app.console.clock.now(), Timestamp(crate::test_app::START.0));
        if done {
            break;
        }
    }
}

#[tokio::test]
async fn a_database_of_a_later_version_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(&url(&folder)).await.unwrap().close().await;
    let later = "INSERT INTO _sqlx_migrations VALUES (9999, 'later', CURRENT_TIMESTAMP, 1, X'00', 1)";
    sqlx::query(later).execute(&mut connect(&folder).await).await.unwrap();
    let error = Store::open(&url(&folder)).await.unwrap_err().to_string();
    assert!(error.contains("9999"), "{error}");
}
