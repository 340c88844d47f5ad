//! Runtimes: external processes that are connected as a Mecha, and the states of a Mecha that follow from them.

use super::api_key::KeyId;
use super::id;
use super::mecha::{Mecha, MechaId};
use super::timestamp::{DAY, Timestamp};
use std::collections::BTreeSet;

/// Maximum number of runtimes that are connected as one Mecha.
pub const RUNTIMES_PER_MECHA: usize = 16;
/// Retention period of the connection history, in milliseconds.
pub const RUNTIME_RETENTION: i64 = 30 * DAY;
/// Maximum number of ended connections that are kept per Mecha.
pub const RUNTIME_HISTORY: usize = 100;

/// Public id of one connection of a runtime: a UUID as 32 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuntimeId(String);

impl RuntimeId {
    /// Parses an id. Upper-case hex digits are accepted and converted to lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        id::parse(text).map(Self)
    }

    /// The 32 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a connected runtime is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuntimeState {
    /// It waits for work.
    #[default]
    Idle,
    /// It works.
    Busy,
    /// It finishes its work and accepts no more.
    Draining,
    /// It has sent no frame for 30 s.
    Late,
}

impl RuntimeState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Busy, Self::Draining, Self::Late];

    /// The name under which the state is stored, and that runtimes and the API use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Late => "late",
        }
    }

    /// Parses a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The runtime said goodbye, or closed the connection.
    Stopped,
    /// The connection broke, or the runtime sent nothing for 45 s.
    Lost,
    /// Its key was deleted or has expired, its secret was retired, or the Mecha or the account was deleted.
    KeyEnded,
    /// Its key or its Mecha was switched off.
    SwitchedOff,
    /// A newer connection of the same instance replaced it.
    Replaced,
    /// The owner disconnected it.
    Disconnected,
    /// The runtime violated the protocol: an invalid frame, a frame that is too large, or too many frames.
    Violation,
    /// It sent no valid hello, so it never was connected.
    NoHello,
    /// The server shut down.
    ServerStopped,
    /// The server could not verify the key: it had no connection to the database.
    Unverified,
    /// The Mecha had as many runtimes as it may have.
    TooMany,
}

impl EndReason {
    /// All reasons, with the names under which they are stored.
    const NAMES: [(Self, &'static str); 11] = [
        (Self::Stopped, "stopped"),
        (Self::Lost, "lost"),
        (Self::KeyEnded, "key-ended"),
        (Self::SwitchedOff, "switched-off"),
        (Self::Replaced, "replaced"),
        (Self::Disconnected, "disconnected"),
        (Self::Violation, "violation"),
        (Self::NoHello, "no-hello"),
        (Self::ServerStopped, "server-stopped"),
        (Self::Unverified, "unverified"),
        (Self::TooMany, "too-many"),
    ];

    /// All reasons.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(reason, _)| *reason)
    }

    /// The name under which the reason is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(reason, _)| *reason == self).map_or("", |(_, name)| name)
    }

    /// Parses a stored name. `None` if this version does not know it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(reason, _)| *reason)
    }
}

/// One connection of a runtime, as the owner of its Mecha sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Id of the connection.
    pub id: RuntimeId,
    /// Its Mecha.
    pub mecha: MechaId,
    /// The key that it presented.
    pub key: KeyId,
    /// The name of that key when it connected.
    pub key_name: String,
    /// Whether it presented the secret of the key that is now the previous one.
    pub is_previous: bool,
    /// What it runs on and what it is.
    pub program: Program,
    /// The actions that it offers.
    pub actions: Vec<String>,
    /// IP address of the runtime.
    pub address: String,
    /// What it is doing.
    pub state: RuntimeState,
    /// Its own words about its state; may be empty.
    pub note: String,
    /// The last measured round trip in milliseconds.
    pub round_trip: Option<u32>,
    /// When it connected.
    pub connected_at: Timestamp,
    /// When and why the connection ended; `None` while it is connected.
    pub ended: Option<(Timestamp, EndReason)>,
}

/// What a runtime states about itself. Each text has at most 100 characters and may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Name of the program.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub arch: String,
    /// Name of the machine.
    pub host: String,
}

/// The runtimes of a Mecha.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MechaRuntimes {
    /// Those that are connected, oldest first.
    pub connected: Vec<Runtime>,
    /// Connections that ended in the last 30 days, and the last one in any case, newest first.
    pub ended: Vec<Runtime>,
}

impl MechaRuntimes {
    /// The actions that runtimes offer now, in alphabetical order.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        let offered: BTreeSet<_> = self.connected.iter().flat_map(|runtime| &runtime.actions).collect();
        offered.into_iter().cloned().collect()
    }

    /// The actions that no runtime offers now, and that one in the history has offered, in alphabetical order.
    #[must_use]
    pub fn past_actions(&self) -> Vec<String> {
        let offered = self.actions();
        let past: BTreeSet<_> = self.ended.iter().flat_map(|runtime| &runtime.actions).collect();
        past.into_iter().filter(|action| !offered.contains(action)).cloned().collect()
    }
}

/// The state of a Mecha.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MechaState {
    /// It has no key, and no runtime was ever connected.
    NoKeyYet,
    /// No runtime was ever connected.
    Waiting,
    /// Runtimes are connected: how many, and how many of them are busy.
    Connected {
        /// Number of connected runtimes.
        runtimes: usize,
        /// Number of busy runtimes.
        busy: usize,
    },
    /// All connected runtimes are late, or late and draining: how many.
    Late(usize),
    /// All connected runtimes are draining: how many.
    Draining(usize),
    /// The last connection ended at this time, for this reason.
    Offline(Timestamp, EndReason),
}

impl MechaState {
    /// The state of a Mecha with these runtimes.
    #[must_use]
    pub fn of(mecha: &Mecha, runtimes: &MechaRuntimes) -> Self {
        let connected = &runtimes.connected;
        let count = |state| connected.iter().filter(|runtime| runtime.state == state).count();
        let mut ended = runtimes.ended.iter().filter_map(|runtime| runtime.ended);
        // An attempt without a hello was no connection.
        let last = ended.find(|(_, reason)| *reason != EndReason::NoHello);
        let (draining, late) = (count(RuntimeState::Draining), count(RuntimeState::Late));
        match (connected.len(), last) {
            (0, Some((at, reason))) => Self::Offline(at, reason),
            (0, None) if mecha.keys == 0 => Self::NoKeyYet,
            (0, None) => Self::Waiting,
            (runtimes, _) if draining == runtimes => Self::Draining(runtimes),
            (runtimes, _) if draining + late == runtimes => Self::Late(runtimes),
            (runtimes, _) => Self::Connected { runtimes, busy: count(RuntimeState::Busy) },
        }
    }

    /// The number of connected runtimes.
    #[must_use]
    pub const fn runtimes(self) -> usize {
        match self {
            Self::Connected { runtimes, .. } | Self::Late(runtimes) | Self::Draining(runtimes) => runtimes,
            Self::NoKeyYet | Self::Waiting | Self::Offline(..) => 0,
        }
    }

    /// The name that the API uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoKeyYet => "no-key",
            Self::Waiting => "waiting",
            Self::Connected { .. } => "connected",
            Self::Late(_) => "late",
            Self::Draining(_) => "draining",
            Self::Offline(..) => "offline",
        }
    }
}

/// All Mechas of an account, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MechaList {
    /// The server's clock when the list was read.
    pub now: Timestamp,
    /// The Mechas, each with its state.
    pub mechas: Vec<(Mecha, MechaState)>,
    /// Maximum number of Mechas per account.
    pub limit: u32,
}

impl MechaList {
    /// Whether the limit is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        u32::try_from(self.mechas.len()).unwrap_or(u32::MAX) >= self.limit
    }
}

/// What an owner can ask of a connected runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeCommand {
    /// Measures the round trip.
    Test,
    /// Asks it to finish its work, and disconnects it after 30 s.
    Drain,
    /// Disconnects it.
    Disconnect,
}

impl RuntimeCommand {
    /// All commands.
    pub const ALL: [Self; 3] = [Self::Test, Self::Drain, Self::Disconnect];

    /// The name under which the command is stored, and the value of its button.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Drain => "drain",
            Self::Disconnect => "disconnect",
        }
    }

    /// Parses a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(state: RuntimeState, ended: Option<(Timestamp, EndReason)>) -> Runtime {
        Runtime {
            id: RuntimeId::parse(&"1".repeat(32)).unwrap(),
            mecha: MechaId::parse(&"2".repeat(32)).unwrap(),
            key: KeyId::parse(&"3".repeat(32)).unwrap(),
            key_name: "Runtime".to_owned(),
            is_previous: false,
            program: Program::default(),
            actions: Vec::new(),
            address: "127.0.0.1".to_owned(),
            state,
            note: String::new(),
            round_trip: None,
            connected_at: Timestamp(0),
            ended,
        }
    }

    #[test]
    fn the_state_of_a_mecha_follows_from_its_keys_and_runtimes() {
        use RuntimeState::{Busy, Draining, Idle, Late};
        let mecha = |keys| Mecha {
            id: MechaId::parse(&"2".repeat(32)).unwrap(),
            name: "Porter".to_owned(),
            description: String::new(),
            active: true,
            created_at: Timestamp(0),
            keys,
        };
        let state = |keys, connected: &[RuntimeState], ended: &[(i64, EndReason)]| {
            let runtimes = MechaRuntimes {
                connected: connected.iter().map(|state| runtime(*state, None)).collect(),
                ended: ended
                    .iter()
                    .map(|(at, reason)| runtime(Idle, Some((Timestamp(*at), *reason))))
                    .collect(),
            };
            MechaState::of(&mecha(keys), &runtimes)
        };
        assert_eq!(state(0, &[], &[]), MechaState::NoKeyYet);
        assert_eq!(state(1, &[], &[(5, EndReason::NoHello)]), MechaState::Waiting);
        let offline = MechaState::Offline(Timestamp(4), EndReason::Lost);
        assert_eq!(
            state(0, &[], &[(5, EndReason::NoHello), (4, EndReason::Lost), (3, EndReason::Stopped)]),
            offline
        );
        let connected = |runtimes, busy| MechaState::Connected { runtimes, busy };
        assert_eq!(state(1, &[Idle, Late, Busy], &[(5, EndReason::Lost)]), connected(3, 1));
        assert_eq!(state(1, &[Late, Draining], &[]), MechaState::Late(2));
        assert_eq!(state(1, &[Draining], &[]), MechaState::Draining(1));
    }

    #[test]
    fn every_name_parses_to_what_it_names() {
        for reason in EndReason::all() {
            assert_eq!(EndReason::parse(reason.name()), Some(reason));
        }
        for state in RuntimeState::ALL {
            assert_eq!(RuntimeState::parse(state.name()), Some(state));
        }
        for command in RuntimeCommand::ALL {
            assert_eq!(RuntimeCommand::parse(command.name()), Some(command));
        }
    }
}
