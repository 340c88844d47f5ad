//! Tells owners who watch what happens to their keys while it happens.

use super::index::Id;
use app::domain::account::AccountId;
use app::domain::timestamp::{SECOND, Timestamp};
use app::domain::traffic::{Program, Reason};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Events that may wait for a watcher; one that is slower misses some.
const WAITING: usize = 32;
/// Watchers at once.
const MOST: usize = 1_000;
/// Watchers of one account at once.
const MOST_AN_ACCOUNT: usize = 20;
/// How often one watcher is told of the same kind of event of the same key, in milliseconds.
const TELL_EVERY: i64 = SECOND;

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which.
    pub key: Id,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub program: Program,
    /// Why it was refused; `None` if it was let in.
    pub refused: Option<Reason>,
}

struct Watcher {
    number: usize,
    to: Sender<Event>,
    used_told: Timestamp,
    refused_told: Timestamp,
}

/// Who watches which keys.
#[derive(Default)]
pub struct Live {
    /// How many watch anything: with nobody watching, nothing more is asked.
    watching: AtomicUsize,
    numbers: AtomicUsize,
    accounts: Mutex<HashMap<AccountId, usize>>,
    by_key: Mutex<HashMap<Id, Vec<Watcher>>>,
}

impl Live {
    /// Watches some keys of an account until the watch is dropped. `None` if too many watch already.
    pub fn watch(self: &Arc<Self>, account: &AccountId, keys: Vec<Id>) -> Option<Watch> {
        let mut accounts = self.accounts.lock();
        if self.watching() >= MOST
            || accounts.get(account).is_some_and(|watching| *watching >= MOST_AN_ACCOUNT)
        {
            return None;
        }
        *accounts.entry(account.clone()).or_default() += 1;
        self.watching.fetch_add(1, Ordering::SeqCst);
        drop(accounts);
        let (to, events) = channel(WAITING);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let never = Timestamp(i64::MIN);
        let mut by_key = self.by_key.lock();
        for key in &keys {
            let watcher = Watcher { number, to: to.clone(), used_told: never, refused_told: never };
            by_key.entry(*key).or_default().push(watcher);
        }
        drop(by_key);
        Some(Watch { events, live: Arc::clone(self), account: account.clone(), keys, number })
    }

    /// How many watch.
    #[must_use]
    pub fn watching(&self) -> usize {
        self.watching.load(Ordering::SeqCst)
    }

    /// Tells those who watch the key; nobody waits for them.
    pub(super) fn tell(
        &self,
        key: Id,
        at: Timestamp,
        refused: Option<Reason>,
        program: impl Fn() -> Program,
    ) {
        if self.watching() == 0 {
            return;
        }
        let mut by_key = self.by_key.lock();
        for watcher in by_key.get_mut(&key).into_iter().flatten() {
            let told = if refused.is_some() { &mut watcher.refused_told } else { &mut watcher.used_told };
            if at.0.saturating_sub(told.0) >= TELL_EVERY {
                *told = at;
                let _ = watcher.to.try_send(Event { key, at, program: program(), refused });
            }
        }
    }
}

/// The events of some keys.
pub struct Watch {
    events: Receiver<Event>,
    live: Arc<Live>,
    account: AccountId,
    keys: Vec<Id>,
    number: usize,
}

impl Watch {
    /// The next event.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut accounts = self.live.accounts.lock();
        self.live.watching.fetch_sub(1, Ordering::SeqCst);
        if let Some(watching) = accounts.get_mut(&self.account) {
            *watching -= 1;
            if *watching == 0 {
                accounts.remove(&self.account);
            }
        }
        drop(accounts);
        let mut by_key = self.live.by_key.lock();
        for key in &self.keys {
            if let Some(watchers) = by_key.get_mut(key) {
                watchers.retain(|watcher| watcher.number != self.number);
                if watchers.is_empty() {
                    by_key.remove(key);
                }
            }
        }
    }
}
