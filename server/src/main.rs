//! The binary: reads the command line, opens the database, and does what is asked.

use app::domain::account::{Email, Password};
use app::error::{ConsoleError, Field, Problem, Refusal};
use clap::Parser;
use server::accounts::Accounts;
use server::clock::Clock;
use server::config::{AccountCommand, Cli, Command, DatabaseOptions, ServeOptions};
use server::console::system_rng;
use server::store::Store;
use std::error::Error;
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

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
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(options) => server::http::serve::serve(options).await,
        Command::Migrate(database) => {
            Store::open(&database.database_url).await?.close().await;
            tracing::info!("the database is up to date");
            Ok(())
        }
        Command::Account { command } => account(command).await,
    }
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
