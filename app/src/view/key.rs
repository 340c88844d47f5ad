//! Keys as the page shows them: every fact that depends on the time is already decided.

use crate::domain::access::{Access, Scope};
use crate::domain::api_key::{ApiKey, KeyId, KeyList, PreviousSecret, Status};
use crate::domain::key_policy::KeyPolicy;
use crate::domain::mecha::KeyOwner;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::DailyUsage;
use crate::routes::page_of;
use crate::view::mecha::MechaView;
use std::collections::HashMap;
use std::sync::Arc;

/// A key at the time of its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Public id.
    pub id: KeyId,
    /// What owns it.
    pub owner: KeyOwner,
    /// The name that its owner chose.
    pub name: String,
    /// The owner's description; may be empty.
    pub description: String,
    /// The last four characters of the secret.
    pub last_four: String,
    /// Whether requests are allowed.
    pub status: Status,
    /// What the key has access to.
    pub access: Access,
    /// The scopes among them that the operator no longer offers.
    pub no_longer_offered: Vec<Scope>,
    /// Whether the key expires within a week.
    pub is_expiring_soon: bool,
    /// Whether the key works longer than is allowed for new keys.
    pub is_beyond_limit: bool,
    /// When the key was created.
    pub created_at: Timestamp,
    /// When the key expires, or has expired; `None` means never.
    pub expires_at: Option<Timestamp>,
    /// When a request was last allowed; `None` means never.
    pub last_used_at: Option<Timestamp>,
    /// The client of that request.
    pub last_used_from: Option<String>,
    /// Requests per day.
    pub daily: DailyUsage,
    /// The previous secret, while it is valid.
    pub previous: Option<PreviousSecret>,
    /// The last use of each secret while the previous one is valid: time and client.
    pub last_use_of_current: Option<(Timestamp, Option<String>)>,
    /// See `last_use_of_current`.
    pub last_use_of_previous: Option<(Timestamp, Option<String>)>,
    /// Why the key cannot be refreshed; `None` if it can.
    pub cannot_refresh: Option<Obstacle>,
    /// Why the key cannot be rotated; `None` if it can.
    pub cannot_rotate: Option<Obstacle>,
}

/// Why an action is not possible for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The key has expired.
    Expired,
    /// The key never expires.
    NoExpiry,
    /// The previous secret is still valid.
    Rotating,
    /// The key already expires later than is allowed.
    BeyondLimit,
}

impl KeyView {
    /// The view of a key at `now`, with its requests per day.
    #[must_use]
    pub fn of(
        key: &ApiKey,
        owner: &KeyOwner,
        policy: &KeyPolicy,
        daily: Option<&DailyUsage>,
        now: Timestamp,
    ) -> Self {
        let status = key.status(now);
        let expired = (status == Status::Expired).then_some(Obstacle::Expired);
        let is_beyond_limit = expired.is_none() && policy.is_beyond_limit(key.expires_at, now);
        let previous = key.valid_previous(now).cloned();
        Self {
            id: key.id.clone(),
            owner: owner.clone(),
            name: key.name.clone(),
            description: key.description.clone(),
            last_four: key.last_four.clone(),
            status,
            access: key.access.clone(),
            no_longer_offered: policy.no_longer_offered(&key.access).cloned().collect(),
            is_expiring_soon: key.is_expiring_soon(now),
            is_beyond_limit,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            last_used_from: key.last_used_from.clone(),
            daily: daily.copied().unwrap_or_else(|| DailyUsage::none(now.day())),
            cannot_refresh: expired
                .or(key.expires_at.is_none().then_some(Obstacle::NoExpiry))
                .or(is_beyond_limit.then_some(Obstacle::BeyondLimit)),
            cannot_rotate: expired.or(previous.is_some().then_some(Obstacle::Rotating)),
            last_use_of_current: owned(key.last_use_of_current()),
            last_use_of_previous: owned(key.last_use_of_previous()),
            previous,
        }
    }
}

fn owned(last: Option<(Timestamp, Option<&str>)>) -> Option<(Timestamp, Option<String>)> {
    last.map(|(at, from)| (at, from.map(ToOwned::to_owned)))
}

/// The keys of an owner at `now`, in display order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyListView {
    /// The server's clock when the list was read.
    pub now: Timestamp,
    /// What owns the keys.
    pub owner: KeyOwner,
    /// The Mecha that owns the keys, for the header of its page.
    pub mecha: Option<MechaView>,
    /// The keys.
    pub keys: Vec<KeyView>,
    /// The number of unexpired keys.
    pub count: u32,
    /// Maximum number of unexpired keys of this owner.
    pub limit: u32,
    /// Whether the owner has as many as it may have.
    pub is_full: bool,
    /// What the operator allows for keys.
    pub policy: Arc<KeyPolicy>,
}

impl KeyListView {
    /// The view of a list, with the requests per day of the keys that were used.
    #[must_use]
    pub fn of(
        list: &KeyList,
        mecha: Option<MechaView>,
        policy: Arc<KeyPolicy>,
        usage: &HashMap<KeyId, DailyUsage>,
    ) -> Self {
        Self {
            now: list.now,
            owner: list.owner.clone(),
            mecha,
            keys: list
                .keys
                .iter()
                .map(|key| KeyView::of(key, &list.owner, &policy, usage.get(&key.id), list.now))
                .collect(),
            count: list.live_count(),
            limit: list.limit,
            is_full: list.is_full(),
            policy,
        }
    }

    /// The path of the page.
    #[must_use]
    pub fn page(&self) -> String {
        page_of(&self.owner)
    }

    /// The key with this id.
    #[must_use]
    pub fn find(&self, id: &KeyId) -> Option<&KeyView> {
        self.keys.iter().find(|key| key.id == *id)
    }
}
