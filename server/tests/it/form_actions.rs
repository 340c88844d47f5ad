//! Forms submitted without JavaScript: every response is a page or a redirect.

use crate::test_app::{PASSWORD, TestApp, bearer, form};
use axum::http::StatusCode;

#[tokio::test]
async fn only_the_response_to_generate_shows_the_secret() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let fields = [("name", "Plain"), ("expire_in", "90")];
    let request =
        form("/rpc/keys/create").header("accept", "text/html").header("accept-encoding", "br, gzip");
    let page = ada.send(request, &fields).await;
    assert_eq!((page.status, page.header("cache-control")), (StatusCode::OK, "no-store"));
    assert_eq!(page.header("content-encoding"), "");
    let at = page.body.find("mm_tok_").unwrap();
    let secret = page.body[at..at + 45].to_owned();
    assert_eq!(bearer(&app.router, &secret).await, StatusCode::OK);
    assert!(page.body.contains("API key generated"));
    assert!(!ada.get("/settings/api-keys").await.body.contains("mm_tok_"));
}

#[tokio::test]
async fn a_response_with_a_secret_is_not_compressed_and_other_responses_are() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    for (accept, name) in [("application/json", "One"), ("text/html", "Two")] {
        let request = form("/rpc/keys/create").header("accept", accept).header("accept-encoding", "br, gzip");
        let response = ada.send(request, &[("name", name), ("expire_in", "90")]).await;
        assert_eq!((response.status, response.header("content-encoding")), (StatusCode::OK, ""), "{accept}");
        let request = form("/rpc/keys/create").header("accept", accept).header("accept-encoding", "br, gzip");
        let rejected = ada.send(request, &[("name", name), ("expire_in", "90")]).await;
        assert_eq!((rejected.status.as_u16(), rejected.header("content-encoding")), (422, "br"), "{accept}");
    }
}

#[tokio::test]
async fn a_rejected_form_is_returned_with_the_submitted_values_except_the_password() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let fields = [("name", "7 <b>\"up\""), ("expire_in", "30"), ("description", "</textarea><h1>&lt;")];
    let page = ada.submit("/rpc/keys/create", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.body.contains("Begin the name with a letter."));
    assert!(page.body.contains("value=\"7 &lt;b&gt;&quot;up&quot;\""));
    // The first one is in the template of the dialog for a new key.
    let area = page.body.rsplit_once("<textarea").unwrap().1.split_once("</textarea>").unwrap().0;
    assert!(area.ends_with(">&lt;/textarea>&lt;h1>&amp;lt;"), "{area}");

    let mut anonymous = app.anonymous();
    let fields = [("email", "<i>@example.com"), ("password", "not-the-password"), ("next", "/x")];
    let page = anonymous.submit("/rpc/account/sign-in", &fields).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(page.body.contains("The e-mail address or the password is wrong."));
    assert!(page.body.contains("&lt;i&gt;@example.com") && page.body.contains("value=\"/x\""));
    assert!(!page.body.contains("not-the-password"));
}

#[tokio::test]
async fn an_accepted_form_redirects_to_the_next_page() {
    let app = TestApp::new().await;
    let mut ada = app.anonymous();
    let fields = [
        ("email", "ada@example.com"),
        ("password", PASSWORD),
        ("next", "/settings/api-keys?dialog=generate"),
    ];
    let response = ada.submit("/rpc/account/sign-up", &fields).await;
    let redirect = (response.status, response.header("location"));
    assert_eq!(redirect, (StatusCode::SEE_OTHER, "/settings/api-keys?dialog=generate"));
    let (id, _) = ada.create("Plain").await;
    for (path, field, done) in [
        ("/rpc/keys/rename", ("name", "Simple"), "renamed"),
        ("/rpc/keys/refresh", ("expire_in", "365"), "refreshed"),
        ("/rpc/keys/set-active", ("active", "false"), "switched-off"),
        ("/rpc/keys/set-active", ("active", "true"), "switched-on"),
        ("/rpc/keys/delete", ("confirm_name", "Simple"), "deleted"),
    ] {
        let response = ada.submit(path, &[("key_id", &id), field]).await;
        assert_eq!(response.header("location"), format!("/settings/api-keys?done={done}"), "{path}");
    }
    let response = ada.submit("/rpc/account/sign-out", &[]).await;
    assert_eq!(response.header("location"), "/sign-in?done=signed-out");
}

#[tokio::test]
async fn a_form_without_a_session_redirects_to_sign_in() {
    let app = TestApp::new().await;
    let response = app.anonymous().submit("/rpc/keys/create", &[("name", "a"), ("expire_in", "7")]).await;
    assert_eq!(response.header("location"), "/sign-in?next=/settings/api-keys%3Fdialog%3Dgenerate");
}
