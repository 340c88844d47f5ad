//! `mecha connect`: the handlers of requests.

use super::*;

#[tokio::test]
async fn both_lines_of_the_guide_get_a_response_of_a_handler() {
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
        let response = machine.call(action, &[]).await;
        assert_eq!((response.status, response.problem().as_str()), (status, "action-failed"), "{action}");
        assert!(response.body.contains(line), "{response:?}");
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
async fn the_processes_of_a_request_end_when_its_client_leaves() {
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
    let responses = tokio::join!(first.end(), second.end(), async {
        // Both requests are at the runtime by now.
        let deadline = Instant::now() + Duration::from_secs(5);
        while machine.place.app.console.runtimes.triggers() < 2 {
            assert!(Instant::now() < deadline);
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(machine.file("started").await.lines().count(), 1);
        fs::write(machine.folder.path().join("go"), "").unwrap();
    });
    assert_eq!((responses.0.status, responses.1.status), (200, 200));
    assert_eq!(machine.file("started").await.lines().count(), 2);
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
async fn neither_the_arguments_nor_the_children_of_a_runtime_have_the_key() {
    let machine = Machine::new().await;
    let script = "env; tr '\\0' ' ' < /proc/$PPID/cmdline";
    let mut command = machine.command(&["connect", &machine.handler("chat", script)]);
    command.env("MECHA_KEY", &machine.place.key.secret);
    command.env("COPY", format!("x{}", machine.place.key.secret)).env("OTHER", "kept");
    let mut running = Running::start(&mut command);
    running.read_until("connected to").await;
    let response = machine.call("chat", &[]).await;
    assert!(
        response.body.contains("OTHER=kept") && response.body.contains("MECHA_ACTION=chat"),
        "{response:?}"
    );
    assert!(response.body.contains(&format!("MECHA_CLIENT_KEY_ID={}", machine.id)), "{response:?}");
    assert!(!response.body.contains(&machine.place.key.secret), "{response:?}");
    assert!(!running.seen.contains(&machine.place.key.secret));
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_only_its_own_response() {
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
