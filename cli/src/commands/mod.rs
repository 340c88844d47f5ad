//! One file per command.

pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod status;
pub(crate) mod trigger;
pub(crate) mod whoami;
