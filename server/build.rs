//! Passes the commit to the compiler for `--version`, and rebuilds a release when the embedded site changes.

use std::env;
use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Other builds would be compiled again after each commit.
    let commit = if env::var_os("CARGO_FEATURE_EMBED").is_some() {
        println!("cargo::rerun-if-changed=../target/embed");
        println!("cargo::rerun-if-env-changed=MECHA_COMMIT");
        if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
            println!("cargo::rerun-if-changed={log}");
        }
        // The environment variable is for builds outside the repository, such as in a container.
        env::var("MECHA_COMMIT").ok().or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
    } else {
        Some("development".to_owned())
    };
    println!("cargo::rustc-env=MECHA_COMMIT={}", commit.unwrap_or_else(|| "unknown commit".to_owned()));
}
