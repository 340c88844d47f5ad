//! The command line.

use crate::failure::Failure;
use crate::runtime::handler::Handle;
use crate::secret::variable;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Exit codes: 0 success, 1 error, 2 usage, 4 credential denied or no longer valid, 75 unreachable with connect --once.

The key is read from --key-file, MECHA_KEY, MECHA_KEY_FILE, $CREDENTIALS_DIRECTORY/mecha-key or the profile, in this \
order, and the URL from --url, MECHA_URL or the profile. Certificates are verified with the authorities of this machine, \
or with those in the file that SSL_CERT_FILE names. Redirects are not followed, and proxies are not used.";

/// Calls the Mechas of a console, and connects programs as Mechas.
#[derive(Debug, Parser)]
#[command(name = "mecha", version, about, after_help = AFTER_HELP, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) target: TargetOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which console, and as whom.
#[derive(Args, Debug)]
pub(crate) struct TargetOptions {
    /// URL of the console, such as https://console.example.com [env: MECHA_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// File that contains the key, and nothing else [env: MECHA_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Profile of `mecha login` [env: MECHA_PROFILE] [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Send the key to another machine without TLS
    #[arg(long, global = true)]
    pub(crate) allow_http: bool,
}

impl TargetOptions {
    /// The name of the profile that the command line or the environment states, or `default`.
    ///
    /// # Errors
    /// The variable is not valid.
    pub(crate) fn profile(&self) -> Result<String, Failure> {
        Ok(match &self.profile {
            Some(profile) => profile.clone(),
            None => variable("MECHA_PROFILE")?.unwrap_or_else(|| "default".to_owned()),
        })
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Verify a key, and store it with its URL in a profile
    ///
    /// Reads the key from the terminal without echo, from the first line of standard input, or from --key-file.
    Login {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a profile from this machine; its key stays valid
    Logout {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the key that the other commands use
    Whoami {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the Mechas that the key can see, with their states
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Call a Mecha: send a request to a connected runtime, and print its response
    Trigger(TriggerOptions),
    /// Connect as a Mecha, and run a command for each request
    Connect(ConnectOptions),
    /// Print completions for a shell
    ///
    /// For example: mecha completions bash > ~/.local/share/bash-completion/completions/mecha
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Options of `trigger`.
#[derive(Args, Debug)]
pub(crate) struct TriggerOptions {
    /// The action
    pub(crate) action: String,
    /// The body of the request: a text, @FILE, or - for standard input
    pub(crate) data: Option<String>,
    /// Print each part of the response as it comes
    #[arg(long)]
    pub(crate) stream: bool,
    /// The Mecha that is to respond: its name or id
    #[arg(long, value_name = "NAME")]
    pub(crate) mecha: Option<String>,
    /// Media type of the body. By default application/json if it is JSON, else text/plain or application/octet-stream
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
}

/// Options of `connect`.
#[derive(Args, Debug)]
pub(crate) struct ConnectOptions {
    /// Run COMMAND for each request of ACTION; may be repeated
    ///
    /// COMMAND is split into words as a shell does it, and run without a shell. It gets the body of the request on standard
    /// input, and MECHA_ACTION, MECHA_REQUEST_ID, MECHA_CONTENT_TYPE, MECHA_STREAM (true or false) and MECHA_CLIENT_KEY_ID
    /// in its environment. Its standard output is the response. If it exits with a status other than 0, the client gets
    /// 500; after 65 it gets 422 (bad input), and after 75 503 (try again later).
    #[arg(long = "handle", value_name = "ACTION=COMMAND")]
    pub(crate) handles: Vec<Handle>,
    /// The name of the program that the console shows
    #[arg(long, default_value = "mecha")]
    pub(crate) name: String,
    /// Exit when the connection cannot be established or is lost, rather than reconnect
    #[arg(long)]
    pub(crate) once: bool,
    /// Number of commands that run at the same time; further requests wait
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) concurrency: u16,
    /// Seconds that a command may take
    ///
    /// The console waits 60 s for the first output, including the wait for --concurrency, and 10 minutes for the end.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) timeout: u32,
}
