//! Settings → Activity: the append-only log of an account, visible to its owner.

use crate::test_app::{Browser, PASSWORD, START, TestApp, form, postgres};
use app::domain::account::{AccountId, Email};
use app::domain::activity::{ActivityKind, ActivityPosition, ActivityQuery};
use app::domain::timestamp::{DAY, Timestamp};
use app::domain::usage::ClientName;
use axum::http::StatusCode;

async fn account(app: &TestApp, email: &str) -> AccountId {
    let email = Email::parse(email).unwrap();
    AccountId(app.console.store.account_by_email(&email).await.unwrap().unwrap().id)
}

/// The recorded activity of an account, oldest first: the action, the name of the key, and the new value.
async fn done(app: &TestApp, email: &str) -> Vec<(ActivityKind, String, String)> {
    app.console.accounts.background.close();
    app.console.accounts.background.wait().await;
    let page =
        app.console.store.activity(&account(app, email).await, &ActivityQuery::default()).await.unwrap();
    assert!(
        page.entries
            .iter()
            .all(|entry| entry.client.address.starts_with("10.9.") || entry.client.address == "0.0.0.0")
    );
    page.entries.into_iter().rev().map(|entry| (entry.what, entry.key_name, entry.became)).collect()
}

#[tokio::test]
async fn changes_and_failed_sign_ins_are_recorded_in_order_and_rejected_changes_are_not() {
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
        // Rejected changes are not recorded.
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
    // A background task records the failed sign-in, so its position among the entries is not fixed.
    let failed = done.iter().position(|(what, ..)| *what == ActivityKind::SignInRejected).unwrap();
    assert_eq!(done.remove(failed), own(ActivityKind::SignInRejected));
    assert_eq!(
        done,
        [
            own(ActivityKind::AccountCreated),
            key(ActivityKind::KeyCreated, "Deploy", &in_days(90)),
            key(ActivityKind::KeyRenamed, "Deploy", "Deploy 2"),
            key(ActivityKind::KeyRefreshed, "Deploy 2", &in_days(180)),
            key(ActivityKind::KeySwitchedOff, "Deploy 2", ""),
            key(ActivityKind::KeySwitchedOn, "Deploy 2", ""),
            key(ActivityKind::KeyRotated, "Deploy 2", "24h"),
            key(ActivityKind::PreviousSecretRetired, "Deploy 2", ""),
            key(ActivityKind::KeyDeleted, "Deploy 2", ""),
            own(ActivityKind::SignedOut),
            own(ActivityKind::SignedIn),
            own(ActivityKind::PasswordChanged),
            own(ActivityKind::SignedOutEverywhere),
        ]
    );
}

#[tokio::test]
async fn the_activity_page_shows_no_secret_and_escapes_key_names() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy <script>").await;
    let page = ada.get("/settings/activity").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("Key “Deploy &lt;script&gt;” generated, expires on 19 February 2027"));
    assert!(!page.body.contains(&secret) && !page.body.contains(&secret[secret.len() - 4..]));
}

#[tokio::test]
async fn activity_is_paginated_and_visible_only_to_its_owner() {
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
    assert!(!eve.get("/settings/activity?before=9999").await.body.contains("renamed to"));
    for junk in ["x", "-1", "99999999999999999999", "%00"] {
        let page = ada.get(&format!("/settings/activity?before={junk}")).await;
        assert_eq!(page.status, StatusCode::OK, "{junk}");
    }
}

#[tokio::test]
async fn activity_is_filtered_by_kind_and_by_key_and_read_in_both_directions() {
    let app = TestApp::new().await;
    let (mut ada, mut eve) = (app.owner("ada@example.com").await, app.owner("eve@example.com").await);
    let (deploy, _) = ada.create("Deploy").await;
    let (report, _) = ada.create("Report").await;
    for n in 1..=60 {
        ada.post("/rpc/keys/rename", &[("key_id", &deploy), ("name", &format!("Deploy {n}"))]).await.list();
    }
    let entries = async |browser: &mut Browser, query: &str| {
        let page = browser.get(&format!("/settings/activity?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        let main = page.body.split_once("</main>").map_or("", |(main, _)| main);
        main.split_once("<section>").map_or(String::new(), |(_, entries)| entries.to_owned())
    };
    let of_report = entries(&mut ada, &format!("key={report}")).await;
    assert!(of_report.contains("“Report” generated") && !of_report.contains("Deploy"), "{of_report}");
    let created = entries(&mut ada, "kind=key-made").await;
    assert!(created.contains("“Report” generated") && created.contains("“Deploy” generated"));
    assert!(!created.contains("renamed to"));
    assert_eq!(entries(&mut ada, &format!("kind=key-deleted&key={deploy}")).await, "");
    assert_eq!(entries(&mut eve, &format!("key={deploy}")).await, "", "the key of another account");

    // Older and Newer keep the filter.
    let link = |page: &str, position: &str| {
        let prefix = format!("href=\"/settings/activity?kind=key-renamed&amp;key={deploy}&amp;{position}=");
        let (_, rest) = page.split_once(&prefix)?;
        Some(format!("kind=key-renamed&key={deploy}&{position}={}", rest.split('"').next()?))
    };
    let newest = entries(&mut ada, &format!("kind=key-renamed&key={deploy}")).await;
    assert!(newest.contains("to “Deploy 60”") && newest.contains("to “Deploy 11”"));
    assert_eq!(link(&newest, "after"), None);
    let oldest = entries(&mut ada, &link(&newest, "before").unwrap()).await;
    assert!(oldest.contains("to “Deploy 10”") && oldest.contains("to “Deploy 1”"));
    assert_eq!(link(&oldest, "before"), None);
    assert_eq!(entries(&mut ada, &link(&oldest, "after").unwrap()).await, newest);
}

#[tokio::test]
async fn repeated_entries_are_folded_and_show_the_browser() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                  Chrome/159.0.0.0 Safari/537.36";
    let mut browser = app.anonymous();
    for _ in 0..3 {
        let request = form("/rpc/account/sign-in").header("user-agent", chrome);
        let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
        assert_eq!(browser.send(request, &fields).await.status, StatusCode::OK);
    }
    let page = ada.get("/settings/activity").await.body;
    assert!(page.contains("Chrome 159 on Windows, from 10.9."), "{page}");
    assert!(page.contains("3 times"), "{page}");
}

#[tokio::test]
async fn at_most_100_failed_sign_ins_are_recorded_per_account_and_day() {
    let app = TestApp::new().await;
    app.owner("ada@example.com").await;
    let ada = account(&app, "ada@example.com").await;
    let client = ClientName { address: "10.9.0.1".to_owned(), agent: String::new() };
    for _ in 0..250 {
        app.console.accounts.record(&ada, ActivityKind::SignInRejected, &client).await.unwrap();
    }
    let failed_sign_ins = async || {
        let before = ActivityPosition::Before;
        let mut all = std::collections::BTreeSet::new();
        for position in [ActivityPosition::Newest, before(120), before(70), before(20)] {
            let query = ActivityQuery { position, ..ActivityQuery::default() };
            let page = app.console.store.activity(&ada, &query).await.unwrap();
            all.extend(
                page.entries.iter().filter(|it| it.what == ActivityKind::SignInRejected).map(|it| it.id),
            );
        }
        all.len()
    };
    assert_eq!(failed_sign_ins().await, 100);
    app.advance(DAY + 1);
    app.console.accounts.record(&ada, ActivityKind::SignInRejected, &client).await.unwrap();
    assert_eq!(failed_sign_ins().await, 101);
}

#[tokio::test]
async fn the_database_rejects_updates_and_deletes_of_activity_within_its_year_of_retention() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    ada.create("Deploy").await;
    let mut database = app.database().await;
    let of_this_database = if postgres().is_some() {
        "TRUNCATE activity"
    } else {
        "INSERT OR REPLACE INTO activity SELECT id, account_id, at, 'signed-in', '', '', '', '', '', '', '' FROM activity"
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
async fn activity_is_deleted_after_a_year() {
    // The database compares against its own clock, so the test records the activity two years in the past.
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
