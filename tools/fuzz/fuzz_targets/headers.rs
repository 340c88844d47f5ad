//! Headers of a request to `/verify`. The first line is the rest of the path and the query; each further line is
//! `name:value`.
#![no_main]

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use fuzz::Target;
use libfuzzer_sys::fuzz_target;

thread_local!(static TARGET: Target = Target::default());

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let path = format!("/verify{}", String::from_utf8_lossy(lines.next().unwrap_or_default()));
    let Ok(uri) = path.parse::<Uri>() else { return };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            request.headers_mut().append(name, value);
        }
    }
    let status = TARGET.with(|target| target.ask(request).status());
    assert_ne!(status, StatusCode::NO_CONTENT, "the fuzzer knows no secret");
});
