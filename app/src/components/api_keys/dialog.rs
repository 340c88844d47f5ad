//! The dialog: shows a form, and after the generation of a secret shows that secret.

use super::fields::field_row;
use super::form::Form;
use super::reveal::reveal;
use super::state::{Entry, Open, State};
use crate::components::browser;
use crate::components::icon::Icon;
use crate::components::toast::Toasts;
use crate::domain::field_error::Field;
use crate::domain::key_name::KeyName;
use crate::routes::HOME;
use crate::server_fns::keys::SetKeyActive;
use crate::text::{self, keys};
use crate::view::submission::UsageHtml;
use leptos::either::Either;
use leptos::html;
use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos::task::spawn_local;

/// The id of the form that closes the dialog without a script, by loading the page itself.
const WAY_OUT: &str = "way-out";

/// A native modal dialog. It is in the document only while it is open.
///
/// The server renders it open, so that it works without a script. In that case, the `inert` attribute disables the page
/// behind it, and its close buttons submit a form that loads the page itself.
#[component]
pub(super) fn Dialog(state: State, open: Open) -> impl IntoView {
    let element = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        if let Some(dialog) = element.get() {
            browser::show_modal(&dialog);
            if let Ok(Some(place)) = dialog.query_selector(&format!("[{}]:empty", browser::SOURCE)) {
                spawn_local(async move { browser::fill(&place).await });
            }
            // Values entered before hydration.
            let typed = browser::fields(&dialog);
            state.entry.update(|entry| {
                entry.typed.0 = typed;
                entry.is_live = true;
            });
        }
    });
    let title = match &open {
        Open::Form(form) => form.title,
        Open::Reveal { key, .. } if key.old.is_some() => keys::ROTATED_TITLE,
        Open::Reveal { .. } => keys::GENERATED_TITLE,
    };
    view! {
        <dialog
            node_ref=element
            open=cfg!(feature = "ssr")
            class="dialog"
            aria-labelledby="dialog-title"
            on:keydown=move |event| {
                // Handled here, because a repeated Escape can otherwise close the dialog without a `cancel` event.
                if event.key() == "Escape" {
                    state.close(&event);
                }
            }
            on:cancel=move |event| state.close(&event)
            on:close=move |_| state.on_closed()
        >
            <h2 id="dialog-title" tabindex="-1">
                {title}
            </h2>
            {move || {
                state
                    .entry
                    .with(|entry| match &open {
                        Open::Form(form) => Either::Left(form_view(state, form, entry)),
                        Open::Reveal { key, secret, .. } => Either::Right(reveal(state, key, secret, entry)),
                    })
            }}
            <form id=WAY_OUT action=HOME></form>
            <Toasts toaster=state.toaster />
        </dialog>
    }
}

/// A button that closes its dialog.
#[component]
pub(super) fn CloseButton(state: State, label: &'static str) -> impl IntoView {
    view! {
        <button class="button quiet" form=WAY_OUT on:click=move |event| state.close(&event)>
            {label}
        </button>
    }
}

/// On the server, the usage fragment of the page; in the browser, nothing, because the dialog fetches it.
fn rendered_traffic() -> String {
    if cfg!(feature = "ssr") { use_context::<UsageHtml>().unwrap_or_default().0 } else { String::new() }
}

fn form_view(state: State, form: &Form, entry: &Entry) -> impl IntoView + use<> {
    // Without a script, nothing could enable the button. In that case, only the server compares the names.
    let is_unconfirmed = entry.is_live
        && form
            .name_to_reenter()
            .is_some_and(|name| !KeyName::is_reentered(name, entry.typed.field(Field::ConfirmName)));
    let done = form.done;
    let is_to_read = form.submit.is_empty();
    let traffic = (!form.traffic.is_empty()).then(|| {
        view! {
            <div class="usage" data-source=form.traffic.clone() inner_html=rendered_traffic() aria-live="polite"></div>
        }
    });
    let warning = form.warning.map(|(title, text)| {
        view! {
            <div class="notice danger">
                <Icon name="alert" />
                <div>
                    <p>
                        <strong>{title}</strong>
                    </p>
                    <p>{text}</p>
                </div>
            </div>
        }
    });
    let is_switch = form.action == SetKeyActive::PATH;
    let about = form.key.as_ref().map(|key| {
        view! {
            <p class="summary">
                <strong>{key.name.clone()}</strong>
                <span>{text::expires_on(key.expires_at)}</span>
            </p>
            <input type="hidden" name="key_id" value=key.id.as_str().to_owned() />
            <input type="hidden" name="active" value="false" disabled=!is_switch />
        }
    });
    view! {
        <form method="post" action=form.action novalidate on:submit=move |event| state.submit(&event, done)>
            {warning}
            {about}
            <p class="lead" hidden=form.lead.is_empty()>
                {form.lead}
            </p>
            {traffic}
            {form.fields.iter().map(|field| field_row(state, *field, form, entry)).collect_view()}
            <div class="dialog-act">
                <CloseButton state label=if is_to_read { text::CLOSE } else { text::CANCEL } />
                <button
                    class="button primary"
                    hidden=is_to_read
                    data-danger=form.warning.is_some()
                    disabled=is_unconfirmed
                    aria-busy=if entry.is_waiting { "true" } else { "false" }
                >
                    {form.submit}
                </button>
            </div>
        </form>
    }
}
