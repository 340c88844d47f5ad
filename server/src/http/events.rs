//! `/settings/api-keys/events`: what happens to the keys of a session's account, while it happens
//! (server-sent events, WHATWG HTML 9.2).

use crate::console::Console;
use crate::sessions;
use crate::verification::live::{Event as KeyEvent, Watch};
use crate::verification::{hex, parse_id};
use app::backend::SignedIn;
use app::components::api_keys::shown;
use app::domain::account::AccountId;
use app::domain::api_key::KeyList;
use app::navigation::EVENTS;
use app::text;
use axum::Router;
use axum::extract::State;
use axum::http::{Extensions, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::Stream;
use futures::stream::unfold;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tower_sessions::Session;

/// How long one stream lasts. The page asks for another when somebody looks at it again.
const LASTS: Duration = Duration::from_secs(60 * 60);
/// How often a stream makes sure that its session has not ended, and says something so that nobody on the way
/// takes it for dead.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often the list is shown anew while nothing happens, for the times in it.
const SHOW_EVERY: Duration = Duration::from_secs(60);

pub(super) fn router(console: Arc<Console>) -> Router {
    Router::new().route(EVENTS, get(events)).with_state(console)
}

async fn events(State(console): State<Arc<Console>>, session: Session, extensions: Extensions) -> Response {
    let who = match sessions::signed_in(&extensions).await {
        Ok(Some(who)) => who,
        // To a browser, 204 means not to ask again.
        Ok(None) => return StatusCode::NO_CONTENT.into_response(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    let Ok(list) = console.keys.list(&who.account).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let keys = list.keys.iter().filter_map(|key| parse_id(key.id.as_str())).collect();
    let Some(watch) = console.keys.verifier.traffic.live.watch(&who.account, keys) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let now = Instant::now();
    let stream = Streaming { watch, console, session, ends: now + LASTS, announce: now + LOOK_EVERY };
    // A proxy that gathered the answer before passing it on would tell nothing in time (nginx).
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    (unbuffered, Sse::new(stream.events(who)).keep_alive(KeepAlive::new().interval(LOOK_EVERY)))
        .into_response()
}

struct Streaming {
    watch: Watch,
    console: Arc<Console>,
    session: Session,
    ends: Instant,
    announce: Instant,
}

/// What a page is told.
#[derive(Serialize)]
struct Told {
    /// The key that something happened to; empty if only time has passed.
    key_id: String,
    /// What happened, for the dialog that shows the new secret.
    first_request: String,
    /// All keys, as they are now.
    list: KeyList,
}

/// A use on another node is written down within a minute; whoever watches sees it now.
fn used_now(list: &mut KeyList, event: &KeyEvent) {
    let id = hex(&event.key);
    let used = list.keys.iter_mut().find(|key| event.refused.is_none() && key.id.as_str() == id);
    if let Some(key) = used.filter(|key| key.last_used_at.is_none_or(|at| at < event.at)) {
        key.last_used_at = Some(event.at);
        key.last_used_from = Some(event.program.to_string());
    }
}

impl Streaming {
    fn events(self, who: SignedIn) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold((self, who), async |(mut stream, who)| {
            let event = stream.next(&who.account).await?;
            let mut list = stream.console.keys.list(&who.account).await.ok()?;
            if let Some(event) = &event {
                used_now(&mut list, event);
            }
            let list = shown(list);
            let (key_id, first_request) = event.map_or_else(Default::default, |event| {
                let program = event.program.to_string();
                (hex(&event.key), text::traffic::first_request(event.refused, &program))
            });
            let event = Event::default().json_data(Told { key_id, first_request, list }).ok()?;
            Some((Ok(event), (stream, who)))
        })
    }

    /// The next event, or nothing but the time for another look at the list. `None` once the stream has lasted
    /// long enough, or its session has ended.
    async fn next(&mut self, account: &AccountId) -> Option<Option<KeyEvent>> {
        let show = (Instant::now() + SHOW_EVERY).min(self.ends);
        loop {
            let look = (Instant::now() + LOOK_EVERY).min(show);
            let event = tokio::select! {
                event = timeout_at(look, self.watch.next()) => event,
                () = self.console.stopping.cancelled() => return None,
            };
            let now = Instant::now();
            if now >= self.announce {
                self.watch.announce();
                self.announce = now + LOOK_EVERY;
            }
            if now >= self.ends || !self.is_signed_in(account).await {
                return None;
            }
            match event {
                Ok(event) => return Some(Some(event?)),
                Err(_) if now >= show => return Some(None),
                Err(_) => {}
            }
        }
    }

    /// Asks the database: signing out ends what is in flight too.
    async fn is_signed_in(&self, account: &AccountId) -> bool {
        let Some(id) = self.session.id() else { return false };
        self.console.sessions.is_live(&id, account).await
    }
}
