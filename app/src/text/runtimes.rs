//! Texts of the runtimes of a Mecha.

use super::time::ago;
use crate::domain::mecha::Mecha;
use crate::domain::runtime::{EndReason, MechaState, Program, Runtime, RuntimeState};
use crate::domain::timestamp::Timestamp;

pub const TITLE: &str = "Runtimes";
pub const YOUR_RUNTIMES: &str = "Connected runtimes";
pub const NONE: &str = "No runtime is connected.";
pub const HISTORY: &str = "Connection history";
pub const HISTORY_LEAD: &str = "Connections that ended in the last 30 days.";
pub const CONNECT: &str = "Connect a Mecha runtime";
/// How to connect a runtime, step by step.
pub const STEPS: [&str; 4] = [
    "Issue a key, and copy its secret. It is shown once.",
    "Store the secret where the program runs: in a secret manager or an environment variable, never in the source code.",
    "Start the program with mecha connect. It connects to this console, and needs no open port of its own.",
    "See it come online here. From then on you can call its actions, test, drain and disconnect it, and cut it off by switching its key off.",
];
pub const CONNECT_LEAD: &str = "A program connects as a Mecha with one of its keys, over a WebSocket that the program opens. You see it on the page of \
     the Mecha, and cut it off there at once.";
pub const PYTHON_CLIENT: &str = "A client in Python";
pub const COMMAND_LINE: &str = "With the command line";
pub const HOW: &str = "How to install and use mecha";
pub const INSTALL: &str = "mecha, the command line, is in the archive of each release beside the server: copy it to a folder of your PATH. From the source code: cargo install --locked --path cli. It connects as a Mecha, and runs a command for each request: its standard input is the request, and its standard output the response.";
pub const CALL_LEAD: &str = "Then call the Mecha from anywhere, with a key of the account. The second command returns each part of the response as it comes.";
pub const CONTRACT: &str = "The WebSocket contract";
pub const TEST: &str = "Test";
pub const DRAIN: &str = "Drain";
pub const DISCONNECT: &str = "Disconnect";
pub const DISCONNECT_TITLE: &str = "Disconnect this runtime";
pub const DISCONNECT_LEAD: &str = "Its connection is closed at once. It may connect again with the same key. To keep it out, switch the key off instead.";
pub const SWITCH_KEY_OFF: &str = "Switch the key off";
pub const WILL_DISCONNECT: &str = "Runtimes that will be disconnected";
pub const USING: &str = "Connected runtimes";
pub const WAITING: &str = "Waiting for the runtime to connect …";
pub const WAITING_HINT: &str =
    "Start the program where you stored the secret. This changes by itself as soon as the runtime connects.";
pub const NO_HELLO: &str = "A program connected with this key, but sent no valid hello within 10 seconds. Check that it is a runtime.";
pub const ACTIONS: &str = "Actions";
pub const YOUR_ACTIONS: &str = "Actions that runtimes offer";
pub const ACTIONS_LEAD: &str =
    "Call an action with a key of the account. The variable MECHA_API_KEY_SECRET holds its secret.";
pub const NOT_OFFERED: &str = "Offline";
pub const TRY: &str = "Try it";
pub const TRY_TITLE: &str = "Try an action";
pub const TRY_LEAD: &str = "Sends a real request to a connected runtime, with your session.";
pub const TRY_BODY: &str = "Body of the request";
pub const TRY_EXAMPLE: &str = "{\"message\": \"Hello\"}";
pub const TRY_STREAM: &str = "Stream: show each part of the response as it comes";
pub const ACTION_GONE_TITLE: &str = "This action does not exist";
pub const ACTION_GONE: &str = "No runtime of this Mecha offers it now, and none in its history did.";
pub const SEND: &str = "Send";
pub const RESPONSE: &str = "Response";
pub const SIGNED_OUT: &str = "Your session has ended, or could not be verified. Reload the page.";
pub const TOO_LONG: &str = "Only the first 1 MiB is shown. The request was cancelled.";
pub const CURRENT_SECRET: &str = "current secret";
pub const PREVIOUS_SECRET: &str = "old secret";

/// The frames of `mecha.runtime.v1`, and their meaning.
pub const FRAMES: [(&str, &str); 7] = [
    (
        "→ {\"type\":\"hello\",\"instance\":\"…\"}",
        "First, within 10 seconds. instance is random for each process and has 1 to 128 bytes. Optional: name, version, os, \
         arch, host, and actions (a list of names).",
    ),
    ("← {\"type\":\"welcome\"}", "The response: runtime, mecha, key_id, expires_at and ping_interval_ms."),
    (
        "→ {\"type\":\"status\",\"state\":\"busy\"}",
        "What the runtime is doing: idle, busy or draining. Optional: note. At most 20 per second.",
    ),
    ("→ {\"type\":\"bye\"}", "The runtime stops. The connection is closed with 1000."),
    (
        "← {\"type\":\"drain\",\"deadline_ms\":30000}",
        "The owner asks the runtime to finish its work and to disconnect. After the deadline it is disconnected.",
    ),
    (
        "← {\"type\":\"notice\",\"what\":\"rotated\",\"at\":\"…\"}",
        "The secret of this connection stops working at that time: the key was rotated, or it is expiring.",
    ),
    (
        "Ping",
        "Every 15 seconds (RFC 6455). A runtime that sends nothing for 30 seconds is late, and after 45 seconds it is lost.",
    ),
];

/// The codes with which connections are closed, and what the runtime then does.
pub const CLOSE_CODES: [(&str, &str); 6] = [
    (
        "4401",
        "The key is no longer valid: deleted or expired, its secret retired, or its Mecha deleted. The runtime stops.",
    ),
    (
        "4403",
        "The key or the Mecha is switched off. The runtime tries again once a minute for 24 hours; 401 then means still off.",
    ),
    ("4409", "A newer connection of the same key and instance replaced this one. The runtime stops."),
    ("4410", "The owner disconnected the runtime. It stops."),
    (
        "1001, 1012, 1013",
        "Going away, restart, try later. The runtime reconnects after a random time of up to 0.5 s, doubling to 30 s.",
    ),
    ("1002, 1003, 1007, 1008, 1009", "The runtime violated the protocol. It stops."),
];

/// The state of a Mecha.
#[must_use]
pub fn state(mecha: &Mecha, state: MechaState, now: Timestamp) -> String {
    match state {
        MechaState::NoKeyYet => "No key yet".to_owned(),
        MechaState::Waiting => "Waiting for a runtime".to_owned(),
        MechaState::Connected { runtimes: 1, busy: 0 } => "Connected, idle".to_owned(),
        MechaState::Connected { runtimes: 1, .. } => "Connected, busy".to_owned(),
        MechaState::Connected { runtimes, busy: 0 } => format!("Connected: {runtimes} runtimes, idle"),
        MechaState::Connected { runtimes, busy } => format!("Connected: {runtimes} runtimes, {busy} busy"),
        MechaState::Late(_) => "Late: no sign of life for 30 seconds".to_owned(),
        MechaState::Draining(_) => "Draining".to_owned(),
        MechaState::Offline(_, EndReason::SwitchedOff) if mecha.active => {
            "Offline: its key was switched off".to_owned()
        }
        MechaState::Offline(at, reason) => {
            format!("Offline since {}, because {}", ago(at, now), because(reason))
        }
    }
}

/// Why a connection ended, after “because”.
#[must_use]
pub fn because(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Stopped => "it stopped by itself",
        EndReason::Lost => "the connection was lost",
        EndReason::KeyEnded => "its key ended",
        EndReason::SwitchedOff => "it was switched off",
        EndReason::Replaced => "a newer connection replaced it",
        EndReason::Disconnected => "you disconnected it",
        EndReason::Violation => "it violated the protocol",
        EndReason::NoHello => "it sent no valid hello",
        EndReason::ServerStopped => "the server restarted",
        EndReason::Unverified => "the server could not verify its key",
        EndReason::TooMany => "16 runtimes were connected",
    }
}

/// The state of a runtime.
#[must_use]
pub fn runtime_state(state: RuntimeState) -> &'static str {
    match state {
        RuntimeState::Idle => "Idle",
        RuntimeState::Busy => "Busy",
        RuntimeState::Draining => "Draining",
        RuntimeState::Late => "Late",
    }
}

/// The host of a runtime, or its address if it states none.
#[must_use]
pub fn host(runtime: &Runtime) -> &str {
    if runtime.program.host.is_empty() { &runtime.address } else { &runtime.program.host }
}

/// What a runtime runs on and what it is: `linux/x86_64, porter 1.2, from 127.0.0.1`.
#[must_use]
pub fn program(runtime: &Runtime) -> String {
    let Program { name, version, os, arch, .. } = &runtime.program;
    let join = |separator: &str, parts: [&str; 2]| {
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(separator)
    };
    let parts = [join("/", [os, arch]), join(" ", [name, version]), format!("from {}", runtime.address)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// A runtime that has connected with a new secret.
#[must_use]
pub fn connected(runtime: &Runtime) -> String {
    format!("Connected: {}, {}", host(runtime), program(runtime))
}

/// The key of a runtime, in a list.
#[must_use]
pub fn with_key(runtime: &Runtime) -> String {
    let secret = if runtime.is_previous { PREVIOUS_SECRET } else { CURRENT_SECRET };
    format!("{secret} of “{}”", runtime.key_name)
}

/// When a runtime connected.
#[must_use]
pub fn since(ago: &str) -> String {
    format!("connected {ago}")
}

/// A response that is complete.
#[must_use]
pub fn completed(status: u16, milliseconds: u128) -> String {
    format!("{status} in {milliseconds} ms")
}

/// The accessible name of a control for an action, such as `Try it: chat`.
#[must_use]
pub fn about_action(label: &str, action: &str) -> String {
    format!("{label}: {action}")
}

/// A measured round trip.
#[must_use]
pub fn round_trip(milliseconds: u32) -> String {
    match milliseconds {
        0 => "round trip below 1 ms".to_owned(),
        milliseconds => format!("round trip {milliseconds} ms"),
    }
}

/// A runtime by its host and the secret that it uses.
#[must_use]
pub fn with_secret(runtime: &Runtime) -> String {
    format!("{}, {}", host(runtime), with_key(runtime))
}
