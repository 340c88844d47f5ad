//! `account add|list|set-password`: manages accounts from the command line.

use crate::clock::Clock;
use crate::config::{AccountCommand, Cli, DatabaseOptions, ServeOptions};
use crate::random::system_rng;
use crate::services::accounts::Accounts;
use crate::state;
use crate::store::Store;
use app::domain::account::{Email, Password};
use app::domain::field_error::{Field, FieldError};
use app::domain::usage::ClientName;
use app::error::ConsoleError;
use app::view::refusal::Refusal;
use clap::Parser;
use std::error::Error;
use std::io::{BufRead, IsTerminal};

/// Runs the command.
///
/// # Errors
/// The e-mail address or password is not accepted, the password cannot be read, or the database does not respond.
#[expect(clippy::print_stdout, reason = "the output of the command")]
pub async fn run(command: AccountCommand) -> Result<(), Box<dyn Error>> {
    match command {
        AccountCommand::Add { email, database } => {
            let (accounts, email) = (accounts(database).await?, parsed(Field::Email, Email::parse(&email))?);
            let password = read_password()?;
            let account = accounts
                .add(email, password, true, ClientName::default(), &mut system_rng())
                .await
                .map_err(message)?;
            println!("{}", account.0);
        }
        AccountCommand::List { database } => {
            for account in accounts(database).await?.list().await.map_err(message)? {
                println!("{}\t{}", account.id, account.email);
            }
        }
        AccountCommand::SetPassword { email, database } => {
            let (accounts, email) = (accounts(database).await?, parsed(Field::Email, Email::parse(&email))?);
            let password = read_password()?;
            let account = accounts.store.account_by_email(&email).await?;
            let account = account.ok_or("there is no account with this e-mail address")?;
            accounts.set_password(&account, None, password, &mut system_rng()).await.map_err(message)?;
            println!("The password was changed, and all sessions of the account have ended.");
        }
    }
    Ok(())
}

async fn accounts(database: DatabaseOptions) -> Result<Accounts, Box<dyn Error>> {
    let store = Store::open(&database.database_url).await?;
    let options = Cli::parse_from(["server"]).serve;
    state::accounts(store, Clock::default(), &ServeOptions { database, ..options }).map_err(message)
}

/// Reads a password from the terminal without echo, or else from the first line of standard input.
fn read_password() -> Result<Password, Box<dyn Error>> {
    let typed = if std::io::stdin().is_terminal() {
        rpassword::prompt_password("Password: ")?
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    parsed(Field::Password, Password::parse_new(&typed))
}

fn parsed<T>(field: Field, result: Result<T, FieldError>) -> Result<T, Box<dyn Error>> {
    result.map_err(|problem| message(ConsoleError::field(field, problem)))
}

fn message(error: ConsoleError) -> Box<dyn Error> {
    let refusal = Refusal::from(error);
    refusal.fields.into_iter().map(|(_, problem)| problem).next().unwrap_or(refusal.detail).into()
}
