//! `mecha connect`: the connection and its key.

use super::*;

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
    let response = call.end().await;
    assert_eq!((response.status, response.body.as_str()), (200, "done\n"));
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
        let (responses, ended) = tokio::join!(calls, async {
            running.signal("-TERM");
            running.end().await
        });
        assert_eq!(ended.0, 0, "{}", ended.1);
        for response in responses {
            assert_eq!(response.status, 200, "{response:?}\n{}", ended.1);
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
    machine.stop_server().await;
    running.read_until("cannot be reached").await;
    let _restarted = machine.start_server().await;
    running.read_until("connected to").await;
}

#[tokio::test]
async fn a_request_that_takes_longer_than_a_drain_of_the_owner_is_cancelled() {
    let mut machine = Machine::new().await;
    let running = machine.connect(&[&machine.handler("chat", "echo x > started; exec sleep 100")]).await;
    let call = machine.begin("chat", &[]).await;
    machine.file("started").await;
    let runtime = machine.place.runtime().await;
    machine.place.ada.post("/rpc/mechas/command", &[("runtime_id", &runtime), ("command", "drain")]).await;
    let (response, (code, log)) = tokio::join!(call.end(), running.end());
    assert_eq!((response.status, code), (502, 0), "{log}");
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
    machine.stop_server().await;
    running.read_until("trying again").await;
    let (code, log) = once.end().await;
    assert!(code == 75 && log.contains("code 1012"), "{log}");
    let _restarted = machine.start_server().await;
    running.read_until("connected to").await;
}

#[tokio::test]
async fn a_secret_that_was_rejected_is_not_tried_again_after_a_reconnect() {
    let machine = Machine::new().await;
    let file = machine.folder.path().join("key");
    fs::write(&file, &machine.place.key.secret).unwrap();
    let mut running = Running::start(&mut machine.command(&["connect", "--key-file", "key"]));
    running.read_until("connected to").await;
    // A key of the account is valid, but not for a runtime.
    fs::write(&file, &machine.secret).unwrap();
    running.read_until("it belongs to no Mecha").await;
    running.read_until("staying connected with the previous one").await;
    machine.stop_server().await;
    running.read_until("cannot be reached").await;
    let _restarted = machine.start_server().await;
    running.read_until("connected to").await;
}
