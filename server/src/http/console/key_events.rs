//! `/settings/api-keys/events`: live events of the keys of the session's account (server-sent events, WHATWG HTML 9.2).

use crate::ids::{Id, hex, parse_id};
use crate::services::sessions;
use crate::state::AppState;
use crate::usage::live_events::{Event as KeyEvent, EventKind, LiveEvent, Watch};
use app::backend::{KeyBackend, MechaBackend, SignedIn};
use app::components::api_keys::{Step, list_html, progress_html};
use app::components::mechas::mechas_html;
use app::domain::account::AccountId;
use app::domain::api_key::{ApiKey, KeyId, KeyList};
use app::domain::mecha::{KeyOwner, MechaId};
use app::domain::runtime::{EndReason, MechaRuntimes};
use app::domain::timestamp::Timestamp;
use app::routes::EVENTS;
use app::view::key::KeyListView;
use app::view::mecha::MechaView;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream::{Stream, StreamExt, iter, unfold};
use serde::Deserialize;
use std::collections::HashMap;
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

/// How long after a denied request the list is sent.
const DENIAL_DELAY: Duration = Duration::from_secs(1);
/// Minimum interval between lists that are sent because of denied requests.
const DENIAL_INTERVAL: Duration = Duration::from_secs(15);
/// Minimum interval between lists that are sent because of changes.
const CHANGE_INTERVAL: Duration = Duration::from_millis(500);
/// How long after the last event of an allowed request the list is sent again. [`LiveEvents`] publishes at most one per
/// second, so the number of requests may have grown since.
///
/// [`LiveEvents`]: crate::usage::live_events::LiveEvents
const TRAILING_DELAY: Duration = Duration::from_millis(1_500);

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
    /// The Mecha whose page it is; empty on the page of the account's keys.
    mecha: String,
    /// `mechas` on the page of all Mechas.
    page: String,
}

async fn events(
    State(state): State<Arc<AppState>>,
    session: Session,
    Query(shown_key): Query<ShownKey>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let who = match sessions::signed_in(&extensions, &headers).await {
        Ok(Some(who)) => who,
        // 204 stops the browser from reconnecting (WHATWG HTML 9.2).
        Ok(None) => return StatusCode::NO_CONTENT.into_response(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    let owner: KeyOwner = match (shown_key.mecha.as_str(), MechaId::parse(&shown_key.mecha)) {
        ("", _) => KeyOwner::Account,
        (_, None) => return StatusCode::NO_CONTENT.into_response(),
        (_, Some(mecha)) => match state.mechas.find(&who.account, &mecha).await {
            Ok(Some(mecha)) => KeyOwner::Mecha(mecha.id),
            // It was deleted: the page shows that after a reload.
            Ok(None) => return StatusCode::NO_CONTENT.into_response(),
            Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        },
    };
    let shows_mechas = shown_key.page == "mechas";
    let keys = if shows_mechas {
        Vec::new()
    } else {
        let Ok(list) = state.keys.list(&who.account, &owner).await else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        ids(&list)
    };
    let Some(watch) = state.usage.live.watch(&who.account, keys) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let now = Instant::now();
    let stream = KeyEventStream {
        origin: state.origin_of(&extensions, &headers).to_string(),
        watch,
        state,
        session,
        owner,
        shows_mechas,
        shown_key: KeyId::parse(&shown_key.key).map(|key| (key, Timestamp(shown_key.since))),
        is_new: true,
        is_ended: false,
        ends_at: now + STREAM_LIMIT,
        refresh_at: now + REFRESH_INTERVAL,
        changes_listed_at: now - CHANGE_INTERVAL,
        denials_listed_at: None,
        last_uses: HashMap::new(),
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
    /// The origin of the page.
    origin: String,
    /// What owns the keys of the page.
    owner: KeyOwner,
    /// Whether the page shows all Mechas instead of keys.
    shows_mechas: bool,
    shown_key: Option<(KeyId, Timestamp)>,
    /// Whether the first event is still to be sent. It contains the current state, because the page missed earlier
    /// events.
    is_new: bool,
    /// Whether the last event was sent.
    is_ended: bool,
    ends_at: Instant,
    refresh_at: Instant,
    /// When the list was last sent because of a change.
    changes_listed_at: Instant,
    /// When the list was last sent, or is to be sent, because of a denied request.
    denials_listed_at: Option<Instant>,
    /// The last use of each key since the stream began.
    last_uses: HashMap<Id, KeyEvent>,
    announce_at: Instant,
}

/// The ids of the keys in a list.
fn ids(list: &KeyList) -> Vec<Id> {
    list.keys.iter().filter_map(|key| parse_id(key.id.as_str())).collect()
}

/// Why a page gets the list again.
enum Update {
    /// A request with a key was allowed or denied.
    Request(KeyEvent),
    /// A key has changed, the page is new, or the times in the list are a minute old.
    Refresh,
    /// The stream has reached its time limit. The page does not reconnect.
    End,
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

/// Returns true if the key's current secret, which it has since `since`, was used: after the previous secret was retired, or
/// later than it.
fn is_new_secret_used(key: &ApiKey, since: Timestamp) -> bool {
    let is_of_new = |at| {
        key.previous.as_ref().is_none_or(|previous| previous.until <= at)
            || key.last_use_of_current().is_some()
    };
    key.last_used_at.is_some_and(|at| at > since && is_of_new(at))
}

fn progress_event(step: Step) -> Event {
    Event::default().event("first-request").data(progress_html(step))
}

impl KeyEventStream {
    fn events(self, who: SignedIn) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold((self, who), async |(mut stream, who)| {
            let (list, first_request) = match stream.next(&who.account).await? {
                Update::Refresh if stream.shows_mechas => {
                    let list = stream.state.mechas.list(&who.account).await.ok()?;
                    let list = Event::default().event("list").data(mechas_html(list));
                    return Some((vec![list], (stream, who)));
                }
                Update::End => return Some((vec![Event::default().event("end").data("end")], (stream, who))),
                // Any client that knows a Key ID can cause denied requests: they do not cause a list each.
                Update::Request(event) if matches!(event.what, EventKind::Denied(_)) => {
                    stream.refresh_at = stream.refresh_at.min(stream.list_after_denial());
                    let outcome = stream.first_request(&event).map(progress_event);
                    return Some((outcome.into_iter().collect(), (stream, who)));
                }
                Update::Request(event) => {
                    stream.refresh_at = Instant::now() + TRAILING_DELAY;
                    let first_request = stream.first_request(&event);
                    stream.last_uses.insert(event.key, event);
                    (stream.list(&who.account).await?, first_request)
                }
                Update::Refresh => {
                    let list = stream.list(&who.account).await?;
                    let missed = stream.missed_request(&who.account, &list).await;
                    (list, missed)
                }
            };
            let usage = stream.state.keys.daily_usage(&who.account, &list).await.ok()?;
            let mecha = stream.mecha(&who.account).await?;
            let first_request = match &mecha {
                Some(mecha) => stream.connected_runtime(mecha).or(first_request),
                None => first_request,
            };
            let first_request = first_request.map(progress_event);
            let html =
                list_html(KeyListView::of(&list, mecha, Arc::clone(&stream.state.keys.policy), &usage));
            let list = Event::default().event("list").data(html);
            Some((first_request.into_iter().chain([list]).collect(), (stream, who)))
        })
        .flat_map(|events: Vec<Event>| iter(events.into_iter().map(Ok)))
    }

    /// Reads the list, with the uses of other nodes that are not in the database yet.
    async fn list(&mut self, account: &AccountId) -> Option<KeyList> {
        let mut list = self.state.keys.list(account, &self.owner).await.ok()?;
        let keys = ids(&list);
        self.last_uses.retain(|key, _| keys.contains(key));
        self.last_uses.values().for_each(|event| apply_use(&mut list, event));
        self.watch.set_keys(keys);
        Some(list)
    }

    /// The Mecha of the page, if it has one. `None` ends the stream: the Mecha was deleted.
    async fn mecha(&self, account: &AccountId) -> Option<Option<MechaView>> {
        let Some(id) = self.owner.mecha() else { return Some(None) };
        let mecha = self.state.mechas.find(account, id).await.ok()??;
        let runtimes = self.state.mechas.runtimes(account, id).await.ok()?;
        Some(Some(MechaView::of(mecha, runtimes, self.origin.clone())))
    }

    /// The runtime that has connected with the new secret that the page shows, or that an attempt to do so failed.
    fn connected_runtime(&self, mecha: &MechaView) -> Option<Step> {
        let (id, since) = self.shown_key.as_ref()?;
        let MechaRuntimes { connected, ended } = &mecha.runtimes;
        let attempt = connected
            .iter()
            .chain(ended)
            .find(|runtime| runtime.key == *id && !runtime.is_previous && runtime.connected_at >= *since)?;
        Some(match attempt.ended {
            Some((_, EndReason::NoHello)) => Step::NoHello,
            _ => Step::Connected(Box::new(attempt.clone())),
        })
    }

    /// When to send the list after a denied request: soon, but rarely if there are many.
    fn list_after_denial(&mut self) -> Instant {
        let now = Instant::now();
        match self.denials_listed_at {
            // It is still to be sent.
            Some(at) if at > now => at,
            last => {
                let next = last.map_or(now, |at| at + DENIAL_INTERVAL).max(now + DENIAL_DELAY);
                self.denials_listed_at = Some(next);
                next
            }
        }
    }

    /// Whether a request was the first one with the new secret that the page shows. A use of the previous secret is not.
    fn first_request(&self, event: &KeyEvent) -> Option<Step> {
        let (shown, _) = self.shown_key.as_ref()?;
        let client = event.client.to_string();
        let step = match event.what {
            // The page of a Mecha waits for a runtime, not for a request.
            EventKind::Used if self.owner.mecha().is_some() => return None,
            EventKind::Used => Step::RequestAllowed(client),
            EventKind::PreviousUsed => return None,
            EventKind::Denied(reason) => Step::RequestDenied(reason, client),
        };
        (shown.as_str() == hex(&event.key)).then_some(step)
    }

    /// The first request with the new secret, if it was before the stream was opened.
    async fn missed_request(&self, account: &AccountId, list: &KeyList) -> Option<Step> {
        let (id, since) = self.shown_key.as_ref()?;
        let key = list.find(id)?;
        if self.owner.mecha().is_none() && is_new_secret_used(key, *since) {
            return Some(Step::RequestAllowed(key.last_used_from.clone().unwrap_or_default()));
        }
        let usage = self.state.keys.usage(account, id).await.ok()?;
        // A denial from before the last use must not replace that use.
        let after = key.last_used_at.map_or(*since, |used| used.max(*since));
        let denial = usage.denied.first().filter(|latest| latest.last_at >= after)?;
        Some(Step::RequestDenied(denial.reason, denial.client.to_string()))
    }

    /// The next update; `None` once the stream has reached its time limit, its session has ended, or the server shuts
    /// down.
    async fn next(&mut self, account: &AccountId) -> Option<Update> {
        if std::mem::take(&mut self.is_new) {
            return Some(Update::Refresh);
        }
        loop {
            // Before an event is received, so that none is lost.
            if Instant::now() >= self.refresh_at {
                self.refresh_at = Instant::now() + REFRESH_INTERVAL;
                self.changes_listed_at = Instant::now();
                return Some(Update::Refresh);
            }
            let poll_at = (Instant::now() + POLL_INTERVAL).min(self.refresh_at).min(self.ends_at);
            let event = tokio::select! {
                event = timeout_at(poll_at, self.watch.next()) => event,
                () = self.state.shutdown.cancelled() => return None,
            };
            let now = Instant::now();
            if now >= self.announce_at {
                self.watch.announce();
                self.announce_at = now + POLL_INTERVAL;
            }
            if std::mem::take(&mut self.is_ended) || !self.is_signed_in(account).await {
                return None;
            }
            if now >= self.ends_at {
                self.is_ended = true;
                return Some(Update::End);
            }
            match event {
                Ok(Some(LiveEvent::Request(event))) => return Some(Update::Request(event)),
                // A runtime that reconnects again and again does not cause a list each.
                Ok(Some(LiveEvent::Changed)) if now < self.changes_listed_at + CHANGE_INTERVAL => {
                    self.refresh_at = self.refresh_at.min(self.changes_listed_at + CHANGE_INTERVAL);
                }
                Ok(Some(LiveEvent::Changed)) => {
                    self.changes_listed_at = now;
                    return Some(Update::Refresh);
                }
                Ok(None) => return None,
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
