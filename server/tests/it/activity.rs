//! Settings → Activity: what was done, for its owner, and for good.

use crate::test_app::{PASSWORD, START, TestApp, postgres};
use app::domain::account::{AccountId, Email};
use app::domain::activity::What;
use app::domain::timestamp::{DAY, Timestamp};
use axum::http::StatusCode;

async fn account(app: &TestApp, email: &str) -> AccountId {
    let email = Email::parse(email).unwrap();
    AccountId(app.console.store.account_by_email(&email).await.unwrap().unwrap().id)
}

/// What was done, oldest first: what, to which key, and what it became.
async fn done(app: &TestApp, email: &str) -> Vec<(What, String, String)> {
    app.console.accounts.background.close();
    app.console.accounts.background.wait().await;
    let page = app.console.store.activity(&account(app, email).await, None).await.unwrap();
    assert!(
        page.entries.iter().all(|entry| entry.address.starts_with("10.9.") || entry.address == "0.0.0.0")
    );
    page.entries.into_iter().rev().map(|entry| (entry.what, entry.key_name, entry.became)).collect()
}

#[tokio::test]
async fn everything_that_is_done_is_written_down_with_what_it_became() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, _) = ada.create("Deploy").await;
    let id = id.as_str();
    for (path, fields) in [
        ("rename", &[("key_id", id), ("name", "Deploy 2")][..]),
        ("refresh", &[("key_id", id), ("expire_in", "180")]),
        ("set-active", &[("key_id", id), ("active", "false")]),
        ("set-active", &[("key_id", id), ("active", "true")]),
        ("rotate", &[("key_id", id), ("grace", "24h")]),
        ("retire", &[("key_id", id)]),
        ("delete", &[("key_id", id), ("confirm_name", "Deploy 2")]),
        // What is refused is not done.
        ("rename", &[("key_id", id), ("name", "Gone")]),
        ("create", &[("name", ""), ("expire_in", "90")]),
    ] {
        ada.post(&format!("/rpc/keys/{path}"), fields).await;
    }
    ada.post("/rpc/account/sign-out", &[]).await;
    let wrong = [("email", "ADA@example.com"), ("password", "not the password")];
    assert_eq!(ada.post("/rpc/account/sign-in", &wrong).await.status, StatusCode::UNAUTHORIZED);
    ada.sign_in("ada@example.com").await;
    let change = [("current_password", PASSWORD), ("new_password", "velvet anchor nineteen moss")];
    assert_eq!(ada.post("/rpc/account/change-password", &change).await.status, StatusCode::OK);
    ada.post("/rpc/account/sign-out-everywhere", &[]).await;

    let in_days = |days: i64| START.plus(days * DAY).0.to_string();
    let key = |what, name: &str, became: &str| (what, name.to_owned(), became.to_owned());
    let own = |what| (what, String::new(), String::new());
    let mut done = done(&app, "ada@example.com").await;
    // Nobody waits for it, so it may come after what was done next.
    let refused = done.iter().position(|(what, ..)| *what == What::SignInRefused).unwrap();
    assert_eq!(done.remove(refused), own(What::SignInRefused));
    assert_eq!(
        done,
        [
            own(What::AccountMade),
            key(What::KeyMade, "Deploy", &in_days(90)),
            key(What::KeyRenamed, "Deploy", "Deploy 2"),
            key(What::KeyRefreshed, "Deploy 2", &in_days(180)),
            key(What::KeySwitchedOff, "Deploy 2", ""),
            key(What::KeySwitchedOn, "Deploy 2", ""),
            key(What::KeyRotated, "Deploy 2", "24h"),
            key(What::OldSecretRetired, "Deploy 2", ""),
            key(What::KeyDeleted, "Deploy 2", ""),
            own(What::SignedOut),
            own(What::SignedIn),
            own(What::PasswordChanged),
            own(What::SignedOutEverywhere),
        ]
    );
}

#[tokio::test]
async fn it_never_holds_a_secret_and_shows_names_as_text() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy <script>").await;
    let page = ada.get("/settings/activity").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("Key “Deploy &lt;script&gt;” generated, expires on 19 February 2027"));
    assert!(!page.body.contains(&secret) && !page.body.contains(&secret[secret.len() - 4..]));
}

#[tokio::test]
async fn it_comes_a_page_at_a_time_and_only_to_its_owner() {
    let app = TestApp::new().await;
    let (mut ada, mut eve) = (app.owner("ada@example.com").await, app.owner("eve@example.com").await);
    let (id, _) = ada.create("Key 0").await;
    for n in 1..=119 {
        ada.post("/rpc/keys/rename", &[("key_id", &id), ("name", &format!("Key {n}"))]).await.list();
    }
    let (mut path, mut seen, mut pages) = ("/settings/activity".to_owned(), Vec::new(), 0);
    loop {
        let body = ada.get(&path).await.body;
        let renamed =
            body.split("renamed to “").skip(1).map(|rest| rest.split('”').next().unwrap().to_owned());
        seen.extend(renamed);
        pages += 1;
        let Some((_, older)) = body.split_once("href=\"/settings/activity?before=") else { break };
        path = format!("/settings/activity?before={}", older.split('"').next().unwrap());
    }
    assert_eq!(pages, 3);
    assert_eq!(seen, (1..=119).rev().map(|n| format!("Key {n}")).collect::<Vec<_>>());
    assert!(!eve.get("/settings/activity?before=9999").await.body.contains("renamed"));
    for junk in ["x", "-1", "99999999999999999999", "%00"] {
        let page = ada.get(&format!("/settings/activity?before={junk}")).await;
        assert_eq!(page.status, StatusCode::OK, "{junk}");
    }
}

#[tokio::test]
async fn strangers_cannot_fill_it_with_wrong_passwords() {
    let app = TestApp::new().await;
    app.owner("ada@example.com").await;
    let ada = account(&app, "ada@example.com").await;
    for _ in 0..250 {
        app.console.accounts.record(&ada, What::SignInRefused, "10.9.0.1").await.unwrap();
    }
    let refused = async || {
        let pages = [None, Some(120), Some(70), Some(20)];
        let mut all = std::collections::BTreeSet::new();
        for before in pages {
            let page = app.console.store.activity(&ada, before).await.unwrap();
            all.extend(page.entries.iter().filter(|it| it.what == What::SignInRefused).map(|it| it.id));
        }
        all.len()
    };
    assert_eq!(refused().await, 100);
    app.advance(DAY + 1);
    app.console.accounts.record(&ada, What::SignInRefused, "10.9.0.1").await.unwrap();
    assert_eq!(refused().await, 101);
}

#[tokio::test]
async fn the_database_refuses_to_change_or_forget_it_before_its_year_is_over() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    ada.create("Deploy").await;
    let mut database = app.database().await;
    let of_this_database = if postgres().is_some() {
        "TRUNCATE activity"
    } else {
        "INSERT OR REPLACE INTO activity SELECT id, account_id, at, 'signed-in', '', '', '', '' FROM activity"
    };
    for statement in [
        "UPDATE activity SET key_name = 'x'",
        "DELETE FROM activity",
        "DELETE FROM activity WHERE what = 'key-made'",
        of_this_database,
    ] {
        let error = sqlx::query(statement).execute(&mut database).await.unwrap_err().to_string();
        assert!(error.contains("activity is"), "{statement}: {error}");
    }
    assert_eq!(done(&app, "ada@example.com").await.len(), 2);
}

#[tokio::test]
async fn after_a_year_it_is_forgotten() {
    // The database judges by its own clock, so what is to be old was done two years ago.
    let app = TestApp::at(Timestamp(START.0 - 730 * DAY)).await;
    let mut ada = app.owner("ada@example.com").await;
    ada.create("Deploy").await;
    app.advance(364 * DAY);
    app.console.keys.sweep().await.unwrap();
    assert_eq!(done(&app, "ada@example.com").await.len(), 2);
    app.advance(DAY + 1_000);
    app.console.keys.sweep().await.unwrap();
    assert_eq!(done(&app, "ada@example.com").await.len(), 0);
}
