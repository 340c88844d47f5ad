//! `mecha status`: shows the Mechas that the key can see.

use crate::api::{Key, Mecha, Mechas, fetch};
use crate::args::TargetOptions;
use crate::failure::Failure;
use crate::output;
use crate::target::Target;
use serde_json::json;

pub(crate) async fn run(options: &TargetOptions, json: bool) -> Result<(), Failure> {
    let target = Target::find(options)?;
    let secret = target.key.read()?;
    let key = fetch::<Key>(&target.url, &secret, "/api/v1/key").await?;
    let (mechas, mechas_json) = if key.value.mecha.is_some() {
        let mecha = fetch::<Mecha>(&target.url, &secret, "/api/v1/mecha").await?;
        (vec![mecha.value], json!([mecha.json]))
    } else {
        let list = fetch::<Mechas>(&target.url, &secret, "/api/v1/mechas").await?;
        (list.value.mechas, list.json.get("mechas").cloned().unwrap_or_default())
    };
    if json {
        return output::json(&json!({"url": target.url.to_string(), "key": key.json, "mechas": mechas_json}));
    }
    output::line(format_args!("{} responds. You use {}.", target.url, key.value))?;
    if mechas.is_empty() {
        return output::line(format_args!(
            "The account has no Mecha yet. Create one at {}/mechas",
            target.url
        ));
    }
    let width = mechas.iter().map(|mecha| mecha.name.chars().count()).max().unwrap_or_default();
    mechas.iter().try_for_each(|mecha| output::line(format_args!("{:width$}  {}", mecha.name, state(mecha))))
}

/// The state of a Mecha in words.
fn state(mecha: &Mecha) -> String {
    let state = match mecha.state.as_str() {
        "connected" if mecha.runtimes > 1 => format!("connected ({} runtimes)", mecha.runtimes),
        "no-key" => "no key yet".to_owned(),
        "waiting" => "waiting for a runtime".to_owned(),
        "offline" => {
            format!("offline since {} ({})", mecha.offline_since, mecha.offline_because.replace('-', " "))
        }
        state => state.to_owned(),
    };
    if mecha.active { state } else { format!("switched off, {state}") }
}
