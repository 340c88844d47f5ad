//! `mecha logout`: removes a profile.

use crate::args::TargetOptions;
use crate::config::Config;
use crate::failure::Failure;
use crate::output;
use serde_json::json;

pub(crate) fn run(options: &TargetOptions, json: bool) -> Result<(), Failure> {
    let (path, name) = (Config::path()?, options.profile()?);
    let mut config = Config::read(&path)?;
    let removed = config.profiles.remove(&name);
    if removed.is_some() {
        config.write(&path)?;
    }
    if json {
        return output::json(&json!({"profile": name, "removed": removed.is_some()}));
    }
    match removed {
        Some(profile) => output::line(format_args!(
            "Removed the profile {:?}. Its key stays valid: delete it at {} if it is no longer needed.",
            name, profile.url
        )),
        None => output::line(format_args!("There is no profile {:?}.", name)),
    }
}
