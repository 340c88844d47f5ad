//! Settings → API Keys.

use super::layout::{SettingsFrame, parameter, set_status, submission};
use super::not_found::ErrorPage;
use crate::backend::{self, SignedIn, require_account};
use crate::components::api_keys::ApiKeys;
use crate::components::usage;
use crate::domain::api_key::KeyId;
use crate::error::ConsoleError;
use crate::routes::{Dialog, Done, HOME};
use crate::text::{self, keys};
use crate::view::refusal::Refusal;
use crate::view::submission::{FormValues, Page, Submission, UsageHtml};
use leptos::either::Either;
use leptos::prelude::*;

/// The keys of the account. The URL or a submitted form determines the dialog that is open.
#[component]
pub(super) fn ApiKeysPage() -> impl IntoView {
    let page = Suspend::new(async move {
        match load().await {
            Err(error) => Either::Left(view! { <ErrorPage error /> }),
            Ok((who, page, usage_html)) => {
                let is_covered = !page.dialog.is_empty();
                let json = serde_json::to_string(&page).unwrap_or_default();
                provide_context(page);
                provide_context(usage_html);
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

async fn load() -> Result<(SignedIn, Page, UsageHtml), ConsoleError> {
    let request = backend::request()?;
    let keys = backend::keys()?;
    let who = require_account().await?;
    let (typed, outcome) = match submission() {
        None => (FormValues::default(), None),
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
        _ => keys.list(&who.account).await?,
    };
    let key_id = parameter("key_id");
    let dialog = Dialog::parse(&parameter("dialog"), KeyId::parse(&key_id))
        .filter(|dialog| dialog.parts().1.is_none_or(|id| list.find(id).is_some()));
    let usage_html = match dialog.as_ref().and_then(|dialog| Some((dialog, dialog.parts().1?))) {
        Some((dialog, key)) => usage::usage(dialog, &keys.usage(&who.account, key).await?, list.now),
        None => String::new(),
    };
    let dialog = dialog.map_or_else(String::new, |dialog| dialog.parts().0.to_owned());
    let done = Done::parse(&parameter("done")).map(text::done).unwrap_or_default().to_owned();
    let page =
        Page { list, origin: backend::accounts()?.origin(&request), dialog, key_id, typed, refusal, done };
    Ok((who, page, UsageHtml(usage_html)))
}
