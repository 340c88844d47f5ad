//! The command line `mecha` against the listener of the server.

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

    /// Checks that nothing is left in flight.
    async fn is_idle(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.place.app.console.runtimes.triggers() > 0 {
            assert!(Instant::now() < deadline, "triggers are left in flight");
            sleep(Duration::from_millis(10)).await;
        }
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

#[tokio::test]
async fn both_lines_of_the_guide_are_answered_by_a_handler() {
    let machine = Machine::new().await;
    let script = r#"read -r body; printf '{"reply": "%s",\n' "$MECHA_CONTENT_TYPE $MECHA_STREAM"; echo "\"body\": $body}""#;
    let running = machine.connect(&[&machine.handler("chat", script)]).await;
    let json = ["Content-Type: application/json"];
    let whole = machine.call("chat", &json).await;
    assert_eq!(whole.status, 200, "{whole:?}");
    let body: Value = serde_json::from_str(&whole.body).unwrap();
    assert_eq!(
        (&body["reply"], &body["body"]["message"]),
        (&"application/json false".into(), &"Hello".into())
    );
    let streamed = machine.call("chat", &[json[0], EVENTS[0]]).await;
    assert_eq!(
        streamed.body,
        "data: {\"reply\": \"application/json true\",\n\ndata: \"body\": {\"message\": \"Hello\"}}\n\n\
         event: end\ndata: {\"status\":200}\n\n"
    );
    assert!(streamed.is_complete);
    drop(running);
    machine.is_idle().await;
}

#[tokio::test]
async fn a_line_of_a_stream_arrives_before_the_next_one_is_written() {
    let machine = Machine::new().await;
    let script = "echo first; until [ -e go ]; do sleep 0.02; done; echo second";
    let _running = machine.connect(&[&machine.handler("chat", script)]).await;
    let mut call = machine.begin("chat", EVENTS).await;
    call.read_until("data: first\n\n").await;
    fs::write(machine.folder.path().join("go"), "").unwrap();
    assert!(call.end().await.is_complete);
}

#[tokio::test]
async fn a_profile_is_stored_for_its_user_alone_and_used_until_logout() {
    let machine = Machine::new().await;
    let mut login = machine.command(&["login", "--json"]).stdin(Stdio::piped()).spawn().unwrap();
    login.stdin.take().unwrap().write_all(format!("{}\n", machine.secret).as_bytes()).await.unwrap();
    let login = json(&login.wait_with_output().await.unwrap());
    assert_eq!((&login["profile"], &login["url"]), (&"default".into(), &machine.url().into()));
    assert_eq!(login["key"]["id"], machine.id);
    let file = machine.folder.path().join("mecha/config.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&file).unwrap().contains(&machine.secret));
    let with_profile =
        async |arguments: &[&str]| finish(machine.command(arguments).env_remove("MECHA_URL")).await;
    let whoami = json(&with_profile(&["whoami", "--json"]).await);
    assert_eq!((&whoami["id"], &whoami["url"]), (&machine.id.clone().into(), &machine.url().into()));
    let status = json(&with_profile(&["status", "--json"]).await);
    assert_eq!(
        (&status["mechas"][0]["name"], &status["mechas"][0]["state"]),
        (&"Porter".into(), &"waiting".into())
    );
    let text = String::from_utf8(with_profile(&["status"]).await.stdout).unwrap();
    assert!(text.contains("Porter  waiting for a runtime"), "{text}");
    // The key of a profile is sent to no other server.
    let other = failure(&with_profile(&["whoami", "--url", "http://127.0.0.2:1"]).await);
    assert!(other.0 == 2 && other.1.contains("not sent to another console"), "{other:?}");
    let logout = json(&with_profile(&["logout", "--json"]).await);
    assert_eq!(logout["removed"], true);
    assert_eq!(failure(&with_profile(&["whoami"]).await).0, 2);
    assert!(!fs::read_to_string(&file).unwrap().contains(&machine.secret));
    assert_eq!(json(&with_profile(&["logout", "--json"]).await)["removed"], false);
}

#[tokio::test]
async fn a_key_that_is_denied_is_not_stored() {
    let machine = Machine::new().await;
    let mut login = machine.command(&["login"]).stdin(Stdio::piped()).spawn().unwrap();
    login.stdin.take().unwrap().write_all(b"mm_tok_wrong\n").await.unwrap();
    let (code, log) = failure(&login.wait_with_output().await.unwrap());
    assert!(code == 4 && log.contains("denies the key") && !log.contains("mm_tok_wrong"), "{log}");
    assert!(!machine.folder.path().join("mecha/config.toml").exists());
}

#[tokio::test]
async fn keys_are_read_in_the_documented_order() {
    let machine = Machine::new().await;
    let folder = machine.folder.path();
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).unwrap();
        folder.join(name).display().to_string()
    };
    let good = format!("{}\n", machine.secret);
    let wrong = write("wrong", "mm_tok_wrong");
    write("mecha-key", &good);
    let code = async |command: &mut Command| failure(&finish(command).await);
    let whoami = || machine.command(&["whoami"]);
    assert_eq!(code(whoami().env("CREDENTIALS_DIRECTORY", folder)).await.0, 0);
    let mut command = whoami();
    command.env("CREDENTIALS_DIRECTORY", folder).env("MECHA_KEY_FILE", &wrong);
    assert_eq!(code(&mut command).await.0, 4);
    assert_eq!(code(command.env("MECHA_KEY", &good)).await.0, 0);
    assert_eq!(code(command.args(["--key-file", &wrong])).await.0, 4);
    // An empty value is a mistake, and the next source is not used in its place.
    assert_eq!(code(whoami().env("MECHA_KEY", "").env("MECHA_KEY_FILE", write("key", &good))).await.0, 2);
    assert_eq!(code(whoami().env("MECHA_KEY_FILE", write("empty", "\n"))).await.0, 2);
    let missing = code(whoami().env("MECHA_KEY_FILE", folder.join("missing"))).await;
    assert!(missing.0 == 2 && missing.1.contains("Save the key there"), "{missing:?}");
    assert_eq!(code(whoami().env("MECHA_KEY", "two words")).await.0, 2);
}

#[tokio::test]
async fn failures_say_what_to_do_next() {
    let machine = Machine::new().await;
    let run = async |url: &str, arguments: &[&str]| {
        let key = &machine.secret;
        failure(&finish(machine.command(arguments).env("MECHA_URL", url).env("MECHA_KEY", key)).await)
    };
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let unreachable = run(&format!("http://{closed}"), &["whoami"]).await;
    assert!(
        unreachable.0 == 1 && unreachable.1.contains("Check that the console runs there"),
        "{unreachable:?}"
    );
    let once = run(&format!("http://{closed}"), &["connect", "--once"]).await;
    assert_eq!(once.0, 75, "{}", once.1);
    let plain = run("http://console.example.com", &["whoami"]).await;
    assert!(plain.0 == 2 && plain.1.contains("--allow-http"), "{plain:?}");
    let no_tls = run(&format!("https://{}", machine.place.address), &["whoami"]).await;
    assert!(no_tls.0 == 1 && no_tls.1.contains("does not speak TLS"), "{no_tls:?}");
    for (url, arguments) in [
        ("console", &["whoami"][..]),
        ("http://127.0.0.1:1/path", &["whoami"]),
        (&machine.url(), &["connect", "--handle", "a/b=cat"]),
        (&machine.url(), &["connect", "--handle", "chat"]),
        (&machine.url(), &["connect", "--handle", "chat=cat", "--handle", "chat=cat"]),
        (&machine.url(), &["connect", "--key", "mm_tok_x"]),
        (&machine.url(), &["trigger"]),
        (&machine.url(), &["trigger", "chat", "@missing"]),
    ] {
        let (code, log) = run(url, arguments).await;
        assert!(code == 2 && !log.is_empty(), "{arguments:?}: {code} {log}");
    }
    // The key of the account is none of a Mecha, and the other way round.
    let account = run(&machine.url(), &["connect"]).await;
    assert!(account.0 == 4 && account.1.contains("page of the Mecha"), "{account:?}");
    let mut command = machine.command(&["trigger", "chat", "hi"]);
    let mecha = failure(&finish(command.env("MECHA_KEY", &machine.place.key.secret)).await);
    assert!(mecha.0 == 4 && mecha.1.contains("key of the account"), "{mecha:?}");
    let nobody = run(&machine.url(), &["trigger", "chat", "hi"]).await;
    assert!(nobody.0 == 1 && nobody.1.contains("mecha status"), "{nobody:?}");
}

/// A server that sends this response to each request, and returns its address.
async fn serve_response(response: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut lines = BufReader::new(stream).lines();
                while lines.next_line().await.unwrap_or_default().is_some_and(|line| !line.is_empty()) {}
                let mut stream: TcpStream = lines.into_inner().into_inner();
                let _ = stream.write_all(response.as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn other_servers_are_recognised_and_redirects_are_not_followed() {
    let machine = Machine::new().await;
    for (response, expected) in [
        (
            "HTTP/1.1 301 Moved\r\nLocation: https://elsewhere.example\r\nContent-Length: 0\r\n\r\n",
            "redirects to",
        ),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "is not a Mecha Console"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "is not a Mecha Console"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        ("", "closed the connection"),
    ] {
        let url = format!("http://{}", serve_response(response).await);
        let whoami =
            failure(&finish(machine.command(&["whoami"]).env("MECHA_URL", &url).env("MECHA_KEY", "k")).await);
        assert!(whoami.0 == 1 && whoami.1.contains(expected), "{response:?}: {whoami:?}");
        let arguments = ["connect", "--once"];
        let connect =
            failure(&finish(machine.command(&arguments).env("MECHA_URL", &url).env("MECHA_KEY", "k")).await);
        let code = if response.is_empty() { 75 } else { 1 };
        assert_eq!(connect.0, code, "{response:?}: {connect:?}");
    }
}

#[tokio::test]
async fn trigger_prints_the_response_and_fails_as_the_runtime_does() {
    let machine = Machine::new().await;
    let echo = machine.handler("echo", "cat");
    let lines = machine.handler("lines", "printf 'one\\n\\ntwo\\n'");
    let fails = machine.handler("fails", "echo part; exit 1");
    let rejects = machine.handler("rejects", "exit 65");
    let _running = machine.connect(&[&echo, &lines, &fails, &rejects]).await;
    let stdout = |output: Output| String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout(machine.run(&["trigger", "echo", "Grüße"]).await), "Grüße");
    assert_eq!(stdout(machine.run(&["trigger", "echo", "--mecha", "Porter", "-x"]).await), "-x");
    fs::write(machine.folder.path().join("body"), vec![b'a'; 300_000]).unwrap();
    assert_eq!(stdout(machine.run(&["trigger", "echo", "@body"]).await).len(), 300_000);
    let mut piped = machine.command(&["trigger", "echo", "-"]);
    let mut piped = piped.env("MECHA_KEY", &machine.secret).stdin(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"piped").await.unwrap();
    assert_eq!(stdout(piped.wait_with_output().await.unwrap()), "piped");
    assert_eq!(stdout(machine.run(&["trigger", "lines", "--stream"]).await), "one\n\ntwo\n");
    for arguments in [&["trigger", "fails"][..], &["trigger", "fails", "--stream"]] {
        let (code, log) = failure(&machine.run(arguments).await);
        assert!(code == 1 && log.contains("The handler failed (exit status 1)."), "{log}");
    }
    let (code, log) = failure(&machine.run(&["trigger", "rejects"]).await);
    assert!(code == 1 && log.contains("does not accept"), "{log}");
    assert_eq!(machine.call("rejects", &[]).await.status, 422);
    let large = failure(&machine.run(&["trigger", "echo", "@large"]).await);
    assert_eq!(large.0, 2);
    machine.is_idle().await;
}

#[tokio::test]
async fn a_handler_that_fails_yields_a_status_and_a_line_in_the_log() {
    let machine = Machine::new().await;
    let handlers = [
        machine.handler("exits", "echo oops >&2; exit 1"),
        machine.handler("killed", "kill -9 $$"),
        "--handle=missing=./does-not-exist".to_owned(),
        machine.handler("large", "head -c 2000000 /dev/zero"),
        machine.handler("binary", "printf '\\377\\n'"),
        machine.handler("slow", "echo part; exec sleep 60"),
        machine.handler("leaves", "sleep 60 & echo $! > left.pid; echo done"),
    ];
    let mut options: Vec<&str> = handlers.iter().map(String::as_str).collect();
    options.extend(["--timeout", "2"]);
    let mut running = machine.connect(&options).await;
    assert!(running.seen.contains("warning: missing"), "{}", running.seen);
    for (action, status, line) in [
        ("exits", 500, "The handler failed (exit status 1)."),
        ("killed", 500, "The handler was killed (signal 9)."),
        ("missing", 500, "The handler cannot be started."),
        ("large", 502, "The response exceeds 1 MiB."),
        ("slow", 504, "The handler did not end within 2 s."),
    ] {
        let answer = machine.call(action, &[]).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, "action-failed"), "{action}");
        assert!(answer.body.contains(line), "{answer:?}");
        running.read_until(line).await;
    }
    assert!(running.seen.contains(": oops"), "{}", running.seen);
    // A stream that has begun breaks.
    let slow = machine.call("slow", EVENTS).await;
    assert!(slow.status == 200 && slow.body.contains("event: error") && !slow.is_complete, "{slow:?}");
    let binary = machine.call("binary", EVENTS).await;
    assert!(binary.status == 502 && binary.body.contains("UTF-8"), "{binary:?}");
    assert_eq!(machine.call("binary", &[]).await.status, 200);
    // A process that a handler leaves behind delays its response by a second, and is then ended.
    assert_eq!(machine.call("leaves", &[]).await.body, "done\n");
    has_ended(&machine.file("left.pid").await).await;
    machine.is_idle().await;
}

#[tokio::test]
async fn the_processes_of_a_request_end_when_its_caller_leaves() {
    let machine = Machine::new().await;
    // The shell ignores SIGTERM, as its child does not.
    let script = "trap '' TERM; sleep 600 & echo $! > child.pid; echo $$ > shell.pid; wait; sleep 600";
    let mut running = machine.connect(&[&machine.handler("chat", script)]).await;
    let call = machine.begin("chat", &[]).await;
    let (child, shell) = (machine.file("child.pid").await, machine.file("shell.pid").await);
    assert!(is_running(&child) && is_running(&shell));
    drop(call);
    running.read_until("cancelled").await;
    has_ended(&child).await;
    has_ended(&shell).await;
    machine.is_idle().await;
}

#[tokio::test]
async fn requests_beyond_the_concurrency_wait() {
    let machine = Machine::new().await;
    let script = "echo $$ >> started; until [ -e go ]; do sleep 0.02; done; echo done";
    let _running = machine.connect(&["--concurrency", "1", &machine.handler("chat", script)]).await;
    let first = machine.begin("chat", &[]).await;
    machine.file("started").await;
    let second = machine.begin("chat", &[]).await;
    let answers = tokio::join!(first.end(), second.end(), async {
        // Both requests are at the runtime by now.
        let deadline = Instant::now() + Duration::from_secs(5);
        while machine.place.app.console.runtimes.triggers() < 2 {
            assert!(Instant::now() < deadline);
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(machine.file("started").await.lines().count(), 1);
        fs::write(machine.folder.path().join("go"), "").unwrap();
    });
    assert_eq!((answers.0.status, answers.1.status), (200, 200));
    assert_eq!(machine.file("started").await.lines().count(), 2);
}

#[tokio::test]
async fn sigterm_finishes_the_requests_in_flight_and_a_second_one_cancels_them() {
    let machine = Machine::new().await;
    let script = "echo x > started; until [ -e go ]; do sleep 0.02; done; echo done";
    let handler = machine.handler("chat", script);
    let mut running = machine.connect(&[&handler]).await;
    let call = machine.begin("chat", &[]).await;
    machine.file("started").await;
    running.signal("-TERM");
    running.read_until("draining: 1 requests").await;
    fs::write(machine.folder.path().join("go"), "").unwrap();
    let answer = call.end().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "done\n"));
    assert_eq!(running.end().await.0, 0);
    for name in ["go", "started"] {
        fs::remove_file(machine.folder.path().join(name)).unwrap();
    }
    let mut running = machine.connect(&[&handler]).await;
    let call = machine.begin("chat", &[]).await;
    machine.file("started").await;
    running.signal("-TERM");
    running.read_until("draining").await;
    running.signal("-TERM");
    assert_eq!(running.end().await.0, 0);
    assert_eq!(call.end().await.status, 502);
    machine.is_idle().await;
}

#[tokio::test]
async fn no_request_is_lost_when_runtimes_come_and_go() {
    let machine = Machine::new().await;
    let handler = machine.handler("chat", "cat");
    let mut running = machine.connect(&[&handler]).await;
    for _ in 0..3 {
        let next = machine.connect(&[&handler]).await;
        let calls = futures::future::join_all((0..20).map(|_| machine.call("chat", &[])));
        let (answers, ended) = tokio::join!(calls, async {
            running.signal("-TERM");
            running.end().await
        });
        assert_eq!(ended.0, 0, "{}", ended.1);
        for answer in answers {
            assert_eq!(answer.status, 200, "{answer:?}\n{}", ended.1);
        }
        running = next;
    }
}

#[tokio::test]
async fn a_rotated_secret_is_adopted_from_the_key_file_without_a_gap() {
    let mut machine = Machine::new().await;
    let script = "echo x > started; until [ -e go ]; do sleep 0.02; done; echo done";
    let handler = machine.handler("chat", script);
    let file = machine.folder.path().join("key");
    fs::write(&file, &machine.place.key.secret).unwrap();
    let mut command = machine.command(&["connect", "--key-file", "key", &handler]);
    let mut running = Running::start(&mut command);
    running.read_until("connected to").await;
    let call = machine.begin("chat", &[]).await;
    machine.file("started").await;
    let id = machine.place.key.id.as_str().to_owned();
    let secret = rotate(&mut machine.place.ada, &id, "24h").await;
    let notice = running.read_until("the key was rotated").await;
    assert!(notice.contains("write the new one to"), "{notice}");
    // A wrong secret does not cost the connection.
    fs::write(&file, "mm_tok_wrong").unwrap();
    running.read_until("staying connected with the previous one").await;
    fs::write(&file, &secret).unwrap();
    running.read_until("adopted the new secret").await;
    fs::write(machine.folder.path().join("go"), "").unwrap();
    assert_eq!(call.end().await.body, "done\n");
    assert_eq!(machine.call("chat", &[]).await.body, "done\n");
    let retired = machine.place.ada.post("/rpc/keys/retire", &[("key_id", &id)]).await;
    assert!(retired.status.is_success(), "{}", retired.body);
    assert_eq!(machine.call("chat", &[]).await.body, "done\n");
    running.signal("-TERM");
    assert_eq!(running.end().await.0, 0);
}

#[tokio::test]
async fn another_key_of_the_mecha_is_adopted_and_its_end_ends_the_runtime() {
    let mut machine = Machine::new().await;
    let handler = machine.handler("chat", "echo hi");
    let file = machine.folder.path().join("key");
    fs::write(&file, &machine.place.key.secret).unwrap();
    let mut running = Running::start(&mut machine.command(&["connect", "--key-file", "key", &handler]));
    running.read_until("connected to").await;
    let mecha = machine.place.mecha.clone();
    let other = issue(&mut machine.place.ada, &mecha, "Other").await.new.unwrap();
    fs::write(&file, &other.secret).unwrap();
    running.read_until("adopted the new secret").await;
    assert_eq!(machine.call("chat", &[]).await.body, "hi\n");
    // The first connection replaces none, and ends by itself.
    let deadline = Instant::now() + Duration::from_secs(10);
    while machine.place.app.console.runtimes.count() > 1 {
        assert!(Instant::now() < deadline, "the first connection is still open");
        sleep(Duration::from_millis(20)).await;
    }
    let fields = [("key_id", other.id.as_str()), ("confirm_name", "Other")];
    machine.place.ada.post("/rpc/keys/delete", &fields).await;
    let (code, log) = running.end().await;
    assert!(code == 4 && log.contains("no longer valid"), "{log}");
}

#[tokio::test]
async fn a_key_file_that_is_being_replaced_does_not_end_a_runtime_that_reconnects() {
    let machine = Machine::new().await;
    let file = machine.folder.path().join("key");
    fs::write(&file, &machine.place.key.secret).unwrap();
    let mut running = Running::start(&mut machine.command(&["connect", "--key-file", "key"]));
    running.read_until("connected to").await;
    fs::write(&file, "").unwrap();
    machine.place.app.console.shutdown.cancel();
    machine.place.app.console.runtimes.shut_down().await;
    running.read_until("cannot be reached").await;
    let restarted = machine.place.app.restart().await;
    serve_at(&restarted, machine.place.address).await;
    running.read_until("connected to").await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_stop_a_runtime() {
    let machine = Machine::new().await;
    let handler = machine
        .handler("chat", "head -c 1000000 /dev/zero | tr '\\0' '\\n' | sed 's/^/noise/' >&2; echo done");
    let mut running = machine.connect(&[&handler]).await;
    assert_eq!(machine.call("chat", &[]).await.body, "done\n");
    running.signal("-TERM");
    let status = timeout(Duration::from_secs(10), running.child.wait()).await.unwrap();
    assert_eq!(status.unwrap().code(), Some(0));
}

#[tokio::test]
async fn empty_lines_of_a_stream_are_kept_however_many_there_are() {
    let machine = Machine::new().await;
    let handler = machine.handler("chat", "head -c 100000 /dev/zero | tr '\\0' '\\n'; echo end");
    let _running = machine.connect(&[&handler]).await;
    let output = machine.run(&["trigger", "chat", "--stream"]).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "\n".repeat(100_000) + "end\n");
}

#[tokio::test]
async fn every_process_of_a_request_has_time_to_end() {
    let machine = Machine::new().await;
    // The outer shell ends at once, and the inner one needs a moment.
    let script = "sh -c 'trap \"sleep 0.5; echo cleaned > cleaned; exit\" TERM; echo $$ > inner.pid; while :; do sleep 0.05; done'; true";
    let _running = machine.connect(&[&machine.handler("chat", script)]).await;
    let call = machine.begin("chat", &[]).await;
    let inner = machine.file("inner.pid").await;
    drop(call);
    assert_eq!(machine.file("cleaned").await, "cleaned");
    has_ended(&inner).await;
}

#[tokio::test]
async fn a_request_that_takes_longer_than_a_drain_of_the_owner_is_cancelled() {
    let mut machine = Machine::new().await;
    let running = machine.connect(&[&machine.handler("chat", "echo x > started; exec sleep 100")]).await;
    let call = machine.begin("chat", &[]).await;
    machine.file("started").await;
    let runtime = machine.place.runtime().await;
    machine.place.ada.post("/rpc/mechas/command", &[("runtime_id", &runtime), ("command", "drain")]).await;
    let (answer, (code, log)) = tokio::join!(call.end(), running.end());
    assert_eq!((answer.status, code), (502, 0), "{log}");
}

#[tokio::test]
async fn a_runtime_stops_when_its_key_ends_or_the_owner_disconnects_it() {
    let mut machine = Machine::new().await;
    let running = machine.connect(&[]).await;
    let runtime = machine.place.runtime().await;
    let fields = [("runtime_id", runtime.as_str())];
    let disconnected = machine.place.ada.post("/rpc/mechas/disconnect", &fields).await;
    assert!(disconnected.status.is_success(), "{}", disconnected.body);
    let (code, log) = running.end().await;
    assert!(code == 4 && log.contains("the owner has disconnected"), "{log}");
    let running = machine.connect(&[]).await;
    let id = machine.place.key.id.as_str().to_owned();
    let deleted =
        machine.place.ada.post("/rpc/keys/delete", &[("key_id", &id), ("confirm_name", "Runtime")]).await;
    assert!(deleted.status.is_success(), "{}", deleted.body);
    let (code, log) = running.end().await;
    assert!(code == 4 && log.contains("no longer valid"), "{log}");
}

#[tokio::test]
async fn a_runtime_waits_while_it_is_switched_off() {
    let mut machine = Machine::new().await;
    let mut running = machine.connect(&[]).await;
    let id = machine.place.key.id.as_str().to_owned();
    let off = machine.place.ada.post("/rpc/keys/set-active", &[("key_id", &id), ("active", "false")]).await;
    assert!(off.status.is_success(), "{}", off.body);
    running.read_until("switched off; trying again in 60.0 s").await;
    running.signal("-TERM");
    assert_eq!(running.end().await.0, 0);
}

#[tokio::test]
async fn a_runtime_drains_when_the_owner_asks_it_to() {
    let mut machine = Machine::new().await;
    let running = machine.connect(&[]).await;
    let runtime = machine.place.runtime().await;
    let fields = [("runtime_id", runtime.as_str()), ("command", "drain")];
    let drained = machine.place.ada.post("/rpc/mechas/command", &fields).await;
    assert!(drained.status.is_success(), "{}", drained.body);
    let (code, log) = running.end().await;
    assert!(code == 0 && log.contains("asks this runtime to drain"), "{log}");
}

#[tokio::test]
async fn a_runtime_reconnects_after_a_restart_of_the_server_and_once_does_not() {
    let machine = Machine::new().await;
    let mut running = machine.connect(&[]).await;
    let mut once =
        Running::start(machine.command(&["connect", "--once"]).env("MECHA_KEY", &machine.place.key.secret));
    once.read_until("connected to").await;
    machine.place.app.console.shutdown.cancel();
    machine.place.app.console.runtimes.shut_down().await;
    running.read_until("trying again").await;
    let (code, log) = once.end().await;
    assert!(code == 75 && log.contains("code 1012"), "{log}");
    let restarted = machine.place.app.restart().await;
    serve_at(&restarted, machine.place.address).await;
    running.read_until("connected to").await;
}

#[tokio::test]
async fn neither_the_arguments_nor_the_children_of_a_runtime_have_the_key() {
    let machine = Machine::new().await;
    let script = "env; tr '\\0' ' ' < /proc/$PPID/cmdline";
    let mut command = machine.command(&["connect", &machine.handler("chat", script)]);
    command.env("MECHA_KEY", &machine.place.key.secret);
    command.env("COPY", format!("x{}", machine.place.key.secret)).env("OTHER", "kept");
    let mut running = Running::start(&mut command);
    running.read_until("connected to").await;
    let answer = machine.call("chat", &[]).await;
    assert!(answer.body.contains("OTHER=kept") && answer.body.contains("MECHA_ACTION=chat"), "{answer:?}");
    assert!(answer.body.contains(&format!("MECHA_CALLER_KEY_ID={}", machine.id)), "{answer:?}");
    assert!(!answer.body.contains(&machine.place.key.secret), "{answer:?}");
    assert!(!running.seen.contains(&machine.place.key.secret));
}

#[tokio::test]
async fn a_caller_that_does_not_read_delays_only_its_own_response() {
    let machine = Machine::new().await;
    let endless = machine.handler("endless", "exec yes");
    let _running = machine.connect(&[&endless, &machine.handler("chat", "echo hi")]).await;
    let mut slow = machine.begin("endless", EVENTS).await;
    slow.read_until("data: y\n\n").await;
    for _ in 0..20 {
        assert_eq!(machine.call("chat", &[]).await.body, "hi\n");
    }
    // It has not been rejected for what it has not read.
    assert_eq!(machine.place.app.console.runtimes.triggers(), 1);
    drop(slow);
    machine.is_idle().await;
}

#[tokio::test]
async fn completions_are_printed_for_shells() {
    let machine = Machine::new().await;
    for shell in ["bash", "zsh", "fish"] {
        let output = finish(&mut machine.command(&["completions", shell])).await;
        assert!(
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("handle"),
            "{shell}"
        );
    }
}
