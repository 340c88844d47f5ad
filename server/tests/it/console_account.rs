//! `/rpc/account/…`: sign-up, sign-in, sign-out, and the guarantees of sessions.

use crate::test_app::{Browser, PASSWORD, TestApp, form};
use app::domain::timestamp::{DAY, HOUR};
use axum::http::{Request, StatusCode};
use futures::future::join_all;

async fn sign_in(browser: &mut Browser, email: &str, password: &str) -> StatusCode {
    browser.post("/rpc/account/sign-in", &[("email", email), ("password", password)]).await.status
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.get("/settings/api-keys").await.status == StatusCode::OK
}

#[tokio::test]
async fn by_default_sign_up_is_allowed_only_for_the_first_account() {
    let app = TestApp::with(&[]).await;
    let mut ada = app.owner("ada@example.com").await;
    assert!(is_signed_in(&mut ada).await);
    let mut eve = app.anonymous();
    let fields = [("email", "eve@example.com"), ("password", PASSWORD)];
    assert_eq!(eve.post("/rpc/account/sign-up", &fields).await.status, StatusCode::FORBIDDEN);
    assert!(eve.get("/sign-up").await.body.contains("does not accept new accounts"));
}

#[tokio::test]
async fn of_concurrent_first_sign_ups_exactly_one_creates_an_account() {
    let app = TestApp::with(&[]).await;
    let attempts = (0..8).map(|n| {
        let mut browser = app.anonymous();
        async move {
            let email = format!("{n}@example.com");
            browser.post("/rpc/account/sign-up", &[("email", &email), ("password", PASSWORD)]).await.status
        }
    });
    let statuses = join_all(attempts).await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::FORBIDDEN).count(), 7);
    assert_eq!(app.console.accounts.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_get_the_same_response() {
    let app = TestApp::new().await;
    app.owner("ada@example.com").await;
    let mut responses = Vec::new();
    for email in ["ada@example.com", "nobody@example.com"] {
        let mut anonymous = app.anonymous();
        let response =
            anonymous.post("/rpc/account/sign-in", &[("email", email), ("password", "wrong")]).await;
        let mut headers: Vec<String> = response.headers.keys().map(ToString::to_string).collect();
        headers.sort();
        responses.push((response.status, response.body, headers));
    }
    assert_eq!(responses[0], responses[1]);
    assert_eq!(responses[0].0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_email_address_matches_regardless_of_case_and_surrounding_spaces() {
    let app = TestApp::new().await;
    app.owner("Ada@Example.com").await;
    assert_eq!(sign_in(&mut app.anonymous(), " ada@EXAMPLE.COM ", PASSWORD).await, StatusCode::OK);
    let again = app
        .anonymous()
        .post("/rpc/account/sign-up", &[("email", "ADA@example.com"), ("password", PASSWORD)])
        .await;
    assert_eq!(again.refusal().fields[0].0, "email");
}

#[tokio::test]
async fn weak_short_and_overlong_passwords_are_rejected_with_a_field_error() {
    let app = TestApp::new().await;
    for password in ["", "seven77", "password123", "ada.example", &"x".repeat(257), &"long ".repeat(60)] {
        let fields = [("email", "ada@example.com"), ("password", password)];
        let response = app.anonymous().post("/rpc/account/sign-up", &fields).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{password}");
        assert_eq!(response.refusal().fields[0].0, "password");
    }
}

#[tokio::test]
async fn the_session_cookie_is_set_and_removed_with_the_same_attributes() {
    let app = TestApp::new().await;
    let mut ada = app.anonymous();
    let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
    let set = ada.post("/rpc/account/sign-up", &fields).await;
    let removed = ada.post("/rpc/account/sign-out", &[]).await;
    for cookie in [set.header("set-cookie"), removed.header("set-cookie")] {
        assert!(cookie.starts_with("__Host-session="), "{cookie}");
        for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(cookie.contains(attribute), "{attribute} in {cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    assert!(removed.header("set-cookie").contains("Max-Age=0"));
}

#[tokio::test]
async fn signing_in_creates_a_new_session_id_and_never_adopts_a_planted_one() {
    let app = TestApp::new().await;
    let ada = app.owner("ada@example.com").await;
    let mut again = ada.clone();
    assert_eq!(sign_in(&mut again, "ada@example.com", PASSWORD).await, StatusCode::OK);
    assert_ne!(again.cookie, ada.cookie);
    assert!(is_signed_in(&mut again).await);
    assert!(!is_signed_in(&mut ada.clone()).await, "the id before signing in again still works");

    let mut victim = app.anonymous();
    victim.cookie = Some("__Host-session=AAAAAAAAAAAAAAAAAAAAAA".to_owned());
    let planted = victim.clone();
    assert_eq!(sign_in(&mut victim, "ada@example.com", PASSWORD).await, StatusCode::OK);
    assert_ne!(victim.cookie, planted.cookie);
    assert!(!is_signed_in(&mut planted.clone()).await);
}

#[tokio::test]
async fn a_session_ends_after_a_day_of_inactivity_and_after_thirty_days_at_the_latest() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    for _ in 0..31 {
        app.advance(23 * HOUR);
        assert!(is_signed_in(&mut ada).await);
    }
    app.advance(7 * HOUR);
    assert!(!is_signed_in(&mut ada).await, "older than 30 days");

    assert_eq!(sign_in(&mut ada, "ada@example.com", PASSWORD).await, StatusCode::OK);
    app.advance(DAY);
    assert!(!is_signed_in(&mut ada).await, "idle for 24 hours");
}

#[tokio::test]
async fn sign_in_attempts_are_rate_limited_per_network_and_the_owner_can_sign_in_from_another_network() {
    let app = TestApp::new().await;
    app.owner("ada@example.com").await;
    let mut anonymous = app.anonymous();
    for _ in 0..10 {
        assert_eq!(sign_in(&mut anonymous, "ada@example.com", "guess").await, StatusCode::UNAUTHORIZED);
    }
    let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
    let request = form("/rpc/account/sign-in").header("x-forwarded-for", "198.51.100.7");
    let limited = anonymous.send(request.header("accept", "application/json"), &fields).await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=30).contains(&limited.header("retry-after").parse().unwrap()));
    assert_eq!(sign_in(&mut app.anonymous(), "ada@example.com", PASSWORD).await, StatusCode::OK);
}

#[tokio::test]
async fn changing_the_password_on_the_command_line_ends_all_sessions() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let email = app::domain::account::Email::parse("ada@example.com").unwrap();
    let password = app::domain::account::Password::parse("velvet anchor nineteen moss").unwrap();
    let account = app.console.store.account_by_email(&email).await.unwrap().unwrap();
    let rng = &mut server::random::system_rng();
    app.console.accounts.set_password(&account, None, password, rng).await.unwrap();
    assert!(!is_signed_in(&mut ada).await);
    assert_eq!(sign_in(&mut app.anonymous(), "ada@example.com", PASSWORD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in(&mut ada, "ada@example.com", "velvet anchor nineteen moss").await, StatusCode::OK);
}

#[tokio::test]
async fn without_https_the_console_shows_a_warning_and_sessions_still_work() {
    let app = TestApp::with(&["--sign-ups", "open", "--listen", "0.0.0.0:3000"]).await;
    for (host, is_safe) in [
        ("192.168.1.5:3000", false),
        ("keys.example.com", false),
        ("localhost:3000", true),
        ("[::1]:3000", true),
    ] {
        let mut browser = app.anonymous();
        let page = browser.send(Request::get("/sign-in").header("host", host), &[]).await;
        assert_eq!(page.body.contains("not encrypted"), !is_safe, "{host}");
        let mut request =
            form("/rpc/account/sign-up").header("accept", "application/json").header("host", host);
        request.headers_mut().unwrap().insert("origin", format!("http://{host}").parse().unwrap());
        let email = format!("{}@example.com", host.replace(['[', ']', ':', '.'], "-"));
        let response = browser.send(request, &[("email", &email), ("password", PASSWORD)]).await;
        let cookie = response.header("set-cookie");
        assert_eq!(cookie.starts_with("__Host-session="), is_safe, "{host}: {cookie}");
        assert_eq!(cookie.contains("Secure"), is_safe, "{host}: {cookie}");
        let page = browser.send(Request::get("/settings/api-keys").header("host", host), &[]).await;
        assert_eq!(page.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_with_tls_the_cookie_is_secure() {
    let app = TestApp::with(&["--trusted-proxies", "10.0.0.0/8", "--listen", "0.0.0.0:3000"]).await;
    let mut ada = app.anonymous();
    let request =
        form("/rpc/account/sign-up").header("accept", "application/json").header("host", "keys.example.com");
    let mut request = request.header("x-forwarded-proto", "https").header("x-forwarded-for", "198.51.100.7");
    request.headers_mut().unwrap().insert("origin", "https://keys.example.com".parse().unwrap());
    let response = ada.send(request, &[("email", "ada@example.com"), ("password", PASSWORD)]).await;
    assert!(response.header("set-cookie").starts_with("__Host-session="), "{}", response.body);
}
