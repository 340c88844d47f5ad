//! The binary: reads the command line, opens the database, and does what is asked.

use app::domain::account::{Email, Password};
use app::error::{ConsoleError, Field, Problem, Refusal};
use clap::Parser;
use server::accounts::Accounts;
use server::backup::Since;
use server::clock::Clock;
use server::config::{AccountCommand, Cli, Command, DatabaseOptions, ServeOptions};
use server::console::system_rng;
use server::store::Store;
use std::error::Error;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Requests and pages are many small pieces of memory for a short time, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log();
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
        Command::Serve(options) => server::http::serve::serve(*options).await,
        Command::Migrate(database) => {
            Store::open(&database.database_url).await?.close().await;
            tracing::info!("the database is up to date");
            Ok(())
        }
        Command::Backup { file, database } => backup(&file, &database).await,
        Command::Restore { file, overwrite, keep_active, database } => {
            restore(&file, overwrite, keep_active, &database).await
        }
        Command::Copy { from, to } => copy(&from, &to).await,
        Command::Account { command } => account(command).await,
    }
}

#[expect(clippy::print_stdout, reason = "the answer to the command")]
async fn copy(from: &str, to: &str) -> Result<(), Box<dyn Error>> {
    server::moving::copy(from, to, |done| println!("{done}")).await?;
    println!("Everything is copied. Start servers with the new DATABASE_URL; the old database is as it was.");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer to the command")]
async fn backup(file: &Path, database: &DatabaseOptions) -> Result<(), Box<dyn Error>> {
    let keys = server::backup::backup(&database.database_url, file).await?;
    println!(
        "{} has everything, with {keys} keys. It lets nobody in, and names everybody: keep it private.",
        file.display()
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer to the command")]
async fn restore(
    file: &Path,
    overwrite: bool,
    keep_active: bool,
    database: &DatabaseOptions,
) -> Result<(), Box<dyn Error>> {
    let url = &database.database_url;
    let restored = server::backup::restore(url, file, overwrite, keep_active, &Clock::default()).await?;
    println!("The database is {} again, with {} keys.", file.display(), restored.keys);
    if let Some(replaced) = restored.replaced {
        println!("The one before is kept at {}.", replaced.display());
    }
    match restored.since {
        None => println!("What was made, changed or deleted since is not known."),
        Some(since) if since.is_empty() => println!("No key was made, changed or deleted since."),
        Some(since) => {
            println!("Since then:");
            for (what, key) in since {
                let what = match what {
                    Since::Made => "made, gone now",
                    Since::Deleted => "deleted, back now",
                    Since::Changed => "changed, as before now",
                };
                println!("  {}  {what}: {:?} of {}", key.id, key.name, key.email);
            }
        }
    }
    if keep_active {
        println!("Keys that were switched on are let in. Delete what must not be.");
    } else {
        println!("All keys are switched off: owners switch on those that are still to be let in.");
    }
    println!("All sessions have ended; passwords are those of the copy.");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer to the command")]
async fn account(command: AccountCommand) -> Result<(), Box<dyn Error>> {
    match command {
        AccountCommand::Add { email, database } => {
            let (accounts, email) = (accounts(database).await?, told(Field::Email, Email::parse(&email))?);
            let password = read_password()?;
            let account =
                accounts.add(email, password, true, String::new(), &mut system_rng()).await.map_err(tell)?;
            println!("{}", account.0);
        }
        AccountCommand::List { database } => {
            for account in accounts(database).await?.list().await.map_err(tell)? {
                println!("{}\t{}", account.id, account.email);
            }
        }
        AccountCommand::SetPassword { email, database } => {
            let (accounts, email) = (accounts(database).await?, told(Field::Email, Email::parse(&email))?);
            let password = read_password()?;
            let account = accounts.store.account_by_email(&email).await?;
            let account = account.ok_or("there is no account with this address")?;
            accounts.set_password(&account, None, password, &mut system_rng()).await.map_err(tell)?;
            println!("The password is changed and all sessions of the account have ended.");
        }
    }
    Ok(())
}

async fn accounts(database: DatabaseOptions) -> Result<Accounts, Box<dyn Error>> {
    let store = Store::open(&database.database_url).await?;
    let options = Cli::parse_from(["server"]).serve;
    server::console::accounts(store, Clock::default(), &ServeOptions { database, ..options }).map_err(tell)
}

/// From a terminal without echo; otherwise the first line of standard input.
fn read_password() -> Result<Password, Box<dyn Error>> {
    let typed = if std::io::stdin().is_terminal() {
        rpassword::prompt_password("Password: ")?
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    told(Field::Password, Password::parse_new(&typed))
}

fn told<T>(field: Field, parsed: Result<T, Problem>) -> Result<T, Box<dyn Error>> {
    parsed.map_err(|problem| tell(ConsoleError::field(field, problem)))
}

fn tell(error: ConsoleError) -> Box<dyn Error> {
    let refusal = Refusal::from(error);
    refusal.fields.into_iter().map(|(_, problem)| problem).next().unwrap_or(refusal.detail).into()
}

/// For people in a terminal, as JSON otherwise. What is logged is chosen with `RUST_LOG`.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().flatten_event(true).init();
    }
}
