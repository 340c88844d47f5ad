//! Bodies of forms: the first byte says which, the rest is sent.
#![no_main]

use axum::body::Body;
use axum::http::Request;
use fuzz::Target;
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 13] = [
    "account/sign-out",
    "account/change-password",
    "account/sign-out-everywhere",
    "account/delete",
    "keys/create",
    "keys/rename",
    "keys/refresh",
    "keys/set-active",
    "keys/rotate",
    "keys/retire",
    "keys/delete",
    // Those that hash only what passes all other checks.
    "account/sign-up",
    "account/sign-in",
];

thread_local!(static TARGET: Target = Target::default());

fuzz_target!(|bytes: &[u8]| {
    let Some((which, body)) = bytes.split_first() else { return };
    let path = PATHS[usize::from(*which) % PATHS.len()];
    for accept in ["application/json", "text/html"] {
        let request = Request::post(format!("/rpc/{path}"))
            .header("host", "127.0.0.1:3000")
            .header("origin", "http://127.0.0.1:3000")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", accept)
            .body(Body::from(body.to_vec()))
            .expect("a request");
        TARGET.with(|target| target.ask(request));
    }
});
