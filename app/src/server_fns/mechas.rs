//! Server functions for Mechas. All need a session. Each returns the path to redirect to.

use crate::backend::{self, SignedIn, require_account};
use crate::domain::description::Description;
use crate::domain::field_error::Field;
use crate::domain::key_name::KeyName;
use crate::domain::mecha::MechaId;
use crate::domain::runtime::{RuntimeCommand, RuntimeId};
use crate::error::{ConsoleError, FieldErrors};
use crate::routes::{Done, MECHAS, mecha_page};
use crate::view::refusal::Refusal;
use leptos::prelude::*;

/// Creates a Mecha.
///
/// # Errors
/// Field errors, or the limit of Mechas is reached.
#[server(name = CreateMecha, prefix = "/rpc", endpoint = "mechas/create")]
pub async fn create_mecha(
    mecha_name: String,
    #[server(default)] description: String,
) -> Result<String, Refusal> {
    let who = require_account().await?;
    let (name, description) = parse(&mecha_name, &description)?;
    let mecha = backend::mechas()?.create(&who, name, description).await?;
    Ok(Done::MechaCreated.href(&mecha_page(&mecha)))
}

/// Changes the name and the description of a Mecha.
///
/// # Errors
/// Field errors, or no such Mecha.
#[server(name = DescribeMecha, prefix = "/rpc", endpoint = "mechas/describe")]
pub async fn describe_mecha(
    mecha_id: String,
    mecha_name: String,
    #[server(default)] description: String,
) -> Result<String, Refusal> {
    let who = require_account().await?;
    let mecha = MechaId::parse(&mecha_id).ok_or(ConsoleError::MechaNotFound)?;
    let (name, description) = parse(&mecha_name, &description)?;
    backend::mechas()?.describe(&who, &mecha, name, description).await?;
    Ok(Done::MechaChanged.href(&mecha_page(&mecha)))
}

/// Switches a Mecha on or off. While it is off, all its keys are denied.
///
/// # Errors
/// No such Mecha.
#[server(name = SetMechaActive, prefix = "/rpc", endpoint = "mechas/set-active")]
pub async fn set_mecha_active(mecha_id: String, active: bool) -> Result<String, Refusal> {
    let who = require_account().await?;
    let mecha = MechaId::parse(&mecha_id).ok_or(ConsoleError::MechaNotFound)?;
    backend::mechas()?.set_active(&who, &mecha, active).await?;
    let done = if active { Done::MechaSwitchedOn } else { Done::MechaSwitchedOff };
    Ok(done.href(&mecha_page(&mecha)))
}

/// Deletes a Mecha and its keys permanently, if `confirm_name` is its name.
///
/// # Errors
/// A field error if the name does not match, or no such Mecha.
#[server(name = DeleteMecha, prefix = "/rpc", endpoint = "mechas/delete")]
pub async fn delete_mecha(mecha_id: String, confirm_name: String) -> Result<String, Refusal> {
    let who = require_account().await?;
    let mecha = MechaId::parse(&mecha_id).ok_or(ConsoleError::MechaNotFound)?;
    backend::mechas()?.delete(&who, &mecha, &confirm_name).await?;
    Ok(Done::MechaDeleted.href(MECHAS))
}

/// Tests or drains a runtime.
///
/// # Errors
/// No such runtime, or it does not respond.
#[server(name = CommandRuntime, prefix = "/rpc", endpoint = "mechas/command")]
pub async fn command_runtime(runtime_id: String, command: String) -> Result<String, Refusal> {
    let who = require_account().await?;
    let command = RuntimeCommand::parse(&command).ok_or(ConsoleError::Malformed)?;
    run(&who, &runtime_id, command).await
}

/// Disconnects a runtime.
///
/// # Errors
/// No such runtime, or its node does not respond.
#[server(name = DisconnectRuntime, prefix = "/rpc", endpoint = "mechas/disconnect")]
pub async fn disconnect_runtime(runtime_id: String) -> Result<String, Refusal> {
    let who = require_account().await?;
    run(&who, &runtime_id, RuntimeCommand::Disconnect).await
}

async fn run(who: &SignedIn, runtime: &str, command: RuntimeCommand) -> Result<String, Refusal> {
    let runtime = RuntimeId::parse(runtime).ok_or(ConsoleError::RuntimeNotFound)?;
    let mecha = backend::mechas()?.command(who, &runtime, command).await?;
    let done = match command {
        RuntimeCommand::Test => Done::RuntimeTested,
        RuntimeCommand::Drain => Done::RuntimeDrained,
        RuntimeCommand::Disconnect => Done::RuntimeDisconnected,
    };
    Ok(done.href(&mecha_page(&mecha)))
}

fn parse(name: &str, description: &str) -> Result<(KeyName, Description), ConsoleError> {
    let mut problems = FieldErrors::default();
    let name = problems.check(Field::MechaName, KeyName::parse(name));
    let description = problems.check(Field::Description, Description::parse(description));
    let (Some(name), Some(description)) = (name, description) else { return Err(problems.into()) };
    Ok((name, description))
}
