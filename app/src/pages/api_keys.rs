//! Settings → API Keys.

use super::key_content::{self, KeyContent};
use super::layout::{SettingsFrame, parameter};
use super::not_found::ErrorPage;
use crate::backend::{SignedIn, require_account};
use crate::components::api_keys::ApiKeys;
use crate::domain::mecha::KeyOwner;
use crate::error::ConsoleError;
use crate::routes::{Done, HOME};
use crate::text::{self, keys};
use leptos::either::Either;
use leptos::prelude::*;

/// The keys of the account.
#[component]
pub(super) fn ApiKeysPage() -> impl IntoView {
    let done = Done::parse(&parameter("done")).map(text::done).unwrap_or_default();
    let page = Suspend::new(async move {
        match load().await {
            Err(error) => Either::Left(view! { <ErrorPage error /> }),
            Ok((who, KeyContent { list, dialog, failure })) => {
                let is_covered = dialog.is_some();
                Either::Right(view! {
                    <SettingsFrame title=keys::TITLE here=HOME who is_covered>
                        <ApiKeys list dialog done failure />
                    </SettingsFrame>
                })
            }
        }
    });
    view! { <Suspense fallback=|| ()>{page}</Suspense> }
}

async fn load() -> Result<(SignedIn, KeyContent), ConsoleError> {
    let who = require_account().await?;
    let content = key_content::load(&who, &KeyOwner::Account, None).await?;
    Ok((who, content))
}
