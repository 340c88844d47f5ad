//! Connections of runtimes, and what owners ask of them.
//!
//! Every transaction locks the account first, as changes of keys and Mechas do, so that they cannot deadlock.

use crate::ids::{Id, hex, parse_id};
use crate::secret::SecretDigest;
use crate::store::{Store, StoreError, Tx, lock_account};
use app::domain::account::AccountId;
use app::domain::api_key::KeyId;
use app::domain::mecha::MechaId;
use app::domain::runtime::{
    EndReason, MechaRuntimes, Program, RUNTIME_HISTORY, RUNTIME_RETENTION, RUNTIMES_PER_MECHA, Runtime,
    RuntimeCommand, RuntimeId, RuntimeState,
};
use app::domain::timestamp::Timestamp;
use app::domain::unicode::fold;
use sqlx::FromRow;
use std::collections::{HashMap, HashSet};

/// Selects the columns of [`RuntimeRow`].
macro_rules! select_runtimes {
    ($and:literal) => {
        concat!(
            "SELECT r.id, r.mecha_id, r.key_id, r.key_name, r.node, r.name, r.version, r.os, r.arch, r.host, r.actions, r.address,
                    r.state, r.note, r.round_trip, r.connected_at, r.ended_at, r.end_reason,
                    CASE WHEN k.old_digest = r.secret_digest THEN 1 ELSE 0 END AS is_previous
             FROM runtimes r LEFT JOIN api_keys k ON k.id = r.key_id WHERE r.account_id = $1 ",
            $and
        )
    };
}

#[derive(FromRow)]
struct RuntimeRow {
    id: String,
    mecha_id: String,
    key_id: String,
    key_name: String,
    node: String,
    name: String,
    version: String,
    os: String,
    arch: String,
    host: String,
    actions: String,
    address: String,
    state: String,
    note: String,
    round_trip: Option<i64>,
    connected_at: i64,
    ended_at: Option<i64>,
    end_reason: String,
    is_previous: i64,
}

impl RuntimeRow {
    fn into_runtime(self) -> Option<Runtime> {
        let reason = EndReason::parse(&self.end_reason).unwrap_or(EndReason::Lost);
        Some(Runtime {
            id: RuntimeId::parse(&self.id)?,
            mecha: MechaId::parse(&self.mecha_id)?,
            key: KeyId::parse(&self.key_id)?,
            key_name: self.key_name,
            is_previous: self.is_previous != 0,
            program: Program {
                name: self.name,
                version: self.version,
                os: self.os,
                arch: self.arch,
                host: self.host,
            },
            actions: self.actions.split_whitespace().map(ToOwned::to_owned).collect(),
            address: self.address,
            state: RuntimeState::parse(&self.state).unwrap_or_default(),
            note: self.note,
            round_trip: self.round_trip.and_then(|round_trip| u32::try_from(round_trip).ok()),
            connected_at: Timestamp(self.connected_at),
            ended: self.ended_at.map(|at| (Timestamp(at), reason)),
        })
    }
}

/// A runtime that connects.
#[derive(Clone, Debug)]
pub(crate) struct NewRuntime {
    pub(crate) id: String,
    pub(crate) account: AccountId,
    pub(crate) mecha: MechaId,
    pub(crate) key: KeyId,
    pub(crate) key_name: String,
    pub(crate) secret: SecretDigest,
    /// SHA-256 of the instance; empty for an attempt without a hello.
    pub(crate) instance_hash: Vec<u8>,
    pub(crate) node: String,
    pub(crate) program: Program,
    pub(crate) actions: Vec<String>,
    pub(crate) address: String,
    pub(crate) now: Timestamp,
}

/// What happened to a runtime that connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    /// It is registered. The node, if any, holds an earlier connection of the same instance, which is recorded as ended.
    Registered { replaced_on: Option<String> },
    /// The key no longer has this secret, or it or its Mecha is switched off.
    NotAllowed,
    /// The instance is connected with the current secret, and this is the previous one.
    Outdated,
    /// The Mecha has [`RUNTIMES_PER_MECHA`] other runtimes.
    TooMany,
}

/// The latest state of a connection, to be stored.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeUpdate {
    pub(crate) id: Id,
    pub(crate) account: Id,
    pub(crate) state: RuntimeState,
    pub(crate) note: String,
    pub(crate) round_trip: Option<u32>,
    /// Whether the round trip was just measured, which executes the owner's command.
    pub(crate) is_tested: bool,
    /// When and why the connection ended.
    pub(crate) ended: Option<(Timestamp, EndReason)>,
}

impl RuntimeUpdate {
    /// The end of a connection whose state is not known.
    pub(crate) fn lost(id: Id, account: Id, at: Timestamp) -> Self {
        Self {
            id,
            account,
            state: RuntimeState::default(),
            note: String::new(),
            round_trip: None,
            is_tested: false,
            ended: Some((at, EndReason::Lost)),
        }
    }
}

/// A command for a connection of this node.
#[derive(Clone, Debug)]
pub(crate) struct PendingCommand {
    pub(crate) id: String,
    pub(crate) runtime: RuntimeId,
    pub(crate) command: RuntimeCommand,
}

/// Whether a command was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandState {
    Pending,
    Done,
    /// The connection ended before that.
    Ended,
}

impl Store {
    /// The nodes that serve this database: this one, and those that hold a lease. With `grace`, also those whose lease
    /// ended less than this many seconds ago.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn live_nodes(&self, own: &str, grace: u8) -> Result<HashSet<String>, StoreError> {
        let mut nodes = HashSet::from([own.to_owned()]);
        if self.is_shared() {
            let others: Vec<String> = sqlx::query_scalar(
                "SELECT id FROM nodes WHERE lease_until > clock_timestamp() - make_interval(secs => $1)",
            )
            .bind(f64::from(grace))
            .fetch_all(&self.read)
            .await?;
            nodes.extend(others);
        }
        Ok(nodes)
    }

    /// The runtimes of the Mechas of an account, or of one of them. A connection of a node that is not in `nodes` is
    /// left out: the node has died, and [`end_runtimes_of_nodes`] will record the end.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn runtimes(
        &self,
        account: &AccountId,
        mecha: Option<&MechaId>,
        nodes: &HashSet<String>,
        now: Timestamp,
    ) -> Result<HashMap<MechaId, MechaRuntimes>, StoreError> {
        let rows: Vec<RuntimeRow> = match mecha {
            Some(mecha) => {
                sqlx::query_as(select_runtimes!("AND r.mecha_id = $2 ORDER BY r.connected_at, r.id"))
                    .bind(&account.0)
                    .bind(mecha.as_str())
                    .fetch_all(&self.read)
                    .await?
            }
            None => {
                sqlx::query_as(select_runtimes!("ORDER BY r.connected_at, r.id"))
                    .bind(&account.0)
                    .fetch_all(&self.read)
                    .await?
            }
        };
        let mut runtimes: HashMap<MechaId, MechaRuntimes> = HashMap::new();
        for row in rows {
            let is_live = row.ended_at.is_some() || nodes.contains(&row.node);
            let Some(runtime) = row.into_runtime().filter(|_| is_live) else { continue };
            let of_mecha = runtimes.entry(runtime.mecha.clone()).or_default();
            match runtime.ended {
                None => of_mecha.connected.push(runtime),
                Some(_) => of_mecha.ended.push(runtime),
            }
        }
        for of_mecha in runtimes.values_mut() {
            of_mecha.ended.reverse();
            of_mecha.ended.sort_by_key(|runtime| std::cmp::Reverse(runtime.ended.map(|(at, _)| at)));
            let mut is_first = true;
            of_mecha.ended.retain(|runtime| {
                let is_recent = runtime.ended.is_none_or(|(at, _)| at.0 > now.0 - RUNTIME_RETENTION);
                std::mem::take(&mut is_first) || is_recent
            });
        }
        Ok(runtimes)
    }

    /// The actions that runtimes of the account offer, or offered within the retention period of their history: those of the
    /// Mecha with this id or name, or of all Mechas.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn offered_actions(
        &self,
        account: &AccountId,
        mecha: Option<&str>,
        now: Timestamp,
    ) -> Result<HashSet<String>, StoreError> {
        let lists: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT r.actions FROM runtimes r JOIN mechas m ON m.id = r.mecha_id
             WHERE r.account_id = $1 AND (r.ended_at IS NULL OR r.ended_at > $2)
               AND ($3 = '' OR m.id = $4 OR m.name_folded = $3)",
        )
        .bind(&account.0)
        .bind(now.0 - RUNTIME_RETENTION)
        .bind(mecha.map(fold).unwrap_or_default())
        .bind(mecha.unwrap_or_default().to_ascii_lowercase())
        .fetch_all(&self.read)
        .await?;
        Ok(lists.iter().flat_map(|actions| actions.split(' ')).map(ToOwned::to_owned).collect())
    }

    /// The commands for the connections of a node that were not executed.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn runtime_commands(&self, node: &str) -> Result<Vec<PendingCommand>, StoreError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT id, runtime_id, command FROM runtime_commands WHERE node = $1 AND done = 0
             ORDER BY created_at, id LIMIT 1000",
        )
        .bind(node)
        .fetch_all(&self.read)
        .await?;
        let pending = rows.into_iter().filter_map(|(id, runtime, command)| {
            let command = RuntimeCommand::parse(&command)?;
            Some(PendingCommand { id, runtime: RuntimeId::parse(&runtime)?, command })
        });
        Ok(pending.collect())
    }

    /// Whether a command was executed. *Disconnect* is executed when the connection has ended.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn command_state(
        &self,
        id: &str,
        command: RuntimeCommand,
    ) -> Result<CommandState, StoreError> {
        let found: Option<(i64, Option<i64>)> = sqlx::query_as(
            "SELECT c.done, r.ended_at FROM runtime_commands c JOIN runtimes r ON r.id = c.runtime_id WHERE c.id = $1",
        )
        .bind(id)
        .fetch_optional(&self.read)
        .await?;
        Ok(match (found, command) {
            // The command was deleted with its runtime.
            (None, _) => CommandState::Ended,
            (Some((_, ended)), RuntimeCommand::Disconnect) => {
                if ended.is_some() {
                    CommandState::Done
                } else {
                    CommandState::Pending
                }
            }
            (Some((0, None)), _) => CommandState::Pending,
            (Some((0, Some(_))), _) => CommandState::Ended,
            (Some(_), _) => CommandState::Done,
        })
    }

    /// The connections of a node that are recorded as open.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn open_runtimes(&self, node: &str) -> Result<Vec<(Id, Id)>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT id, account_id FROM runtimes WHERE node = $1 AND ended_at IS NULL")
                .bind(node)
                .fetch_all(&self.read)
                .await?;
        Ok(rows.iter().filter_map(|(id, account)| Some((parse_id(id)?, parse_id(account)?))).collect())
    }

    /// Why a connection is recorded as ended; `None` if it is open, or was deleted with its Mecha.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn recorded_end(&self, id: &Id) -> Result<Option<EndReason>, StoreError> {
        let reason: Option<String> =
            sqlx::query_scalar("SELECT end_reason FROM runtimes WHERE id = $1 AND ended_at IS NOT NULL")
                .bind(hex(id))
                .fetch_optional(&self.read)
                .await?;
        Ok(reason.and_then(|reason| EndReason::parse(&reason)))
    }

    /// Records that a command was executed.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn finish_command(&self, id: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE runtime_commands SET done = 1 WHERE id = $1")
            .bind(id)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Deletes commands from before `before`, whose owner no longer waits for them.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn delete_commands(&self, before: Timestamp) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM runtime_commands WHERE created_at < $1")
            .bind(before.0)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// The Mechas with ended connections that [`trim_history`] would delete because of their age.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn mechas_with_old_history(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(AccountId, MechaId)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT DISTINCT r.account_id, r.mecha_id FROM runtimes r WHERE r.ended_at <= $1
               AND EXISTS (SELECT 1 FROM runtimes l WHERE l.mecha_id = r.mecha_id AND l.end_reason <> $2
                           AND (l.ended_at > r.ended_at OR (l.ended_at = r.ended_at AND l.id > r.id)))",
        )
        .bind(now.0 - RUNTIME_RETENTION)
        .bind(EndReason::NoHello.name())
        .fetch_all(&self.read)
        .await?;
        let parsed =
            rows.into_iter().map(|(account, mecha)| Some((AccountId(account), MechaId::parse(&mecha)?)));
        Ok(parsed.flatten().collect())
    }

    /// The accounts and nodes of connections that are recorded as open.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn nodes_with_runtimes(&self) -> Result<Vec<(AccountId, String)>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT DISTINCT account_id, node FROM runtimes WHERE ended_at IS NULL")
                .fetch_all(&self.read)
                .await?;
        Ok(rows.into_iter().map(|(account, node)| (AccountId(account), node)).collect())
    }
}

/// An open connection of a Mecha.
#[derive(FromRow)]
struct OpenRow {
    id: String,
    node: String,
    key_id: String,
    instance_hash: Vec<u8>,
    secret_digest: Vec<u8>,
}

/// Registers a runtime, if its secret is still that of its key and the Mecha does not have too many. An earlier
/// connection of the same key and instance is ended. `nodes` are the nodes that serve the database.
pub(crate) async fn register(
    tx: &mut Tx,
    new: &NewRuntime,
    nodes: &HashSet<String>,
) -> Result<Registration, StoreError> {
    lock_account(tx, &new.account).await?;
    let is_previous: Option<i64> = sqlx::query_scalar(
        "SELECT CASE WHEN k.secret_digest = $3 THEN 0 ELSE 1 END
         FROM api_keys k JOIN mechas m ON m.id = k.mecha_id
         WHERE k.id = $1 AND m.id = $2 AND (k.secret_digest = $3 OR k.old_digest = $3)
           AND k.active = 1 AND m.active = 1",
    )
    .bind(new.key.as_str())
    .bind(new.mecha.as_str())
    .bind(new.secret.as_bytes().as_slice())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(is_previous) = is_previous else { return Ok(Registration::NotAllowed) };
    let open: Vec<OpenRow> = sqlx::query_as(
        "SELECT id, node, key_id, instance_hash, secret_digest FROM runtimes WHERE mecha_id = $1 AND ended_at IS NULL",
    )
    .bind(new.mecha.as_str())
    .fetch_all(&mut **tx)
    .await?;
    let is_same =
        |key: &str, instance: &[u8]| key == new.key.as_str() && instance == new.instance_hash.as_slice();
    let mut replaced_on = None;
    let mut others = 0;
    for OpenRow { id, node, key_id, instance_hash, secret_digest } in open {
        let is_live = nodes.contains(&node);
        if !is_same(&key_id, &instance_hash) {
            others += usize::from(is_live);
            continue;
        }
        if is_live && is_previous != 0 && secret_digest.as_slice() != new.secret.as_bytes() {
            return Ok(Registration::Outdated);
        }
        replaced_on = Some((id, node));
    }
    if others >= RUNTIMES_PER_MECHA {
        return Ok(Registration::TooMany);
    }
    if let Some((id, _)) = &replaced_on {
        end(tx, id, new.now, EndReason::Replaced).await?;
    }
    insert(tx, new, None).await?;
    trim_history(tx, &new.mecha, None).await?;
    Ok(Registration::Registered { replaced_on: replaced_on.map(|(_, node)| node) })
}

/// Records an attempt to connect that failed, instead of earlier ones with the same key.
pub(crate) async fn insert_attempt(
    tx: &mut Tx,
    new: &NewRuntime,
    reason: EndReason,
) -> Result<(), StoreError> {
    lock_account(tx, &new.account).await?;
    sqlx::query("DELETE FROM runtimes WHERE mecha_id = $1 AND key_id = $2 AND end_reason = $3")
        .bind(new.mecha.as_str())
        .bind(new.key.as_str())
        .bind(reason.name())
        .execute(&mut **tx)
        .await?;
    insert(tx, new, Some(reason)).await
}

async fn insert(tx: &mut Tx, new: &NewRuntime, ended: Option<EndReason>) -> Result<(), StoreError> {
    let NewRuntime { program, .. } = new;
    // Without a Mecha, because it was just deleted, nothing is inserted.
    sqlx::query(
        "INSERT INTO runtimes (id, account_id, mecha_id, key_id, key_name, secret_digest, instance_hash, node, name,
                               version, os, arch, host, actions, address, state, note, connected_at, ended_at,
                               end_reason)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, '', $17, $18, $19
         WHERE EXISTS (SELECT 1 FROM mechas WHERE id = $3 AND account_id = $2)",
    )
    .bind(&new.id)
    .bind(&new.account.0)
    .bind(new.mecha.as_str())
    .bind(new.key.as_str())
    .bind(&new.key_name)
    .bind(new.secret.as_bytes().as_slice())
    .bind(new.instance_hash.as_slice())
    .bind(&new.node)
    .bind(&program.name)
    .bind(&program.version)
    .bind(&program.os)
    .bind(&program.arch)
    .bind(&program.host)
    .bind(new.actions.join(" "))
    .bind(&new.address)
    .bind(RuntimeState::Idle.name())
    .bind(new.now.0)
    .bind(ended.map(|_| new.now.0))
    .bind(ended.map_or("", EndReason::name))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn end(tx: &mut Tx, id: &str, at: Timestamp, reason: EndReason) -> Result<(), StoreError> {
    sqlx::query("UPDATE runtimes SET ended_at = $2, end_reason = $3 WHERE id = $1 AND ended_at IS NULL")
        .bind(id)
        .bind(at.0)
        .bind(reason.name())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Deletes the ended connections of a Mecha beyond [`RUNTIME_HISTORY`], and with a trusted clock those that are older than 30
/// days, except the last one.
pub(crate) async fn trim_history(
    tx: &mut Tx,
    mecha: &MechaId,
    now: Option<Timestamp>,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM runtimes WHERE mecha_id = $1 AND ended_at IS NOT NULL
           AND id NOT IN (SELECT id FROM runtimes WHERE mecha_id = $1 AND ended_at IS NOT NULL AND end_reason <> $3
                          ORDER BY ended_at DESC, id DESC LIMIT 1)
           AND (ended_at <= $2
                OR id NOT IN (SELECT id FROM runtimes WHERE mecha_id = $1 AND ended_at IS NOT NULL
                              ORDER BY ended_at DESC, id DESC LIMIT $4))",
    )
    .bind(mecha.as_str())
    .bind(now.map_or(i64::MIN, |now| now.0 - RUNTIME_RETENTION))
    .bind(EndReason::NoHello.name())
    .bind(i64::try_from(RUNTIME_HISTORY).unwrap_or(i64::MAX))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores the latest state of connections of one account. An end that is already recorded stays as it is.
pub(crate) async fn update(
    tx: &mut Tx,
    account: &AccountId,
    updates: &[RuntimeUpdate],
) -> Result<(), StoreError> {
    lock_account(tx, account).await?;
    for update in updates {
        sqlx::query(
            "UPDATE runtimes SET state = $2, note = $3, round_trip = $4, ended_at = $5, end_reason = $6
             WHERE id = $1 AND ended_at IS NULL",
        )
        .bind(hex(&update.id))
        .bind(update.state.name())
        .bind(&update.note)
        .bind(update.round_trip.map(i64::from))
        .bind(update.ended.map(|(at, _)| at.0))
        .bind(update.ended.map_or("", |(_, reason)| reason.name()))
        .execute(&mut **tx)
        .await?;
        if update.is_tested {
            sqlx::query("UPDATE runtime_commands SET done = 1 WHERE runtime_id = $1 AND command = $2")
                .bind(hex(&update.id))
                .bind(RuntimeCommand::Test.name())
                .execute(&mut **tx)
                .await?;
        }
    }
    Ok(())
}

/// Records that the open connections of an account on these nodes, which have died, were lost.
pub(crate) async fn end_runtimes_of_nodes(
    tx: &mut Tx,
    account: &AccountId,
    nodes: &HashSet<String>,
    now: Timestamp,
) -> Result<(), StoreError> {
    lock_account(tx, account).await?;
    let open: Vec<(String, String)> =
        sqlx::query_as("SELECT id, node FROM runtimes WHERE account_id = $1 AND ended_at IS NULL")
            .bind(&account.0)
            .fetch_all(&mut **tx)
            .await?;
    for (id, node) in open {
        if nodes.contains(&node) {
            end(tx, &id, now, EndReason::Lost).await?;
        }
    }
    Ok(())
}

/// The connection that a command is for.
#[derive(Debug, FromRow)]
pub(crate) struct CommandTarget {
    /// The node that holds it.
    pub(crate) node: String,
    /// The host that the runtime states.
    pub(crate) host: String,
    pub(crate) mecha_id: String,
    pub(crate) mecha_name: String,
}

/// Asks the node that holds a connection to execute a command. Returns `None` if the account has no such connection.
pub(crate) async fn command(
    tx: &mut Tx,
    account: &AccountId,
    runtime: &RuntimeId,
    command: (&str, RuntimeCommand),
    now: Timestamp,
) -> Result<Option<CommandTarget>, StoreError> {
    let (id, command) = command;
    let target: Option<CommandTarget> = sqlx::query_as(
        "SELECT r.node, r.host, m.id AS mecha_id, m.name AS mecha_name
         FROM runtimes r JOIN mechas m ON m.id = r.mecha_id
         WHERE r.id = $1 AND r.account_id = $2 AND r.ended_at IS NULL",
    )
    .bind(runtime.as_str())
    .bind(&account.0)
    .fetch_optional(&mut **tx)
    .await?;
    if let Some(target) = &target {
        sqlx::query(
            "INSERT INTO runtime_commands (id, runtime_id, node, command, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(runtime.as_str())
        .bind(&target.node)
        .bind(command.name())
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    }
    Ok(target)
}
