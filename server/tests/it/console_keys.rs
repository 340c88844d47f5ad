//! `/rpc/keys/…`: what the owner of a key can do, and what is rejected.

use crate::test_app::{Browser, TestApp, TestResponse, bearer};
use app::domain::timestamp::DAY;
use axum::http::StatusCode;

/// Every operation on a key, with fields that are valid for the key "Deploy".
const OPERATIONS: [(&str, &[(&str, &str)]); 6] = [
    ("/rpc/keys/rename", &[("name", "Another")]),
    ("/rpc/keys/refresh", &[("expire_in", "365")]),
    ("/rpc/keys/set-active", &[("active", "false")]),
    ("/rpc/keys/rotate", &[("grace", "0")]),
    ("/rpc/keys/retire", &[]),
    ("/rpc/keys/delete", &[("confirm_name", "Deploy")]),
];

async fn on_key(browser: &mut Browser, path: &str, key: &str, fields: &[(&str, &str)]) -> TestResponse {
    let fields: Vec<_> = [("key_id", key)].into_iter().chain(fields.iter().copied()).collect();
    browser.post(path, &fields).await
}

#[tokio::test]
async fn a_created_key_is_listed_and_works_until_it_is_deleted() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let keys = ada.list().await;
    assert_eq!((keys.len(), keys[0].id.as_str(), keys[0].name.as_str()), (1, id.as_str(), "Deploy"));
    assert!(secret.ends_with(&keys[0].last_four));
    assert_eq!(bearer(&app.router, &secret).await, StatusCode::OK);
    let list = on_key(&mut ada, "/rpc/keys/delete", &id, &[("confirm_name", "Deploy")]).await.list();
    assert_eq!((list.keys, list.new), (vec![], None));
    assert_eq!(bearer(&app.router, &secret).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn another_accounts_key_is_indistinguishable_from_a_missing_one() {
    let app = TestApp::new().await;
    let (mut ada, mut eve) = (app.owner("ada@example.com").await, app.owner("eve@example.com").await);
    let (id, secret) = ada.create("Deploy").await;
    let before = ada.list().await;
    for (path, fields) in OPERATIONS {
        let foreign = on_key(&mut eve, path, &id, fields).await;
        let missing = on_key(&mut eve, path, &"0".repeat(32), fields).await;
        let malformed = on_key(&mut eve, path, "no key", fields).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{path}");
        for other in [missing, malformed] {
            assert_eq!((foreign.status, &foreign.body), (other.status, &other.body), "{path}");
        }
    }
    // Read-only views of a key.
    for dialog in ["rename", "refresh", "switch-off", "rotate", "retire", "usage", "delete"] {
        let mut responses = Vec::new();
        for key in [&id, &"0".repeat(32)] {
            let page = eve.get(&format!("/settings/api-keys?dialog={dialog}&key_id={key}")).await;
            responses.push((page.status, without_nonce(&page).replace(key, "")));
        }
        assert_eq!(responses[0], responses[1], "{dialog}");
    }
    assert_eq!(ada.list().await, before);
    assert_eq!(bearer(&app.router, &secret).await, StatusCode::OK);
}

/// The body of a page without its nonce, which differs in each response.
fn without_nonce(page: &TestResponse) -> String {
    let nonce = page.header("content-security-policy").split_once("'nonce-").unwrap().1;
    page.body.replace(nonce.split_once('\'').unwrap().0, "")
}

#[tokio::test]
async fn changes_of_keys_are_rate_limited_per_account() {
    let app = TestApp::with(&["--sign-ups", "open", "--changes-per-minute=6"]).await;
    let (mut ada, mut eve) = (app.owner("ada@example.com").await, app.owner("eve@example.com").await);
    let (id, secret) = ada.create("Deploy").await;
    for n in 0..5 {
        ada.post("/rpc/keys/rename", &[("key_id", &id), ("name", &format!("Deploy {n}"))]).await.list();
    }
    let limited = ada.post("/rpc/keys/rename", &[("key_id", &id), ("name", "Once more")]).await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=10).contains(&limited.header("retry-after").parse().unwrap()));
    assert_eq!(ada.list().await[0].name, "Deploy 4");
    assert_eq!(bearer(&app.router, &secret).await, StatusCode::OK);
    eve.create("Deploy").await;
}

#[tokio::test]
async fn without_a_session_every_change_is_rejected() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let mut anonymous = app.anonymous();
    for (path, fields) in OPERATIONS {
        assert_eq!(
            on_key(&mut anonymous, path, &id, fields).await.status,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
    let create = anonymous.post("/rpc/keys/create", &[("name", "a"), ("expire_in", "7")]).await;
    assert_eq!(create.status, StatusCode::UNAUTHORIZED);
    let mut with_key = app.anonymous();
    with_key.cookie = Some(format!("__Host-session={secret}"));
    assert_eq!(
        on_key(&mut with_key, "/rpc/keys/delete", &id, &[("confirm_name", "Deploy")]).await.status,
        401
    );
    assert_eq!(ada.list().await.len(), 1);
}

#[tokio::test]
async fn invalid_input_is_rejected_with_a_field_error_and_changes_nothing() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let too_long = "x".repeat(65);
    let long_text = "é".repeat(201);
    let bad: [(&str, &[(&str, &str)]); 9] = [
        ("name", &[("name", ""), ("expire_in", "7")]),
        ("name", &[("name", "1st"), ("expire_in", "7")]),
        ("name", &[("name", &too_long), ("expire_in", "7")]),
        ("name", &[("name", "a\u{0}b"), ("expire_in", "7")]),
        ("name", &[("name", "a\u{202e}b"), ("expire_in", "7")]),
        ("expire_in", &[("name", "a"), ("expire_in", "8")]),
        ("expire_in", &[("name", "a"), ("expire_in", "")]),
        ("description", &[("name", "a"), ("expire_in", "7"), ("description", &long_text)]),
        ("description", &[("name", "a"), ("expire_in", "7"), ("description", "\u{2066}x")]),
    ];
    for (field, fields) in bad {
        let response = ada.post("/rpc/keys/create", fields).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
        let refusal = response.refusal();
        assert_eq!(refusal.fields.len(), 1, "{fields:?}");
        assert_eq!(refusal.fields[0].0, field);
        assert!(!refusal.fields[0].1.is_empty());
    }
    let both = ada.post("/rpc/keys/create", &[("name", ""), ("expire_in", "x")]).await;
    assert_eq!(both.refusal().fields.len(), 2, "all field errors are returned together");
    for fields in [&[("name", "a")][..], &[("expire_in", "7")], &[]] {
        assert_eq!(ada.post("/rpc/keys/create", fields).await.status, StatusCode::BAD_REQUEST, "{fields:?}");
    }
    assert!(ada.list().await.is_empty());
}

#[tokio::test]
async fn names_are_unique_regardless_of_case_and_a_key_can_be_renamed_to_another_case() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, _) = ada.create("Deploy").await;
    ada.create("Other").await;
    let taken = on_key(&mut ada, "/rpc/keys/rename", &id, &[("name", "OTHER")]).await;
    assert_eq!(taken.refusal().fields[0].0, "name");
    let list = on_key(&mut ada, "/rpc/keys/rename", &id, &[("name", "  DEPLOY ")]).await.list();
    assert!(list.keys.iter().any(|key| key.name == "DEPLOY"));
}

#[tokio::test]
async fn two_accounts_may_use_the_same_name() {
    let app = TestApp::new().await;
    for email in ["ada@example.com", "eve@example.com"] {
        app.owner(email).await.create("Deploy").await;
    }
}

#[tokio::test]
async fn a_key_that_is_switched_off_is_denied_until_it_is_switched_on() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    for (active, status) in [("false", 401), ("false", 401), ("true", 200)] {
        let list = on_key(&mut ada, "/rpc/keys/set-active", &id, &[("active", active)]).await.list();
        assert_eq!(list.keys[0].active, active == "true");
        assert_eq!(bearer(&app.router, &secret).await, status);
    }
    let unclear = on_key(&mut ada, "/rpc/keys/set-active", &id, &[("active", "perhaps")]).await;
    assert_eq!(unclear.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn from_the_instant_of_its_expiry_a_key_is_denied_permanently() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let created =
        ada.post("/rpc/keys/create", &[("name", "Brief"), ("expire_in", "7")]).await.list().new.unwrap();
    let (id, secret) = (created.id.as_str().to_owned(), created.secret);
    app.advance(7 * DAY - 1);
    assert_eq!(bearer(&app.router, &secret).await, StatusCode::OK);
    app.advance(1);
    assert_eq!(bearer(&app.router, &secret).await, StatusCode::UNAUTHORIZED);

    let fields = [("email", "ada@example.com"), ("password", crate::test_app::PASSWORD)];
    ada.post("/rpc/account/sign-in", &fields).await;
    for (path, fields) in [
        ("/rpc/keys/refresh", [("expire_in", "365")]),
        ("/rpc/keys/refresh", [("expire_in", "never")]),
        ("/rpc/keys/set-active", [("active", "true")]),
    ] {
        assert_eq!(on_key(&mut ada, path, &id, &fields).await.status, StatusCode::CONFLICT, "{path}");
    }
    assert_eq!(bearer(&app.router, &secret).await, StatusCode::UNAUTHORIZED);
    assert!(
        on_key(&mut ada, "/rpc/keys/delete", &id, &[("confirm_name", "Brief")]).await.list().keys.is_empty()
    );
}

#[tokio::test]
async fn a_refresh_can_only_move_the_expiry_later() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    for period in ["7", "30", "90"] {
        let response = on_key(&mut ada, "/rpc/keys/refresh", &id, &[("expire_in", period)]).await;
        assert_eq!(response.refusal().fields[0].0, "expire_in");
    }
    let later = on_key(&mut ada, "/rpc/keys/refresh", &id, &[("expire_in", "180")]).await.list();
    assert_eq!(later.keys[0].expires_at, Some(crate::test_app::START.plus(180 * DAY)));
    let endless = on_key(&mut ada, "/rpc/keys/refresh", &id, &[("expire_in", "never")]).await.list();
    assert_eq!(endless.keys[0].expires_at, None);
    assert_eq!(on_key(&mut ada, "/rpc/keys/refresh", &id, &[("expire_in", "365")]).await.status, 422);
    assert_eq!(bearer(&app.router, &secret).await, StatusCode::OK);
}

#[tokio::test]
async fn expired_keys_do_not_count_towards_the_limit_are_listed_last_and_are_deleted_after_thirty_days() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    for n in 0..10 {
        let period = if n == 0 { "7" } else { "never" };
        let name = format!("Key {n}");
        ada.post("/rpc/keys/create", &[("name", &name), ("expire_in", period)]).await.list();
    }
    let full = ada.post("/rpc/keys/create", &[("name", "More"), ("expire_in", "7")]).await;
    assert_eq!(full.status, StatusCode::CONFLICT);
    app.advance(7 * DAY);
    let fields = [("email", "ada@example.com"), ("password", crate::test_app::PASSWORD)];
    ada.post("/rpc/account/sign-in", &fields).await;
    ada.create("More").await;
    let keys = ada.list().await;
    assert_eq!((keys.len(), keys[0].name.as_str(), keys[10].name.as_str()), (11, "More", "Key 0"));

    app.advance(30 * DAY - 1);
    app.console.keys.sweep().await.unwrap();
    ada.post("/rpc/account/sign-in", &fields).await;
    assert_eq!(ada.list().await.len(), 11);
    app.advance(1);
    app.console.keys.sweep().await.unwrap();
    assert_eq!(ada.list().await.len(), 10);
}

#[tokio::test]
async fn the_database_files_contain_no_usable_credential() {
    let app = TestApp::in_file().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, secret) = ada.create("Deploy").await;
    let cookie = ada.cookie.clone().unwrap();
    let session = cookie.split_once('=').unwrap().1;
    app.console.store.close().await;
    let mut files = 0;
    for file in std::fs::read_dir(app.folder.path().join("data")).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        for text in [&secret[..], &secret[7..], session, crate::test_app::PASSWORD] {
            assert!(!has(text), "{}", path.display());
        }
        files += 1;
    }
    assert!(files > 0);
}

#[tokio::test]
async fn the_database_files_have_mode_0600() {
    use std::os::unix::fs::PermissionsExt;
    let app = TestApp::in_file().await;
    app.owner("ada@example.com").await;
    for file in std::fs::read_dir(app.folder.path().join("data")).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn a_link_prefills_the_form_for_a_new_key_and_creates_none() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let link = "/settings/api-keys?dialog=generate&name=%3Cb%3E&description=%3C%2Ftextarea%3E&expire_in=30";
    let page = ada.get(link).await.body;
    let dialog = page.split_once("<dialog").unwrap().1;
    assert!(dialog.contains("value=\"&lt;b&gt;\"") && dialog.contains("&lt;/textarea>"), "{dialog}");
    assert!(dialog.contains("<option value=\"30\" selected"));
    let page = ada.get("/settings/api-keys?dialog=generate&expire_in=forever").await.body;
    assert!(page.split_once("<dialog").unwrap().1.contains("<option value=\"90\" selected"));
    assert!(ada.list().await.is_empty());
}
