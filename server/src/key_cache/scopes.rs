//! The scopes that the operator offers, and those that a request requires.

use app::domain::access::Scope;

/// Maximum number of scopes that are offered, including the built-in one.
pub const SCOPES_LIMIT: usize = 61;

/// The scopes that the operator offers, at most [`SCOPES_LIMIT`].
#[derive(Clone, Debug, Default)]
pub struct OfferedScopes(Vec<Scope>);

/// The scopes that a request requires. By default none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequiredScopes {
    /// Bit N is set if the offered scope N is required.
    offered: u64,
    /// Whether a scope is required that is not offered, such as a misspelt or an empty one. No key has access then.
    is_impossible: bool,
}

/// A scope that a key lacks; empty if the scope is not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingScope<'s>(pub &'s str);

impl RequiredScopes {
    /// A requirement that no key meets.
    pub const IMPOSSIBLE: Self = Self { offered: 0, is_impossible: true };

    /// Requires the scopes of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            offered: self.offered | other.offered,
            is_impossible: self.is_impossible || other.is_impossible,
        }
    }
}

impl OfferedScopes {
    /// Offers these scopes, of which the first [`SCOPES_LIMIT`] count.
    #[must_use]
    pub fn new(mut scopes: Vec<Scope>) -> Self {
        scopes.truncate(SCOPES_LIMIT);
        Self(scopes)
    }

    /// Parses the scopes of a requirement, separated by single spaces. An unknown, empty or repeated scope makes it
    /// impossible: a mistake in the configuration of a gateway must not open a route.
    #[must_use]
    pub fn parse(&self, required: &str) -> RequiredScopes {
        let mut offered = 0;
        for scope in required.split(' ') {
            let bit = self.0.iter().position(|known| known.as_str() == scope).map_or(0, |at| 1 << at);
            if bit == 0 || offered & bit != 0 {
                return RequiredScopes { offered, is_impossible: true };
            }
            offered |= bit;
        }
        RequiredScopes { offered, is_impossible: false }
    }

    /// The offered scopes that are required, separated by spaces. Empty if there are none.
    #[must_use]
    pub fn names(&self, required: RequiredScopes) -> String {
        self.required(required).collect::<Vec<_>>().join(" ")
    }

    /// The first required scope that a key lacks. `of_key` is the text of its scopes, or `None` for access to everything.
    #[must_use]
    pub fn missing(&self, required: RequiredScopes, of_key: Option<&str>) -> Option<MissingScope<'_>> {
        if required == RequiredScopes::default() {
            return None;
        }
        let lacks = |scope: &&str| !has_scope(of_key, scope);
        let missing = self.required(required).find(lacks).map(MissingScope);
        missing.or(required.is_impossible.then_some(MissingScope("")))
    }

    fn required(&self, required: RequiredScopes) -> impl Iterator<Item = &str> {
        let scopes = self.0.iter().enumerate();
        scopes.filter(move |(at, _)| required.offered & (1 << at) != 0).map(|(_, scope)| scope.as_str())
    }
}

/// Whether a key has a scope. `of_key` is the text of its scopes, or `None` for access to everything.
#[must_use]
pub fn has_scope(of_key: Option<&str>, scope: &str) -> bool {
    of_key.is_none_or(|of_key| of_key.split(' ').any(|has| has == scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> OfferedScopes {
        OfferedScopes::new(["read", "write", "trigger"].into_iter().filter_map(Scope::parse).collect())
    }

    #[test]
    fn all_required_scopes_must_be_among_those_of_the_key() {
        let offered = offered();
        let missing = |required, of_key| offered.missing(offered.parse(required), of_key).map(|it| it.0);
        assert_eq!(missing("read", None), None);
        assert_eq!(missing("read", Some("read")), None);
        assert_eq!(missing("write read", Some("trigger read write")), None);
        assert_eq!(missing("read write", Some("read")), Some("write"));
        assert_eq!(missing("read", Some("read:all")), Some("read"));
        assert_eq!(missing("read", Some("")), Some("read"));
        assert_eq!(offered.missing(RequiredScopes::default(), Some("")), None);
    }

    #[test]
    fn no_key_meets_a_requirement_with_an_unknown_an_empty_or_a_repeated_scope() {
        let offered = offered();
        for required in
            ["", " ", "admin", "Read", "read ", " read", "read  write", "read read", "read admin", "read\t"]
        {
            for of_key in [None, Some("read write trigger admin")] {
                let missing = offered.missing(offered.parse(required), of_key);
                assert_eq!(missing, Some(MissingScope("")), "{required:?} {of_key:?}");
            }
        }
        assert_eq!(offered.names(offered.parse("write admin")), "write");
        let both = offered.parse("read").and(offered.parse("trigger"));
        assert_eq!(offered.names(both), "read trigger");
        assert!(offered.missing(both.and(RequiredScopes::IMPOSSIBLE), None).is_some());
    }
}
