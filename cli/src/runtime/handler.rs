//! Handlers: the commands that respond to the requests of an action.

use crate::failure::Failure;
use crate::output::log;
use crate::secret::Secret;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout_at};

/// Maximum number of actions of a runtime, and the length limit of their names, in bytes.
const ACTIONS_LIMIT: usize = 32;
const ACTION_LIMIT: usize = 64;
/// How long a command may take to end after SIGTERM. Then it gets SIGKILL.
const TERMINATION_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval at which it is checked whether the group has ended.
const TERMINATION_INTERVAL: Duration = Duration::from_millis(20);
/// How long output is read after the command has ended.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// Length limit of a line of a log, in bytes. Longer ones are split.
const LOG_LINE_LIMIT: usize = 4096;

/// An option `--handle ACTION=COMMAND`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) action: String,
    /// The program and its arguments; not empty.
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
}

impl FromStr for Handle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (action, command) =
            text.split_once('=').ok_or("write ACTION=COMMAND, for example chat=./chat.sh")?;
        let is_name = (1..=ACTION_LIMIT).contains(&action.len())
            && action.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !is_name {
            return Err("an action has 1 to 64 of the characters A-Z a-z 0-9 . _ -".to_owned());
        }
        let words = shlex::split(command).ok_or("a quotation mark in the command is not closed")?;
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty()).ok_or("the command is empty")?;
        Ok(Self { action: action.to_owned(), program, arguments: words.collect() })
    }
}

/// Checks that handlers can be offered together, and warns of commands that do not exist.
///
/// # Errors
/// They cannot.
pub(crate) fn check(handles: &[Handle]) -> Result<(), Failure> {
    if handles.len() > ACTIONS_LIMIT {
        return Err(Failure::usage(format!("a runtime has at most {ACTIONS_LIMIT} actions")));
    }
    for (index, handle) in handles.iter().enumerate() {
        if handles.iter().take(index).any(|other| other.action == handle.action) {
            return Err(Failure::usage(format!("--handle {}=… is given twice", handle.action)));
        }
        if !exists(&handle.program) {
            log(format_args!("warning: {}: the command {:?} does not exist", handle.action, handle.program));
        }
    }
    if handles.is_empty() {
        log("no --handle ACTION=COMMAND is given: this runtime connects, and responds to no action");
    }
    Ok(())
}

fn exists(program: &str) -> bool {
    if program.contains('/') {
        return std::path::Path::new(program).exists();
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(program).exists())
}

/// What a command learns about its request, as environment variables.
pub(crate) type Variables<'v> = [(&'static str, &'v str)];

/// A command that runs in a process group of its own. Dropping it kills the group.
pub(crate) struct Running {
    child: Child,
    group: Option<Pid>,
    stdout: ChildStdout,
    /// When the command was seen to have ended.
    ended_at: Option<Instant>,
}

impl Running {
    /// Starts the command of a handler, and sends the body of the request to its standard input. What it writes to
    /// standard error goes to the log, with `label`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(
        handle: &Handle,
        variables: &Variables<'_>,
        secret: &Secret,
        body: Vec<u8>,
        label: String,
    ) -> io::Result<Self> {
        let mut command = Command::new(&handle.program);
        command.args(&handle.arguments).env_clear().envs(environment(secret)).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(mut stdin) = child.stdin.take() {
            tokio::spawn(async move {
                // A command need not read its input.
                let _ = stdin.write_all(&body).await;
            });
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(log_lines(stderr, label));
        }
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, group, stdout, ended_at: None })
    }

    /// Reads output of the command. Returns 0 when it is complete, or when the command ended a second ago: a process that it
    /// left behind may hold the output open.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stdout.read(buffer);
        tokio::pin!(read);
        if self.ended_at.is_none() {
            tokio::select! {
                count = &mut read => return count,
                ended = self.child.wait() => ended?,
            };
            self.ended_at = Some(Instant::now());
            self.group = self.group.filter(has_processes);
        }
        let deadline = self.ended_at.unwrap_or_else(Instant::now) + OUTPUT_TIMEOUT;
        timeout_at(deadline, read).await.unwrap_or(Ok(0))
    }

    /// Waits until the command has ended. Processes that it left behind may still run.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.group = self.group.filter(has_processes);
        Ok(status)
    }

    /// Ends the process group: at first with SIGTERM, then with SIGKILL.
    pub(crate) async fn terminate(mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + TERMINATION_TIMEOUT;
        // Processes that the command left behind may run longer than the command.
        let _ = timeout_at(deadline, self.child.wait()).await;
        loop {
            self.group = self.group.filter(has_processes);
            if self.group.is_none() || Instant::now() >= deadline {
                return;
            }
            sleep(TERMINATION_INTERVAL).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // There is no such group if all its processes have ended.
            let _ = kill_process_group(group, signal);
        }
    }
}

/// Whether a process of a group is left. If not, its number may soon be that of another group.
fn has_processes(group: &Pid) -> bool {
    test_kill_process_group(*group).is_ok()
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The environment of this process without the key, wherever it stands.
fn environment(secret: &Secret) -> impl Iterator<Item = (OsString, OsString)> {
    let secret = secret.expose().as_bytes().to_owned();
    env::vars_os().filter(move |(name, value)| {
        name != "MECHA_KEY"
            && name != "MECHA_KEY_FILE"
            && !value.as_bytes().windows(secret.len()).any(|part| part == secret)
    })
}

/// Writes each line to the log.
async fn log_lines(mut input: impl AsyncRead + Unpin, label: String) {
    let mut unread = Vec::new();
    let mut buffer = [0; LOG_LINE_LIMIT];
    loop {
        let count = input.read(&mut buffer).await.unwrap_or_default();
        unread.extend(buffer.iter().take(count));
        let mut lines: Vec<_> = unread.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        unread = if count == 0 { Vec::new() } else { lines.pop().unwrap_or_default() };
        if unread.len() >= LOG_LINE_LIMIT {
            lines.push(std::mem::take(&mut unread));
        }
        for line in lines.iter().filter(|line| !line.is_empty()) {
            log(format_args!("{label}: {}", String::from_utf8_lossy(line)));
        }
        if count == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_into_words_without_a_shell() {
        let handle: Handle = "chat=python3 'my chat.py' --greeting \"a b\" $HOME".parse().unwrap();
        assert_eq!((handle.action.as_str(), handle.program.as_str()), ("chat", "python3"));
        assert_eq!(handle.arguments, ["my chat.py", "--greeting", "a b", "$HOME"]);
    }

    #[test]
    fn options_that_are_no_handler_are_rejected() {
        for text in ["chat", "chat=", "=cat", "a/b=cat", "chat='x", &format!("{}=cat", "a".repeat(65))] {
            assert!(text.parse::<Handle>().is_err(), "{text}");
        }
    }
}
