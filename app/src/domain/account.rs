//! Accounts: the id, the e-mail address and the password.

use crate::domain::field_error::FieldError;

/// Public id of an account: 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountId(pub String);

/// The e-mail address of an account. Parsing rejects only text that can never be an address: all that matters is that
/// its owner can enter it again at sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Maximum length in bytes (RFC 5321 section 4.5.3.1.3, without the angle brackets).
    pub const MAX: usize = 254;

    /// Parses an address as entered. Surrounding white space is removed.
    ///
    /// # Errors
    /// [`FieldError::Empty`], [`FieldError::TooLong`] or [`FieldError::NotAnAddress`].
    pub fn parse(typed: &str) -> Result<Self, FieldError> {
        let address = typed.trim();
        let has_both_sides = address.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.starts_with('.')
        });
        if address.is_empty() {
            Err(FieldError::Empty)
        } else if address.len() > Self::MAX {
            Err(FieldError::TooLong { is: address.chars().count(), max: Self::MAX })
        } else if !has_both_sides || address.chars().any(|c| c.is_whitespace() || c.is_control()) {
            Err(FieldError::NotAnAddress)
        } else {
            Ok(Self(address.to_owned()))
        }
    }

    /// The address as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A password as entered. Its `Debug` output is redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Minimum length of a new password, in characters (OWASP ASVS 5.0, 6.2.1).
    pub const MIN: usize = 8;
    /// Maximum length, in characters. Longer passwords are rejected, never truncated (OWASP ASVS 5.0, 6.2.9).
    pub const MAX: usize = 256;

    /// Parses an existing password, for example at sign-in. The only limit is the length, which bounds the cost of the
    /// hash.
    ///
    /// # Errors
    /// [`FieldError::Empty`], or [`FieldError::TooLong`] above [`Password::MAX`].
    pub fn parse(typed: &str) -> Result<Self, FieldError> {
        match typed.chars().count() {
            0 => Err(FieldError::Empty),
            length if length > Self::MAX => Err(FieldError::TooLong { is: length, max: Self::MAX }),
            _ => Ok(Self(typed.to_owned())),
        }
    }

    /// Parses a new password. The server checks its strength separately.
    ///
    /// # Errors
    /// As [`Password::parse`], and [`FieldError::TooShort`] below [`Password::MIN`].
    pub fn parse_new(typed: &str) -> Result<Self, FieldError> {
        if !typed.is_empty() && typed.chars().count() < Self::MIN {
            return Err(FieldError::TooShort { min: Self::MIN });
        }
        Self::parse(typed)
    }

    /// The plaintext, for hashing and for the strength check only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_cannot_be_an_address_is_rejected() {
        for typed in ["a", "@", "a@", "@b", "a b@c", "a@b\u{0}", "a@.b"] {
            assert_eq!(Email::parse(typed), Err(FieldError::NotAnAddress), "{typed}");
        }
        assert_eq!(Email::parse(" "), Err(FieldError::Empty));
        assert!(Email::parse(&format!("{}@b", "a".repeat(254))).is_err());
    }

    #[test]
    fn valid_addresses_are_accepted() {
        for typed in
            ["ada@example.com", " o'hara+keys@sub.example.org ", "info@localhost", "δοκιμή@παράδειγμα.gr"]
        {
            assert_eq!(Email::parse(typed).as_ref().map(Email::as_str), Ok(typed.trim()));
        }
    }

    #[test]
    fn debug_output_of_a_password_is_redacted() {
        assert_eq!(format!("{:?}", Password::parse("correct horse").unwrap()), "Password(…)");
    }

    #[test]
    fn a_new_password_has_8_to_256_characters() {
        assert_eq!(Password::parse_new("1234567"), Err(FieldError::TooShort { min: 8 }));
        assert!(Password::parse_new("пароль12").is_ok());
        assert!(Password::parse_new(&"x".repeat(257)).is_err());
        assert_eq!(Password::parse_new(""), Err(FieldError::Empty));
    }
}
