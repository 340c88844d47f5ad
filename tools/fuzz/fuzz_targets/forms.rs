//! Bodies of forms: the first byte says which, the rest is sent.
#![no_main]

use axum::body::Body;
use fuzz::{Target, form};
use libfuzzer_sys::fuzz_target;

/// Those that end the session are left out; its owner's password, which nobody knows, keeps the account.
const PATHS: [&str; 11] = [
    "account/change-password",
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
        TARGET.with(|target| {
            let request = form(path).header("accept", accept).header("cookie", &target.cookie);
            target.ask(request.body(Body::from(body.to_vec())).expect("a request"))
        });
    }
});
