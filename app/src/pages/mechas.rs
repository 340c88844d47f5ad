//! The list of Mechas, and the page of one.

use super::key_content::{self, KeyContent};
use super::layout::{SettingsFrame, parameter, set_status, submission};
use super::not_found::{ErrorPage, NotFoundPage};
use crate::backend::{self, SignedIn, require_account};
use crate::components::api_keys::ApiKeys;
use crate::components::mechas::Mechas;
use crate::domain::mecha::{KeyOwner, MechaId};
use crate::domain::runtime::MechaList;
use crate::error::ConsoleError;
use crate::routes::{Done, MECHAS, MechaDialog};
use crate::text::{self, mechas};
use crate::view::dialog::{DialogView, MechaFormView};
use crate::view::submission::FormState;
use leptos::either::{Either, EitherOf3};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

/// All Mechas of the account.
#[component]
pub(super) fn MechasPage() -> impl IntoView {
    let done = Done::parse(&parameter("done")).map(text::done).unwrap_or_default();
    let page = Suspend::new(async move {
        match load_all().await {
            Err(error) => Either::Left(view! { <ErrorPage error /> }),
            Ok((who, list, dialog, failure)) => {
                let is_covered = dialog.is_some();
                Either::Right(view! {
                    <SettingsFrame title=mechas::TITLE here=MECHAS who is_covered>
                        <Mechas list dialog done failure />
                    </SettingsFrame>
                })
            }
        }
    });
    view! { <Suspense fallback=|| ()>{page}</Suspense> }
}

/// Returns also why an action outside a dialog failed; may be empty.
async fn load_all() -> Result<(SignedIn, MechaList, Option<DialogView>, String), ConsoleError> {
    let who = require_account().await?;
    let list = backend::mechas()?.list(&who.account).await?;
    let rejected =
        submission().and_then(|it| Some(FormState { typed: it.typed, refusal: it.outcome.err()? }));
    let state = rejected.unwrap_or_default();
    if state.refusal.status > 0 {
        set_status(state.refusal.status);
    }
    let is_new = MechaDialog::parse(&parameter("dialog")) == Some(MechaDialog::New);
    let failure = if is_new { String::new() } else { state.refusal.detail.clone() };
    let dialog = MechaFormView { dialog: MechaDialog::New, mecha: None, runtimes: Vec::new(), state };
    Ok((who, list, is_new.then_some(DialogView::Mecha(dialog)), failure))
}

/// One Mecha, and its keys.
#[component]
pub(super) fn MechaPage() -> impl IntoView {
    let done = Done::parse(&parameter("done")).map(text::done).unwrap_or_default();
    let id = use_params_map().with_untracked(|parameters| parameters.get("id")).unwrap_or_default();
    let page = Suspend::new(async move {
        match load_one(MechaId::parse(&id)).await {
            // A form for a Mecha that was deleted meanwhile: the list says so.
            Err(ConsoleError::MechaNotFound) if submission().is_some() => {
                EitherOf3::A(Either::Left(view! { <MechasPage /> }))
            }
            Err(ConsoleError::MechaNotFound) => EitherOf3::A(Either::Right(view! { <NotFoundPage /> })),
            Err(error) => EitherOf3::B(view! { <ErrorPage error /> }),
            Ok((who, KeyContent { list, dialog, failure })) => {
                let is_covered = dialog.is_some();
                EitherOf3::C(view! {
                    <SettingsFrame title=mechas::TITLE here=MECHAS who is_covered>
                        <ApiKeys list dialog done failure />
                    </SettingsFrame>
                })
            }
        }
    });
    view! { <Suspense fallback=|| ()>{page}</Suspense> }
}

async fn load_one(id: Option<MechaId>) -> Result<(SignedIn, KeyContent), ConsoleError> {
    let who = require_account().await?;
    let id = id.ok_or(ConsoleError::MechaNotFound)?;
    let mecha = match backend::mechas()?.find(&who.account, &id).await {
        Ok(Some(mecha)) => Some(mecha),
        // The new secret is shown in any case: no later response contains it.
        _ if submission().is_some_and(|submission| submission.outcome.is_ok()) => None,
        Ok(None) => return Err(ConsoleError::MechaNotFound),
        Err(error) => return Err(error),
    };
    let content = key_content::load(&who, &KeyOwner::Mecha(id), mecha).await?;
    Ok((who, content))
}
