//! Configuration: command-line flags, each with its environment variable.

use crate::key_cache::scopes::SCOPES_LIMIT;
use crate::secret::Prefix;
use app::domain::access::{Scope, TRIGGER};
use app::domain::key_policy::{KEYS_PER_ACCOUNT, KeyPolicy};
use app::domain::mecha::MECHAS_PER_ACCOUNT;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::available_parallelism;

const DEFAULT_LISTEN: &str = "127.0.0.1:3000";
/// Version and commit.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("MECHA_COMMIT"), ")");

/// Manage API keys in a browser, and verify them on every request
#[derive(Debug, Parser)]
#[command(name = "mecha-console", version = VERSION, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// The command to run; `serve` by default.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `serve`.
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// The commands of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the console and verify keys (the default)
    Serve(Box<ServeOptions>),
    /// Check that the server at --listen is ready; exits with 0 if it is, and 1 otherwise
    Healthcheck(HealthcheckOptions),
    /// Bring the database schema up to date, and exit
    Migrate(DatabaseOptions),
    /// Copy the database to a file, also while a server uses it
    Backup {
        /// The backup file to create; it must not exist
        file: PathBuf,
        /// The database.
        #[command(flatten)]
        database: DatabaseOptions,
    },
    /// Replace the database with a backup. All keys are switched off and all sessions end, because the backup does not
    /// contain later revocations
    Restore {
        /// The backup file
        file: PathBuf,
        /// Replace an existing database, which is kept with the suffix .replaced
        #[arg(long)]
        overwrite: bool,
        /// Keep keys switched on that were switched on in the backup, including those that were deleted, switched off
        /// or rotated after it
        #[arg(long)]
        keep_active: bool,
        /// The database.
        #[command(flatten)]
        database: DatabaseOptions,
    },
    /// Copy all data to an empty database, such as from sqlite:data/console.db to postgres://…, while no server runs on
    /// either
    Copy {
        /// The source database
        #[arg(long, value_name = "URL")]
        from: String,
        /// The target database; its tables are created
        #[arg(long, value_name = "URL")]
        to: String,
    },
    /// Manage accounts from the command line
    Account {
        /// The command to run.
        #[command(subcommand)]
        command: AccountCommand,
    },
}

/// The commands that manage accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Create an account; the password is read from standard input
    Add {
        /// The e-mail address to sign in with
        email: String,
        /// The database.
        #[command(flatten)]
        database: DatabaseOptions,
    },
    /// List all accounts
    List {
        /// The database.
        #[command(flatten)]
        database: DatabaseOptions,
    },
    /// Change the password of an account and end its sessions; the password is read from standard input
    SetPassword {
        /// The e-mail address of the account
        email: String,
        /// The database.
        #[command(flatten)]
        database: DatabaseOptions,
    },
}

/// Options of `healthcheck`.
#[derive(Args, Clone, Copy, Debug)]
pub struct HealthcheckOptions {
    /// Address and port that the server listens on
    #[arg(long, env = "MECHA_LISTEN", default_value = DEFAULT_LISTEN, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
}

/// The database to use.
#[derive(Args, Clone, Debug)]
pub struct DatabaseOptions {
    /// URL of the database: sqlite:FILE or postgres://…
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite:data/console.db", value_name = "URL")]
    pub database_url: String,
}

/// Options of `serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseOptions,

    /// Address and port to listen on
    #[arg(long, env = "MECHA_LISTEN", default_value = DEFAULT_LISTEN, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Another address and port, for gateways: serves /verify only, on threads of its own, so that pages do not delay it.
    /// Without encryption or authentication: let only gateways reach it
    #[arg(long, env = "MECHA_VERIFY_LISTEN", value_name = "ADDRESS:PORT")]
    pub verify_listen: Option<SocketAddr>,

    /// Unix socket on which a gateway on this machine sends /verify requests. The server's user and group can open it,
    /// and X-Forwarded-For is trusted there, so the gateway must set it
    #[arg(long, env = "MECHA_SOCKET", value_name = "FILE")]
    pub socket: Option<PathBuf>,

    /// URL at which browsers reach the console, such as https://keys.example.com; required behind a reverse proxy, and
    /// when the console listens beyond this machine
    #[arg(long, env = "MECHA_PUBLIC_URL", value_name = "URL", value_parser = parse_origin)]
    pub public_url: Option<Origin>,

    /// Who may create an account: only the first visitor, or anyone
    #[arg(long, env = "MECHA_SIGN_UPS", default_value = "first", value_name = "WHO")]
    pub sign_ups: SignUps,

    /// Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted, such as 10.0.0.0/8
    #[arg(long, env = "MECHA_TRUSTED_PROXIES", value_delimiter = ',', value_name = "NETWORKS")]
    pub trusted_proxies: Vec<IpNet>,

    /// Prefix of new secrets
    #[arg(long, env = "MECHA_KEY_PREFIX", default_value = "mm_tok_", value_name = "PREFIX",
          value_parser = Prefix::parse)]
    pub key_prefix: Prefix,

    /// Earlier prefixes, whose secrets stay valid. The server does not start while a key has a prefix that is neither
    /// listed here nor --key-prefix
    #[arg(long, env = "MECHA_PREVIOUS_KEY_PREFIXES", value_delimiter = ',', value_name = "PREFIXES",
          value_parser = Prefix::parse)]
    pub previous_key_prefixes: Vec<Prefix>,

    /// Maximum number of password hashes at once; each needs 19 MiB and a core [default: number of cores minus one]
    #[arg(long, env = "MECHA_PASSWORD_HASHES", value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub password_hashes: Option<u16>,

    /// Threads of --verify-listen and --socket [default: number of cores minus one]
    #[arg(long, env = "MECHA_VERIFICATION_THREADS", value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub verification_threads: Option<u16>,

    /// Denied requests per minute and network before further ones get status 429; 0 for no limit. Requests with a valid
    /// key are never limited
    #[arg(long, alias = "refusals-per-minute", env = "MECHA_DENIALS_PER_MINUTE",
          default_value_t = from_previous_variable("MECHA_REFUSALS_PER_MINUTE", 600), value_name = "COUNT")]
    pub denials_per_minute: u32,

    /// Maximum number of key changes per minute and account; 0 for no limit
    #[arg(long, env = "MECHA_CHANGES_PER_MINUTE", default_value = "120", value_name = "COUNT")]
    pub changes_per_minute: u32,

    /// Scopes that keys can be restricted to, such as chat:read,chat:write. The scope trigger is always offered
    #[arg(long, env = "MECHA_SCOPES", default_value = "", hide_default_value = true, value_name = "SCOPES",
          value_parser = Scopes::parse)]
    pub scopes: Scopes,

    /// Maximum number of unexpired keys per account, without those of its Mechas
    #[arg(long, env = "MECHA_KEYS_PER_ACCOUNT", default_value_t = KEYS_PER_ACCOUNT, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub keys_per_account: u32,

    /// Maximum number of days until a key expires. Longer periods and keys without expiry are not offered; existing keys
    /// keep their expiry [default: no limit]
    #[arg(long, env = "MECHA_LONGEST_EXPIRY", value_name = "DAYS",
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub longest_expiry: Option<u32>,

    /// Maximum number of Mechas per account
    #[arg(long, env = "MECHA_MECHAS_PER_ACCOUNT", default_value_t = MECHAS_PER_ACCOUNT, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub mechas_per_account: u32,

    /// Maximum number of runtimes that are connected to this server
    #[arg(long, env = "MECHA_RUNTIMES", default_value = "10000", value_name = "COUNT")]
    pub runtimes: u32,

    /// Maximum memory of triggers in flight on this server, in MiB; further ones get 503
    #[arg(long, env = "MECHA_TRIGGER_MEMORY", default_value = "256", value_name = "MIB",
          value_parser = clap::value_parser!(u32).range(2..=1_048_576))]
    pub trigger_memory: u32,

    /// Address and port at which other nodes reach this one, to forward triggers to its runtimes. Only nodes of the same
    /// database can use it; without encryption: let only nodes reach it
    #[arg(long, env = "MECHA_NODE_LISTEN", value_name = "ADDRESS:PORT")]
    pub node_listen: Option<SocketAddr>,

    /// URL at which other nodes reach --node-listen, such as http://10.0.0.2:3400 [default: its address]
    #[arg(long, env = "MECHA_NODE_URL", value_name = "URL", requires = "node_listen", value_parser = parse_node_url)]
    pub node_url: Option<Origin>,

    /// Address and port for monitoring: /metrics, /healthz and /readyz, without authentication; if not set, no metrics
    /// are served
    #[arg(long, env = "MECHA_METRICS", value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,

    /// Seconds between SIGTERM and the closing of connections. Until then requests are served and /readyz returns 503,
    /// so that a load balancer sends new requests to other nodes
    #[arg(long, alias = "stop-after", env = "MECHA_SHUTDOWN_DELAY",
          default_value_t = from_previous_variable("MECHA_STOP_AFTER", 0), value_name = "SECONDS",
          value_parser = clap::value_parser!(u8).range(..=60))]
    pub shutdown_delay: u8,

    /// Folder with the scripts and styles of the pages, instead of those in the binary
    #[arg(long, env = "LEPTOS_SITE_ROOT", value_name = "FOLDER")]
    pub site_root: Option<PathBuf>,
}

impl ServeOptions {
    /// Where other nodes reach this one; empty if they do not.
    #[must_use]
    pub fn reachable_node_url(&self) -> String {
        let address = self.node_listen.map(|address| format!("http://{address}")).unwrap_or_default();
        self.node_url.as_ref().map_or(address, ToString::to_string)
    }

    /// What the operator allows for keys.
    #[must_use]
    pub fn key_policy(&self) -> KeyPolicy {
        KeyPolicy {
            scopes: self.scopes.0.clone(),
            keys_per_account: self.keys_per_account,
            longest_expiry: self.longest_expiry,
        }
    }
}

/// The scopes that keys can be restricted to, at most [`SCOPES_LIMIT`], each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(pub Vec<Scope>);

impl Scopes {
    /// Maximum length of all scopes, in bytes with separators. Gateways limit the headers of a response, and
    /// `X-Key-Scopes` may contain them all.
    const MAX: usize = 2_000;

    /// Parses scopes that are separated by commas, and adds the built-in one.
    ///
    /// # Errors
    /// A scope is not a token (RFC 6749), or there are too many.
    fn parse(text: &str) -> Result<Self, String> {
        let mut scopes: Vec<Scope> = Vec::new();
        let names = text.split(',').filter(|_| !text.is_empty()).chain([TRIGGER]);
        for name in names.map(str::trim) {
            let scope = Scope::parse(name).ok_or_else(|| {
                let max = Scope::MAX;
                format!(
                    "'{name}' is not a scope: expected 1 to {max} ASCII characters without space, \" and \\"
                )
            })?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        let length: usize = scopes.iter().map(|scope| scope.as_str().len() + 1).sum();
        if scopes.len() > SCOPES_LIMIT {
            return Err(format!("at most {} scopes are possible", SCOPES_LIMIT - 1));
        }
        if length > Self::MAX {
            return Err(format!(
                "the scopes have {length} bytes together; at most {} are possible",
                Self::MAX
            ));
        }
        Ok(Self(scopes))
    }
}

/// Who may create an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SignUps {
    /// The first visitor, and accounts added from the command line
    First,
    /// Anyone
    Open,
}

/// The value of an environment variable that earlier versions used, or else `default`.
fn from_previous_variable<T: std::str::FromStr>(variable: &str, default: T) -> T {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The number of cores minus one, so that one core stays free for other work; at least 1.
#[must_use]
pub fn cores_minus_one() -> usize {
    available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

/// Scheme, host and port (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whether the scheme is HTTPS.
    pub is_https: bool,
    /// Host and port, as in the `Host` header.
    pub authority: String,
}

impl Origin {
    /// Whether browsers treat it as a secure context: it uses HTTPS or names this machine (W3C Secure Contexts).
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
    let invalid = || "expected http:// or https://, a host, optionally a port, and nothing else".to_owned();
    let uri: axum::http::Uri = text.parse().map_err(|_| invalid())?;
    let authority =
        uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(invalid)?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(invalid());
    }
    let authority = authority.as_str().to_ascii_lowercase();
    match uri.scheme_str() {
        Some("https") => {
            Ok(Origin { is_https: true, authority: authority.trim_end_matches(":443").to_owned() })
        }
        Some("http") => {
            Ok(Origin { is_https: false, authority: authority.trim_end_matches(":80").to_owned() })
        }
        _ => Err(invalid()),
    }
}

/// Nodes do not use TLS between each other.
fn parse_node_url(text: &str) -> Result<Origin, String> {
    let origin = parse_origin(text)?;
    if origin.is_https { Err("expected http://, a host and a port".to_owned()) } else { Ok(origin) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_definition_is_valid() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn scopes_are_tokens_separated_by_commas() {
        let names = |text: &str| {
            Scopes::parse(text)
                .map(|it| it.0.iter().map(|it| it.as_str().to_owned()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names("").as_deref(), Ok("trigger"));
        assert_eq!(names("chat:read, chat:write,chat:read").as_deref(), Ok("chat:read chat:write trigger"));
        assert_eq!(names("trigger,a").as_deref(), Ok("trigger a"));
        for bad in [",", "a,", "a b", "é", "a\"", &"x".repeat(61)] {
            assert!(names(bad).is_err(), "{bad}");
        }
        let many = |count| (0..count).map(|n| format!("s{n}")).collect::<Vec<_>>().join(",");
        assert!(names(&many(60)).is_ok());
        assert!(names(&many(61)).is_err());
        assert!(names(&many(60).replace('s', &"s".repeat(40))).is_err());
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
    fn only_hosts_of_this_machine_are_local() {
        for local in ["http://localhost:3000", "http://127.0.0.1", "http://127.8.8.8:1", "http://[::1]:3000"]
        {
            assert!(parse_origin(local).unwrap().is_local(), "{local}");
        }
        for other in ["http://192.168.1.5:3000", "http://localhost.example.com", "http://[2001:db8::1]"] {
            assert!(!parse_origin(other).unwrap().is_local(), "{other}");
        }
    }
}
