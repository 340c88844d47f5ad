//! Who may create the first account.

use crate::test_app::{PASSWORD, TestApp, form, program};
use app::domain::account::{Email, Password};
use axum::http::{Request, StatusCode};

const NEW: [(&str, &str); 2] = [("email", "eve@example.com"), ("password", PASSWORD)];

#[tokio::test]
async fn a_website_whose_name_points_to_this_machine_reaches_neither_pages_nor_actions() {
    let app = TestApp::with(&[]).await;
    for host in ["evil.example", "evil.example:3000", "localhost.evil.example:3000"] {
        for path in ["/", "/sign-up", "/settings/api-keys", "/settings/api-keys/events", "/pkg/x.js", "/nope"]
        {
            let answer = app.stranger().send(Request::get(path).header("host", host), &[]).await;
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host} {path}");
            assert!(answer.body.contains("--public-url"), "{}", answer.body);
            assert!(!answer.body.contains("evil.example"));
        }
        let mut request = form("/rpc/account/sign-up").header("accept", "text/html").header("host", host);
        request.headers_mut().unwrap().insert("origin", format!("http://{host}").parse().unwrap());
        let answer = app.stranger().send(request, &NEW).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::MISDIRECTED_REQUEST, ""));
        // Gateways forward the name that their client asked for.
        let named = [("host", host), ("x-api-key", "junk")];
        for (path, status) in
            [("/verify", 401), ("/verify/v1", 401), ("/api/v1/key", 401), ("/api/v1/account", 401)]
        {
            let request = named.iter().fold(Request::get(path), |it, (name, value)| it.header(*name, *value));
            let answer = app.stranger().send(request, &[]).await;
            assert_eq!(answer.status.as_u16(), status, "{path}");
        }
    }
    assert!(app.console.accounts.list().await.unwrap().is_empty());
    for host in ["localhost:3000", "127.0.0.1:8080", "[::1]", "LOCALHOST"] {
        let answer = app.stranger().send(Request::get("/sign-up").header("host", host), &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
    }
    assert_eq!(program(&app.router, "/healthz", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_console_with_a_public_address_or_one_that_listens_beyond_this_machine_accepts_other_hosts() {
    for flags in [["--public-url", "https://keys.example.com"], ["--listen", "0.0.0.0:3000"]] {
        let app = TestApp::with(&flags).await;
        let request = Request::get("/sign-up").header("host", "keys.example.com");
        assert_eq!(app.stranger().send(request, &[]).await.status, StatusCode::OK, "{flags:?}");
    }
}

#[tokio::test]
async fn sign_up_does_not_open_again_when_the_only_account_is_deleted() {
    let app = TestApp::with(&[]).await;
    let mut ada = app.owner("ada@example.com").await;
    let deleted = ada.post("/rpc/account/delete", &[("confirm_password", PASSWORD)]).await;
    assert_eq!(deleted.status, StatusCode::OK);
    for app in [&app, &app.restart_with(&[]).await] {
        let page = app.stranger().get("/sign-up").await;
        assert!(page.body.contains("takes no new accounts"), "{}", page.body);
        assert_eq!(app.stranger().post("/rpc/account/sign-up", &NEW).await.status, StatusCode::FORBIDDEN);
    }
    // The operator still can.
    let (email, password) =
        (Email::parse("ada@example.com").unwrap(), Password::parse_new(PASSWORD).unwrap());
    let rng = &mut server::random::system_rng();
    app.console.accounts.add(email, password, true, String::new(), rng).await.unwrap();
    app.stranger().sign_in("ada@example.com").await;
}
