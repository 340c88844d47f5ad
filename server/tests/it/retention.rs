//! Deletion of data after its retention time, and its pause while the clock may be wrong.

use crate::test_app::{TestApp, client_request};
use app::domain::timestamp::{DAY, HOUR};
use server::clock::Clock;
use server::services::retention::ClockProblem;

/// The body of `/readyz`, which reports warnings.
async fn ready(app: &TestApp) -> String {
    let response = client_request(&app.router, "/readyz", &[]).await;
    assert_eq!(response.status, axum::http::StatusCode::OK);
    response.body
}

/// The number of keys in the database.
async fn count(app: &TestApp) -> i64 {
    let keys = sqlx::query_scalar("SELECT count(*) FROM api_keys");
    keys.fetch_one(&mut app.database().await).await.unwrap()
}

#[tokio::test]
async fn a_server_that_starts_with_a_clock_ahead_deletes_nothing_and_reports_a_warning() {
    let app = TestApp::at(Clock::System.now()).await;
    let mut ada = app.owner("ada@example.com").await;
    ada.post("/rpc/keys/create", &[("name", "Deploy"), ("expire_in", "7")]).await.list();
    app.console.retention.sweep().await.unwrap();
    assert_eq!(ready(&app).await, "ok");

    app.advance(60 * DAY);
    let ahead = app.restart().await;
    ahead.console.retention.sweep().await.unwrap();
    assert_eq!(count(&app).await, 1);
    assert!(ahead.console.retention.paused().is_some());
    assert!(ready(&ahead).await.starts_with("ok\nwarning: nothing is deleted for now: the clock "));
    // A change at that time deletes nothing either.
    let mut later = ahead.anonymous();
    later.sign_in("ada@example.com").await;
    let again = later.post("/rpc/keys/create", &[("name", "Other"), ("expire_in", "7")]).await;
    assert_eq!(again.list().keys.len(), 2);

    ahead.advance(-60 * DAY);
    ahead.console.retention.sweep().await.unwrap();
    assert_eq!(ready(&ahead).await, "ok");
    assert_eq!(count(&app).await, 2);
}

#[tokio::test]
async fn a_clock_behind_the_recorded_time_pauses_deletion() {
    let app = TestApp::in_file().await;
    app.console.retention.sweep().await.unwrap();
    app.advance(-HOUR);
    app.console.retention.sweep().await.unwrap();
    assert!(matches!(app.console.retention.paused(), Some(ClockProblem::Behind(HOUR..))));
}

#[tokio::test]
async fn a_server_that_is_restarted_every_day_deletes_expired_keys_after_their_retention_time() {
    let first = TestApp::in_file().await;
    let mut app = first.restart().await;
    let mut ada = app.owner("ada@example.com").await;
    ada.post("/rpc/keys/create", &[("name", "Deploy"), ("expire_in", "7")]).await.list();
    for day in 0..37 {
        app.console.retention.sweep().await.unwrap();
        assert_eq!((count(&app).await, app.console.retention.paused()), (1, None), "day {day}");
        app.advance(DAY);
        app = app.restart().await;
    }
    app.console.retention.sweep().await.unwrap();
    assert_eq!(count(&app).await, 0);
}
