//! The commands, their keys and their failures.

use super::*;

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
    assert_eq!(stdout(machine.run(&["trigger", "echo", "--mecha", "Porter", "--", "-x"]).await), "-x");
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
