//! The command line `mecha` against the listener of the server.

mod commands;
mod connect;
mod handlers;

use crate::mechas::issue;
use crate::rotation::rotate;
use crate::runtimes::{Place, serve_at};
use crate::test_app::TestApp;
use crate::triggers::{Answer, Call, EVENTS};
use serde_json::Value;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, sleep, timeout};

const BODY: &[u8] = b"{\"message\": \"Hello\"}";

/// The binary. Cargo passes its path only to the tests of its own package, so it is built here, if it has changed.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = std::process::Command::new(env!("CARGO"))
            .args(["build", "--locked", "--quiet", "--package", "cli"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success());
        env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("mecha")
    })
}

/// A console, a key of its account, and a machine with the command line.
struct Machine {
    place: Place,
    id: String,
    secret: String,
    folder: TempDir,
}

impl Machine {
    async fn new() -> Self {
        let mut place = Place::of(TestApp::with(&["--sign-ups", "open"]).await).await;
        let (id, secret) = place.ada.create("Caller").await;
        Self { place, id, secret, folder: tempfile::tempdir().unwrap() }
    }

    fn url(&self) -> String {
        format!("http://{}", self.place.address)
    }

    /// A command with the URL of the console, and no key.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .env("XDG_CONFIG_HOME", self.folder.path())
            .env("MECHA_URL", self.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command with the key of the account.
    async fn run(&self, arguments: &[&str]) -> Output {
        finish(self.command(arguments).env("MECHA_KEY", &self.secret)).await
    }

    /// Writes a file with a shell script, and returns the option that makes it the handler of `action`.
    fn handler(&self, action: &str, script: &str) -> String {
        let path = self.folder.path().join(format!("{action}.sh"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        format!("--handle={action}={}", path.display())
    }

    /// Connects as the Mecha.
    async fn connect(&self, options: &[&str]) -> Running {
        let mut command = self.command(&["connect"]);
        command.args(options).env("MECHA_KEY", &self.place.key.secret);
        let mut running = Running::start(&mut command);
        running.read_until("connected to").await;
        running
    }

    async fn call(&self, action: &str, headers: &[&str]) -> Answer {
        self.begin(action, headers).await.end().await
    }

    async fn begin(&self, action: &str, headers: &[&str]) -> Call {
        let target = format!("/v1/trigger/{action}");
        Call::begin(self.place.address, &self.secret, &target, headers, BODY).await
    }

    /// Waits until the file exists, and returns its content.
    async fn file(&self, name: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match fs::read_to_string(self.folder.path().join(name)) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => assert!(Instant::now() < deadline, "{name} was not written"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Shuts the console down, as SIGTERM does.
    async fn stop_server(&self) {
        self.place.app.console.shutdown.cancel();
        self.place.app.console.runtimes.shut_down().await;
    }

    /// Starts another console with the same database, at the same address.
    async fn start_server(&self) -> TestApp {
        let app = self.place.app.restart().await;
        serve_at(&app, self.place.address).await;
        app
    }

    /// Checks that nothing is left in flight.
    async fn is_idle(&self) {
        self.place.app.wait_until_no_trigger_is_in_flight().await;
    }
}

async fn finish(command: &mut Command) -> Output {
    timeout(Duration::from_secs(30), command.output()).await.unwrap().unwrap()
}

/// The exit code and standard error of a command.
fn failure(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A command that runs.
struct Running {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// What it has written to standard error so far.
    seen: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log, seen: String::new() }
    }

    /// Reads the log until a line contains `text`, and returns that line.
    async fn read_until(&mut self, text: &str) -> String {
        let reading = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                self.seen.push_str(&format!("{line}\n"));
                if line.contains(text) {
                    return line;
                }
            }
            assert!(self.seen.contains(text), "{text:?} is not in {}", self.seen);
            String::new()
        };
        let line = timeout(Duration::from_secs(15), reading).await;
        assert!(line.is_ok(), "{text:?} is not in {}", self.seen);
        line.unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits until the command ends, and returns its exit code and its log.
    async fn end(mut self) -> (i32, String) {
        while let Some(line) = timeout(Duration::from_secs(30), self.log.next_line()).await.unwrap().unwrap()
        {
            self.seen.push_str(&format!("{line}\n"));
        }
        (self.child.wait().await.unwrap().code().unwrap(), self.seen)
    }
}

fn is_running(id: &str) -> bool {
    // A process that has ended and was not waited for is a zombie.
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn has_ended(id: &str) {
    let deadline = Instant::now() + Duration::from_secs(8);
    while is_running(id) {
        assert!(Instant::now() < deadline, "the process {id} still runs");
        sleep(Duration::from_millis(20)).await;
    }
}
