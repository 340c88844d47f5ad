//! The view of a new secret: the only place where the console shows a secret.

use super::frame::{CloseButton, PreviousNote, Summary};
use crate::components::copyable::Copyable;
use crate::components::icon::Icon;
use crate::components::mechas::runtimes::connect_commands;
use crate::components::tabs::Tabs;
use crate::domain::runtime::Runtime;
use crate::domain::usage::DenialReason;
use crate::routes::{EVENTS, events_of};
use crate::text::{self, keys, mechas, runtimes, usage};
use crate::view::dialog::RevealView;
use leptos::either::Either;
use leptos::prelude::*;

/// The new secret, the examples that contain it, and what happens with it.
#[component]
pub(super) fn Reveal(reveal: RevealView) -> impl IntoView {
    let RevealView { key, secret, since, is_rotation, origin } = reveal;
    let id = key.id.as_str().to_owned();
    let events = match key.owner.mecha() {
        None => format!("{EVENTS}?key={id}&since={}", since.0),
        Some(mecha) => format!("{}&key={id}&since={}", events_of(mecha), since.0),
    };
    let is_of_mecha = key.owner.mecha().is_some();
    let storage = is_of_mecha.then(|| {
        view! {
            <div class="usage">
                <p>{mechas::ONE_TIME}"."</p>
                <h3>{mechas::STORE_TITLE}</h3>
                <p>{mechas::STORE_GOOD}</p>
                <p>{mechas::STORE_BAD}</p>
            </div>
        }
    });
    let examples = match key.owner.mecha() {
        None => examples(&id, &secret, &origin),
        Some(_) => stores(&secret, &origin),
    };
    let previous = is_rotation.then(|| match key.previous.clone() {
        Some(previous) => Either::Left(view! { <PreviousNote previous /> }),
        None => Either::Right(view! { <p>{keys::PREVIOUS_ENDED}</p> }),
    });
    view! {
        <div class="reveal" data-events=events>
            <Summary key=key.clone() />
            <div class="field">
                <span class="label">{keys::KEY_SECRET}</span>
                <Copyable what="" value=secret is_secret=true button=keys::COPY_SECRET />
            </div>
            <div class="notice" data-kind="warning">
                <Icon name="alert" />
                <div>
                    <p>{keys::SAVE_NOW}</p>
                    <p>{keys::SAVE_ONCE}</p>
                    {previous}
                </div>
            </div>
            {storage}
            <div class="field">
                <span class="label">{keys::API_KEY_ID}</span>
                <Copyable what=keys::API_KEY_ID value=id.clone() />
            </div>
            <Tabs name="example" legend=keys::EXAMPLES tabs=examples />
            <Progress step=if is_of_mecha { Step::WaitingForRuntime } else { Step::WaitingForRequest } />
        </div>
        <div class="dialog-act" data-closing="">
            <CloseButton label=text::CLOSE />
        </div>
        <div class="dialog-act" data-asking="" hidden>
            <p class="error" role="alert"></p>
            <button type="button" class="button quiet" data-do="go-back" data-warning=keys::CLOSE_WITHOUT_COPY>
                {keys::GO_BACK}
            </button>
            <button type="button" class="button primary" data-danger data-do="discard">
                {keys::DISCARD}
            </button>
        </div>
    }
}

/// Ways to use the new key, one per tab. Programs read the secret from the environment.
fn examples(id: &str, secret: &str, origin: &str) -> Vec<(&'static str, AnyView)> {
    let url = format!("{origin}/api/v1/key");
    let curl = format!("curl -H \"Authorization: Bearer {secret}\" {url}");
    let env = env_lines(id, secret);
    let javascript = format!(
        "const response = await fetch(\"{url}\", {{\n  headers: {{ Authorization: `Bearer \
         ${{process.env.MECHA_API_KEY_SECRET}}` }},\n}});\nconsole.log(await response.json());"
    );
    let python = format!(
        "import json, os, urllib.request\n\nrequest = urllib.request.Request(\n    \"{url}\",\n    \
         headers={{\"Authorization\": f\"Bearer {{os.environ['MECHA_API_KEY_SECRET']}}\"}},\n)\n\
         print(json.load(urllib.request.urlopen(request)))"
    );
    vec![
        tab(keys::CURL, keys::CURL_LINE, curl, true),
        tab(keys::ENV, keys::ENV_LINES, env, true),
        tab(keys::JAVASCRIPT, keys::JAVASCRIPT_CODE, javascript, false),
        tab(keys::PYTHON, keys::PYTHON_CODE, python, false),
    ]
}

/// Ways to store the key of a Mecha, one per tab.
fn stores(secret: &str, origin: &str) -> Vec<(&'static str, AnyView)> {
    let systemd = format!(
        "printf %s '{secret}' | sudo systemd-creds encrypt --name=mecha-key - /etc/credstore.encrypted/mecha-key"
    );
    let docker = format!("printf %s '{secret}' | docker secret create mecha-key -");
    let kubernetes =
        format!("printf %s '{secret}' | kubectl create secret generic mecha-key --from-file=key=/dev/stdin");
    vec![
        tab(keys::ENV, keys::ENV_LINES, runtime_env(secret, origin), true),
        tab(mechas::CONNECT, mechas::CONNECT_COMMANDS, connect_commands(origin), false),
        tab(mechas::SYSTEMD, mechas::SYSTEMD_COMMAND, systemd, true),
        tab(mechas::DOCKER, mechas::DOCKER_COMMAND, docker, true),
        tab(mechas::KUBERNETES, mechas::KUBERNETES_COMMAND, kubernetes, true),
    ]
}

/// The variables that runtimes read.
fn runtime_env(secret: &str, origin: &str) -> String {
    format!("MECHA_URL={origin}\nMECHA_KEY={secret}")
}

fn env_lines(id: &str, secret: &str) -> String {
    format!("MECHA_API_KEY_ID={id}\nMECHA_API_KEY_SECRET={secret}")
}

fn tab(label: &'static str, what: &'static str, value: String, is_secret: bool) -> (&'static str, AnyView) {
    (label, view! { <div class="field"><Copyable what value is_secret /></div> }.into_any())
}

/// What has happened with a new secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// No request has arrived yet.
    WaitingForRequest,
    /// No runtime has connected yet.
    WaitingForRuntime,
    /// A request of this client was allowed.
    RequestAllowed(String),
    /// A request of this client was denied.
    RequestDenied(DenialReason, String),
    /// A runtime has connected.
    Connected(Box<Runtime>),
    /// A program has connected, but sent no valid hello.
    NoHello,
}

/// What has happened with the new secret. Live events replace it, so it needs a script.
#[component]
pub(super) fn Progress(step: Step) -> impl IntoView {
    let (state, icon, text, hint) = match step {
        Step::WaitingForRequest => ("waiting", "clock", keys::WAITING.to_owned(), keys::GOT_401),
        Step::WaitingForRuntime => ("waiting", "clock", runtimes::WAITING.to_owned(), runtimes::WAITING_HINT),
        Step::RequestAllowed(client) => ("received", "check", usage::first_request(None, &client), ""),
        Step::RequestDenied(reason, client) => {
            ("refused", "alert", usage::first_request(Some(reason), &client), keys::GOT_401)
        }
        Step::Connected(runtime) => ("received", "check", runtimes::connected(&runtime), ""),
        Step::NoHello => ("refused", "alert", runtimes::NO_HELLO.to_owned(), ""),
    };
    view! {
        <div class="first-request" id="first-request" data-state=state>
            <Icon name=icon />
            <div>
                <p>{text}</p>
                {(!hint.is_empty()).then(|| view! { <p>{hint}</p> })}
            </div>
        </div>
    }
}
