//! Texts of the pages of Mechas.

pub const TITLE: &str = "Mechas";
pub const LEAD: &str = "Named actors, such as a robot, an agent or a worker. Each has its own keys.";
pub const NEW: &str = "New Mecha";
pub const CREATE: &str = "Create Mecha";
pub const NAME: &str = "Mecha name";
pub const EMPTY_TITLE: &str = "No Mechas yet";
pub const EMPTY: &str = "A Mecha is a program that acts under a name of its own: a robot, an agent, a worker, a service. \
     Give it keys of its own, and see and stop everything it does in one place.";
pub const YOUR_MECHAS: &str = "Your Mechas";
pub const INACTIVE: &str = "Switched off";
pub const ACTIVE: &str = "Active";
pub const OFF: &str =
    "This Mecha is switched off. Requests with its keys are refused, and its runtimes cannot connect.";
pub const KEYS: &str = "Keys";
pub const ISSUE: &str = "Issue key";
pub const KEYS_EMPTY_TITLE: &str = "No key yet";
pub const KEYS_EMPTY: &str = "Issue a key, and store it where the program of this Mecha runs. The program presents it with every request.";
pub const DESCRIBE: &str = "Rename and describe";
pub const DESCRIBE_TITLE: &str = "Rename and describe this Mecha";
pub const SAVE: &str = "Save";
pub const SWITCH_OFF: &str = "Switch off";
pub const SWITCH_OFF_TITLE: &str = "Switch off this Mecha";
pub const SWITCH_OFF_LEAD: &str =
    "Requests with its keys will be refused, and its runtimes disconnected, until you switch it on again.";
pub const RUNTIME_GONE_TITLE: &str = "This runtime is not connected";
pub const RUNTIME_GONE: &str = "It has disconnected in the meantime.";
pub const DELETE: &str = "Delete";
pub const DELETE_TITLE: &str = "Delete this Mecha";
pub const REENTER: &str = "Re-enter Mecha name";
pub const DELETE_CONFIRM: &str = "I understand, delete this Mecha";
pub const ONE_TIME: &str = "Treat it as a one-time reveal: copy it now, store it outside this page";
pub const STORE_TITLE: &str = "Where to store it";
pub const STORE_GOOD: &str =
    "Good: environment variables, secret managers, CI/CD secret storage, secure operator runbooks.";
pub const STORE_BAD: &str = "Bad: source code, screenshots, public notes, shared plaintext documents.";
pub const CONNECT: &str = "mecha connect";
pub const CONNECT_COMMANDS: &str = "mecha commands";
pub const CALL: &str = "Call a Mecha";
pub const CALL_STREAM: &str = "Call a Mecha, with a stream of events";
pub const TRIGGER: &str = "mecha trigger";
pub const SYSTEMD: &str = "systemd";
pub const DOCKER: &str = "Docker";
pub const KUBERNETES: &str = "Kubernetes";
/// What the copy button of each example copies.
pub const SYSTEMD_COMMAND: &str = "systemd command";
pub const DOCKER_COMMAND: &str = "Docker command";
pub const KUBERNETES_COMMAND: &str = "Kubernetes command";

/// The number of Mechas: `3 of 20 Mechas`.
#[must_use]
pub fn count(count: usize, limit: u32) -> String {
    format!("{count} of {limit} Mechas")
}

/// The reason why no Mecha can be created.
#[must_use]
pub fn full(limit: u32) -> String {
    format!("You have {limit} Mechas, the maximum. Delete one that you no longer use to make room.")
}

/// The warning before the deletion of a Mecha with this number of keys.
#[must_use]
pub fn delete_lead(keys: u32) -> String {
    let keys = match keys {
        0 => String::new(),
        1 => "Its key will be deleted too, and requests with it will be refused. ".to_owned(),
        _ => format!("Its {keys} keys will be deleted too, and requests with them will be refused. "),
    };
    format!("{keys}To confirm, re-enter its name.")
}
