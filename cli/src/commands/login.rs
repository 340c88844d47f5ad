//! `mecha login`: verifies a key and stores it.

use crate::api::{Key, fetch};
use crate::args::TargetOptions;
use crate::config::{Config, Profile};
use crate::failure::Failure;
use crate::output;
use crate::secret::{KeySource, Secret};
use crate::server_url::ServerUrl;
use crate::target::stated_url;
use serde_json::json;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

const DEFAULT_URL: &str = "http://127.0.0.1:3000";

pub(crate) async fn run(options: &TargetOptions, json: bool) -> Result<(), Failure> {
    let (path, name) = (Config::path()?, options.profile()?);
    // A file that is not valid must not cost the key that is typed now.
    let mut config = Config::read(&path)?;
    let url = match stated_url(options)? {
        Some(url) => url,
        None => ServerUrl::parse(&read_url()?, options.allow_http)?,
    };
    let secret = match &options.key_file {
        Some(path) => KeySource::File(path.clone()).read()?,
        None => read_key()?,
    };
    let key = fetch::<Key>(&url, &secret, "/api/v1/key").await?;
    let profile = Profile { url: url.to_string(), key: secret.expose().to_owned() };
    config.profiles.insert(name.clone(), profile);
    config.write(&path)?;
    if let Some(source) = KeySource::from_environment(None)? {
        output::log(format_args!("note: {source} takes precedence over the profile"));
    }
    if json {
        return output::json(&json!({"profile": name, "url": url.to_string(), "key": key.json}));
    }
    output::line(format_args!("Signed in to {url} with {}.", key.value))?;
    output::line(format_args!("Stored as profile {:?} in {}.", name, path.display()))
}

fn read_url() -> Result<String, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::usage("no URL of a console is given").hint("Add --url https://…"));
    }
    let _ = write!(stderr(), "URL of the console [{DEFAULT_URL}]: ");
    let mut line = String::new();
    stdin().lock().read_line(&mut line).map_err(|error| Failure::error(error.to_string()))?;
    let line = line.trim();
    Ok(if line.is_empty() { DEFAULT_URL.to_owned() } else { line.to_owned() })
}

/// Reads the key from the terminal without echo, or from the first line of standard input.
fn read_key() -> Result<Secret, Failure> {
    if stdin().is_terminal() {
        let typed =
            rpassword::prompt_password("API key: ").map_err(|error| Failure::error(error.to_string()))?;
        return Secret::parse(&typed, "the input");
    }
    let mut line = String::new();
    stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::error(format!("standard input: {error}")))?;
    Secret::parse(&line, "standard input")
}
