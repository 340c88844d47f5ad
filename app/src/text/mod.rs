//! Every sentence that the console says, in one place where a translator would look for it.
//!
//! Names of buttons and fields that the product's contract fixes are here too; markup refers to them.

use crate::domain::api_key::LIMIT;
use crate::domain::rotation::Grace;
use crate::domain::timestamp::Timestamp;
use crate::error::{ConsoleError, Field, Problem};
use crate::routes::Done;

pub const PRODUCT: &str = "Mecha Console";
pub const SETTINGS: &str = "Settings";
pub const SKIP_TO_CONTENT: &str = "Skip to content";
pub const CANCEL: &str = "Cancel";
pub const CLOSE: &str = "Close";
pub const COPY: &str = "Copy";
pub const COPIED: &str = "Copied";
pub const COPY_FAILED: &str =
    "The browser does not let this page copy. The text is selected: press Ctrl+C or ⌘C.";
pub const UNREACHABLE: &str = "The console cannot be reached. Check your connection and try again.";
pub const DISMISS: &str = "Dismiss";
pub const LESS_THAN_A_MINUTE: &str = "less than a minute";

/// Sign-in and sign-up.
pub mod account {
    pub const SIGN_IN: &str = "Sign in";
    pub const SIGN_UP: &str = "Sign up";
    pub const SIGN_OUT: &str = "Sign out";
    pub const SIGN_IN_LEAD: &str = "to make and govern your API keys";
    pub const SIGN_UP_LEAD: &str = "and make your first API key in a minute";
    pub const EMAIL: &str = "E-mail";
    pub const PASSWORD: &str = "Password";
    pub const PASSWORD_HINT: &str =
        "At least 8 characters. A few words that do not belong together are hard to guess.";
    pub const NO_ACCOUNT_YET: &str = "No account yet?";
    pub const HAVE_ACCOUNT: &str = "Already have an account?";
    pub const CREATE_ACCOUNT: &str = "Create account";
    pub const CLOSED_LEAD: &str = "This console takes no new accounts.";
    pub const CLOSED: &str = "Ask the person who runs it: they can add one with “server account add”, or open sign-ups \
         with “--sign-ups open”.";
    pub const NOT_ENCRYPTED: &str = "This address is not encrypted (plain HTTP): others on the network can read your \
         password and your keys. ClientUse it only on a network you trust, or put the console behind HTTPS.";
}

/// Settings → API Keys.
pub mod keys {
    pub const TITLE: &str = "API Keys";
    pub const LEAD: &str = "A key lets a program call the API as you. Give each program its own.";
    pub const GENERATE: &str = "Generate key";
    pub const FULL: &str =
        "You have 10 keys, the most an account may have. Delete one that is no longer used to make room.";
    pub const EMPTY_TITLE: &str = "No API keys yet";
    pub const EMPTY: &str = "A program, a script or a gateway shows its API key to be let in. Generate one for each of \
         them, so that you can see which is used and take one away without touching the others.";
    pub const YOUR_KEYS: &str = "Your API keys";

    pub const KEY_ID: &str = "Key ID";
    pub const SECRET: &str = "Secret";
    pub const CREATED: &str = "Created";
    pub const EXPIRY: &str = "Expiry";
    pub const USED: &str = "Last used";
    pub const NEVER_USED: &str = "Never used";
    pub const NO_EXPIRY: &str = "No expiry";
    pub const EXPIRING_SOON: &str = "Expiring soon";
    pub const EXPIRED: &str = "Expired";
    pub const ACTIVE: &str = "Active";
    pub const INACTIVE: &str = "Inactive";
    pub const RENAME: &str = "Rename";
    pub const REFRESH: &str = "Refresh";
    pub const DELETE: &str = "Delete";
    pub const REFRESH_EXPIRED: &str = "An expired key cannot be refreshed";
    pub const ROTATE_EXPIRED: &str = "An expired key cannot be rotated";
    pub const ROTATING: &str = "The old secret still works; retire it first";
    pub const REFRESH_ENDLESS: &str = "This key does not expire";

    pub const NEW_TITLE: &str = "New API key";
    pub const NAME: &str = "Key name";
    pub const NAME_HINT: &str = "Begins with a letter, up to 64 characters.";
    pub const EXPIRE_IN: &str = "Expire in";
    pub const DESCRIPTION: &str = "Description (optional)";
    pub const WILL_NOT_EXPIRE: &str =
        "This key will never expire. If it leaks, it works until somebody notices and deletes it.";

    pub const GENERATED_TITLE: &str = "API key generated";
    pub const API_KEY_ID: &str = "API Key ID";
    pub const KEY_SECRET: &str = "Key secret";
    pub const WAITING: &str = "Waiting for the first request with this key …";
    pub const SAVE_NOW: &str =
        "Make sure to copy and save the key secret now, as you will not be able to see it again";
    pub const CURL: &str = "Example with curl";
    pub const ENV: &str = "For a .env file";
    pub const CLOSE_WITHOUT_COPY: &str =
        "The secret was not copied yet, and cannot be shown again. Close anyway?";
    pub const GO_BACK: &str = "Go back";

    pub const RENAME_TITLE: &str = "Rename this API key";
    pub const REFRESH_TITLE: &str = "Refresh this API key";
    pub const REFRESH_LEAD: &str = "Moves the expiry later, counted from now. The secret stays the same.";
    pub const SWITCH_OFF_TITLE: &str = "Switch off this API key";
    pub const SWITCH_OFF: &str = "Switch off";
    pub const SWITCH_OFF_LEAD: &str = "Every request with this key is refused from now on";
    pub const SWITCH_OFF_UNTIL: &str = "Until you switch it on again.";
    pub const ROTATE: &str = "Rotate";
    pub const ROTATE_TITLE: &str = "Rotate this API key";
    pub const ROTATE_LEAD: &str =
        "Gives the key a new secret, shown once. Key ID, name and expiry stay the same.";
    pub const ROTATED_TITLE: &str = "API key rotated";
    pub const GRACE: &str = "The old secret works";
    pub const RETIRE: &str = "Retire now";
    pub const RETIRE_TITLE: &str = "Retire the old secret";
    pub const RETIRE_LEAD: &str = "Every request with the old secret is refused from now on";
    pub const RETIRE_STAYS: &str = "Requests with the new secret go on.";
    pub const USAGE: &str = "Recent refusals";
    pub const USAGE_TITLE: &str = "Recent refusals and use";
    pub const DELETE_TITLE: &str = "Delete this API key";
    pub const CANNOT_BE_UNDONE: &str = "This action cannot be undone";
    pub const DELETE_LEAD: &str =
        "Every request with this key is refused from now on. To confirm, re-enter its name.";
    pub const REENTER: &str = "Re-enter key name";
    pub const DELETE_CONFIRM: &str = "I understand, delete this key";
}

/// The page for a console that is reached by a name that it does not know.
#[cfg(feature = "ssr")]
pub mod misdirected {
    pub const TITLE: &str = "This console is not reached by this address";
    pub const LEAD: &str = "It listens on this machine only, and its pages are at http://localhost or http://127.0.0.1 \
         with its port.";
    pub const REMEDY: &str = "To reach it by another address, such as through a reverse proxy, start it with that \
         address: --public-url https://keys.example.com (or MECHA_PUBLIC_URL).";
}

/// The page for what does not exist, and the one for what cannot be shown now.
pub mod missing {
    pub const TITLE: &str = "Page not found";
    pub const LEAD: &str = "There is nothing at this address.";
    pub const BACK: &str = "Go to your API keys";
    pub const AGAIN: &str = "Try again";
    pub const BROKEN_TITLE: &str = "The page cannot be shown";
}

/// Who used a key lately, and who was refused with it.
#[cfg(feature = "ssr")]
pub mod usage {
    use crate::domain::usage::DenialReason;

    pub const USED_BY: &str = "Used in the last 30 days";
    pub const NOBODY: &str = "Nobody used this key in the last 30 days.";
    pub const REFUSED: &str = "Recent refusals";
    pub const NO_REFUSALS: &str = "No request with this key was refused in the last 30 days.";
    pub const OTHERS: &str = "Others";

    /// How often.
    #[must_use]
    pub fn times(times: u64) -> String {
        if times == 1 { "once".to_owned() } else { format!("{times} times") }
    }

    /// How long ago it was the last time.
    #[must_use]
    pub fn last(span: &str) -> String {
        format!("last {}", super::ago(span))
    }

    /// What came of a request with a new secret: who was let in, or why it was refused.
    #[must_use]
    pub fn first_request(refused: Option<DenialReason>, program: &str) -> String {
        match refused {
            None => format!("First request received: {program}"),
            Some(reason) => format!("A request was refused: {} ({program})", because(reason)),
        }
    }

    /// Why a program was refused, as a sentence.
    #[must_use]
    pub fn refused(reason: DenialReason) -> String {
        format!("DeniedClient: {}", because(reason))
    }

    fn because(reason: DenialReason) -> &'static str {
        match reason {
            DenialReason::Expired => "the key had expired",
            DenialReason::Inactive => "the key was switched off",
            DenialReason::Retired => "it was the old secret, which is retired",
            DenialReason::WrongId => "the Key ID does not match",
            DenialReason::WrongSecret => "the secret does not match the Key ID",
            DenialReason::ClosedModule => "what it asked for is closed to keys",
        }
    }
}

/// Settings → Use it.
#[cfg(feature = "ssr")]
pub mod integrate {
    pub const TITLE: &str = "ClientUse it";
    pub const LEAD: &str = "How programs present a key, and how a gateway lets them through to your API.";
    pub const WAYS: &str = "Present a key";
    pub const WAYS_LEAD: &str =
        "Keep the secret in the environment or a secret store, never in the code. Any of these will do:";
    pub const REFERENCE: &str = "What else programs may call";
    pub const BEARER: &str = "Bearer token";
    pub const PAIR: &str = "A pair of headers";
    pub const ONE_HEADER: &str = "One header";
    pub const BASIC: &str = "Basic authentication";
    pub const GATEWAYS: &str = "Protect your API";
    pub const GATEWAYS_LEAD: &str = "A gateway in front of your API asks this console about every request and tells the          API who calls. The files listen on port 8080 and expect the API on port 8000: change these to yours.";
    pub const TRY: &str = "Try it";
    pub const TRY_LEAD: &str =
        "Through the gateway, with a key of yours. Without one, or after Delete, the answer is 401.";
    pub const CALL: &str = "A request";
    pub const STREAM: &str = "A stream of events";
}

/// Settings → Account.
#[cfg(feature = "ssr")]
pub mod my_account {
    pub const TITLE: &str = "Account";
    pub const LEAD: &str = "Your password, where you are signed in, and the end of the account.";
    pub const CHANGE_PASSWORD: &str = "Change password";
    pub const CHANGE_LEAD: &str = "Your other sessions end; your API keys stay as they are.";
    pub const CURRENT_PASSWORD: &str = "Current password";
    pub const NEW_PASSWORD: &str = "New password";
    pub const SESSIONS: &str = "Sessions";
    pub const SESSIONS_LEAD: &str =
        "Where you are signed in. A session ends after a day without use, and after 30 days at the latest.";
    pub const THIS_SESSION: &str = "This session";
    pub const UNKNOWN_BROWSER: &str = "Unknown browser";
    pub const SIGN_OUT_EVERYWHERE: &str = "Sign out everywhere";
    pub const DELETE: &str = "Delete account";
    pub const DELETE_CONFIRM: &str = "I understand, delete my account";

    /// Where and when a session began.
    #[must_use]
    pub fn began(date: &str, address: &str) -> String {
        if address.is_empty() { format!("Since {date}") } else { format!("Since {date}, from {address}") }
    }

    /// When it was last seen.
    #[must_use]
    pub fn last_seen(span: &str) -> String {
        format!("last seen {}", super::ago(span))
    }

    /// What goes with the account.
    #[must_use]
    pub fn delete_lead(keys: usize) -> String {
        let keys = match keys {
            0 => "You have no API keys.".to_owned(),
            1 => "Your API key goes with it: every request with it is refused from then on.".to_owned(),
            _ => format!("Your {keys} API keys go with it: every request with them is refused from then on."),
        };
        format!("This cannot be undone. {keys} To confirm, enter your password.")
    }
}

/// Settings → Activity.
#[cfg(feature = "ssr")]
pub mod activity {
    use crate::domain::activity::{Activity, What};
    use crate::domain::rotation::Grace;
    use crate::domain::timestamp::Timestamp;

    pub const TITLE: &str = "Activity";
    pub const LEAD: &str = "What was done to your account and your keys, when and from where. Kept for a year; nobody can change it.";
    pub const EMPTY: &str = "Nothing was done yet.";
    pub const NEWEST: &str = "Newest";
    pub const OLDER: &str = "Older";
    pub const PAGES: &str = "Pages of activity";
    pub const ON_THE_SERVER: &str = "on the server";

    /// Where from.
    #[must_use]
    pub fn from(address: &str) -> String {
        if address.is_empty() { ON_THE_SERVER.to_owned() } else { format!("from {address}") }
    }

    /// What was done.
    #[must_use]
    pub fn what(done: &Activity) -> String {
        let (key, became) = (&done.key_name, &done.became);
        let until = || {
            let at = became.parse().ok().map(Timestamp);
            at.map_or_else(|| "does not expire".to_owned(), |at| format!("expires on {}", at.date()))
        };
        match done.what {
            What::AccountMade => "Account created".to_owned(),
            What::SignedIn => "Signed in".to_owned(),
            What::SignInRefused => "DeniedClient: a wrong password".to_owned(),
            What::SignedOut => "Signed out".to_owned(),
            What::SignedOutEverywhere => "Signed out everywhere".to_owned(),
            What::PasswordChanged => "Password changed, other sessions ended".to_owned(),
            What::KeyMade => format!("Key “{key}” generated, {}", until()),
            What::KeyRenamed => format!("Key “{key}” renamed to “{became}”"),
            What::KeyRefreshed => format!("Key “{key}” refreshed, {}", until()),
            What::KeyRotated => {
                let grace = Grace::parse(became).map(super::grace).unwrap_or_default();
                format!("Key “{key}” rotated, the old secret works {grace}")
            }
            What::OldSecretRetired => format!("Old secret of key “{key}” retired"),
            What::OldSecretReplaced => format!("Old secret of key “{key}” retired: the new one was used"),
            What::KeySwitchedOn => format!("Key “{key}” switched on"),
            What::KeySwitchedOff => format!("Key “{key}” switched off"),
            What::KeyDeleted => format!("Key “{key}” deleted"),
        }
    }
}

/// What programs may call.
#[cfg(feature = "ssr")]
pub mod reference {
    pub const TITLE: &str = "API reference";
    pub const LEAD: &str =
        "What programs may call, and what they are answered. Errors are application/problem+json (RFC 9457).";
    pub const DOCUMENT: &str = "The same for programs (OpenAPI 3.1)";
    pub const FOR_KEYS: &str = "For API keys, however they are presented.";
    pub const FOR_SESSIONS: &str = "For the session of a browser; closed to API keys.";
    pub const PARAMETERS: &str = "Parameters";
    pub const MEMBERS: &str = "Members of the answer";
    pub const ANSWERS: &str = "Answers";
}

/// The title of a page in the browser's tab.
#[must_use]
pub fn page_title(page: &str) -> String {
    format!("{page} · {PRODUCT}")
}

/// The name on offer for the `n`th key.
#[must_use]
pub fn default_key_name(n: u32) -> String {
    format!("API key {n}")
}

/// The meter in words.
#[must_use]
pub fn meter(count: u32) -> String {
    format!("{count} of {LIMIT} keys")
}

/// What the switch of a key is called.
#[must_use]
pub fn switch_label(name: &str) -> String {
    format!("{name} is active")
}

/// What the ⋮ menu of a key is called.
#[must_use]
pub fn menu_label(name: &str) -> String {
    format!("Actions for {name}")
}

/// What the copy button beside a value is called.
#[must_use]
pub fn copy_label(what: &str) -> String {
    format!("{COPY} {what}")
}

/// `Expires in 6d 10h`.
#[must_use]
pub fn expires_in(span: &str) -> String {
    format!("Expires in {span}")
}

/// `Expired on 19 February 2027`.
#[must_use]
pub fn expired_on(date: &str) -> String {
    format!("Expired on {date}")
}

/// `Expires on 19 February 2027`, or that it does not.
#[must_use]
pub fn expires_on(at: Option<Timestamp>) -> String {
    at.map_or_else(|| keys::NO_EXPIRY.to_owned(), |at| format!("Expires on {}", at.date()))
}

/// The sentence under the choice of a period.
#[must_use]
pub fn will_expire(at: Option<Timestamp>) -> String {
    at.map_or_else(|| keys::WILL_NOT_EXPIRE.to_owned(), |at| format!("This key will expire on {}", at.date()))
}

/// How long ago a key was last used.
#[must_use]
pub fn ago(span: &str) -> String {
    format!("{span} ago")
}

/// That an old secret still works, and until when.
#[must_use]
pub fn old_secret(last_four: &str, until: Timestamp, ends_on_use: bool) -> String {
    let or = if ends_on_use { ", or until the new one is used" } else { "" };
    format!("Old secret …{last_four} works until {}{or}", until.date_and_time())
}

/// The count beside the description.
#[must_use]
pub fn character_count(is: usize, max: usize) -> String {
    format!("{is} of {max} characters")
}

/// A grace time on offer, as the end of [`keys::GRACE`].
#[must_use]
pub fn grace(grace: Grace) -> &'static str {
    match grace {
        Grace::FirstUse => "until the new one is first used, 7 days at most",
        Grace::None => "no longer",
        Grace::Hour1 => "for 1 hour",
        Grace::Hours24 => "for 24 hours",
        Grace::Days7 => "for 7 days",
    }
}

/// A period on offer.
#[must_use]
pub fn period(value: &str) -> String {
    if value == "never" { keys::NO_EXPIRY.to_owned() } else { format!("{value} days") }
}

/// What was done, for the toast.
#[must_use]
pub fn done(done: Done) -> &'static str {
    match done {
        Done::Generated => "API key generated",
        Done::Renamed => "API key renamed",
        Done::Refreshed => "API key refreshed",
        Done::SwitchedOn => "API key switched on",
        Done::SwitchedOff => "API key switched off",
        Done::Rotated => "API key rotated",
        Done::Retired => "Old secret retired",
        Done::Deleted => "API key deleted",
        Done::SignedOut => "You are signed out",
        Done::SignedOutEverywhere => "You are signed out everywhere",
        Done::PasswordChanged => "Password changed. Your other sessions have ended.",
        Done::AccountDeleted => "Your account is deleted, and its keys are refused",
    }
}

/// What is wrong with a field, and what to do about it.
#[must_use]
pub fn problem(field: Field, problem: Problem) -> String {
    match (field, problem) {
        (Field::Name, Problem::Empty) => "Enter a name for the key.".to_owned(),
        (Field::Email, Problem::Empty) => "Enter your e-mail address.".to_owned(),
        (Field::Password, Problem::Empty) => "Enter a password.".to_owned(),
        (Field::NewPassword, Problem::Empty) => "Enter a new password.".to_owned(),
        (Field::CurrentPassword | Field::ConfirmPassword, Problem::Empty) => {
            "Enter your password.".to_owned()
        }
        (_, Problem::WrongPassword) => "This is not your password.".to_owned(),
        (Field::ConfirmName, _) => "This is not the name of the key. Enter it exactly as shown.".to_owned(),
        (Field::ExpireIn, Problem::NotLater) => {
            "The key already lives longer than this. Choose a longer period.".to_owned()
        }
        (Field::Grace, _) => "Choose how long the old secret is to work.".to_owned(),
        (Field::ExpireIn, _) => "Choose one of the periods on offer.".to_owned(),
        (_, Problem::Empty) => "Fill in this field.".to_owned(),
        (_, Problem::TooLong { is, max }) => {
            format!("Too long: {is} characters. Shorten it to at most {max}.")
        }
        (_, Problem::TooShort { min }) => format!("Too short. ClientUse at least {min} characters."),
        (_, Problem::MustBeginWithLetter) => "Begin the name with a letter.".to_owned(),
        (_, Problem::Invisible) => {
            "There is a character in it that cannot be seen. Delete it, or type the text anew.".to_owned()
        }
        (Field::Email, Problem::Taken) => {
            "There is an account with this address already. Sign in instead.".to_owned()
        }
        (_, Problem::Taken) => "Another of your keys has this name. Choose a different one.".to_owned(),
        (_, Problem::NotAnAddress) => "Enter an e-mail address, such as ada@example.com.".to_owned(),
        (_, Problem::Guessable) => {
            "This password is easy to guess. Make it longer, or less common.".to_owned()
        }
        (_, Problem::NotOnOffer | Problem::NotLater | Problem::DoesNotMatch) => {
            "This choice is not on offer.".to_owned()
        }
    }
}

/// Why something was not done, and what to do about it.
#[must_use]
pub fn error(error: &ConsoleError) -> String {
    match error {
        ConsoleError::Fields(_) => String::new(),
        ConsoleError::WrongCredentials => "E-mail or password is wrong.".to_owned(),
        ConsoleError::SignedOut => {
            "You are signed out. Sign in again in another tab, and then repeat this.".to_owned()
        }
        ConsoleError::NotFound => {
            "This key no longer exists. Reload the page to see the keys you have.".to_owned()
        }
        ConsoleError::LimitReached => keys::FULL.to_owned(),
        ConsoleError::KeyExpired => "This key has expired. Generate a new one instead.".to_owned(),
        ConsoleError::Rotating => {
            "The old secret of this key still works. Retire it first, or wait until it ends.".to_owned()
        }
        ConsoleError::SignUpsClosed => account::CLOSED_LEAD.to_owned(),
        ConsoleError::TooManyAttempts { retry_after: 0..=1 } => {
            "Too many attempts. Try again in a second.".to_owned()
        }
        ConsoleError::TooManyAttempts { retry_after } => {
            format!("Too many attempts. Try again in {retry_after} seconds.")
        }
        ConsoleError::Unavailable => "The console is too busy at the moment. Try again shortly.".to_owned(),
        ConsoleError::Malformed => {
            "The request was not understood. Reload the page and try again.".to_owned()
        }
        ConsoleError::Internal => {
            "Something went wrong on the server. Nothing was lost; try again.".to_owned()
        }
    }
}
