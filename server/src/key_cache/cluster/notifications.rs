//! Encodes the messages that nodes send each other about watched keys and runtimes, as payloads of PostgreSQL notifications.

use crate::ids::Id;
use crate::ids::{hex, parse_id};
use crate::usage::live_events::{Event, EventKind, NodeMessage};
use app::domain::timestamp::Timestamp;
use app::domain::usage::{ClientName, DenialReason};

/// Keys per notification. A payload may have at most 8,000 bytes.
const KEYS_PER_NOTIFICATION: usize = 200;

// Wire names of events. Nodes of different versions exchange them, so they must not change.
const USED: &str = "admitted";
const PREVIOUS_USED: &str = "admitted-old";

/// Encodes a message as one or more payloads. Each begins with the id of the sender, `node`.
pub(crate) fn written(node: &str, message: &NodeMessage) -> Vec<String> {
    match message {
        NodeMessage::Watched(keys) => {
            let payload =
                |keys: &[Id]| format!("{node} watched {}", keys.iter().map(hex).collect::<String>());
            keys.chunks(KEYS_PER_NOTIFICATION).map(payload).collect()
        }
        NodeMessage::RuntimesChanged(account) => vec![format!("{node} runtimes {}", hex(account))],
        NodeMessage::RuntimeCommand(to) => vec![format!("{node} command {to}")],
        NodeMessage::Event(Event { key, at, client: ClientName { address, agent }, what }) => {
            let what = match what {
                EventKind::Used => USED,
                EventKind::PreviousUsed => PREVIOUS_USED,
                EventKind::Denied(reason) => reason.name(),
            };
            vec![format!("{node} happened {} {} {what} {address} {agent}", hex(key), at.0)]
        }
    }
}

/// Decodes a payload. Returns `None` if `node` itself sent it, if it is for another node, or if this version does not know
/// the message.
pub(crate) fn read(node: &str, payload: &str) -> Option<NodeMessage> {
    let mut parts = payload.splitn(3, ' ');
    let (sender, kind, body) = (parts.next()?, parts.next()?, parts.next()?);
    if sender == node {
        return None;
    }
    match kind {
        "watched" => {
            let keys = body.as_bytes().chunks(32).map(|id| parse_id(std::str::from_utf8(id).ok()?));
            keys.collect::<Option<_>>().map(NodeMessage::Watched)
        }
        "runtimes" => parse_id(body).map(NodeMessage::RuntimesChanged),
        "command" => (body == node).then(|| NodeMessage::RuntimeCommand(body.to_owned())),
        "happened" => {
            let mut parts = body.splitn(5, ' ');
            let (key, at, what) = (parts.next()?, parts.next()?, parts.next()?);
            let (address, agent) = (parts.next()?.to_owned(), parts.next()?.to_owned());
            let what = match what {
                USED => EventKind::Used,
                PREVIOUS_USED => EventKind::PreviousUsed,
                reason => EventKind::Denied(DenialReason::parse(reason)?),
            };
            let (key, at) = (parse_id(key)?, Timestamp(at.parse().ok()?));
            Some(NodeMessage::Event(Event { key, at, client: ClientName { address, agent }, what }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_decoded_by_other_nodes_and_ignored_by_its_sender() {
        let client = ClientName { address: "::1".to_owned(), agent: "curl 8.5 (x y)".to_owned() };
        let used = Event { key: [7; 16], at: Timestamp(5), client, what: EventKind::Used };
        let previous_used = Event { what: EventKind::PreviousUsed, ..used.clone() };
        let denied = Event { what: EventKind::Denied(DenialReason::WrongId), ..used.clone() };
        let events = [used, previous_used, denied].map(NodeMessage::Event);
        for message in events.into_iter().chain([NodeMessage::Watched(vec![[1; 16], [2; 16]])]) {
            let payloads = written("one", &message);
            assert_eq!(payloads.len(), 1);
            assert_eq!(read("other", &payloads[0]), Some(message));
            assert_eq!(read("one", &payloads[0]), None);
        }
        let changed = NodeMessage::RuntimesChanged([3; 16]);
        assert_eq!(read("other", &written("one", &changed)[0]), Some(changed));
        let command = NodeMessage::RuntimeCommand("other".to_owned());
        assert_eq!(read("third", &written("one", &command)[0]), None);
        assert_eq!(read("other", &written("one", &command)[0]), Some(command));
        let chunked = written("one", &NodeMessage::Watched(vec![[1; 16]; 450]));
        assert!(chunked.len() == 3 && chunked.iter().all(|payload| payload.len() < 8_000));
        for payload in ["", "one", "one watched", "one watched zz", "one happened 1 2", "one sang x"] {
            assert_eq!(read("other", payload), None, "{payload}");
        }
    }
}
