//! `mecha`: calls the Mechas of a console, and connects programs as Mechas.

mod api;
mod args;
mod commands;
mod config;
mod failure;
mod http_client;
mod output;
mod random;
mod runtime;
mod secret;
mod server_url;
mod target;
mod transport;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use failure::Failure;
use std::process::ExitCode;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_connect_once = matches!(&cli.command, Command::Connect(options) if options.once);
    let result = start(cli);
    output::end_log(result.as_ref().err().map(|failure| format!("mecha: {failure}")));
    result.map_or_else(|failure| ExitCode::from(failure.exit_code(is_connect_once)), |()| ExitCode::SUCCESS)
}

fn start(cli: Cli) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::error(error.to_string()))?;
    let result = runtime.block_on(run(cli));
    // A host name that is still being resolved must not delay the exit.
    runtime.shutdown_background();
    result
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { target, command } = cli;
    match command {
        Command::Login { json } => commands::login::run(&target, json).await,
        Command::Logout { json } => commands::logout::run(&target, json),
        Command::Whoami { json } => commands::whoami::run(&target, json).await,
        Command::Status { json } => commands::status::run(&target, json).await,
        Command::Trigger(options) => commands::trigger::run(&target, options).await,
        Command::Connect(options) => runtime::run(&target, options).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mecha", &mut script);
            output::write(&script)
        }
    }
}
