//! `/settings/api-keys/events`: live events of the keys of the session's account (server-sent events, WHATWG HTML 9.2).

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

/// Limit on the duration of a stream. The page opens another one when its user returns to it.
const STREAM_LIMIT: Duration = Duration::from_secs(60 * 60);
/// Interval at which a stream checks that its session has not ended, and sends a keep-alive so that no proxy closes the
/// connection.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// Interval at which the list is sent again if there are no events, because it shows relative times.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

pub(crate) fn router(state: Arc<AppState>) -> Router {
    Router::new().route(EVENTS, get(events)).with_state(state)
}

/// The key whose new secret the page shows, and the time since when the secret is known, in milliseconds. A client may
/// use the secret before the page opens the stream.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ShownKey {
    key: String,
    since: i64,
}

async fn events(
    State(state): State<Arc<AppState>>,
    session: Session,
    Query(shown_key): Query<ShownKey>,
    extensions: Extensions,
) -> Response {
    let who = match sessions::signed_in(&extensions).await {
        Ok(Some(who)) => who,
        // 204 stops the browser from reconnecting (WHATWG HTML 9.2).
        Ok(None) => return StatusCode::NO_CONTENT.into_response(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    let Ok(list) = state.keys.list(&who.account).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let keys = list.keys.iter().filter_map(|key| parse_id(key.id.as_str())).collect();
    let Some(watch) = state.usage.live.watch(&who.account, keys) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let now = Instant::now();
    let stream = KeyEventStream {
        watch,
        state,
        session,
        shown_key: KeyId::parse(&shown_key.key).map(|key| (key, Timestamp(shown_key.since))),
        is_new: true,
        ends_at: now + STREAM_LIMIT,
        announce_at: now + POLL_INTERVAL,
    };
    // Disables response buffering in nginx, which would delay events.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    (unbuffered, Sse::new(stream.events(who)).keep_alive(KeepAlive::new().interval(POLL_INTERVAL)))
        .into_response()
}

struct KeyEventStream {
    watch: Watch,
    state: Arc<AppState>,
    session: Session,
    shown_key: Option<(KeyId, Timestamp)>,
    /// Whether the first event is still to be sent. It contains the current state, because the page missed earlier
    /// events.
    is_new: bool,
    ends_at: Instant,
    announce_at: Instant,
}

/// Why a page gets the list again.
enum Update {
    /// Something happened to a key.
    Event(KeyEvent),
    /// The page is new, or the times in the list are a minute old.
    Refresh,
}

/// The data of an event.
#[derive(Serialize)]
struct EventData {
    /// The key that the event is about; empty if the list is only refreshed.
    key_id: String,
    /// The text of the event in the dialog that shows the new secret.
    first_request: String,
    /// All keys in their current state.
    list: KeyList,
}

/// Updates the list with the use of an event. The database has a use on another node only within a minute.
fn apply_use(list: &mut KeyList, event: &KeyEvent) {
    let id = hex(&event.key);
    let used =
        list.keys.iter_mut().find(|key| !matches!(event.what, EventKind::Denied(_)) && key.id.as_str() == id);
    if let Some(key) = used.filter(|key| key.last_used_at.is_none_or(|at| at < event.at)) {
        key.last_used_at = Some(event.at);
        key.last_used_from = Some(event.client.to_string());
    }
}

/// The text of an event in the dialog that shows the new secret. A use of the previous secret has none.
fn dialog_text(what: EventKind, client: &str) -> String {
    match what {
        EventKind::Used => text::usage::first_request(None, client),
        EventKind::PreviousUsed => String::new(),
        EventKind::Denied(reason) => text::usage::first_request(Some(reason), client),
    }
}

/// Returns true if the key's current secret, which it has since `since`, was used. A use was of the current secret if
/// the previous one was retired by then. While both are valid, only live events distinguish them.
fn is_new_secret_used(key: &ApiKey, since: Timestamp) -> bool {
    let is_retired = |at| key.old.as_ref().is_none_or(|previous| previous.until <= at);
    key.last_used_at.is_some_and(|at| at > since && is_retired(at))
}

impl KeyEventStream {
    fn events(self, who: SignedIn) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold((self, who), async |(mut stream, who)| {
            let update = stream.next(&who.account).await?;
            let mut list = stream.state.keys.list(&who.account).await.ok()?;
            let (key_id, first_request) = match update {
                Update::Event(event) => {
                    apply_use(&mut list, &event);
                    (hex(&event.key), dialog_text(event.what, &event.client.to_string()))
                }
                Update::Refresh => stream.missed_event(&who.account, &list).await.unwrap_or_default(),
            };
            let data = EventData { key_id, first_request, list: shown(list) };
            let event = Event::default().json_data(data).ok()?;
            Some((Ok(event), (stream, who)))
        })
    }

    /// The key whose new secret is shown, and the text for requests with that secret before the stream was opened.
    async fn missed_event(&self, account: &AccountId, list: &KeyList) -> Option<(String, String)> {
        let (id, since) = self.shown_key.as_ref()?;
        let key = list.find(id)?;
        let message = if is_new_secret_used(key, *since) {
            text::usage::first_request(None, key.last_used_from.as_deref().unwrap_or_default())
        } else {
            let usage = self.state.keys.usage(account, id).await.ok()?;
            // A denial from before the last use must not replace the text of that use.
            let after = key.last_used_at.map_or(*since, |used| used.max(*since));
            let denial = usage.denied.first().filter(|latest| latest.last_at >= after)?;
            text::usage::first_request(Some(denial.reason), &denial.client.to_string())
        };
        Some((id.as_str().to_owned(), message))
    }

    /// The next update; `None` once the stream has reached its time limit, its session has ended, or the server shuts
    /// down.
    async fn next(&mut self, account: &AccountId) -> Option<Update> {
        if std::mem::take(&mut self.is_new) {
            return Some(Update::Refresh);
        }
        let refresh_at = (Instant::now() + REFRESH_INTERVAL).min(self.ends_at);
        loop {
            let poll_at = (Instant::now() + POLL_INTERVAL).min(refresh_at);
            let event = tokio::select! {
                event = timeout_at(poll_at, self.watch.next()) => event,
                () = self.state.shutdown.cancelled() => return None,
            };
            let now = Instant::now();
            if now >= self.announce_at {
                self.watch.announce();
                self.announce_at = now + POLL_INTERVAL;
            }
            if now >= self.ends_at || !self.is_signed_in(account).await {
                return None;
            }
            match event {
                Ok(event) => return Some(Update::Event(event?)),
                Err(_) if now >= refresh_at => return Some(Update::Refresh),
                Err(_) => {}
            }
        }
    }

    /// Reads the session from the database: signing out also ends open streams.
    async fn is_signed_in(&self, account: &AccountId) -> bool {
        let Some(id) = self.session.id() else { return false };
        self.state.sessions.is_live(&id, account).await
    }
}
