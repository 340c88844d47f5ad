//! The runtimes of a Mecha: those that are connected, and the history of connections.

use crate::components::copyable::Copyable;
use crate::components::icon::Icon;
use crate::components::moment::{DateAndTime, Moment};
use crate::domain::mecha::KeyOwner;
use crate::domain::runtime::{Runtime, RuntimeCommand, RuntimeState};
use crate::domain::timestamp::Timestamp;
use crate::routes::{Action, INTEGRATE, MechaDialog, RUNTIME_REFERENCE, page_of};
use crate::text::mechas;
use crate::text::runtimes as text;
use crate::text::time::ago;
use crate::view::mecha::MechaView;
use leptos::either::Either;
use leptos::prelude::*;

/// The client in Python, for this origin of the console.
pub(crate) fn runtime_client(origin: &str) -> String {
    include_str!("../../../../examples/runtime.py").replace("http://127.0.0.1:3000", origin)
}

/// The commands that store a key of a Mecha and connect with it. The first one asks for the secret, which stays out of the
/// history of the shell.
pub(crate) fn connect_commands(origin: &str) -> String {
    let allow = allow_http(origin);
    format!(
        "mecha login --profile mecha --url {origin}{allow}\nmecha connect --profile mecha{allow} --handle chat=./chat.sh"
    )
}

/// The commands that store a key of the account and call a Mecha with it.
pub(crate) fn trigger_commands(origin: &str) -> String {
    let allow = allow_http(origin);
    format!("mecha login --url {origin}{allow}\nmecha trigger{allow} chat '{}'", text::TRY_EXAMPLE)
}

/// The option that the command line needs to send keys to this origin without encryption; empty if it needs none.
fn allow_http(origin: &str) -> &'static str {
    let is_local = ["http://127.0.0.1", "http://localhost", "http://[::1]"]
        .iter()
        .any(|local| origin.strip_prefix(local).is_some_and(|port| port.is_empty() || port.starts_with(':')));
    if origin.starts_with("https://") || is_local { "" } else { " --allow-http" }
}

/// The connected runtimes, each with what its owner can ask of it.
#[component]
pub(crate) fn Runtimes(mecha: MechaView, now: Timestamp) -> impl IntoView {
    let owner = KeyOwner::Mecha(mecha.mecha.id.clone());
    let connected = mecha.runtimes.connected;
    let rows = if connected.is_empty() {
        Either::Left(view! { <p class="quiet">{text::NONE}</p> })
    } else {
        let rows = connected.into_iter().map(|runtime| row(&runtime, &owner, now)).collect_view();
        Either::Right(view! {
            <ul class="runtimes" aria-label=text::YOUR_RUNTIMES>
                {rows}
            </ul>
        })
    };
    view! {
        <section class="usage" aria-labelledby="runtimes-title">
            <h2 id="runtimes-title">{text::TITLE}</h2>
            {rows}
        </section>
    }
}

fn row(runtime: &Runtime, owner: &KeyOwner, now: Timestamp) -> impl IntoView + use<> {
    let id = runtime.id.as_str().to_owned();
    let mecha = owner.mecha().map(|mecha| mecha.as_str().to_owned());
    let page = page_of(owner);
    let host = text::host(runtime).to_owned();
    let about = |label: &str| format!("{label} {host}");
    let command = |command: RuntimeCommand, label: &'static str| {
        view! {
            <button
                id=format!("{}-{id}", command.name())
                class="button quiet"
                name="command"
                value=command.name()
                aria-label=about(label)
            >
                {label}
            </button>
        }
    };
    let kind = match runtime.state {
        RuntimeState::Late => Some("warning"),
        _ => None,
    };
    let note = (!runtime.note.is_empty()).then(|| view! { <span dir="auto">{runtime.note.clone()}</span> });
    let round_trip = runtime.round_trip.map(|round_trip| view! { ", " {text::round_trip(round_trip)} });
    view! {
        <li>
            <p>
                <strong dir="auto">{host.clone()}</strong>
                " "
                <span class="badge" data-kind=kind>
                    {text::runtime_state(runtime.state)}
                </span>
                " "
                {note}
            </p>
            <p class="quiet">
                {text::program(runtime)} ", " {text::with_key(runtime)} ", "
                <Moment at=Some(runtime.connected_at) text=text::since(&ago(runtime.connected_at, now)) />
                {round_trip}
            </p>
            <div class="runtime-act">
                <form method="post" action=Action::CommandRuntime.path()>
                    <input type="hidden" name="mecha_id" value=mecha />
                    <input type="hidden" name="runtime_id" value=id.clone() />
                    {command(RuntimeCommand::Test, text::TEST)}
                    {command(RuntimeCommand::Drain, text::DRAIN)}
                </form>
                <form action=page>
                    <input type="hidden" name="runtime_id" value=id.clone() />
                    <button
                        id=format!("disconnect-{id}")
                        class="button quiet"
                        name="dialog"
                        value=MechaDialog::Disconnect.name()
                        aria-label=about(text::DISCONNECT)
                    >
                        {text::DISCONNECT}
                    </button>
                </form>
            </div>
        </li>
    }
}

/// Runtimes in a dialog, by host and by the secret that they use; nothing without runtimes.
#[component]
pub(crate) fn AffectedRuntimes(title: &'static str, runtimes: Vec<Runtime>) -> impl IntoView {
    (!runtimes.is_empty()).then(|| {
        let rows = runtimes
            .iter()
            .map(|runtime| view! { <li dir="auto">{text::with_secret(runtime)}</li> })
            .collect_view();
        view! {
            <div class="usage">
                <h3>{title}</h3>
                <ul>{rows}</ul>
            </div>
        }
    })
}

/// The connections that have ended, and how to connect a runtime.
#[component]
pub(crate) fn History(mecha: MechaView) -> impl IntoView {
    let ended = mecha.runtimes.ended;
    let rows = ended.iter().filter_map(past).collect_view();
    let history = (!ended.is_empty()).then(|| {
        view! {
            <details id="history">
                <summary>{text::HISTORY}</summary>
                <p class="quiet">{text::HISTORY_LEAD}</p>
                <ul>{rows}</ul>
            </details>
        }
    });
    view! {
        <section class="usage">
            {history}
            <details id="connect">
                <summary>{text::CONNECT}</summary>
                <ol>{text::STEPS.map(|step| view! { <li>{step}</li> }).into_iter().collect_view()}</ol>
                <div class="field">
                    <Copyable what=mechas::CONNECT_COMMANDS value=connect_commands(&mecha.origin) />
                </div>
                <p>
                    <a href=format!("{INTEGRATE}#runtime")>{text::HOW}</a>
                    " · "
                    <a href=RUNTIME_REFERENCE>{text::CONTRACT}</a>
                </p>
            </details>
        </section>
    }
}

fn past(runtime: &Runtime) -> Option<impl IntoView + use<>> {
    let (at, reason) = runtime.ended?;
    Some(view! {
        <li>
            <Icon name="plug" />
            <strong dir="auto">{text::host(runtime).to_owned()}</strong>
            <span>{text::program(runtime)} ", " {text::with_key(runtime)}</span>
            <span>
                <DateAndTime at=runtime.connected_at />
                " – "
                <DateAndTime at />
                ": "
                {text::because(reason)}
            </span>
        </li>
    })
}
