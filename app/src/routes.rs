//! URL paths of the console: pages, and the dialogs of a page. Dialogs have URLs so that plain links can open them.

#[cfg(feature = "ssr")]
use crate::domain::activity::{ActivityPosition, ActivityQuery};
use crate::domain::api_key::KeyId;
#[cfg(feature = "ssr")]
use crate::domain::mecha::{KeyOwner, MechaId};

/// Settings → API Keys, the start page after sign-in.
pub const HOME: &str = "/settings/api-keys";
/// Stream of key events (server-sent events).
pub const EVENTS: &str = "/settings/api-keys/events";
/// The stream of events for the page of all Mechas.
pub const MECHAS_EVENTS: &str = "/settings/api-keys/events?page=mechas";
/// All Mechas. Below it are the pages of the single ones.
pub const MECHAS: &str = "/mechas";
/// Settings → Integrate: how to send keys and how to configure a gateway.
pub const INTEGRATE: &str = "/settings/use-it";
/// Settings → Account: password, sessions, deletion of the account.
pub const ACCOUNT: &str = "/settings/account";
/// Settings → Activity: the activity log of the account.
pub const ACTIVITY: &str = "/settings/activity";
/// API reference.
pub const REFERENCE: &str = "/docs/api";
/// The part of the API reference that describes how runtimes connect.
pub const RUNTIME_REFERENCE: &str = "/docs/api#api-v1-runtime";
/// How runtimes connect: a WebSocket.
pub const RUNTIME: &str = "/api/v1/runtime";
/// The OpenAPI document.
pub const OPENAPI: &str = "/api/v1/openapi.json";
/// Sign-in page. Requests for pages without a session are redirected to it.
pub const SIGN_IN: &str = "/sign-in";
/// Sign-up page.
pub const SIGN_UP: &str = "/sign-up";

/// An action: a form that is posted to a server function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Creates a key.
    Create,
    /// Renames a key.
    Rename,
    /// Changes the name, the description and the access of a key.
    Edit,
    /// Extends the expiry of a key.
    Refresh,
    /// Switches a key on or off.
    SetActive,
    /// Generates a new secret for a key.
    Rotate,
    /// Retires the previous secret of a key.
    Retire,
    /// Deletes a key.
    Delete,
    /// Creates a Mecha.
    CreateMecha,
    /// Changes the name and the description of a Mecha.
    DescribeMecha,
    /// Switches a Mecha on or off.
    SetMechaActive,
    /// Deletes a Mecha and its keys.
    DeleteMecha,
    /// Tests or drains a runtime.
    CommandRuntime,
    /// Disconnects a runtime.
    DisconnectRuntime,
    /// Creates an account and a session.
    SignUp,
    /// Creates a session.
    SignIn,
    /// Ends the session.
    SignOut,
    /// Sets a new password.
    ChangePassword,
    /// Ends another session of the account.
    EndSession,
    /// Ends all sessions of the account.
    SignOutEverywhere,
    /// Deletes the account.
    DeleteAccount,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 21] = [
        Self::Create,
        Self::Rename,
        Self::Edit,
        Self::Refresh,
        Self::SetActive,
        Self::Rotate,
        Self::Retire,
        Self::Delete,
        Self::CreateMecha,
        Self::DescribeMecha,
        Self::SetMechaActive,
        Self::DeleteMecha,
        Self::CommandRuntime,
        Self::DisconnectRuntime,
        Self::SignUp,
        Self::SignIn,
        Self::SignOut,
        Self::ChangePassword,
        Self::EndSession,
        Self::SignOutEverywhere,
        Self::DeleteAccount,
    ];

    /// The path of the server function.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Create => "/rpc/keys/create",
            Self::Rename => "/rpc/keys/rename",
            Self::Edit => "/rpc/keys/edit",
            Self::Refresh => "/rpc/keys/refresh",
            Self::SetActive => "/rpc/keys/set-active",
            Self::Rotate => "/rpc/keys/rotate",
            Self::Retire => "/rpc/keys/retire",
            Self::Delete => "/rpc/keys/delete",
            Self::CreateMecha => "/rpc/mechas/create",
            Self::DescribeMecha => "/rpc/mechas/describe",
            Self::SetMechaActive => "/rpc/mechas/set-active",
            Self::DeleteMecha => "/rpc/mechas/delete",
            Self::CommandRuntime => "/rpc/mechas/command",
            Self::DisconnectRuntime => "/rpc/mechas/disconnect",
            Self::SignUp => "/rpc/account/sign-up",
            Self::SignIn => "/rpc/account/sign-in",
            Self::SignOut => "/rpc/account/sign-out",
            Self::ChangePassword => "/rpc/account/change-password",
            Self::EndSession => "/rpc/account/end-session",
            Self::SignOutEverywhere => "/rpc/account/sign-out-everywhere",
            Self::DeleteAccount => "/rpc/account/delete",
        }
    }

    /// Parses a path.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.path() == path)
    }

    /// Whether the response contains a new secret. It is then the only response that does.
    #[must_use]
    pub fn reveals_secret(self) -> bool {
        matches!(self, Self::Create | Self::Rotate)
    }

    /// The URL of the page with the form of this action, for a key of this owner or for this Mecha. `is_active` is the value
    /// of the forms that switch a key or a Mecha on or off.
    #[cfg(feature = "ssr")]
    #[must_use]
    pub fn form_url(self, key: Option<KeyId>, owner: &KeyOwner, is_active: bool) -> String {
        let dialog = match (self, key) {
            (Self::SignUp, _) => return SIGN_UP.to_owned(),
            (Self::SignIn | Self::SignOut, _) => return SIGN_IN.to_owned(),
            (Self::ChangePassword | Self::EndSession | Self::SignOutEverywhere | Self::DeleteAccount, _) => {
                return ACCOUNT.to_owned();
            }
            (Self::CreateMecha, _) => return MechaDialog::New.href(None),
            (Self::DescribeMecha, _) => return MechaDialog::Describe.href(owner.mecha()),
            (Self::SetMechaActive, _) if !is_active => return MechaDialog::SwitchOff.href(owner.mecha()),
            (Self::DeleteMecha, _) => return MechaDialog::Delete.href(owner.mecha()),
            (Self::DisconnectRuntime, _) => return MechaDialog::Disconnect.href(owner.mecha()),
            (Self::Create, _) => Some(Dialog::Generate),
            (Self::Rename, Some(key)) => Some(Dialog::Rename(key)),
            (Self::Edit, Some(key)) => Some(Dialog::Edit(key)),
            (Self::Refresh, Some(key)) => Some(Dialog::Refresh(key)),
            (Self::Rotate, Some(key)) => Some(Dialog::Rotate(key)),
            (Self::Retire, Some(key)) => Some(Dialog::Retire(key)),
            (Self::Delete, Some(key)) => Some(Dialog::Delete(key)),
            (Self::SetActive, Some(key)) if !is_active => Some(Dialog::SwitchOff(key)),
            // The form to switch a key or a Mecha on is in the page itself.
            (Self::SetActive | Self::SetMechaActive | Self::CommandRuntime, _) | (_, None) => None,
        };
        let page = page_of(owner);
        dialog.map_or_else(|| page.clone(), |dialog| dialog.href(&page))
    }

    /// What the next page confirms, for an action of keys. `is_active` is the value of the form that switches a key on or
    /// off. The other actions return their next page themselves.
    #[must_use]
    pub fn done(self, is_active: bool) -> Option<Done> {
        Some(match self {
            Self::Create => Done::Generated,
            Self::Rename => Done::Renamed,
            Self::Edit => Done::Edited,
            Self::Refresh => Done::Refreshed,
            Self::SetActive if is_active => Done::SwitchedOn,
            Self::SetActive => Done::SwitchedOff,
            Self::Rotate => Done::Rotated,
            Self::Retire => Done::Retired,
            Self::Delete => Done::Deleted,
            _ => return None,
        })
    }
}

/// A dialog of Settings → API Keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialog {
    /// Creates a key, then shows its secret. The second step has no URL, because the secret is shown only once.
    Generate,
    /// Renames a key.
    Rename(KeyId),
    /// Changes the name, the description and the access of a key.
    Edit(KeyId),
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
            Self::Edit(key) => ("edit", Some(key)),
            Self::Refresh(key) => ("refresh", Some(key)),
            Self::SwitchOff(key) => ("switch-off", Some(key)),
            Self::Rotate(key) => ("rotate", Some(key)),
            Self::Retire(key) => ("retire", Some(key)),
            Self::Usage(key) => ("usage", Some(key)),
            Self::Delete(key) => ("delete", Some(key)),
        }
    }

    /// Whether the dialog shows who used its key: it asks for a change that affects them.
    #[must_use]
    pub fn shows_usage(&self) -> bool {
        !matches!(self, Self::Generate | Self::Rename(_) | Self::Edit(_) | Self::Refresh(_))
    }

    /// The URL of `page` with this dialog open.
    #[must_use]
    pub fn href(&self, page: &str) -> String {
        match self.parts() {
            (name, None) => format!("{page}?dialog={name}"),
            (name, Some(key)) => format!("{page}?dialog={name}&key_id={}", key.as_str()),
        }
    }

    /// Parses the dialog from the query parameters; `None` if the name is unknown or the key is missing.
    #[must_use]
    pub fn parse(name: &str, key: Option<KeyId>) -> Option<Self> {
        match (name, key) {
            ("generate", _) => Some(Self::Generate),
            ("rename", Some(key)) => Some(Self::Rename(key)),
            ("edit", Some(key)) => Some(Self::Edit(key)),
            ("refresh", Some(key)) => Some(Self::Refresh(key)),
            ("switch-off", Some(key)) => Some(Self::SwitchOff(key)),
            ("rotate", Some(key)) => Some(Self::Rotate(key)),
            ("retire", Some(key)) => Some(Self::Retire(key)),
            ("usage", Some(key)) => Some(Self::Usage(key)),
            ("delete", Some(key)) => Some(Self::Delete(key)),
            _ => None,
        }
    }
}

/// A dialog for a Mecha.
#[cfg(feature = "ssr")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MechaDialog {
    /// Creates a Mecha.
    New,
    /// Changes its name and its description.
    Describe,
    /// Confirms that it should be switched off.
    SwitchOff,
    /// Confirms that it should be deleted.
    Delete,
    /// Confirms that one of its runtimes should be disconnected.
    Disconnect,
}

#[cfg(feature = "ssr")]
impl MechaDialog {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::New, "new-mecha"),
        (Self::Describe, "describe-mecha"),
        (Self::SwitchOff, "switch-off-mecha"),
        (Self::Delete, "delete-mecha"),
        (Self::Disconnect, "disconnect-runtime"),
    ];

    /// The name of the dialog in URLs.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(dialog, _)| *dialog == self).map_or("", |(_, name)| name)
    }

    /// Parses the name; `None` if it is unknown.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(dialog, _)| *dialog)
    }

    /// The URL of the page with this dialog open: that of the Mecha, or of all Mechas without one.
    #[must_use]
    pub fn href(self, mecha: Option<&MechaId>) -> String {
        let page = mecha.map_or_else(|| MECHAS.to_owned(), mecha_page);
        format!("{page}?dialog={}", self.name())
    }
}

/// The URL of the stream of key events for the page of a Mecha.
#[cfg(feature = "ssr")]
#[must_use]
pub fn events_of(mecha: &MechaId) -> String {
    format!("{EVENTS}?mecha={}", mecha.as_str())
}

/// The name in URLs of the dialog that calls an action of a Mecha.
#[cfg(feature = "ssr")]
pub const TRY_DIALOG: &str = "try-action";

/// The path to which the form is posted that calls an action of a Mecha.
#[cfg(feature = "ssr")]
#[must_use]
pub fn try_action(mecha: &MechaId) -> String {
    format!("{}/try", mecha_page(mecha))
}

/// The path of the page of a Mecha.
#[cfg(feature = "ssr")]
#[must_use]
pub fn mecha_page(mecha: &MechaId) -> String {
    format!("{MECHAS}/{}", mecha.as_str())
}

/// The path of the page with the keys of an owner.
#[cfg(feature = "ssr")]
#[must_use]
pub fn page_of(owner: &KeyOwner) -> String {
    owner.mecha().map_or_else(|| HOME.to_owned(), mecha_page)
}

/// A successful action, which the next page or a toast confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A key was created.
    Generated,
    /// A key was renamed.
    Renamed,
    /// The name, the description or the access of a key was changed.
    Edited,
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
    /// A Mecha was created.
    MechaCreated,
    /// The name or the description of a Mecha was changed.
    MechaChanged,
    /// A Mecha was switched on.
    MechaSwitchedOn,
    /// A Mecha was switched off.
    MechaSwitchedOff,
    /// A Mecha was deleted.
    MechaDeleted,
    /// The round trip to a runtime was measured.
    RuntimeTested,
    /// A runtime was asked to finish its work.
    RuntimeDrained,
    /// A runtime was disconnected.
    RuntimeDisconnected,
    /// The session was ended.
    SignedOut,
    /// All sessions of the account were ended.
    SignedOutEverywhere,
    /// Another session was ended.
    OtherSessionEnded,
    /// The password was changed.
    PasswordChanged,
    /// The account was deleted.
    AccountDeleted,
    /// The session has ended by itself, or on another device.
    SessionEnded,
}

impl Done {
    const NAMES: [(Self, &'static str); 23] = [
        (Self::Generated, "generated"),
        (Self::Renamed, "renamed"),
        (Self::Edited, "edited"),
        (Self::Refreshed, "refreshed"),
        (Self::SwitchedOn, "switched-on"),
        (Self::SwitchedOff, "switched-off"),
        (Self::Rotated, "rotated"),
        (Self::Retired, "retired"),
        (Self::Deleted, "deleted"),
        (Self::MechaCreated, "mecha-created"),
        (Self::MechaChanged, "mecha-changed"),
        (Self::MechaSwitchedOn, "mecha-switched-on"),
        (Self::MechaSwitchedOff, "mecha-switched-off"),
        (Self::MechaDeleted, "mecha-deleted"),
        (Self::RuntimeTested, "runtime-tested"),
        (Self::RuntimeDrained, "runtime-drained"),
        (Self::RuntimeDisconnected, "runtime-disconnected"),
        (Self::SignedOut, "signed-out"),
        (Self::SignedOutEverywhere, "signed-out-everywhere"),
        (Self::OtherSessionEnded, "other-session-ended"),
        (Self::PasswordChanged, "password-changed"),
        (Self::AccountDeleted, "account-deleted"),
        (Self::SessionEnded, "session-ended"),
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

/// The URL of a page of the activity log.
#[cfg(feature = "ssr")]
#[must_use]
pub fn activity_url(query: &ActivityQuery) -> String {
    let kind = query.kind.map(|kind| format!("kind={}", kind.name()));
    let key = query.key.as_ref().map(|key| format!("key={}", key.as_str()));
    let position = match query.position {
        ActivityPosition::Newest => None,
        ActivityPosition::Before(id) => Some(format!("before={id}")),
        ActivityPosition::After(id) => Some(format!("after={id}")),
    };
    let parameters: Vec<String> = [kind, key, position].into_iter().flatten().collect();
    format!("{ACTIVITY}?{}", parameters.join("&"))
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
        let separator = if page.contains('?') { '&' } else { '?' };
        format!("{page}{separator}next={}", percent_encoding::utf8_percent_encode(next, &IN_QUERY))
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
            Dialog::Edit(key.clone()),
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
