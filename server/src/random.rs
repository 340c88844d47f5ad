//! The operating system's random generator.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

/// The operating system's random generator. It panics where that fails: there is no safe way to go on.
pub fn system_rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
