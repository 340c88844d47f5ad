//! `mecha whoami`: shows the key of the other commands.

use crate::api::{Key, fetch};
use crate::args::TargetOptions;
use crate::failure::Failure;
use crate::output;
use crate::target::Target;
use serde_json::json;

pub(crate) async fn run(options: &TargetOptions, json: bool) -> Result<(), Failure> {
    let target = Target::find(options)?;
    let mut key = fetch::<Key>(&target.url, &target.key.read()?, "/api/v1/key").await?;
    if json {
        if let Some(object) = key.json.as_object_mut() {
            object.insert("url".to_owned(), json!(target.url.to_string()));
        }
        return output::json(&key.json);
    }
    let key = key.value;
    output::line(format_args!("{key}, at {}", target.url))?;
    output::line(format_args!("Key ID   {}", key.id))?;
    output::line(format_args!("Account  {}", key.account_id))?;
    output::line(format_args!("Expires  {}", key.expires_at.as_deref().unwrap_or("never")))?;
    output::line(format_args!("Access   {}", access(key.scopes.as_deref())))
}

fn access(scopes: Option<&[String]>) -> String {
    match scopes {
        None => "everything".to_owned(),
        Some([]) => "nothing".to_owned(),
        Some(scopes) => scopes.join(", "),
    }
}
