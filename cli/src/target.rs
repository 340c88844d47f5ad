//! Which console a command uses, and with which key.

use crate::args::TargetOptions;
use crate::config::{Config, Profile};
use crate::failure::Failure;
use crate::secret::{KeySource, Secret, variable};
use crate::server_url::ServerUrl;

/// A console and the source of a key for it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: ServerUrl,
    pub(crate) key: KeySource,
}

impl Target {
    /// Finds the console and the key that the command line, the environment or the profile names.
    ///
    /// # Errors
    /// One of them is missing or not valid.
    pub(crate) fn find(options: &TargetOptions) -> Result<Self, Failure> {
        let (url, key) = (stated_url(options)?, KeySource::from_environment(options.key_file.as_deref())?);
        if let (Some(url), Some(key)) = (&url, &key) {
            return Ok(Self { url: url.clone(), key: key.clone() });
        }
        let name = options.profile()?;
        let profile = Config::read(&Config::path()?)?.profiles.remove(&name);
        let Some(Profile { url: own, key: secret }) = profile else {
            let missing = if url.is_none() { "no URL of a console" } else { "no key" };
            return Err(Failure::usage(format!("{missing} is given, and there is no profile {:?}", name))
                .hint("Run mecha login, or set MECHA_URL and MECHA_KEY."));
        };
        let own = ServerUrl::parse(&own, options.allow_http)?;
        let Some(key) = key else {
            // Another server would learn the key.
            if url.as_ref().is_some_and(|url| *url != own) {
                return Err(Failure::usage(format!(
                    "the key of the profile {:?} belongs to {own}, and is not sent to another console",
                    name
                ))
                .hint("Run mecha login with another --profile, or set MECHA_KEY."));
            }
            return Ok(Self { key: KeySource::Value(Secret::parse(&secret, "the profile")?), url: own });
        };
        Ok(Self { url: url.unwrap_or(own), key })
    }
}

/// The URL that the command line or the environment states.
///
/// # Errors
/// It is not valid.
pub(crate) fn stated_url(options: &TargetOptions) -> Result<Option<ServerUrl>, Failure> {
    let text = match &options.url {
        Some(url) => Some(url.clone()),
        None => variable("MECHA_URL")?,
    };
    text.map(|text| ServerUrl::parse(&text, options.allow_http)).transpose()
}
