//! URL paths of the console: pages, and the dialogs of a page. Dialogs have URLs so that plain links can open them.

use crate::domain::api_key::KeyId;

/// Settings → API Keys, the start page after sign-in.
pub const HOME: &str = "/settings/api-keys";
/// Stream of key events (server-sent events).
pub const EVENTS: &str = "/settings/api-keys/events";
/// HTML fragment with the usage of a key.
pub const USAGE: &str = "/settings/api-keys/traffic";
/// Settings → Use it: how to send keys and how to configure a gateway.
pub const INTEGRATE: &str = "/settings/use-it";
/// Settings → Account: password, sessions, deletion of the account.
pub const ACCOUNT: &str = "/settings/account";
/// Settings → Activity: the activity log of the account.
pub const ACTIVITY: &str = "/settings/activity";
/// API reference.
pub const REFERENCE: &str = "/docs/api";
/// Sign-in page. Requests for pages without a session are redirected to it.
pub const SIGN_IN: &str = "/sign-in";
/// Sign-up page.
pub const SIGN_UP: &str = "/sign-up";

/// A dialog of Settings → API Keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialog {
    /// Creates a key, then shows its secret. The second step has no URL, because the secret is shown only once.
    Generate,
    /// Renames a key.
    Rename(KeyId),
    /// Extends the expiry of a key.
    Refresh(KeyId),
    /// Confirms that a key should be switched off.
    SwitchOff(KeyId),
    /// Generates a new secret for a key.
    Rotate(KeyId),
    /// Confirms that the previous secret of a key should be retired now.
    Retire(KeyId),
    /// Shows the recent usage of a key: allowed and denied requests.
    Usage(KeyId),
    /// Confirms that a key should be deleted.
    Delete(KeyId),
}

impl Dialog {
    /// The name of the dialog in URLs, and the key that it is for.
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

    /// The URL of the page with this dialog open.
    #[must_use]
    pub fn href(&self) -> String {
        match self.parts() {
            (name, None) => format!("{HOME}?dialog={name}"),
            (name, Some(key)) => format!("{HOME}?dialog={name}&key_id={}", key.as_str()),
        }
    }

    /// Parses the dialog from the query parameters; `None` if the name is unknown or the key is missing.
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

/// A successful action, which the next page or a toast confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A key was created.
    Generated,
    /// A key was renamed.
    Renamed,
    /// The expiry of a key was extended.
    Refreshed,
    /// A key was switched on.
    SwitchedOn,
    /// A key was switched off.
    SwitchedOff,
    /// A new secret was generated for a key.
    Rotated,
    /// The previous secret of a key was retired.
    Retired,
    /// A key was deleted.
    Deleted,
    /// The session was ended.
    SignedOut,
    /// All sessions of the account were ended.
    SignedOutEverywhere,
    /// The password was changed.
    PasswordChanged,
    /// The account was deleted.
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

    /// The URL of `page` with this confirmation on it.
    #[must_use]
    pub fn href(self, page: &str) -> String {
        let name = Self::NAMES.iter().find(|(done, _)| *done == self).map_or("", |(_, name)| name);
        format!("{page}?done={name}")
    }

    /// Parses the query parameter; `None` if the name is unknown.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(done, _)| *done)
    }
}

/// The URL of `page` with `next` as the path to redirect to afterwards.
#[cfg(feature = "ssr")]
#[must_use]
pub fn with_next(page: &str, next: &str) -> String {
    /// Percent-encodes everything except these characters, which are allowed in a query (RFC 3986, section 3.4) and
    /// have no special meaning in form data.
    const IN_QUERY: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    if next.is_empty() {
        page.to_owned()
    } else {
        format!("{page}?next={}", percent_encoding::utf8_percent_encode(next, &IN_QUERY))
    }
}

/// The redirect target after sign-in: `next` if it is a local path, otherwise [`HOME`].
///
/// Prevents open redirects (OWASP ASVS 5.0, 3.7.2). Browsers interpret `//host` and `/\host` as another host, and
/// remove tabs and line breaks before parsing (WHATWG URL). Any such path is replaced with [`HOME`].
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
    fn the_query_parameters_of_every_dialog_parse_to_it() {
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
            let (name, key) = dialog.parts();
            assert_eq!(Dialog::parse(name, key.cloned()), Some(dialog.clone()));
        }
        assert_eq!(Dialog::parse("delete", None), None);
        assert_eq!(Dialog::parse("generated", None), None);
    }

    #[test]
    fn sign_in_never_redirects_to_another_host() {
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
