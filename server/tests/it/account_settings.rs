//! Settings → Account: password, sessions, and the end of an account.

use crate::test_app::{Browser, PASSWORD, TestApp, TestResponse, form, verify};
use app::domain::account::{Email, Password};
use axum::http::StatusCode;
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};

const OTHER: &str = "velvet anchor nineteen moss";

async fn change_password(browser: &mut Browser, current: &str, new: &str) -> TestResponse {
    let fields = [("current_password", current), ("new_password", new)];
    browser.post("/rpc/account/change-password", &fields).await
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.get("/settings/account").await.status == StatusCode::OK
}

#[tokio::test]
async fn another_password_ends_the_other_sessions_and_this_one_goes_on_under_another_id() {
    let app = TestApp::new().await;
    let mut here = app.owner("ada@example.com").await;
    let (_, secret) = here.create("Deploy").await;
    let mut on_other_nodes = app.stranger();
    on_other_nodes.sign_in("ada@example.com").await;
    let mut stolen = here.clone();

    let answer = change_password(&mut here, PASSWORD, OTHER).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(is_signed_in(&mut here).await);
    assert!(!is_signed_in(&mut on_other_nodes).await);
    assert!(!is_signed_in(&mut stolen).await, "the id before the change still works");
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT, "keys stay as they are");
    let sign_in = async |password| {
        let fields = [("email", "ada@example.com"), ("password", password)];
        app.stranger().post("/rpc/account/sign-in", &fields).await.status
    };
    assert_eq!(sign_in(PASSWORD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in(OTHER).await, StatusCode::OK);
}

#[tokio::test]
async fn a_sign_in_that_was_checked_before_the_password_was_changed_begins_no_session_after() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (email, password) = (Email::parse("ada@example.com").unwrap(), Password::parse(PASSWORD).unwrap());
    let checked = app.console.accounts.authenticate(&email, &password, [10, 8, 0, 1].into()).await.unwrap();
    let begin = async |version: i64| {
        let data = [("account", checked.account.0.clone().into()), ("password_version", version.into())];
        let data = data.map(|(name, value)| (name.to_owned(), value)).into();
        let expiry_date = time::OffsetDateTime::UNIX_EPOCH;
        app.console.sessions.create(&mut Record { id: Id::default(), data, expiry_date }).await.is_ok()
    };
    assert!(begin(checked.password_version).await);
    assert_eq!(change_password(&mut ada, PASSWORD, OTHER).await.status, StatusCode::OK);
    assert!(!begin(checked.password_version).await, "with the old password");
    assert!(begin(checked.password_version + 1).await);
    assert_eq!(app.console.sessions.of_account(&checked.account).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_wrong_old_password_and_a_guessable_new_one_change_nothing_and_are_told_at_their_field() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mut on_other_nodes = app.stranger();
    on_other_nodes.sign_in("ada@example.com").await;
    for (current, new, field) in [
        ("not the password", OTHER, "current_password"),
        ("", OTHER, "current_password"),
        (PASSWORD, "password1234", "new_password"),
        (PASSWORD, "ada@example.com", "new_password"),
        (PASSWORD, "short", "new_password"),
    ] {
        let answer = change_password(&mut ada, current, new).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.refusal().fields[0].0, field, "{}", answer.body);
    }
    assert!(is_signed_in(&mut on_other_nodes).await);
    app.stranger().sign_in("ada@example.com").await;
}

#[tokio::test]
async fn the_password_cannot_be_guessed_from_a_session_that_was_left_open() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mut statuses = Vec::new();
    for n in 0..12 {
        statuses.push(change_password(&mut ada, &format!("guess {n}"), OTHER).await.status);
    }
    assert_eq!(statuses.last(), Some(&StatusCode::TOO_MANY_REQUESTS));
    let delete = ada.post("/rpc/account/delete", &[("confirm_password", PASSWORD)]).await;
    assert_eq!(delete.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn without_a_script_what_is_wrong_is_told_on_the_page_and_no_password_is_given_back() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let fields = [("current_password", "wrong password here"), ("new_password", OTHER)];
    let page = ada.submit("/rpc/account/change-password", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.body.contains("This is not your password."), "{}", page.body);
    assert!(!page.body.contains("wrong password here") && !page.body.contains(OTHER));

    let fields = [("current_password", PASSWORD), ("new_password", OTHER)];
    let done = ada.submit("/rpc/account/change-password", &fields).await;
    assert_eq!(done.header("location"), "/settings/account?done=password-changed");
    assert!(ada.get(done.header("location")).await.body.contains("Password changed"));
}

#[tokio::test]
async fn sessions_are_listed_with_where_they_began_and_sign_out_everywhere_ends_all() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mut phone = app.stranger();
    let request = form("/rpc/account/sign-in").header("user-agent", "Phone/1.0 <b>").header("accept", "*/*");
    phone.send(request, &[("email", "ada@example.com"), ("password", PASSWORD)]).await;
    let page = ada.get("/settings/account").await.body;
    assert!(page.contains("Phone/1.0 &lt;b&gt;"), "{page}");
    assert_eq!(page.matches("This session").count(), 1);
    assert!(page.contains("from 10.9."));

    let answer = ada.submit("/rpc/account/sign-out-everywhere", &[]).await;
    assert_eq!(answer.header("location"), "/sign-in?done=signed-out-everywhere");
    assert!(ada.cookie.is_none());
    assert!(!is_signed_in(&mut phone).await);
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_and_its_keys_are_refused_at_once() {
    let app = TestApp::new().await;
    let (mut ada, mut eve) = (app.owner("ada@example.com").await, app.owner("eve@example.com").await);
    let (_, secret) = ada.create("Deploy").await;
    let (_, hers) = eve.create("Deploy").await;
    let mut on_other_nodes = app.stranger();
    on_other_nodes.sign_in("ada@example.com").await;
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
    app.console.keys.flush_usage().await.unwrap();

    let wrong = ada.post("/rpc/account/delete", &[("confirm_password", "not the password")]).await;
    assert_eq!(wrong.refusal().fields[0].0, "confirm_password");
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);

    let done = ada.submit("/rpc/account/delete", &[("confirm_password", PASSWORD)]).await;
    assert_eq!(done.header("location"), "/sign-in?done=account-deleted");
    assert_eq!(verify(&app.router, &secret).await, StatusCode::UNAUTHORIZED);
    assert_eq!(verify(&app.router, &hers).await, StatusCode::NO_CONTENT, "nobody else loses anything");
    assert!(!is_signed_in(&mut on_other_nodes).await);
    assert!(is_signed_in(&mut eve).await);
    assert_eq!(app.restart().await.console.key_cache.index.len(), 1);
    // The address is free again, for an account that has nothing of the old one.
    let mut again = app.owner("ada@example.com").await;
    assert!(again.list().await.is_empty());
    assert!(!again.get("/settings/activity").await.body.contains("Deploy"));
}
