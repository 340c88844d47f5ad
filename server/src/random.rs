//! The operating system's random number generator.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

/// Returns the operating system's random number generator. Its methods panic if the operating system returns an error,
/// because there is no safe fallback.
pub fn system_rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
