//! The operating system's random number generator.

use rand::RngExt;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

/// A random id of this process.
pub(crate) fn instance() -> String {
    format!("{:032x}", UnwrapErr(SysRng).random::<u128>())
}

/// A random number of at least 0 and less than 1.
pub(crate) fn fraction() -> f64 {
    UnwrapErr(SysRng).random()
}
