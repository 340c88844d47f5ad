//! The person who signs in and owns keys.

use crate::error::Problem;

/// Public handle of an account: 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountId(pub String);

/// An address to sign in with. What counts is that its owner can type it again: only what can never
/// be an address is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// The longest address, in bytes (RFC 5321 section 4.5.3.1.3, less the angle brackets).
    pub const MAX: usize = 254;

    /// Reads an address as it was typed, without the white space around it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(typed: &str) -> Result<Self, Problem> {
        let address = typed.trim();
        let has_both_sides = address.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.starts_with('.')
        });
        if address.is_empty() {
            Err(Problem::Empty)
        } else if address.len() > Self::MAX {
            Err(Problem::TooLong { is: address.chars().count(), max: Self::MAX })
        } else if !has_both_sides || address.chars().any(|c| c.is_whitespace() || c.is_control()) {
            Err(Problem::NotAnAddress)
        } else {
            Ok(Self(address.to_owned()))
        }
    }

    /// The address itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A password as it was typed. It never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The shortest password for a new account, in characters (OWASP ASVS 5.0, 6.2.1).
    pub const MIN: usize = 8;
    /// The longest password, in characters; longer ones are refused, not cut (OWASP ASVS 5.0, 6.2.9).
    pub const MAX: usize = 256;

    /// Takes a password at sign-in. Only its length is bounded, for the sake of the hash.
    ///
    /// # Errors
    /// It is empty or longer than [`Password::MAX`].
    pub fn parse(typed: &str) -> Result<Self, Problem> {
        match typed.chars().count() {
            0 => Err(Problem::Empty),
            length if length > Self::MAX => Err(Problem::TooLong { is: length, max: Self::MAX }),
            _ => Ok(Self(typed.to_owned())),
        }
    }

    /// Takes a password for a new account. How guessable it is, the server judges.
    ///
    /// # Errors
    /// It is shorter than [`Password::MIN`] or longer than [`Password::MAX`].
    pub fn parse_new(typed: &str) -> Result<Self, Problem> {
        if !typed.is_empty() && typed.chars().count() < Self::MIN {
            return Err(Problem::TooShort { min: Self::MIN });
        }
        Self::parse(typed)
    }

    /// The password itself, for the hash and the judge of its strength.
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
    fn what_can_never_be_an_address_is_refused() {
        for typed in ["a", "@", "a@", "@b", "a b@c", "a@b\u{0}", "a@.b"] {
            assert_eq!(Email::parse(typed), Err(Problem::NotAnAddress), "{typed}");
        }
        assert_eq!(Email::parse(" "), Err(Problem::Empty));
        assert!(Email::parse(&format!("{}@b", "a".repeat(254))).is_err());
    }

    #[test]
    fn addresses_that_people_have_are_taken() {
        for typed in
            ["ada@example.com", " o'hara+keys@sub.example.org ", "info@localhost", "δοκιμή@παράδειγμα.gr"]
        {
            assert_eq!(Email::parse(typed).as_ref().map(Email::as_str), Ok(typed.trim()));
        }
    }

    #[test]
    fn a_password_does_not_print_itself() {
        assert_eq!(format!("{:?}", Password::parse("correct horse").unwrap()), "Password(…)");
    }

    #[test]
    fn a_new_password_has_eight_to_256_characters() {
        assert_eq!(Password::parse_new("1234567"), Err(Problem::TooShort { min: 8 }));
        assert!(Password::parse_new("пароль12").is_ok());
        assert!(Password::parse_new(&"x".repeat(257)).is_err());
        assert_eq!(Password::parse_new(""), Err(Problem::Empty));
    }
}
