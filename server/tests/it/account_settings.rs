//! Settings → Account: changing the password, listing and ending sessions, deleting the account.

use crate::test_app::{Browser, PASSWORD, TestApp, TestResponse, form, verify};
use app::domain::account::{Email, Password};
use axum::http::StatusCode;
use server::client::Client;
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
async fn changing_the_password_ends_other_sessions_and_gives_the_current_session_a_new_id() {
    let app = TestApp::new().await;
    let mut current = app.owner("ada@example.com").await;
    let (_, secret) = current.create("Deploy").await;
    let mut other_session = app.anonymous();
    other_session.sign_in("ada@example.com").await;
    let mut stolen = current.clone();

    let response = change_password(&mut current, PASSWORD, OTHER).await;
    assert_eq!(response.status, StatusCode::OK, "{}", response.body);
    assert!(is_signed_in(&mut current).await);
    assert!(!is_signed_in(&mut other_session).await);
    assert!(!is_signed_in(&mut stolen).await, "the id before the change still works");
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT, "keys stay as they are");
    let sign_in = async |password| {
        let fields = [("email", "ada@example.com"), ("password", password)];
        app.anonymous().post("/rpc/account/sign-in", &fields).await.status
    };
    assert_eq!(sign_in(PASSWORD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in(OTHER).await, StatusCode::OK);
}

#[tokio::test]
async fn a_sign_in_checked_against_the_previous_password_creates_no_session_after_the_password_change() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (email, password) = (Email::parse("ada@example.com").unwrap(), Password::parse(PASSWORD).unwrap());
    let client = Client { address: [10, 8, 0, 1].into(), user_agent: "" };
    let checked = app.console.accounts.authenticate(&email, &password, client).await.unwrap();
    let begin = async |version: i64| {
        let data = [("account", checked.account.0.clone().into()), ("password_version", version.into())];
        let data = data.map(|(name, value)| (name.to_owned(), value)).into();
        let expiry_date = time::OffsetDateTime::UNIX_EPOCH;
        app.console.sessions.create(&mut Record { id: Id::default(), data, expiry_date }).await.is_ok()
    };
    assert!(begin(checked.password_version).await);
    assert_eq!(change_password(&mut ada, PASSWORD, OTHER).await.status, StatusCode::OK);
    assert!(!begin(checked.password_version).await, "with the previous password");
    assert!(begin(checked.password_version + 1).await);
    assert_eq!(app.console.sessions.of_account(&checked.account).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_wrong_current_password_or_a_weak_new_password_is_a_field_error_and_changes_nothing() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mut other_session = app.anonymous();
    other_session.sign_in("ada@example.com").await;
    for (current, new, field) in [
        ("not the password", OTHER, "current_password"),
        ("", OTHER, "current_password"),
        (PASSWORD, "password1234", "new_password"),
        (PASSWORD, "ada@example.com", "new_password"),
        (PASSWORD, "short", "new_password"),
    ] {
        let response = change_password(&mut ada, current, new).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(response.refusal().fields[0].0, field, "{}", response.body);
    }
    assert!(is_signed_in(&mut other_session).await);
    app.anonymous().sign_in("ada@example.com").await;
}

#[tokio::test]
async fn password_guesses_from_a_signed_in_session_are_rate_limited() {
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
async fn without_javascript_the_page_shows_the_error_and_never_returns_a_password() {
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
async fn sessions_are_listed_with_user_agent_and_address_and_sign_out_everywhere_ends_them_all() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mut phone = app.anonymous();
    let request = form("/rpc/account/sign-in").header("user-agent", "Phone/1.0 <b>").header("accept", "*/*");
    phone.send(request, &[("email", "ada@example.com"), ("password", PASSWORD)]).await;
    let page = ada.get("/settings/account").await.body;
    assert!(page.contains("Phone/1.0 &lt;b&gt;"), "{page}");
    assert_eq!(page.matches("This session").count(), 1);
    assert!(page.contains("from 10.9."));

    let response = ada.submit("/rpc/account/sign-out-everywhere", &[]).await;
    assert_eq!(response.header("location"), "/sign-in?done=signed-out-everywhere");
    assert!(ada.cookie.is_none());
    assert!(!is_signed_in(&mut phone).await);
}

#[tokio::test]
async fn another_session_is_ended_individually_and_only_by_its_owner() {
    let app = TestApp::new().await;
    let (mut ada, mut eve) = (app.owner("ada@example.com").await, app.owner("eve@example.com").await);
    let (mut phone, mut tablet) = (app.anonymous(), app.anonymous());
    phone.sign_in("ada@example.com").await;
    let session_of_phone = session_ids(&mut ada).await.remove(0);
    tablet.sign_in("ada@example.com").await;

    let field = [("session", session_of_phone.as_str())];
    assert_eq!(eve.submit("/rpc/account/end-session", &field).await.status, StatusCode::SEE_OTHER);
    assert!(is_signed_in(&mut phone).await, "a session of another account");

    let done = ada.submit("/rpc/account/end-session", &field).await;
    assert_eq!(done.header("location"), "/settings/account?done=other-session-ended");
    assert!(!is_signed_in(&mut phone).await);
    assert!(is_signed_in(&mut tablet).await && is_signed_in(&mut ada).await);
    assert!(ada.get("/settings/activity?kind=session-ended").await.body.contains("<section>"));
    // It has ended already, or never existed.
    for session in [session_of_phone.as_str(), "", "zz"] {
        assert_eq!(
            ada.post("/rpc/account/end-session", &[("session", session)]).await.status,
            StatusCode::OK
        );
    }
    assert_eq!(phone.post("/rpc/account/end-session", &field).await.status, StatusCode::UNAUTHORIZED);
}

/// The ids of the other sessions in the list of an account.
async fn session_ids(browser: &mut Browser) -> Vec<String> {
    let page = browser.get("/settings/account").await.body;
    let ids = page.split("name=\"session\" value=\"").skip(1);
    ids.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn deleting_an_account_deletes_its_data_ends_its_sessions_and_its_keys_are_denied_immediately() {
    let app = TestApp::new().await;
    let (mut ada, mut eve) = (app.owner("ada@example.com").await, app.owner("eve@example.com").await);
    let (_, secret) = ada.create("Deploy").await;
    let (_, hers) = eve.create("Deploy").await;
    let mut other_session = app.anonymous();
    other_session.sign_in("ada@example.com").await;
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);
    app.console.keys.flush_usage().await.unwrap();

    let wrong = ada.post("/rpc/account/delete", &[("confirm_password", "not the password")]).await;
    assert_eq!(wrong.refusal().fields[0].0, "confirm_password");
    assert_eq!(verify(&app.router, &secret).await, StatusCode::NO_CONTENT);

    let done = ada.submit("/rpc/account/delete", &[("confirm_password", PASSWORD)]).await;
    assert_eq!(done.header("location"), "/sign-in?done=account-deleted");
    assert_eq!(verify(&app.router, &secret).await, StatusCode::UNAUTHORIZED);
    assert_eq!(verify(&app.router, &hers).await, StatusCode::NO_CONTENT, "keys of other accounts still work");
    assert!(!is_signed_in(&mut other_session).await);
    assert!(is_signed_in(&mut eve).await);
    assert_eq!(app.restart().await.console.key_cache.index.len(), 1);
    // The address can sign up again; the new account has no data of the deleted one.
    let mut again = app.owner("ada@example.com").await;
    assert!(again.list().await.is_empty());
    assert!(!again.get("/settings/activity").await.body.contains("Deploy"));
}
