//! Text from people and clients: names, e-mail addresses, secrets, and redirect targets.
#![no_main]

use app::domain::account::{Email, Password};
use app::domain::api_key::KeyId;
use app::domain::description::Description;
use app::domain::expiry::Period;
use app::domain::key_name::KeyName;
use app::domain::rotation::Grace;
use app::domain::unicode::fold;
use app::routes::{local_path, with_next};
use libfuzzer_sys::fuzz_target;
use server::secret::{Prefixes, SecretDigest};
use server::ids::parse_id;

fuzz_target!(|text: &str| {
    if let Ok(name) = KeyName::parse(text) {
        // An accepted name is accepted again, unchanged.
        let again = KeyName::parse(name.as_str()).expect("a name");
        assert_eq!(again.as_str(), name.as_str());
        assert!(KeyName::is_reentered(name.as_str(), name.as_str()));
        assert!((1..=256).contains(&name.as_str().len()));
    }
    if let Ok(description) = Description::parse(text) {
        assert!(description.as_str().chars().count() <= 200);
    }
    if let Ok(email) = Email::parse(text) {
        assert!(Email::parse(email.as_str()).is_ok());
    }
    let _ = (Password::parse_new(text), Period::parse(text), Grace::parse(text), KeyId::parse(text), fold(text));
    assert_eq!(parse_id(text).is_some(), text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()));
    if SecretDigest::parse_presented(&Prefixes::default(), text).is_some() {
        assert!(text.starts_with("mm_tok_") && text.is_ascii());
    }
    let path = local_path(text);
    assert!(path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\t', '\r', '\n']));
    assert!(with_next("/sign-in", text).is_ascii());
});
