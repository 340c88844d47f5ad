//! What the operator can set: flags, each with its environment variable.

use crate::secret::Prefix;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::available_parallelism;

/// Make and govern API keys in a browser; validate them on every request.
#[derive(Debug, Parser)]
#[command(name = "server", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; serve, if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the console and the validation of keys (the default)
    Serve(Box<ServeOptions>),
    /// Bring the database's tables up to date, and do nothing else
    Migrate(DatabaseOptions),
    /// Copy the database to a file, also while it is served
    Backup {
        /// The copy; it must not be there yet
        file: PathBuf,
        /// Which database.
        #[command(flatten)]
        database: DatabaseOptions,
    },
    /// Put a copy in the place of the database. All keys start switched off and all sessions have ended, because the
    /// copy does not know what was revoked since it was made
    Restore {
        /// The copy
        file: PathBuf,
        /// Replace the database that is there; it is kept beside, with .replaced at the end of its name
        #[arg(long)]
        overwrite: bool,
        /// Leave keys switched on that were so when the copy was made: also those that were deleted, switched off or
        /// rotated since
        #[arg(long)]
        keep_active: bool,
        /// Which database.
        #[command(flatten)]
        database: DatabaseOptions,
    },
    /// Copy everything from one database to another that is empty, such as from sqlite:data/console.db to
    /// postgres://…, while no server runs on either
    Copy {
        /// Where everything is
        #[arg(long, value_name = "URL")]
        from: String,
        /// Where it is to be; its tables are made
        #[arg(long, value_name = "URL")]
        to: String,
    },
    /// Accounts, from the command line
    Account {
        /// What to do with them.
        #[command(subcommand)]
        command: AccountCommand,
    },
}

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Make an account; its password is read from standard input
    Add {
        /// The address to sign in with
        email: String,
        /// Which database.
        #[command(flatten)]
        database: DatabaseOptions,
    },
    /// List all accounts
    List {
        /// Which database.
        #[command(flatten)]
        database: DatabaseOptions,
    },
    /// Give an account another password, read from standard input, and end its sessions
    SetPassword {
        /// The address of the account
        email: String,
        /// Which database.
        #[command(flatten)]
        database: DatabaseOptions,
    },
}

/// Which database.
#[derive(Args, Clone, Debug)]
pub struct DatabaseOptions {
    /// Where everything is kept
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite:data/console.db", value_name = "URL")]
    pub database_url: String,
}

/// How to serve.
#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseOptions,

    /// Address and port to listen on
    #[arg(long, env = "MECHA_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// A Unix socket at which a gateway on this machine may ask /verify. The server's user and group may open it, and
    /// whoever does is believed in X-Forwarded-For, which the gateway must set
    #[arg(long, env = "MECHA_SOCKET", value_name = "FILE")]
    pub socket: Option<PathBuf>,

    /// The address by which browsers reach the console, such as https://keys.example.com; needed behind a
    /// reverse proxy, and wherever the console listens beyond this machine
    #[arg(long, env = "MECHA_PUBLIC_URL", value_name = "URL", value_parser = parse_origin)]
    pub public_url: Option<Origin>,

    /// Who may make an account: the first visitor only, or anybody
    #[arg(long, env = "MECHA_SIGN_UPS", default_value = "first", value_name = "WHO")]
    pub sign_ups: SignUps,

    /// Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, such as 10.0.0.0/8
    #[arg(long, env = "MECHA_TRUSTED_PROXIES", value_delimiter = ',', value_name = "NETWORKS")]
    pub trusted_proxies: Vec<IpNet>,

    /// What the secrets of this instance begin with
    #[arg(long, env = "MECHA_KEY_PREFIX", default_value = "mm_tok_", value_name = "PREFIX", value_parser = Prefix::parse)]
    pub key_prefix: Prefix,

    /// What secrets of this instance began with earlier: they stay valid. The server does not start while there are keys
    /// whose prefix is neither here nor that of --key-prefix
    #[arg(long, env = "MECHA_PREVIOUS_KEY_PREFIXES", value_delimiter = ',', value_name = "PREFIXES", value_parser = Prefix::parse)]
    pub previous_key_prefixes: Vec<Prefix>,

    /// Password hashes at once; each takes 19 MiB and a core [default: one less than there are cores]
    #[arg(long, env = "MECHA_PASSWORD_HASHES", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub password_hashes: Option<u16>,

    /// Threads that serve connections and answer verifications; pages and changes have others [default: one less than
    /// there are cores]
    #[arg(long, env = "MECHA_VERIFICATION_THREADS", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub verification_threads: Option<u16>,

    /// Requests with an invalid key from one network in a minute before it gets 429; 0 for any number. Valid keys never do
    #[arg(long, alias = "refusals-per-minute", env = "MECHA_DENIALS_PER_MINUTE",
          default_value_t = earlier_name("MECHA_REFUSALS_PER_MINUTE", 600), value_name = "COUNT")]
    pub denials_per_minute: u32,

    /// Changes of keys that one account may make in a minute before it is told to wait; 0 for any number
    #[arg(long, env = "MECHA_CHANGES_PER_MINUTE", default_value = "120", value_name = "COUNT")]
    pub changes_per_minute: u32,

    /// Address and port for the operator's monitoring: /metrics, /healthz and /readyz. Whoever reaches it may read
    /// it; without it, there are no metrics
    #[arg(long, env = "MECHA_METRICS", value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,

    /// Seconds between SIGTERM and the end of connections, in which requests are served as before and /readyz is 503: so
    /// that a load balancer sends new requests to other nodes
    #[arg(long, alias = "stop-after", env = "MECHA_SHUTDOWN_DELAY", default_value_t = earlier_name("MECHA_STOP_AFTER", 0),
          value_name = "SECONDS", value_parser = clap::value_parser!(u8).range(..=60))]
    pub shutdown_delay: u8,

    /// The folder with the pages' scripts and styles
    #[arg(long, env = "LEPTOS_SITE_ROOT", default_value = "target/site", value_name = "FOLDER")]
    pub site_root: PathBuf,
}

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SignUps {
    /// The first visitor, and whoever is added from the command line
    First,
    /// Anybody
    Open,
}

/// The value of a variable by the name that it had in earlier versions, or else the default.
fn earlier_name<T: std::str::FromStr>(variable: &str, default: T) -> T {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Cores for work that leaves one to other work; at least one.
#[must_use]
pub fn all_cores_but_one() -> usize {
    available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

/// Scheme, host and port (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whether it is HTTPS.
    pub is_https: bool,
    /// Host and port, as the `Host` header has them.
    pub authority: String,
}

impl Origin {
    /// Whether browsers hold it to be as safe as HTTPS: it is, or it names this machine (W3C Secure Contexts).
    #[must_use]
    pub fn is_secure_context(&self) -> bool {
        self.is_https || self.is_local()
    }

    fn is_local(&self) -> bool {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, port)| {
            if port.bytes().all(|b| b.is_ascii_digit()) { host } else { &self.authority }
        });
        host == "localhost"
            || host.ends_with(".localhost")
            || host
                .trim_matches(['[', ']'])
                .parse()
                .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.is_https { "https" } else { "http" }, self.authority)
    }
}

fn parse_origin(text: &str) -> Result<Origin, String> {
    let wrong = || "http:// or https://, a host, perhaps a port, and nothing more".to_owned();
    let uri: axum::http::Uri = text.parse().map_err(|_| wrong())?;
    let authority =
        uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong());
    }
    let authority = authority.as_str().to_ascii_lowercase();
    match uri.scheme_str() {
        Some("https") => {
            Ok(Origin { is_https: true, authority: authority.trim_end_matches(":443").to_owned() })
        }
        Some("http") => {
            Ok(Origin { is_https: false, authority: authority.trim_end_matches(":80").to_owned() })
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_and_nothing_more() {
        assert_eq!(
            parse_origin("https://Keys.Example.com:443/").unwrap().to_string(),
            "https://keys.example.com"
        );
        assert_eq!(parse_origin("http://[::1]:3000").unwrap().to_string(), "http://[::1]:3000");
        for bad in
            ["", "keys.example.com", "ftp://a", "https://a/b", "https://a?b", "https://u@a", "https://"]
        {
            assert!(parse_origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_safe_without_https() {
        for local in ["http://localhost:3000", "http://127.0.0.1", "http://127.8.8.8:1", "http://[::1]:3000"]
        {
            assert!(parse_origin(local).unwrap().is_local(), "{local}");
        }
        for other in ["http://192.168.1.5:3000", "http://localhost.example.com", "http://[2001:db8::1]"] {
            assert!(!parse_origin(other).unwrap().is_local(), "{other}");
        }
    }
}
