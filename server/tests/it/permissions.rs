//! Scopes: keys that are restricted to some of what the operator offers, and limits that the operator sets.

use crate::mechas::create_mecha;
use crate::test_app::{Browser, START, TestApp, TestResponse, client_request, verify, verify_scope};
use app::domain::access::Access;
use app::domain::timestamp::DAY;
use axum::http::StatusCode;
use sqlx::AssertSqlSafe;

/// Creates a key that is restricted to these scopes; returns its Key ID and its secret.
async fn create_with(owner: &mut Browser, name: &str, scopes: &[&str]) -> (String, String) {
    let mut fields = vec![("name", name), ("expire_in", "90"), ("access", "chosen")];
    fields.extend(scopes.iter().map(|scope| ("scopes", *scope)));
    let new = owner.post("/rpc/keys/create", &fields).await.list().new.unwrap();
    (new.id.as_str().to_owned(), new.secret)
}

/// Changes the access of a key.
async fn edit(owner: &mut Browser, id: &str, name: &str, scopes: Option<&[&str]>) -> TestResponse {
    let mut fields = vec![("key_id", id), ("name", name), ("description", "Edited")];
    fields.push(("access", if scopes.is_some() { "chosen" } else { "everything" }));
    fields.extend(scopes.into_iter().flatten().map(|scope| ("scopes", *scope)));
    owner.post("/rpc/keys/edit", &fields).await
}

async fn verify_with(app: &TestApp, secret: &str, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    let bearer = format!("Bearer {secret}");
    let headers: Vec<_> = headers.iter().copied().chain([("authorization", bearer.as_str())]).collect();
    client_request(&app.router, path, &headers).await
}

/// The activity log of the owner, newest first, as text.
async fn activity(owner: &mut Browser) -> String {
    owner.get("/settings/activity").await.body
}

#[tokio::test]
async fn a_restricted_key_is_allowed_only_where_all_required_scopes_are_its_own() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, everything) = ada.create("Everything").await;
    let (_, reads) = create_with(&mut ada, "Reads", &["trigger", "read"]).await;

    let allowed = verify_with(&app, &reads, "/verify?scope=read", &[]).await;
    assert_eq!((allowed.status, allowed.header("x-key-scopes")), (StatusCode::NO_CONTENT, "read trigger"));
    let unrestricted = verify_with(&app, &everything, "/verify?scope=read%20write", &[]).await;
    assert_eq!((unrestricted.status, unrestricted.header("x-key-scopes")), (StatusCode::NO_CONTENT, ""));
    assert!(!unrestricted.headers.contains_key("x-key-scopes"));
    assert_eq!(verify(&app.router, &reads).await, StatusCode::NO_CONTENT);
    assert_eq!(verify_scope(&app.router, &reads, "trigger+read").await, StatusCode::NO_CONTENT);

    for (path, headers, named) in [
        ("/verify?scope=write", vec![], "write"),
        ("/verify?scope=read+write", vec![], "read write"),
        ("/verify/?scope=write", vec![], "write"),
        ("/verify", vec![("x-required-scope", "write")], "write"),
        ("/verify?scope=read", vec![("x-required-scope", "write")], "read write"),
        ("/verify/v1/chat", vec![("x-required-scope", "write")], "write"),
    ] {
        let denied = verify_with(&app, &reads, path, &headers).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN, "{path} {headers:?}");
        let challenge =
            format!(r#"Bearer realm="mecha-console", error="insufficient_scope", scope="{named}""#);
        assert_eq!(denied.header("www-authenticate"), challenge, "{path} {headers:?}");
        assert!(denied.body.is_empty());
    }
    // Below /verify/, the query is the client's own.
    let envoy =
        verify_with(&app, &reads, "/verify/v1/chat?scope=write", &[("x-required-scope", "read")]).await;
    assert_eq!(envoy.status, StatusCode::OK);
    // An invalid key learns nothing about scopes.
    let invalid = verify_with(&app, "mm_tok_wrong", "/verify?scope=write", &[]).await;
    assert_eq!(invalid.status, StatusCode::UNAUTHORIZED);
    assert!(!invalid.header("www-authenticate").contains("scope="));
}

#[tokio::test]
async fn an_unknown_an_empty_or_a_repeated_scope_denies_every_key() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, everything) = ada.create("Everything").await;
    let (_, reads) = create_with(&mut ada, "Reads", &["read", "write"]).await;
    for secret in [&everything, &reads] {
        for (path, headers) in [
            ("/verify?scope=admin", vec![]),
            ("/verify?scope=Read", vec![]),
            ("/verify?scope=", vec![]),
            ("/verify?scope", vec![]),
            ("/verify?scope=read%20", vec![]),
            ("/verify?scope=read,write", vec![]),
            ("/verify?scope=read+admin", vec![]),
            ("/verify?scope=read+read", vec![]),
            ("/verify?scope=read&scope=read", vec![]),
            ("/verify?scope=read&scope=write", vec![]),
            ("/verify?scope=%ff", vec![]),
            ("/verify?scopes=read", vec![]),
            ("/verify?Scope=read", vec![]),
            ("/verify?module=chat&scope=", vec![]),
            ("/verify", vec![("x-required-scope", "")]),
            ("/verify", vec![("x-required-scope", "admin")]),
            ("/verify", vec![("x-required-scope", "read"), ("x-required-scope", "read")]),
            ("/verify", vec![("x-required-scope", "é")]),
            ("/verify?scope=read", vec![("x-required-scope", "")]),
        ] {
            let denied = verify_with(&app, secret, path, &headers).await;
            assert_eq!(denied.status, StatusCode::FORBIDDEN, "{path} {headers:?}");
            assert!(!denied.header("www-authenticate").contains("admin"), "{path}");
        }
        // The parameter and the header may require the same scope.
        let both = verify_with(&app, secret, "/verify?scope=read", &[("x-required-scope", "read")]).await;
        assert_eq!(both.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn the_access_of_a_key_can_be_edited_and_the_next_request_is_decided_by_it() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let list = edit(&mut ada, &id, "Deploy 2", Some(&["write", "read"])).await.list();
    assert_eq!((&*list.keys[0].name, &*list.keys[0].description), ("Deploy 2", "Edited"));
    assert_eq!(list.keys[0].access, Access::from_text(Some("read write")));
    assert_eq!(verify_scope(&app.router, &secret, "write").await, StatusCode::NO_CONTENT);
    edit(&mut ada, &id, "Deploy 2", Some(&["read"])).await.list();
    assert_eq!(verify_scope(&app.router, &secret, "write").await, StatusCode::FORBIDDEN);
    // A new secret has the same access, and so has the previous one.
    let rotated = ada.post("/rpc/keys/rotate", &[("key_id", &id), ("grace", "24h")]).await.list();
    for secret in [&secret, &rotated.new.unwrap().secret] {
        assert_eq!(verify_scope(&app.router, secret, "write").await, StatusCode::FORBIDDEN);
        assert_eq!(verify_scope(&app.router, secret, "read").await, StatusCode::NO_CONTENT);
    }
    let list = edit(&mut ada, &id, "Deploy 2", None).await.list();
    assert_eq!(list.keys[0].access, Access::Everything);
    assert_eq!(verify_scope(&app.router, &secret, "write").await, StatusCode::NO_CONTENT);

    let log = activity(&mut ada).await;
    for entry in [
        "renamed to “Deploy 2”",
        "Description of key “Deploy” changed",
        "has access to read, write only",
        "has access to read only",
        "has access to everything from now on",
    ] {
        assert_eq!(log.matches(entry).count(), 1, "{entry}");
    }
    // An edit that changes nothing is not recorded.
    edit(&mut ada, &id, "Deploy 2", None).await.list();
    assert_eq!(activity(&mut ada).await.matches("has access to everything").count(), 1);
}

#[tokio::test]
async fn an_invalid_choice_of_scopes_changes_nothing_and_names_the_field() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = create_with(&mut ada, "Reads", &["read"]).await;
    for (access, scopes) in [
        ("chosen", vec![]),
        ("chosen", vec!["admin"]),
        ("chosen", vec!["read", "admin"]),
        ("chosen", vec![""]),
        ("chosen", vec!["read write"]),
        ("all", vec!["read"]),
        ("", vec!["read"]),
    ] {
        let chosen = |fields: &[(&'static str, &'static str)]| {
            let scopes = scopes.iter().map(|scope| ("scopes", *scope));
            [fields, &[("access", access)]].concat().into_iter().chain(scopes).collect::<Vec<_>>()
        };
        let created = ada.post("/rpc/keys/create", &chosen(&[("name", "New"), ("expire_in", "90")])).await;
        assert_eq!(created.status, StatusCode::UNPROCESSABLE_ENTITY, "{access} {scopes:?}");
        assert_eq!(created.refusal().fields[0].0, "scopes");
        let mut fields = chosen(&[("name", "Reads")]);
        fields.push(("key_id", id.as_str()));
        let edited = ada.post("/rpc/keys/edit", &fields).await;
        assert_eq!(edited.status, StatusCode::UNPROCESSABLE_ENTITY, "{access} {scopes:?}");
        assert_eq!(edited.refusal().fields[0].0, "scopes");
    }
    assert_eq!(ada.list().await.len(), 1);
    assert_eq!(verify_scope(&app.router, &secret, "write").await, StatusCode::FORBIDDEN);
    // All invalid fields are reported at once.
    let bad = [("key_id", id.as_str()), ("name", ""), ("access", "chosen")];
    let fields = ada.post("/rpc/keys/edit", &bad).await.refusal().fields;
    assert_eq!(fields.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["name", "scopes"]);
    // Nobody edits the key of another account.
    let mut bob = app.owner("bob@example.com").await;
    assert_eq!(edit(&mut bob, &id, "Mine", None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ada.list().await[0].name, "Reads");
}

#[tokio::test]
async fn a_scope_that_is_no_longer_offered_stays_on_the_key_and_is_denied_where_required() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = create_with(&mut ada, "Reads", &["read", "write"]).await;
    let later = app.restart_with(&["--sign-ups", "open", "--scopes", "write"]).await;
    ada.router = later.router.clone();
    assert_eq!(verify_scope(&later.router, &secret, "read").await, StatusCode::FORBIDDEN);
    let allowed = verify_with(&later, &secret, "/verify?scope=write", &[]).await;
    assert_eq!((allowed.status, allowed.header("x-key-scopes")), (StatusCode::NO_CONTENT, "read write"));
    let page = ada.get("/settings/api-keys").await.body;
    assert!(
        page.contains("<li>read<!> (no longer offered)</li>")
            || page.contains("<li>read  (no longer offered)</li>")
            || page.contains("read <!> (no longer offered)"),
        "{page}"
    );
    // It can be kept, but no other key can get it.
    edit(&mut ada, &id, "Reads", Some(&["read", "trigger"])).await.list();
    assert_eq!(verify_scope(&later.router, &secret, "write").await, StatusCode::FORBIDDEN);
    let (other, _) = create_with(&mut ada, "Other", &["write"]).await;
    let refused = edit(&mut ada, &other, "Other", Some(&["read"])).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let other = app.restart_with(&["--sign-ups", "open", "--scopes", "read"]).await;
    assert_eq!(verify_scope(&other.router, &secret, "read").await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_owner_sees_which_scope_a_denied_request_lacked() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = create_with(&mut ada, "Reads", &["read"]).await;
    let denials = async || {
        let denied = app.usage(&id).await.denied;
        let mut denied: Vec<_> =
            denied.iter().map(|it| (it.reason.name(), it.scope.clone(), it.times)).collect();
        denied.sort();
        denied
    };
    let seen = [
        ("insufficient-scope", String::new(), 1),
        ("insufficient-scope", "trigger".to_owned(), 1),
        ("insufficient-scope", "write".to_owned(), 2),
    ];
    for scope in ["write", "read+write", "trigger", "admin"] {
        assert_eq!(verify_scope(&app.router, &secret, scope).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(denials().await, seen);
    // The same after a flush to the database.
    app.console.keys.flush_usage().await.unwrap();
    assert_eq!(denials().await, seen);
    let usage = ada.get(&format!("/settings/api-keys?dialog=usage&key_id={id}")).await.body;
    assert!(usage.contains("the key lacks the scope write"));
    assert!(usage.contains("the key lacks a scope that this requires"));
    // A denied request of a valid key does not count towards the limit of denied requests.
    for _ in 0..700 {
        assert_eq!(verify_scope(&app.router, &secret, "write").await, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn the_key_of_a_request_shows_its_scopes() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (_, everything) = ada.create("Everything").await;
    let (_, reads) = create_with(&mut ada, "Reads", &["write", "read"]).await;
    let scopes = async |secret: &str| {
        let key = verify_with(&app, secret, "/api/v1/key", &[]).await.body;
        serde_json::from_str::<serde_json::Value>(&key).unwrap()["scopes"].clone()
    };
    assert_eq!(scopes(&everything).await, serde_json::Value::Null);
    assert_eq!(scopes(&reads).await, serde_json::json!(["read", "write"]));
}

#[tokio::test]
async fn the_key_of_a_mecha_can_be_restricted_too() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let mecha = create_mecha(&mut ada, "Porter").await;
    let fields = [
        ("name", "Runtime"),
        ("expire_in", "90"),
        ("mecha_id", mecha.as_str()),
        ("access", "chosen"),
        ("scopes", "read"),
    ];
    let new = ada.post("/rpc/keys/create", &fields).await.list().new.unwrap();
    let allowed = verify_with(&app, &new.secret, "/verify?scope=read", &[]).await;
    assert_eq!((allowed.header("x-mecha-id"), allowed.header("x-key-scopes")), (mecha.as_str(), "read"));
    assert_eq!(verify_scope(&app.router, &new.secret, "write").await, StatusCode::FORBIDDEN);
    // The entries are the same when they are loaded from the database.
    let later = app.restart().await;
    let allowed = verify_with(&later, &new.secret, "/verify?scope=read", &[]).await;
    assert_eq!((allowed.header("x-mecha-name"), allowed.header("x-key-scopes")), ("Porter", "read"));
}

#[tokio::test]
async fn without_javascript_a_rejected_form_keeps_the_choice_and_a_link_prefills_it() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let checked = |page: &str, value: &str| {
        let input = format!(r#"value="{value}""#);
        let at = page.rfind(&input).unwrap_or_else(|| panic!("{value}"));
        page[at..].split('>').next().unwrap().contains("checked")
    };
    let rejected = [("name", ""), ("expire_in", "90"), ("access", "chosen"), ("scopes", "write")];
    let page = ada.submit("/rpc/keys/create", &rejected).await.body;
    assert!(checked(&page, "chosen") && checked(&page, "write") && !checked(&page, "read"));
    let link = "/settings/api-keys?dialog=generate&name=Chat&scopes=read+trigger&expire_in=date&expires_on=2027-01-31";
    let page = ada.get(link).await.body;
    assert!(checked(&page, "chosen") && checked(&page, "read") && checked(&page, "trigger"));
    assert!(!checked(&page, "write") && page.contains(r#"value="2027-01-31""#));
    // A link with scopes that are not offered does not lead to a key with access to everything.
    let page = ada.get("/settings/api-keys?dialog=generate&scopes=admin").await.body;
    assert!(checked(&page, "chosen") && !checked(&page, "read"));
    assert_eq!(ada.list().await.len(), 0);
}

#[tokio::test]
async fn the_operator_sets_the_number_of_keys_and_the_longest_expiry() {
    let flags = ["--sign-ups", "open", "--keys-per-account", "2", "--longest-expiry", "30"];
    let app = TestApp::with(&flags).await;
    let mut ada = app.owner("ada@example.com").await;
    let mut create = async |name, expire_in, expires_on| {
        let fields = [("name", name), ("expire_in", expire_in), ("expires_on", expires_on)];
        let response = ada.post("/rpc/keys/create", &fields).await;
        let refused = if response.status.is_success() { Vec::new() } else { response.refusal().fields };
        (response.status.as_u16(), refused.first().map(|(name, _)| name.clone()))
    };
    let refused = |field: &str| (422, Some(field.to_owned()));
    assert_eq!(create("One", "90", "").await, refused("expire_in"));
    assert_eq!(create("One", "never", "").await, refused("expire_in"));
    assert_eq!(create("One", "date", "2026-12-21").await, refused("expires_on"));
    assert_eq!(create("One", "date", "2026-11-20").await, refused("expires_on"));
    assert_eq!(create("One", "date", "tomorrow").await, refused("expires_on"));
    assert_eq!(create("One", "date", "2026-12-20").await, (200, None));
    assert_eq!(create("Two", "30", "").await, (200, None));
    assert_eq!(create("Three", "7", "").await, (409, None));
    let keys = ada.list().await;
    let expiry = |name: &str| keys.iter().find(|key| key.name == name).unwrap().expires_at.unwrap();
    assert_eq!(expiry("One").rfc3339(), "2026-12-20T23:59:59Z");
    assert_eq!(expiry("Two"), START.plus(30 * DAY));
    let page = ada.get("/settings/api-keys").await.body;
    assert!(page.contains("2 of 2 keys") && page.contains("You have 2 keys, the maximum."));
    assert!(!page.contains("Beyond the limit"));
    // Mechas keep their own limit.
    let mecha = create_mecha(&mut ada, "Porter").await;
    for name in ["A", "B", "C"] {
        let fields = [("name", name), ("expire_in", "7"), ("mecha_id", mecha.as_str())];
        ada.post("/rpc/keys/create", &fields).await.list();
    }
}

#[tokio::test]
async fn an_existing_key_keeps_an_expiry_that_is_beyond_the_limit() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Long").await;
    let later = app.restart_with(&["--sign-ups", "open", "--longest-expiry", "30"]).await;
    ada.router = later.router.clone();
    assert_eq!(verify(&later.router, &secret).await, StatusCode::NO_CONTENT);
    let page = ada.get("/settings/api-keys").await.body;
    assert!(page.contains("Beyond the limit"));
    let refreshed = ada.post("/rpc/keys/refresh", &[("key_id", id.as_str()), ("expire_in", "30")]).await;
    assert_eq!(refreshed.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_date_extends_the_expiry_of_a_key() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, _) = ada.create("Deploy").await;
    let mut refresh = async |date| {
        let fields = [("key_id", id.as_str()), ("expire_in", "date"), ("expires_on", date)];
        ada.post("/rpc/keys/refresh", &fields).await
    };
    assert_eq!(refresh("2026-12-01").await.refusal().fields[0].0, "expires_on");
    let list = refresh("2028-02-29").await.list();
    assert_eq!(list.keys[0].expires_at.unwrap().rfc3339(), "2028-02-29T23:59:59Z");
    assert_eq!(refresh("2028-02-30").await.refusal().fields[0].0, "expires_on");
}

#[tokio::test]
async fn the_database_stores_no_restricted_key_without_scopes() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, _) = create_with(&mut ada, "Reads", &["read"]).await;
    let mut database = app.database().await;
    for text in ["", "  ", &"a".repeat(60_001)] {
        let damage = AssertSqlSafe(format!("UPDATE api_keys SET scopes = '{text}' WHERE id = '{id}'"));
        assert!(sqlx::query(damage).execute(&mut database).await.is_err());
    }
}

#[tokio::test]
async fn an_edit_does_not_undo_a_change_of_access_that_its_form_did_not_show() {
    let app = TestApp::new().await;
    let mut ada = app.owner("ada@example.com").await;
    let (id, secret) = ada.create("Deploy").await;
    let page = ada.get(&format!("/settings/api-keys?dialog=edit&key_id={id}")).await.body;
    assert!(page.contains(r#"name="shown_access" value="everything""#), "{page}");
    // Meanwhile, another window narrows the access.
    edit(&mut ada, &id, "Deploy", Some(&["read"])).await.list();
    let stale = [
        ("key_id", id.as_str()),
        ("name", "Deploy"),
        ("description", "From the first window"),
        ("access", "everything"),
        ("shown_access", "everything"),
    ];
    let refused = ada.submit("/rpc/keys/edit", &stale).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.body.contains("The access was changed meanwhile")
            && refused.body.contains("From the first window")
    );
    assert!(refused.body.contains(r#"name="shown_access" value="read""#));
    assert_eq!(verify_scope(&app.router, &secret, "write").await, StatusCode::FORBIDDEN);
    // The owner has seen it now.
    let again = stale.map(|(name, value)| (name, if name == "shown_access" { "read" } else { value }));
    ada.post("/rpc/keys/edit", &again).await.list();
    assert_eq!(verify_scope(&app.router, &secret, "write").await, StatusCode::NO_CONTENT);
}
