//! `/settings/api-keys/events`: what happens to the keys of a session's account, while it happens
//! (server-sent events, WHATWG HTML 9.2).

use crate::ids::{hex, parse_id};
use crate::services::sessions;
use crate::state::AppState;
use crate::usage::live_events::{Event as KeyEvent, EventKind, Watch};
use app::backend::{KeyBackend, SignedIn};
use app::components::api_keys::shown;
use app::domain::account::AccountId;
use app::domain::api_key::{ApiKey, KeyId, KeyList};
use app::domain::timestamp::Timestamp;
use app::routes::EVENTS;
use app::text;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::Stream;
use futures::stream::unfold;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tower_sessions::Session;

/// How long one stream lasts. The page asks for another when somebody looks at it again.
const LASTS: Duration = Duration::from_secs(60 * 60);
/// How often a stream makes sure that its session has not ended, and says something so that nobody on the way
/// takes it for dead.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// How often the list is shown anew while nothing happens, for the times in it.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

pub(crate) fn router(console: Arc<AppState>) -> Router {
    Router::new().route(EVENTS, get(events)).with_state(console)
}

/// The key whose new secret a page shows, and since when that is known. A program may use it before the page listens.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OnShow {
    key: String,
    since: i64,
}

async fn events(
    State(console): State<Arc<AppState>>,
    session: Session,
    Query(on_show): Query<OnShow>,
    extensions: Extensions,
) -> Response {
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
    let Some(watch) = console.usage.live.watch(&who.account, keys) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let now = Instant::now();
    let stream = Streaming {
        watch,
        console,
        session,
        on_show: KeyId::parse(&on_show.key).map(|key| (key, Timestamp(on_show.since))),
        is_new: true,
        ends: now + LASTS,
        announce: now + POLL_INTERVAL,
    };
    // A proxy that gathered the answer before passing it on would publish nothing in time (nginx).
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    (unbuffered, Sse::new(stream.events(who)).keep_alive(KeepAlive::new().interval(POLL_INTERVAL)))
        .into_response()
}

struct Streaming {
    watch: Watch,
    console: Arc<AppState>,
    session: Session,
    on_show: Option<(KeyId, Timestamp)>,
    /// Whether the page is still to be told how things are: what happened while nobody listened, it did not receive.
    is_new: bool,
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
    let used =
        list.keys.iter_mut().find(|key| !matches!(event.what, EventKind::Denied(_)) && key.id.as_str() == id);
    if let Some(key) = used.filter(|key| key.last_used_at.is_none_or(|at| at < event.at)) {
        key.last_used_at = Some(event.at);
        key.last_used_from = Some(event.program.to_string());
    }
}

/// What the dialog says of it that shows the new secret: to that, a use of the old one is nothing.
fn said(what: EventKind, program: &str) -> String {
    match what {
        EventKind::Used => text::usage::first_request(None, program),
        EventKind::PreviousUsed => String::new(),
        EventKind::Denied(reason) => text::usage::first_request(Some(reason), program),
    }
}

/// Whether the secret that a key has since then was used: a use was of that one, if the old one had ended. While both
/// work, only those who listen are told which it was.
fn is_first_used(key: &ApiKey, since: Timestamp) -> bool {
    let has_ended = |at| key.old.as_ref().is_none_or(|old| old.until <= at);
    key.last_used_at.is_some_and(|at| at > since && has_ended(at))
}

impl Streaming {
    fn events(self, who: SignedIn) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold((self, who), async |(mut stream, who)| {
            let event = stream.next(&who.account).await?;
            let mut list = stream.console.keys.list(&who.account).await.ok()?;
            if let Some(event) = &event {
                used_now(&mut list, event);
            }
            let (key_id, first_request) = match event {
                Some(event) => (hex(&event.key), said(event.what, &event.program.to_string())),
                None => stream.missed(&who.account, &list).await.unwrap_or_default(),
            };
            let told = Told { key_id, first_request, list: shown(list) };
            let event = Event::default().json_data(told).ok()?;
            Some((Ok(event), (stream, who)))
        })
    }

    /// The key on show, and what came of requests with its new secret that nobody was told of.
    async fn missed(&self, account: &AccountId, list: &KeyList) -> Option<(String, String)> {
        let (id, since) = self.on_show.as_ref()?;
        let key = list.find(id)?;
        let said = if is_first_used(key, *since) {
            text::usage::first_request(None, key.last_used_from.as_deref().unwrap_or_default())
        } else {
            let traffic = self.console.keys.usage(account, id).await.ok()?;
            // What was told of a use is not taken back for what came before it.
            let after = key.last_used_at.map_or(*since, |used| used.max(*since));
            let last = traffic.refused.first().filter(|refused| refused.last_at >= after)?;
            text::usage::first_request(Some(last.reason), &last.program.to_string())
        };
        Some((id.as_str().to_owned(), said))
    }

    /// The next event, or nothing but the time for another look at the list. `None` once the stream has lasted
    /// long enough, or its session has ended.
    async fn next(&mut self, account: &AccountId) -> Option<Option<KeyEvent>> {
        if std::mem::take(&mut self.is_new) {
            return Some(None);
        }
        let show = (Instant::now() + REFRESH_INTERVAL).min(self.ends);
        loop {
            let look = (Instant::now() + POLL_INTERVAL).min(show);
            let event = tokio::select! {
                event = timeout_at(look, self.watch.next()) => event,
                () = self.console.shutdown.cancelled() => return None,
            };
            let now = Instant::now();
            if now >= self.announce {
                self.watch.announce();
                self.announce = now + POLL_INTERVAL;
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
