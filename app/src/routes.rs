//! Addresses inside the console: pages, and the dialogs of a page, which have addresses too, so that
//! each can be reached with a plain link.

use crate::domain::api_key::KeyId;

/// Where a signed-in owner arrives.
pub const HOME: &str = "/settings/api-keys";
/// What happens to the keys, while it happens.
pub const EVENTS: &str = "/settings/api-keys/events";
/// Who used a key lately: a piece of the page.
pub const USAGE: &str = "/settings/api-keys/traffic";
/// How to put keys to use.
pub const USE_IT: &str = "/settings/use-it";
/// Password, sessions, and the end of the account.
pub const ACCOUNT: &str = "/settings/account";
/// Who did what, when and from where.
pub const ACTIVITY: &str = "/settings/activity";
/// What programs may call.
pub const REFERENCE: &str = "/docs/api";
/// Where somebody signed out is led.
pub const SIGN_IN: &str = "/sign-in";
/// Where an account is made.
pub const SIGN_UP: &str = "/sign-up";

/// A dialog of Settings → API Keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialog {
    /// New API key, and then its secret, which has no address: it is shown once.
    Generate,
    /// A new name for a key.
    Rename(KeyId),
    /// A later expiry for a key.
    Refresh(KeyId),
    /// Confirms that a key is to be switched off.
    SwitchOff(KeyId),
    /// Another secret for a key.
    Rotate(KeyId),
    /// Confirms that the old secret of a key is to end at once.
    Retire(KeyId),
    /// Who used a key lately, and who was refused with it.
    Usage(KeyId),
    /// Confirms that a key is to be deleted.
    Delete(KeyId),
}

impl Dialog {
    /// The dialog's name in an address, and the key it is about.
    #[must_use]
    pub fn parts(&self) -> (&'static str, Option<&KeyId>) {
        match self {
            Self::Generate => ("generate", None),
            Self::Rename(key) => ("rename", Some(key)),
            Self::Refresh(key) => ("refresh", Some(key)),
            Self::SwitchOff(key) => ("switch-off", Some(key)),
            Self::Rotate(key) => ("rotate", Some(key)),
            Self::Retire(key) => ("retire", Some(key)),
            Self::Usage(key) => ("traffic", Some(key)),
            Self::Delete(key) => ("delete", Some(key)),
        }
    }

    /// The address of the page with this dialog open.
    #[must_use]
    pub fn href(&self) -> String {
        match self.parts() {
            (name, None) => format!("{HOME}?dialog={name}"),
            (name, Some(key)) => format!("{HOME}?dialog={name}&key_id={}", key.as_str()),
        }
    }

    /// Reads the dialog from the address's parameters.
    #[must_use]
    pub fn parse(name: &str, key: Option<KeyId>) -> Option<Self> {
        match (name, key) {
            ("generate", _) => Some(Self::Generate),
            ("rename", Some(key)) => Some(Self::Rename(key)),
            ("refresh", Some(key)) => Some(Self::Refresh(key)),
            ("switch-off", Some(key)) => Some(Self::SwitchOff(key)),
            ("rotate", Some(key)) => Some(Self::Rotate(key)),
            ("retire", Some(key)) => Some(Self::Retire(key)),
            ("traffic", Some(key)) => Some(Self::Usage(key)),
            ("delete", Some(key)) => Some(Self::Delete(key)),
            _ => None,
        }
    }
}

/// What an action did, as its toast says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A key was made.
    Generated,
    /// A key has a new name.
    Renamed,
    /// A key has a later expiry.
    Refreshed,
    /// A key is let in again.
    SwitchedOn,
    /// A key is refused for now.
    SwitchedOff,
    /// A key has another secret.
    Rotated,
    /// The old secret of a key is refused.
    Retired,
    /// A key is gone.
    Deleted,
    /// The session has ended.
    SignedOut,
    /// All sessions of the account have ended.
    SignedOutEverywhere,
    /// The account has another password.
    PasswordChanged,
    /// The account is gone.
    AccountDeleted,
}

impl Done {
    const NAMES: [(Self, &'static str); 12] = [
        (Self::Generated, "generated"),
        (Self::Renamed, "renamed"),
        (Self::Refreshed, "refreshed"),
        (Self::SwitchedOn, "switched-on"),
        (Self::SwitchedOff, "switched-off"),
        (Self::Rotated, "rotated"),
        (Self::Retired, "retired"),
        (Self::Deleted, "deleted"),
        (Self::SignedOut, "signed-out"),
        (Self::SignedOutEverywhere, "signed-out-everywhere"),
        (Self::PasswordChanged, "password-changed"),
        (Self::AccountDeleted, "account-deleted"),
    ];

    /// The address of `page` with this said on it.
    #[must_use]
    pub fn href(self, page: &str) -> String {
        let name = Self::NAMES.iter().find(|(done, _)| *done == self).map_or("", |(_, name)| name);
        format!("{page}?done={name}")
    }

    /// Reads it from the address's parameter.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(done, _)| *done)
    }
}

/// The address of `page`, which leads on to `next` afterwards.
#[cfg(feature = "ssr")]
#[must_use]
pub fn with_next(page: &str, next: &str) -> String {
    /// What may stand in a query as it is (RFC 3986, section 3.4), but for what a query itself uses.
    const IN_QUERY: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    if next.is_empty() {
        page.to_owned()
    } else {
        format!("{page}?next={}", percent_encoding::utf8_percent_encode(next, &IN_QUERY))
    }
}

/// Where to go after signing in: `next`, if it is a path of this console and nothing else.
///
/// Browsers read `//host` and `/\host` as other hosts, and drop tabs and line breaks before they do
/// (WHATWG URL); whatever could be read so leads home (OWASP ASVS 5.0, 3.7.2).
#[must_use]
pub fn local_path(next: &str) -> &str {
    let is_local = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_local { next } else { HOME }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialog_with_an_address_is_found_at_it() {
        let key = KeyId::parse(&"a".repeat(32)).unwrap();
        let dialogs = [
            Dialog::Generate,
            Dialog::Rename(key.clone()),
            Dialog::Refresh(key.clone()),
            Dialog::SwitchOff(key.clone()),
            Dialog::Rotate(key.clone()),
            Dialog::Retire(key.clone()),
            Dialog::Usage(key.clone()),
            Dialog::Delete(key.clone()),
        ];
        for dialog in dialogs {
            let (name, of) = dialog.parts();
            assert_eq!(Dialog::parse(name, of.cloned()), Some(dialog.clone()));
        }
        assert_eq!(Dialog::parse("delete", None), None);
        assert_eq!(Dialog::parse("generated", None), None);
    }

    #[test]
    fn after_sign_in_nobody_is_led_to_another_host() {
        for next in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil",
            "",
            "a",
            "/é",
            "/a\r\nb",
        ] {
            assert_eq!(local_path(next), HOME, "{next:?}");
        }
        for next in ["/", "/settings/api-keys?dialog=generate", "/x#y"] {
            assert_eq!(local_path(next), next);
        }
    }
}
