//! What nodes publish each other of keys that are watched, as the text of a notification.

use crate::ids::Id;
use crate::ids::{hex, parse_id};
use crate::usage::live_events::{Event, EventKind, NodeMessage};
use app::domain::timestamp::Timestamp;
use app::domain::usage::{ClientName, DenialReason};

/// Keys in one notification, which has room for 8,000 bytes.
const KEYS: usize = 200;

const USED: &str = "admitted";
const OLD_USED: &str = "admitted-old";

/// The texts that say so. Each begins with who says it.
pub(crate) fn written(node: &str, said: &NodeMessage) -> Vec<String> {
    match said {
        NodeMessage::Watched(keys) => {
            let text = |keys: &[Id]| format!("{node} watched {}", keys.iter().map(hex).collect::<String>());
            keys.chunks(KEYS).map(text).collect()
        }
        NodeMessage::Happened(Event { key, at, program: ClientName { address, agent }, what }) => {
            let what = match what {
                EventKind::Used => USED,
                EventKind::PreviousUsed => OLD_USED,
                EventKind::Denied(reason) => reason.name(),
            };
            vec![format!("{node} happened {} {} {what} {address} {agent}", hex(key), at.0)]
        }
    }
}

/// What another node says; `None` if it is this one, or says what this version does not know.
pub(crate) fn read(node: &str, text: &str) -> Option<NodeMessage> {
    let mut parts = text.splitn(3, ' ');
    let (from, kind, rest) = (parts.next()?, parts.next()?, parts.next()?);
    if from == node {
        return None;
    }
    match kind {
        "watched" => {
            let keys = rest.as_bytes().chunks(32).map(|id| parse_id(std::str::from_utf8(id).ok()?));
            keys.collect::<Option<_>>().map(NodeMessage::Watched)
        }
        "happened" => {
            let mut parts = rest.splitn(5, ' ');
            let (key, at, what) = (parts.next()?, parts.next()?, parts.next()?);
            let (address, agent) = (parts.next()?.to_owned(), parts.next()?.to_owned());
            let what = match what {
                USED => EventKind::Used,
                OLD_USED => EventKind::PreviousUsed,
                reason => EventKind::Denied(DenialReason::parse(reason)?),
            };
            let (key, at) = (parse_id(key)?, Timestamp(at.parse().ok()?));
            Some(NodeMessage::Happened(Event { key, at, program: ClientName { address, agent }, what }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_by_others_and_not_by_oneself() {
        let program = ClientName { address: "::1".to_owned(), agent: "curl 8.5 (x y)".to_owned() };
        let used = Event { key: [7; 16], at: Timestamp(5), program, what: EventKind::Used };
        let old_used = Event { what: EventKind::PreviousUsed, ..used.clone() };
        let refused = Event { what: EventKind::Denied(DenialReason::WrongId), ..used.clone() };
        let happened = [used, old_used, refused].map(NodeMessage::Happened);
        for said in happened.into_iter().chain([NodeMessage::Watched(vec![[1; 16], [2; 16]])]) {
            let texts = written("one", &said);
            assert_eq!(texts.len(), 1);
            assert_eq!(read("other", &texts[0]), Some(said));
            assert_eq!(read("one", &texts[0]), None);
        }
        let many = written("one", &NodeMessage::Watched(vec![[1; 16]; 450]));
        assert!(many.len() == 3 && many.iter().all(|text| text.len() < 8_000));
        for text in ["", "one", "one watched", "one watched zz", "one happened 1 2", "one sang x"] {
            assert_eq!(read("other", text), None, "{text}");
        }
    }
}
