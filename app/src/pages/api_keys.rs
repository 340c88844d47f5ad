//! Settings → API Keys.

use super::frame::{SettingsFrame, parameter, set_status, submission};
use super::not_found::BrokenPage;
use crate::backend::{self, SignedIn, backend, require_account};
use crate::components::api_keys::ApiKeys;
use crate::components::traffic;
use crate::domain::api_key::KeyId;
use crate::error::{ConsoleError, Refusal};
use crate::navigation::{Dialog, Done, HOME};
use crate::submission::{Page, Submission, TrafficHtml, Typed};
use crate::text::{self, keys};
use leptos::either::Either;
use leptos::prelude::*;

/// The account's keys, with whatever the address or a form asks to be open.
#[component]
pub(super) fn ApiKeysPage() -> impl IntoView {
    let page = Suspend::new(async move {
        match load().await {
            Err(error) => Either::Left(view! { <BrokenPage error /> }),
            Ok((who, page, traffic)) => {
                let is_covered = !page.dialog.is_empty();
                let json = serde_json::to_string(&page).unwrap_or_default();
                provide_context(page);
                provide_context(traffic);
                Either::Right(view! {
                    <SettingsFrame title=keys::TITLE here=HOME who is_covered>
                        <div data-page=json>
                            <ApiKeys />
                        </div>
                    </SettingsFrame>
                })
            }
        }
    });
    view! { <Suspense fallback=|| ()>{page}</Suspense> }
}

async fn load() -> Result<(SignedIn, Page, TrafficHtml), ConsoleError> {
    let request = backend::request()?;
    let backend = backend()?;
    let who = require_account().await?;
    let (typed, outcome) = match submission() {
        None => (Typed::default(), None),
        Some(Submission { typed, outcome }) => (typed, Some(outcome)),
    };
    let refusal = match &outcome {
        Some(Err(refusal)) => refusal.clone(),
        _ => Refusal::default(),
    };
    if let Some(Err(refusal)) = &outcome {
        set_status(refusal.status);
    }
    let list = match outcome {
        Some(Ok(list)) => list,
        _ => backend.keys(&who.account).await?,
    };
    let key_id = parameter("key_id");
    let dialog = Dialog::parse(&parameter("dialog"), KeyId::parse(&key_id))
        .filter(|dialog| dialog.parts().1.is_none_or(|id| list.find(id).is_some()));
    let traffic = match dialog.as_ref().and_then(|dialog| Some((dialog, dialog.parts().1?))) {
        Some((dialog, key)) => traffic::traffic(dialog, &backend.traffic(&who.account, key).await?, list.now),
        None => String::new(),
    };
    let dialog = dialog.map_or_else(String::new, |dialog| dialog.parts().0.to_owned());
    let done = Done::parse(&parameter("done")).map(text::done).unwrap_or_default().to_owned();
    let page = Page { list, origin: backend.origin(&request), dialog, key_id, typed, refusal, done };
    Ok((who, page, TrafficHtml(traffic)))
}
