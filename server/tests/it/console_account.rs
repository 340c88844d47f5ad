//! `/rpc/account/…` and what sessions promise.

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
async fn the_first_visitor_makes_an_account_and_the_second_may_not() {
    let app = TestApp::with(&[]).await;
    let mut ada = app.owner("ada@example.com").await;
    assert!(is_signed_in(&mut ada).await);
    let mut eve = app.stranger();
    let fields = [("email", "eve@example.com"), ("password", PASSWORD)];
    assert_eq!(eve.post("/rpc/account/sign-up", &fields).await.status, StatusCode::FORBIDDEN);
    assert!(eve.get("/sign-up").await.body.contains("takes no new accounts"));
}

#[tokio::test]
async fn of_many_first_visitors_at_once_only_one_makes_an_account() {
    let app = TestApp::with(&[]).await;
    let attempts = (0..8).map(|n| {
        let mut browser = app.stranger();
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
async fn an_unknown_address_and_a_wrong_password_get_the_same_answer() {
    let app = TestApp::new().await;
    app.owner("ada@example.com").await;
    let mut answers = Vec::new();
    for email in ["ada@example.com", "nobody@example.com"] {
        let mut stranger = app.stranger();
        let answer = stranger.post("/rpc/account/sign-in", &[("email", email), ("password", "wrong")]).await;
        let mut headers: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        headers.sort();
        answers.push((answer.status, answer.body, headers));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_address_is_known_in_any_spelling() {
    let app = TestApp::new().await;
    app.owner("Ada@Example.com").await;
    assert_eq!(sign_in(&mut app.stranger(), " ada@EXAMPLE.COM ", PASSWORD).await, StatusCode::OK);
    let again = app
        .stranger()
        .post("/rpc/account/sign-up", &[("email", "ADA@example.com"), ("password", PASSWORD)])
        .await;
    assert_eq!(again.refusal().fields[0].0, "email");
}

#[tokio::test]
async fn guessable_short_and_endless_passwords_are_refused_at_their_field() {
    let app = TestApp::new().await;
    for password in ["", "seven77", "password123", "ada.example", &"x".repeat(257), &"long ".repeat(60)] {
        let fields = [("email", "ada@example.com"), ("password", password)];
        let answer = app.stranger().post("/rpc/account/sign-up", &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{password}");
        assert_eq!(answer.refusal().fields[0].0, "password");
    }
}

#[tokio::test]
async fn the_cookie_is_set_and_taken_back_with_the_same_attributes() {
    let app = TestApp::new().await;
    let mut ada = app.stranger();
    let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
    let set = ada.post("/rpc/account/sign-up", &fields).await;
    let taken = ada.post("/rpc/account/sign-out", &[]).await;
    for cookie in [set.header("set-cookie"), taken.header("set-cookie")] {
        assert!(cookie.starts_with("__Host-session="), "{cookie}");
        for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(cookie.contains(attribute), "{attribute} in {cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    assert!(taken.header("set-cookie").contains("Max-Age=0"));
}

#[tokio::test]
async fn signing_in_gives_a_new_id_and_a_planted_one_is_never_taken_on() {
    let app = TestApp::new().await;
    let ada = app.owner("ada@example.com").await;
    let mut again = ada.clone();
    assert_eq!(sign_in(&mut again, "ada@example.com", PASSWORD).await, StatusCode::OK);
    assert_ne!(again.cookie, ada.cookie);
    assert!(is_signed_in(&mut again).await);
    assert!(!is_signed_in(&mut ada.clone()).await, "the id before signing in again still works");

    let mut victim = app.stranger();
    victim.cookie = Some("__Host-session=AAAAAAAAAAAAAAAAAAAAAA".to_owned());
    let planted = victim.clone();
    assert_eq!(sign_in(&mut victim, "ada@example.com", PASSWORD).await, StatusCode::OK);
    assert_ne!(victim.cookie, planted.cookie);
    assert!(!is_signed_in(&mut planted.clone()).await);
}

#[tokio::test]
async fn a_session_ends_after_a_day_without_use_and_after_thirty_days_at_the_latest() {
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
async fn too_many_attempts_are_told_to_wait_and_the_owner_gets_in_from_elsewhere() {
    let app = TestApp::new().await;
    app.owner("ada@example.com").await;
    let mut stranger = app.stranger();
    for _ in 0..10 {
        assert_eq!(sign_in(&mut stranger, "ada@example.com", "guess").await, StatusCode::UNAUTHORIZED);
    }
    let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
    let request = form("/rpc/account/sign-in").header("x-forwarded-for", "198.51.100.7");
    let refused = stranger.send(request.header("accept", "application/json"), &fields).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=30).contains(&refused.header("retry-after").parse().unwrap()));
    assert_eq!(sign_in(&mut app.stranger(), "ada@example.com", PASSWORD).await, StatusCode::OK);
}

#[tokio::test]
async fn another_password_from_the_command_line_ends_all_sessions() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let email = app::domain::account::Email::parse("ada@example.com").unwrap();
    let password = app::domain::account::Password::parse("velvet anchor nineteen moss").unwrap();
    let account = app.console.store.account_by_email(&email).await.unwrap().unwrap();
    let rng = &mut server::random::system_rng();
    app.console.accounts.set_password(&account, None, password, rng).await.unwrap();
    assert!(!is_signed_in(&mut ada).await);
    assert_eq!(sign_in(&mut app.stranger(), "ada@example.com", PASSWORD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in(&mut ada, "ada@example.com", "velvet anchor nineteen moss").await, StatusCode::OK);
}

#[tokio::test]
async fn without_encryption_the_console_says_so_and_works() {
    let app = TestApp::with(&["--sign-ups", "open", "--listen", "0.0.0.0:3000"]).await;
    for (host, is_safe) in [
        ("192.168.1.5:3000", false),
        ("keys.example.com", false),
        ("localhost:3000", true),
        ("[::1]:3000", true),
    ] {
        let mut browser = app.stranger();
        let page = browser.send(Request::get("/sign-in").header("host", host), &[]).await;
        assert_eq!(page.body.contains("not encrypted"), !is_safe, "{host}");
        let mut request =
            form("/rpc/account/sign-up").header("accept", "application/json").header("host", host);
        request.headers_mut().unwrap().insert("origin", format!("http://{host}").parse().unwrap());
        let email = format!("{}@example.com", host.replace(['[', ']', ':', '.'], "-"));
        let answer = browser.send(request, &[("email", &email), ("password", PASSWORD)]).await;
        let cookie = answer.header("set-cookie");
        assert_eq!(cookie.starts_with("__Host-session="), is_safe, "{host}: {cookie}");
        assert_eq!(cookie.contains("Secure"), is_safe, "{host}: {cookie}");
        let page = browser.send(Request::get("/settings/api-keys").header("host", host), &[]).await;
        assert_eq!(page.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_with_tls_the_cookie_is_secure() {
    let app = TestApp::with(&["--trusted-proxies", "10.0.0.0/8", "--listen", "0.0.0.0:3000"]).await;
    let mut ada = app.stranger();
    let request =
        form("/rpc/account/sign-up").header("accept", "application/json").header("host", "keys.example.com");
    let mut request = request.header("x-forwarded-proto", "https").header("x-forwarded-for", "198.51.100.7");
    request.headers_mut().unwrap().insert("origin", "https://keys.example.com".parse().unwrap());
    let answer = ada.send(request, &[("email", "ada@example.com"), ("password", PASSWORD)]).await;
    assert!(answer.header("set-cookie").starts_with("__Host-session="), "{}", answer.body);
}
