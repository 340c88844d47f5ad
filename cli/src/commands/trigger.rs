//! `mecha trigger`: calls a Mecha.

use crate::args::{TargetOptions, TriggerOptions};
use crate::failure::Failure;
use crate::http_client::{Problem, TRIGGER_TIMEOUT, collect, rejection, send};
use crate::output;
use crate::target::Target;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, stdin};
use tokio::time::timeout;

/// The characters of RFC 3986, section 2.3, are not encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How much is read of the body of a request, in bytes: more than the server accepts.
const BODY_LIMIT: u64 = 1024 * 1024 + 1;
const EVENTS: &str = "text/event-stream";

pub(crate) async fn run(options: &TargetOptions, trigger: TriggerOptions) -> Result<(), Failure> {
    let target = Target::find(options)?;
    let body = read_data(trigger.data.as_deref())?;
    let mut headers = HeaderMap::new();
    let content_type = trigger.content_type.as_deref().unwrap_or_else(|| media_type(&body));
    let content_type = HeaderValue::from_str(content_type)
        .map_err(|_| Failure::usage(format!("{content_type:?} is not a media type")))?;
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(ACCEPT, HeaderValue::from_static(if trigger.stream { EVENTS } else { "*/*" }));
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let query =
        trigger.mecha.as_deref().map(|mecha| format!("?mecha={}", encoded(mecha))).unwrap_or_default();
    let path = format!("/v1/trigger/{}{query}", encoded(&trigger.action));
    let response =
        send(&target.url, &target.key.read()?, Method::POST, &path, headers, body, TRIGGER_TIMEOUT).await?;
    let (head, body) = response.into_parts();
    let is_stream =
        head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(EVENTS.as_bytes()));
    if head.status.is_success() && is_stream {
        return timeout(TRIGGER_TIMEOUT, print_events(body)).await.unwrap_or_else(|_| Err(broken()));
    }
    let body = collect(&target.url, body).await?;
    if !head.status.is_success() && (Problem::of(&head.headers, &body).is_some() || body.is_empty()) {
        return Err(rejection(&target.url, head.status, &head.headers, &body));
    }
    output::response(&body)?;
    if head.status.is_success() {
        return Ok(());
    }
    Err(Failure::error(format!("the runtime responded with {}", head.status)))
}

/// The body of the request.
fn read_data(data: Option<&str>) -> Result<Bytes, Failure> {
    let failure = |what: &str, error| Failure::usage(format!("{what} cannot be read: {error}"));
    Ok(match data {
        None => Bytes::new(),
        Some("-") => {
            let mut body = Vec::new();
            stdin()
                .lock()
                .take(BODY_LIMIT)
                .read_to_end(&mut body)
                .map_err(|error| failure("standard input", error))?;
            body.into()
        }
        Some(text) => match text.strip_prefix('@') {
            Some(path) => {
                let mut body = Vec::new();
                let read = File::open(path).and_then(|file| file.take(BODY_LIMIT).read_to_end(&mut body));
                read.map_err(|error| failure(path, error))?;
                body.into()
            }
            None => text.to_owned().into(),
        },
    })
}

fn media_type(body: &[u8]) -> &'static str {
    if serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        "application/json"
    } else if std::str::from_utf8(body).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    }
}

/// Prints the data of events as they come.
async fn print_events(mut body: Incoming) -> Result<(), Failure> {
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| broken())?;
        let Ok(bytes) = frame.into_data() else { continue };
        for event in events.receive(&bytes) {
            match event.name.as_str() {
                "end" => return ended(&event.data),
                "error" => {
                    let problem: Problem = serde_json::from_str(&event.data).unwrap_or_default();
                    return Err(match problem.name() {
                        "invalid_token" | "insufficient_scope" => Failure::denied(problem.title),
                        _ => Failure::error(
                            problem.detail.filter(|it| !it.is_empty()).unwrap_or(problem.title),
                        ),
                    });
                }
                _ => output::response(format!("{}\n", event.data).as_bytes())?,
            }
        }
    }
    Err(broken())
}

/// The result of a response that is complete: its status decides.
fn ended(data: &str) -> Result<(), Failure> {
    let end: Value = serde_json::from_str(data).unwrap_or_default();
    match end.get("status").and_then(Value::as_u64) {
        Some(status @ 400..) => Err(Failure::error(format!("the runtime responded with {status}"))),
        _ => Ok(()),
    }
}

fn broken() -> Failure {
    Failure::error("the response ended before it was complete").hint("The action may have been executed.")
}

/// Parses a stream of events (HTML Standard, section 9.2.6) that the console sends.
#[derive(Default)]
struct Events {
    unread: Vec<u8>,
    name: String,
    data: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
}

impl Events {
    /// The events that these bytes complete.
    fn receive(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.unread.extend_from_slice(bytes);
        let mut events = Vec::new();
        let end = self.unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let complete: Vec<u8> = self.unread.drain(..end).collect();
        for line in String::from_utf8_lossy(&complete).lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.name),
                "data" => self.data.push(value.to_owned()),
                "" if line.is_empty() && !(self.data.is_empty() && self.name.is_empty()) => {
                    let data = std::mem::take(&mut self.data).join("\n");
                    events.push(Event { name: std::mem::take(&mut self.name), data });
                }
                _ => {}
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_complete_at_the_empty_line_however_the_bytes_arrive() {
        let text = "data: one\n\ndata: two\ndata: lines\n\n: comment\n\nevent: end\ndata:\n\n".as_bytes();
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        let all = [event("", "one"), event("", "two\nlines"), event("end", "")];
        for size in [1, 2, 7, text.len()] {
            let mut events = Events::default();
            let received: Vec<_> = text.chunks(size).flat_map(|bytes| events.receive(bytes)).collect();
            assert_eq!(received, all, "{size}");
        }
    }

    #[test]
    fn the_media_type_of_a_body_follows_from_its_content() {
        assert_eq!(media_type(b"{\"message\": \"Hello\"}"), "application/json");
        assert_eq!(media_type(b"Hello"), "text/plain; charset=utf-8");
        assert_eq!(media_type(&[0xff]), "application/octet-stream");
    }
}
