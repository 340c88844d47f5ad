//! Form bodies: the first byte selects the form, the rest is its body.
#![no_main]

use axum::body::Body;
use fuzz::{Target, form};
use libfuzzer_sys::fuzz_target;

/// Forms that end the session are left out. The account cannot be deleted or changed, because the fuzzer does not know
/// its password.
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
    // These forms hash a password only if all other checks pass.
    "account/sign-up",
    "account/sign-in",
];

thread_local!(static TARGET: Target = Target::default());

fuzz_target!(|bytes: &[u8]| {
    let Some((selector, body)) = bytes.split_first() else { return };
    let path = PATHS[usize::from(*selector) % PATHS.len()];
    for accept in ["application/json", "text/html"] {
        TARGET.with(|target| {
            let request = form(path).header("accept", accept).header("cookie", &target.cookie);
            target.ask(request.body(Body::from(body.to_vec())).expect("a request"))
        });
    }
});
