//! Why a command fails, and its exit code.

use std::fmt::{Display, Formatter, Result};

/// The kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any other failure.
    Error,
    /// The command line, the environment or the configuration is not valid.
    Usage,
    /// The key is not valid, or not allowed to do this.
    Denied,
    /// The server cannot be reached, or asks to try again later.
    Unreachable,
}

/// Why a command fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// What happened.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Kind::Error, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(Kind::Denied, message)
    }

    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, message)
    }

    /// Adds what to do next.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The exit code. `connect --once` exits with 75 (EX_TEMPFAIL of sysexits.h) where it may be tried again.
    pub(crate) fn exit_code(&self, is_connect_once: bool) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Denied => 4,
            Kind::Unreachable if is_connect_once => 75,
            Kind::Error | Kind::Unreachable => 1,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  {hint}"))
    }
}
