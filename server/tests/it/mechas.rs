//! Mechas: named actors of an account, each with its own keys.

use crate::test_app::{Browser, TestApp, client_request, postgres, verify};
use app::domain::account::{AccountId, Email};
use app::domain::activity::{ActivityKind, ActivityQuery};
use app::domain::api_key::KeyList;
use axum::http::StatusCode;

/// Creates a Mecha; returns its id.
pub(crate) async fn create_mecha(owner: &mut Browser, name: &str) -> String {
    let response = owner.post("/rpc/mechas/create", &[("mecha_name", name), ("description", "")]).await;
    assert_eq!(response.status, StatusCode::OK, "{}", response.body);
    response.body.trim_matches('"').trim_start_matches("/mechas/")[..32].to_owned()
}

pub(crate) async fn issue(owner: &mut Browser, mecha: &str, name: &str) -> KeyList {
    owner.post("/rpc/keys/create", &[("name", name), ("expire_in", "90"), ("mecha_id", mecha)]).await.list()
}

#[tokio::test]
async fn a_mecha_is_created_described_and_deleted_with_its_name() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    assert!(ada.get("/mechas").await.body.contains("No Mechas yet"));
    let form = [("mecha_name", "Porter"), ("description", "Carries <b>")];
    let response = ada.submit("/rpc/mechas/create", &form).await;
    assert_eq!(response.status, StatusCode::SEE_OTHER);
    let page = response.header("location").split('?').next().unwrap().to_owned();
    let body = ada.get(&page).await.body;
    assert!(body.contains("<h1 dir=\"auto\">Porter</h1>") && body.contains("Carries &lt;b"), "{body}");

    let id = page.trim_start_matches("/mechas/");
    // Its own name in another case is allowed; a taken one, an invalid one and none are not.
    create_mecha(&mut ada, "Other").await;
    for (name, status) in [("PORTER", 200), ("other", 422), ("1", 422), ("", 422)] {
        let fields = [("mecha_id", id), ("mecha_name", name), ("description", "")];
        assert_eq!(ada.post("/rpc/mechas/describe", &fields).await.status.as_u16(), status, "{name}");
    }
    let rejected = ada.submit("/rpc/mechas/describe", &[("mecha_id", id), ("mecha_name", "other")]).await;
    assert_eq!(rejected.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        rejected.body.contains("Another of your Mechas has this name")
            && rejected.body.contains("value=\"other\"")
    );

    let wrong = [("mecha_id", id), ("confirm_name", "Porter")];
    assert_eq!(ada.post("/rpc/mechas/delete", &wrong).await.refusal().fields[0].0, "confirm_name");
    let right = [("mecha_id", id), ("confirm_name", "PORTER")];
    assert_eq!(
        ada.submit("/rpc/mechas/delete", &right).await.header("location"),
        "/mechas?done=mecha-deleted"
    );
    assert_eq!(ada.get(&page).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ada.post("/rpc/mechas/delete", &right).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_keys_of_a_mecha_have_their_own_limit_and_names_and_identify_it() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, of_account) = ada.create("Runtime").await;
    let mecha = create_mecha(&mut ada, "Pörter").await;
    let new = issue(&mut ada, &mecha, "Runtime").await.new.unwrap();
    let same = [("name", "RUNTIME"), ("expire_in", "90"), ("mecha_id", mecha.as_str())];
    assert_eq!(ada.post("/rpc/keys/create", &same).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    for n in 2..=10 {
        assert_eq!(issue(&mut ada, &mecha, &format!("Key {n}")).await.keys.len(), n);
    }
    let eleventh = [("name", "Key 11"), ("expire_in", "90"), ("mecha_id", mecha.as_str())];
    assert_eq!(ada.post("/rpc/keys/create", &eleventh).await.status, StatusCode::CONFLICT);
    assert_eq!(ada.list().await.len(), 1, "the list of the account");
    let rename = [("key_id", new.id.as_str()), ("name", "key 2")];
    assert_eq!(ada.post("/rpc/keys/rename", &rename).await.status, StatusCode::UNPROCESSABLE_ENTITY);

    for _ in 0..2 {
        let response = client_request(&app.router, "/verify", &[("x-api-key", &new.secret)]).await;
        assert_eq!(response.status, StatusCode::NO_CONTENT);
        assert_eq!([response.header("x-mecha-id"), response.header("x-mecha-name")], [&mecha, "P%C3%B6rter"]);
        assert_eq!(response.header("x-key-name"), "Runtime");
        let response = client_request(&app.router, "/verify", &[("x-api-key", &of_account)]).await;
        assert!(
            !response.headers.contains_key("x-mecha-id") && !response.headers.contains_key("x-mecha-name")
        );
        let key = client_request(&app.router, "/api/v1/key", &[("x-api-key", &new.secret)]).await;
        let key: serde_json::Value = serde_json::from_str(&key.body).unwrap();
        assert_eq!(key["mecha"], serde_json::json!({ "id": mecha, "name": "Pörter" }));
        // The same from a key cache that was read from the database.
        let restarted = app.restart().await;
        let response = client_request(&restarted.router, "/verify", &[("x-api-key", &new.secret)]).await;
        assert_eq!(response.header("x-mecha-name"), "P%C3%B6rter");
    }
    ada.post("/rpc/mechas/describe", &[("mecha_id", &mecha), ("mecha_name", "Carrier")]).await;
    let response = client_request(&app.router, "/verify", &[("x-api-key", &new.secret)]).await;
    assert_eq!(response.header("x-mecha-name"), "Carrier");
}

#[tokio::test]
async fn a_mecha_that_is_switched_off_or_deleted_has_no_valid_key() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, of_account) = ada.create("Deploy").await;
    let mecha = create_mecha(&mut ada, "Porter").await;
    let one = issue(&mut ada, &mecha, "One").await.new.unwrap();
    let two = issue(&mut ada, &mecha, "Two").await.new.unwrap();
    ada.post("/rpc/keys/set-active", &[("key_id", two.id.as_str()), ("active", "false")]).await.list();
    let rotate = [("key_id", one.id.as_str()), ("grace", "24h")];
    let rotated = ada.post("/rpc/keys/rotate", &rotate).await.list().new.unwrap();
    let statuses = async || {
        let mut statuses = Vec::new();
        for secret in [&one.secret, &rotated.secret, &two.secret, &of_account] {
            statuses.push(verify(&app.router, secret).await.as_u16());
        }
        statuses
    };
    assert_eq!(statuses().await, [204, 204, 401, 204]);
    let switch = async |ada: &mut Browser, active| {
        let fields = [("mecha_id", mecha.as_str()), ("active", active)];
        assert_eq!(ada.post("/rpc/mechas/set-active", &fields).await.status, StatusCode::OK);
    };
    switch(&mut ada, "false").await;
    assert_eq!(statuses().await, [401, 401, 401, 204]);
    // Changes of a key do not bring it back.
    let refresh = [("key_id", one.id.as_str()), ("expire_in", "180")];
    ada.post("/rpc/keys/refresh", &refresh).await.list();
    let restarted = app.restart().await;
    assert_eq!(verify(&restarted.router, &rotated.secret).await, StatusCode::UNAUTHORIZED);
    assert_eq!(statuses().await, [401, 401, 401, 204]);
    assert!(ada.get(&format!("/mechas/{mecha}")).await.body.contains("This Mecha is switched off"));
    switch(&mut ada, "true").await;
    assert_eq!(statuses().await, [204, 204, 401, 204], "each key is as it was");
    ada.post("/rpc/mechas/delete", &[("mecha_id", &mecha), ("confirm_name", "Porter")]).await;
    assert_eq!(statuses().await, [401, 401, 401, 204]);
    assert_eq!(app.console.key_cache.index.len(), 1);
}

#[tokio::test]
async fn a_key_of_a_mecha_rotates_without_first_use() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mecha = create_mecha(&mut ada, "Porter").await;
    let key = issue(&mut ada, &mecha, "Runtime").await.new.unwrap();
    let dialog = ada.get(&format!("/mechas/{mecha}?dialog=rotate&key_id={}", key.id.as_str())).await.body;
    assert!(dialog.contains("<option value=\"24h\" selected") && !dialog.contains("value=\"first-use\""));
    let fields = [("key_id", key.id.as_str()), ("grace", "first-use"), ("mecha_id", mecha.as_str())];
    assert_eq!(ada.post("/rpc/keys/rotate", &fields).await.refusal().fields[0].0, "grace");
    // The form is returned on the page of the Mecha.
    let page = ada.submit("/rpc/keys/rotate", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.body.contains(&format!("data-page=\"/mechas/{mecha}\"")));
}

#[tokio::test]
async fn a_mecha_belongs_to_its_account() {
    let app = TestApp::new().await;
    let (mut ada, mut eve) = (app.owner("ada@example.com").await, app.owner("eve@example.com").await);
    let mecha = create_mecha(&mut ada, "Porter").await;
    let key = issue(&mut ada, &mecha, "Runtime").await.new.unwrap();
    let id = ("mecha_id", mecha.as_str());
    for (path, fields) in [
        ("/rpc/mechas/describe", &[id, ("mecha_name", "Mine"), ("description", "")][..]),
        ("/rpc/mechas/set-active", &[id, ("active", "false")]),
        ("/rpc/mechas/delete", &[id, ("confirm_name", "Porter")]),
        ("/rpc/keys/create", &[id, ("name", "Mine"), ("expire_in", "90")]),
        ("/rpc/keys/delete", &[("key_id", key.id.as_str()), ("confirm_name", "Runtime")]),
    ] {
        assert_eq!(eve.post(path, fields).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in [format!("/mechas/{mecha}"), "/mechas/x".to_owned(), format!("/mechas/{}", "0".repeat(32))] {
        assert_eq!(eve.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(!eve.get("/mechas").await.body.contains("Porter"));
    assert_eq!(verify(&app.router, &key.secret).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn concurrent_creation_stops_at_the_limit() {
    let app = TestApp::with(&["--mechas-per-account", "3", "--changes-per-minute", "0"]).await;
    let ada = app.owner("ada@example.com").await;
    let attempts = (0..20).map(|n| {
        let mut ada = ada.clone();
        async move { ada.post("/rpc/mechas/create", &[("mecha_name", &format!("Mecha {n}"))]).await.status }
    });
    let statuses = futures::future::join_all(attempts).await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 3);
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CONFLICT).count(), 17);
    assert!(ada.clone().get("/mechas").await.body.contains("3 of 3 Mechas"));
}

#[tokio::test]
async fn the_activity_names_the_mecha_of_each_change() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mecha = create_mecha(&mut ada, "Porter").await;
    issue(&mut ada, &mecha, "Runtime").await;
    ada.post("/rpc/mechas/set-active", &[("mecha_id", &mecha), ("active", "false")]).await;
    ada.post("/rpc/mechas/describe", &[("mecha_id", &mecha), ("mecha_name", "Carrier")]).await;
    ada.post("/rpc/mechas/delete", &[("mecha_id", &mecha), ("confirm_name", "Carrier")]).await;
    let email = Email::parse("ada@example.com").unwrap();
    let account = app.console.store.account_by_email(&email).await.unwrap().unwrap().id;
    let account = AccountId(account);
    let page = app.console.store.activity(&account, &ActivityQuery::default()).await.unwrap();
    let entries: Vec<_> =
        page.entries.iter().rev().skip(1).map(|entry| (entry.what, entry.mecha_name.as_str())).collect();
    assert_eq!(
        entries,
        [
            (ActivityKind::MechaCreated, "Porter"),
            (ActivityKind::KeyCreated, "Porter"),
            (ActivityKind::MechaSwitchedOff, "Porter"),
            (ActivityKind::MechaChanged, "Porter"),
            (ActivityKind::MechaDeleted, "Carrier"),
        ]
    );
    let text = ada.get("/settings/activity").await.body;
    assert!(text.contains("Key “Runtime” of Mecha “Porter” generated, expires on"), "{text}");
    assert!(text.contains("Mecha “Porter” renamed to “Carrier”") && text.contains("deleted, with its keys"));
}

#[tokio::test]
async fn a_denied_request_with_a_key_of_a_mecha_that_is_off_states_that_reason() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mecha = create_mecha(&mut ada, "Porter").await;
    let key = issue(&mut ada, &mecha, "Runtime").await.new.unwrap();
    ada.post("/rpc/mechas/set-active", &[("mecha_id", &mecha), ("active", "false")]).await;
    assert_eq!(verify(&app.router, &key.secret).await, StatusCode::UNAUTHORIZED);
    assert_eq!(app.denials(key.id.as_str()).await, [("mecha-inactive".to_owned(), 1)]);
}

#[tokio::test]
async fn a_new_secret_is_shown_even_if_its_mecha_can_no_longer_be_read() {
    if postgres().is_some() {
        return; // The trigger below is in the dialect of SQLite.
    }
    let app = TestApp::new().await;
    let (mut ada, _eve) = (app.owner("ada@example.com").await, app.owner("eve@example.com").await);
    let mecha = create_mecha(&mut ada, "Porter").await;
    let trigger = "CREATE TRIGGER vanish AFTER INSERT ON activity WHEN NEW.what = 'key-made' BEGIN
                   UPDATE mechas SET account_id = (SELECT id FROM accounts WHERE id <> NEW.account_id); END";
    sqlx::query(trigger).execute(&mut app.database().await).await.unwrap();
    let fields = [("name", "Runtime"), ("expire_in", "90"), ("mecha_id", mecha.as_str())];
    let page = ada.submit("/rpc/keys/create", &fields).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("mm_tok_") && page.body.contains("API key generated"), "{}", page.body);
}

#[tokio::test]
async fn a_form_for_a_mecha_that_was_deleted_says_so_on_the_list() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mecha = create_mecha(&mut ada, "Porter").await;
    ada.post("/rpc/mechas/delete", &[("mecha_id", &mecha), ("confirm_name", "Porter")]).await;
    for path in ["/rpc/mechas/describe", "/rpc/keys/create"] {
        let fields = [
            ("mecha_id", mecha.as_str()),
            ("mecha_name", "Carrier"),
            ("name", "Runtime"),
            ("expire_in", "90"),
        ];
        let page = ada.submit(path, &fields).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.body.contains("This Mecha no longer exists."), "{path}: {}", page.body);
        assert!(page.body.contains("data-page=\"/mechas\""));
    }
}

#[tokio::test]
async fn the_events_of_a_mecha_that_does_not_exist_end_for_good() {
    let app = TestApp::new().await;
    let (mut ada, mut eve) = (app.owner("ada@example.com").await, app.owner("eve@example.com").await);
    let mecha = create_mecha(&mut ada, "Porter").await;
    for mecha in [mecha.as_str(), "x", &"0".repeat(32)] {
        let response = eve.get(&format!("/settings/api-keys/events?mecha={mecha}")).await;
        assert_eq!(response.status, StatusCode::NO_CONTENT, "{mecha}");
    }
}
