//! What is deleted by time, and a clock that is wrong.

use crate::test_app::{TestApp, program};
use app::domain::timestamp::{DAY, HOUR};
use server::clock::Clock;
use server::services::retention::ClockProblem;

async fn ready(app: &TestApp) -> String {
    let answer = program(&app.router, "/readyz", &[]).await;
    assert_eq!(answer.status, axum::http::StatusCode::OK);
    answer.body
}

async fn count(app: &TestApp) -> i64 {
    let keys = sqlx::query_scalar("SELECT count(*) FROM api_keys");
    keys.fetch_one(&mut app.database().await).await.unwrap()
}

#[tokio::test]
async fn a_start_with_a_clock_that_is_ahead_deletes_nothing_and_says_so() {
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
    // Nor does a change that is made with that clock.
    let mut later = ahead.stranger();
    later.sign_in("ada@example.com").await;
    let again = later.post("/rpc/keys/create", &[("name", "Other"), ("expire_in", "7")]).await;
    assert_eq!(again.list().keys.len(), 2);

    ahead.advance(-60 * DAY);
    ahead.console.retention.sweep().await.unwrap();
    assert_eq!(ready(&ahead).await, "ok");
    assert_eq!(count(&app).await, 2);
}

#[tokio::test]
async fn a_clock_that_is_behind_what_was_recorded_deletes_nothing() {
    let app = TestApp::in_file().await;
    app.console.retention.sweep().await.unwrap();
    app.advance(-HOUR);
    app.console.retention.sweep().await.unwrap();
    assert_eq!(app.console.retention.paused(), Some(ClockProblem::Behind(HOUR)));
}

#[tokio::test]
async fn a_server_that_runs_all_the_time_deletes_what_has_been_kept_for_long_enough() {
    let app = TestApp::in_file().await;
    let mut ada = app.owner("ada@example.com").await;
    ada.post("/rpc/keys/create", &[("name", "Deploy"), ("expire_in", "7")]).await.list();
    for day in 0..37 {
        app.console.retention.sweep().await.unwrap();
        assert_eq!((count(&app).await, app.console.retention.paused()), (1, None), "day {day}");
        app.advance(DAY);
    }
    app.console.retention.sweep().await.unwrap();
    assert_eq!(count(&app).await, 0);
}
