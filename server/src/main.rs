//! The binary: parses the command line and runs a command.

use clap::Parser;
use server::commands::{account, backup, copy, healthcheck, migrate, restore, serve};
use server::config::{Cli, Command};
use std::error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Requests and pages allocate many small, short-lived objects on several threads. With the system's allocator, pages
/// are a quarter slower.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logging();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    match cli.command.unwrap_or(Command::Serve(Box::new(cli.serve))) {
        Command::Serve(options) => serve::serve(*options).await?,
        Command::Healthcheck(options) => healthcheck::run(options).await?,
        Command::Migrate(database) => migrate::run(&database).await?,
        Command::Backup { file, database } => backup::run(&file, &database).await?,
        Command::Restore { file, overwrite, keep_active, database } => {
            restore::run(&file, overwrite, keep_active, &database).await?;
        }
        Command::Copy { from, to } => copy::run(&from, &to).await?,
        Command::Account { command } => account::run(command).await?,
    }
    Ok(())
}

/// Logs to standard error: text in a terminal, and JSON otherwise. `RUST_LOG` sets the filter.
fn init_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().flatten_event(true).init();
    }
}
