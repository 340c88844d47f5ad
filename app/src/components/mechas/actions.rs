//! The actions of a Mecha: how to call them, and the form that does so.

use crate::components::api_keys::frame::{CloseButton, Frame};
use crate::components::copyable::Copyable;
use crate::domain::mecha::MechaId;
use crate::routes::{TRY_DIALOG, mecha_page, try_action};
use crate::text::{self, runtimes as texts};
use crate::view::mecha::MechaView;
use leptos::prelude::*;

/// The name of the frame that shows the response to the form.
const FRAME: &str = "response";

/// Length limit of the body of a request, in UTF-16 units. With any characters, it fits into a form.
const BODY_LIMIT: u16 = 7000;

/// The line that calls an action, of this Mecha or of any.
pub(crate) fn curl(origin: &str, action: &str, mecha: Option<&MechaId>, is_stream: bool) -> String {
    let query = mecha.map(|mecha| format!("?mecha={}", mecha.as_str())).unwrap_or_default();
    let (option, accept) = if is_stream { (" -N", " -H \"Accept: text/event-stream\"") } else { ("", "") };
    format!(
        "curl{option} -X POST \"{origin}/v1/trigger/{action}{query}\" -H \"Authorization: Bearer $MECHA_API_KEY_SECRET\"\
         {accept} -H \"Content-Type: application/json\" -d '{example}'",
        example = texts::TRY_EXAMPLE
    )
}

/// The actions that runtimes offer or have offered; nothing without any.
#[component]
pub(crate) fn Actions(mecha: MechaView) -> impl IntoView {
    let (now, past) = (mecha.runtimes.actions(), mecha.runtimes.past_actions());
    let has_actions = !(now.is_empty() && past.is_empty());
    let actions = now.into_iter().map(|action| (action, true)).chain(past.into_iter().map(|it| (it, false)));
    let rows = actions.map(|(action, is_offered)| row(&mecha, &action, is_offered)).collect_view();
    has_actions.then(|| {
        view! {
            <section class="usage" aria-labelledby="action-list">
                <h2 id="action-list">{texts::ACTIONS}</h2>
                <p class="quiet">{texts::ACTIONS_LEAD}</p>
                <ul class="runtimes" aria-label=texts::YOUR_ACTIONS>
                    {rows}
                </ul>
            </section>
        }
    })
}

fn row(mecha: &MechaView, action: &str, is_offered: bool) -> impl IntoView + use<> {
    let id = &mecha.mecha.id;
    let offline = (!is_offered).then(|| view! { <span class="badge">{texts::NOT_OFFERED}</span> });
    view! {
        <li>
            <p>
                <strong translate="no">{action.to_owned()}</strong>
                " "
                {offline}
            </p>
            <div class="field">
                <Copyable
                    what=texts::about_action("curl", action)
                    value=curl(&mecha.origin, action, Some(id), false)
                />
            </div>
            <div class="runtime-act">
                <form action=mecha_page(id)>
                    <input type="hidden" name="trigger" value=action.to_owned() />
                    <button
                        id=format!("try-{action}")
                        class="button quiet"
                        name="dialog"
                        value=TRY_DIALOG
                        aria-label=texts::about_action(texts::TRY, action)
                    >
                        {texts::TRY}
                    </button>
                </form>
            </div>
        </li>
    }
}

/// The form that calls an action. A frame shows the response as it comes, with and without a script.
pub(crate) fn try_dialog(mecha: &MechaId, action: String) -> AnyView {
    let frame = || view! { <iframe name=FRAME title=texts::RESPONSE></iframe> };
    let form_action = try_action(mecha);
    // Leptos does not escape the content of a `<textarea>`. The example needs no escape.
    view! {
        <Frame title=texts::TRY_TITLE page=mecha_page(mecha) has_close=true>
            <form method="post" action=form_action target=FRAME>
                <p class="summary">
                    <strong translate="no">{action.clone()}</strong>
                </p>
                <p class="lead">{texts::TRY_LEAD}</p>
                <input type="hidden" name="trigger" value=action />
                <div class="field">
                    <label for="try-body">{texts::TRY_BODY}</label>
                    <textarea
                        id="try-body"
                        name="body"
                        rows="3"
                        maxlength=BODY_LIMIT
                        spellcheck="false"
                        translate="no"
                        inner_html=texts::TRY_EXAMPLE
                    ></textarea>
                </div>
                <div class="access">
                    <label>
                        <input type="checkbox" name="stream" value="true" checked=true />
                        <span>{texts::TRY_STREAM}</span>
                    </label>
                </div>
                <div class="try-response" data-frame="">
                    {frame()}
                </div>
                // A request replaces the frame with this one: its first page adds no entry to the history.
                <template id="frame">{frame()}</template>
                <div class="dialog-act">
                    <CloseButton label=text::CLOSE />
                    <button class="button primary">{texts::SEND}</button>
                </div>
            </form>
        </Frame>
    }
    .into_any()
}
