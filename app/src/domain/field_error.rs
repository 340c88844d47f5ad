//! Form fields and field errors.

/// A form field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The name of a key.
    Name,
    /// The name of a Mecha.
    MechaName,
    /// The expiry period of a key, or that it expires on a date.
    ExpireIn,
    /// The date on which a key expires.
    ExpiresOn,
    /// Whether a key has access to everything or to chosen scopes.
    Access,
    /// The scopes of a key; occurs once for each.
    Scopes,
    /// The description of a key.
    Description,
    /// The grace period of the previous secret, for a rotation.
    Grace,
    /// The name of the key or the Mecha, re-entered to confirm its deletion.
    ConfirmName,
    /// The e-mail address of the account.
    Email,
    /// The password, at sign-in and sign-up.
    Password,
    /// The current password, to change it.
    CurrentPassword,
    /// The new password.
    NewPassword,
    /// The password, to confirm the deletion of the account.
    ConfirmPassword,
}

impl Field {
    /// Whether the field with this name is a password. No page ever renders the value of a password field.
    #[must_use]
    pub fn is_password(name: &str) -> bool {
        let passwords = [Self::Password, Self::CurrentPassword, Self::NewPassword, Self::ConfirmPassword];
        passwords.iter().any(|field| field.name() == name)
    }

    /// The name of the field in forms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::MechaName => "mecha_name",
            Self::ExpireIn => "expire_in",
            Self::ExpiresOn => "expires_on",
            Self::Access => "access",
            Self::Scopes => "scopes",
            Self::Description => "description",
            Self::Grace => "grace",
            Self::ConfirmName => "confirm_name",
            Self::Email => "email",
            Self::Password => "password",
            Self::CurrentPassword => "current_password",
            Self::NewPassword => "new_password",
            Self::ConfirmPassword => "confirm_password",
        }
    }
}

/// Why the value of a field is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// The value is empty.
    Empty,
    /// The value is too long.
    TooLong {
        /// Length of the value, in characters.
        is: usize,
        /// Maximum length, in the unit of the field's own limit.
        max: usize,
    },
    /// The value is too short.
    TooShort {
        /// Minimum length, in characters.
        min: usize,
    },
    /// A name does not begin with a letter.
    MustBeginWithLetter,
    /// The value contains control characters or other invisible characters.
    Invisible,
    /// Another key of the account has this name, or another account has this e-mail address.
    Taken,
    /// The value is not one of the choices.
    NotOnOffer,
    /// None of the scopes is chosen.
    NoneChosen,
    /// The value was changed after the form was loaded.
    Changed,
    /// The value is not a date.
    NotADate,
    /// The date is not in the range that is allowed.
    OutOfRange {
        /// The first day that is allowed, in days since 1970-01-01.
        first: i64,
        /// The last one.
        last: i64,
    },
    /// The new expiry is not later than the current one.
    NotLater,
    /// The re-entered name is not the name of the key.
    DoesNotMatch,
    /// The value cannot be an e-mail address.
    NotAnAddress,
    /// The password is too easy to guess.
    Guessable,
    /// The value is not the password of the account.
    WrongPassword,
}
