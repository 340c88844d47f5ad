//! Settings → Integrate: how to send keys, and how to configure a gateway. Every example contains the origin of this
//! console.

use super::layout::SettingsFrame;
use super::not_found::ErrorPage;
use crate::backend::{self, SignedIn, require_account};
use crate::components::copyable::Copyable;
use crate::components::mechas::actions::curl;
use crate::components::mechas::runtimes::{connect_commands, runtime_client, trigger_commands};
use crate::components::tabs::Tabs;
use crate::error::ConsoleError;
use crate::islands::Enhancements;
use crate::routes::{Dialog, HOME, INTEGRATE, OPENAPI, REFERENCE, RUNTIME_REFERENCE};
use crate::text::{integrate, mechas, runtimes};
use leptos::either::Either;
use leptos::prelude::*;

/// Name and content of a file.
type File = (&'static str, &'static str);

/// The supported gateways: id, name and configuration files. They are the files in `deploy/` that the
/// end-to-end tests run.
const GATEWAYS: [(&str, &str, &[File]); 5] = [
    ("nginx", "nginx", &[("nginx.conf", include_str!("../../../deploy/nginx.conf"))]),
    ("caddy", "Caddy", &[("Caddyfile", include_str!("../../../deploy/Caddyfile"))]),
    ("traefik", "Traefik", &[("traefik.yaml", include_str!("../../../deploy/traefik.yaml"))]),
    (
        "haproxy",
        "HAProxy",
        &[
            ("haproxy.cfg", include_str!("../../../deploy/haproxy.cfg")),
            ("verify.lua", include_str!("../../../deploy/verify.lua")),
        ],
    ),
    ("envoy", "Envoy", &[("envoy.yaml", include_str!("../../../deploy/envoy.yaml"))]),
];

/// Host and port in the files that stand for the address of the console.
const EXAMPLE_ADDRESS: (&str, &str) = ("127.0.0.1", "3000");

/// How to send a key, and the configuration files for each gateway.
#[component]
pub(super) fn IntegratePage() -> impl IntoView {
    let page = Suspend::new(async move {
        match load().await {
            Err(error) => Either::Left(view! { <ErrorPage error /> }),
            Ok((who, origin)) => Either::Right(view! {
                <SettingsFrame title=integrate::TITLE here=INTEGRATE who is_covered=false>
                    {content(&origin)}
                </SettingsFrame>
            }),
        }
    });
    view! { <Suspense fallback=|| ()>{page}</Suspense> }
}

async fn load() -> Result<(SignedIn, String), ConsoleError> {
    let request = backend::request()?;
    Ok((require_account().await?, backend::accounts()?.origin(&request)))
}

fn content(origin: &str) -> impl IntoView + use<> {
    let url = format!("{origin}/api/v1/key");
    let ways = [
        (integrate::BEARER, format!("curl -H \"Authorization: Bearer $MECHA_API_KEY_SECRET\" {url}")),
        (
            integrate::PAIR,
            format!(
                "curl -H \"X-Api-Key-Id: $MECHA_API_KEY_ID\" \\\n     -H \"X-Api-Key-Secret: $MECHA_API_KEY_SECRET\" {url}"
            ),
        ),
        (integrate::ONE_HEADER, format!("curl -H \"X-Api-Key: $MECHA_API_KEY_SECRET\" {url}")),
        (integrate::BASIC, format!("curl -u \"$MECHA_API_KEY_ID:$MECHA_API_KEY_SECRET\" {url}")),
    ];
    let of_mechas = [
        (mechas::CALL, curl(origin, "chat", None, false)),
        (mechas::CALL_STREAM, curl(origin, "chat", None, true)),
        (mechas::TRIGGER, trigger_commands(origin)),
    ];
    let calls = [
        (
            integrate::CALL,
            "curl -X POST http://127.0.0.1:8080/v1/trigger/chat \\\n     -H \"Authorization: Bearer $MECHA_API_KEY_SECRET\" \\\n     \
             -H \"Content-Type: application/json\" -d '{\"message\": \"Hello\"}'",
        ),
        (
            integrate::STREAM,
            "curl -N -X POST http://127.0.0.1:8080/v1/trigger/chat \\\n     -H \"Authorization: Bearer $MECHA_API_KEY_SECRET\" \\\n     \
             -H \"Accept: text/event-stream\" \\\n     -H \"Content-Type: application/json\" -d '{\"message\": \"Hello\"}'",
        ),
    ];
    let prefill = format!("{origin}{}&name=Deploy&expire_in=90", Dialog::Generate.href(HOME));
    let gateways = GATEWAYS.map(|(_, name, files)| {
        let files = files.iter().map(|(file, text)| snippet(file, for_origin(text, origin)));
        (name, files.collect_view().into_any())
    });
    let gateways = Vec::from(gateways);
    view! {
        <header class="page-head">
            <div>
                <h1>{integrate::TITLE}</h1>
                <p class="lead">{integrate::LEAD}</p>
            </div>
        </header>
        <div class="guide">
            <section aria-labelledby="ways">
                <h2 id="ways">{integrate::WAYS}</h2>
                <p>{integrate::WAYS_LEAD} " " <a href=REFERENCE>{integrate::REFERENCE}</a></p>
                <Tabs
                    name="client"
                    legend=integrate::CLIENTS
                    tabs=vec![
                        (
                            integrate::CURL,
                            ways.into_iter().map(|(what, value)| snippet(what, value)).collect_view().into_any(),
                        ),
                        (integrate::BRUNO, snippet(integrate::BRUNO_FILE, bruno(&url)).into_any()),
                        (
                            integrate::OPENAPI,
                            view! {
                                <p>{integrate::OPENAPI_LEAD}</p>
                                {snippet(integrate::OPENAPI, format!("{origin}{OPENAPI}"))}
                            }
                                .into_any(),
                        ),
                    ]
                />
            </section>
            <section aria-labelledby="gateways">
                <h2 id="gateways">{integrate::GATEWAYS}</h2>
                <p>{integrate::GATEWAYS_LEAD}</p>
                <Tabs name="gateway" legend=integrate::GATEWAY_TABS tabs=gateways />
            </section>
            <section aria-labelledby="try">
                <h2 id="try">{integrate::TRY}</h2>
                <p>{integrate::TRY_LEAD}</p>
                {calls.into_iter().map(|(what, value)| snippet(what, value.to_owned())).collect_view()}
            </section>
            <section aria-labelledby="runtime">
                <h2 id="runtime">{runtimes::CONNECT}</h2>
                <p>{runtimes::CONNECT_LEAD}</p>
                <ol>{runtimes::STEPS.map(|step| view! { <li>{step}</li> }).into_iter().collect_view()}</ol>
                <p>{runtimes::INSTALL}</p>
                {snippet(runtimes::COMMAND_LINE, connect_commands(origin))}
                {snippet(runtimes::PYTHON_CLIENT, runtime_client(origin))}
                <p>{runtimes::CALL_LEAD}</p>
                {of_mechas.into_iter().map(|(what, value)| snippet(what, value)).collect_view()}
                <p>
                    <a href=RUNTIME_REFERENCE>{runtimes::CONTRACT}</a>
                </p>
            </section>
            <section aria-labelledby="prefill">
                <h2 id="prefill">{integrate::PREFILL}</h2>
                <p>{integrate::PREFILL_LEAD}</p>
                {snippet(integrate::PREFILL, prefill)}
            </section>
        </div>
        <Enhancements />
    }
}

/// A request in the format of Bruno, an HTTP client that keeps requests in files.
fn bruno(url: &str) -> String {
    format!(
        "meta {{\n  name: Key of this request\n  type: http\n}}\n\nget {{\n  url: {url}\n  auth: bearer\n}}\n\n\
         auth:bearer {{\n  token: {{{{process.env.MECHA_API_KEY_SECRET}}}}\n}}"
    )
}

fn snippet(what: &'static str, value: String) -> impl IntoView {
    view! {
        <div class="field">
            <span class="label">{what}</span>
            <Copyable what value />
        </div>
    }
}

/// Prefix of lines in a gateway's file that apply only if the console has an `https://` origin.
const HTTPS_ONLY: &str = "#https:";

/// Includes the lines marked with [`HTTPS_ONLY`] for HTTPS, without the mark, and removes them for HTTP.
fn for_scheme(text: &str, is_https: bool) -> String {
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        match line.trim_start().strip_prefix(HTTPS_ONLY) {
            Some(rest) if is_https => {
                let indent = line.len() - line.trim_start().len();
                lines.push_str(line.get(..indent).unwrap_or_default());
                lines.push_str(rest);
            }
            Some(_) => continue,
            // The comment at the top of the file that explains the mark.
            None if line.contains(HTTPS_ONLY) => continue,
            None => lines.push_str(line),
        }
        lines.push('\n');
    }
    lines
}

/// Adapts a gateway's file to the origin of this console.
fn for_origin(text: &str, origin: &str) -> String {
    let (scheme, authority) = origin.split_once("://").unwrap_or(("http", origin));
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
        Some((host, port)) => (host, port),
        None => (authority, if scheme == "https" { "443" } else { "80" }),
    };
    let (example_host, example_port) = EXAMPLE_ADDRESS;
    // Removes the brackets of an IPv6 address (RFC 3986, 3.2.2).
    let name = host.trim_matches(['[', ']']);
    let san_type =
        if name.parse::<std::net::IpAddr>().is_ok() { "san_type: IP_ADDRESS" } else { "san_type: DNS" };
    for_scheme(text, scheme == "https")
        .replace(&format!("http://{example_host}:{example_port}"), origin)
        .replace("http://console/", &format!("{scheme}://console/"))
        .replace(&format!("Host {example_host}:{example_port}"), &format!("Host {authority}"))
        .replace(&format!("proxy_ssl_name {example_host}"), &format!("proxy_ssl_name {host}"))
        .replace(
            &format!("address: {example_host}, port_value: {example_port}"),
            &format!("address: {name}, port_value: {port}"),
        )
        .replace(&format!("sni: {example_host}"), &format!("sni: {name}"))
        .replace(&format!("exact: {example_host}"), &format!("exact: {name}"))
        .replace("san_type: DNS", san_type)
        .replace(&format!("server {example_host}:{example_port}"), &format!("server {host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_contains_only_the_address_of_this_console() {
        for (_, name, files) in GATEWAYS {
            let whole: String = files.iter().map(|(_, text)| *text).collect();
            for (origin, host) in
                [("https://keys.example.com", "keys.example.com"), ("http://10.1.2.3:9000", "10.1.2.3")]
            {
                let text = for_origin(&whole, origin);
                assert!(!text.contains(":3000") && !text.contains("port_value: 3000"), "{name}: {text}");
                assert!(text.contains(host), "{name}");
            }
        }
        let nginx = for_origin(GATEWAYS[0].2[0].1, "https://keys.example.com");
        assert!(nginx.contains("server keys.example.com:443;"));
        assert!(nginx.contains("proxy_pass https://console/verify;"));
        assert!(nginx.contains("proxy_set_header Host keys.example.com;"));
    }

    #[test]
    fn at_the_example_address_only_the_https_lines_are_removed_from_a_file() {
        for (_, name, files) in GATEWAYS {
            for (_, text) in files {
                let rest: String = text
                    .lines()
                    .filter(|line| !line.contains(HTTPS_ONLY))
                    .map(|line| format!("{line}\n"))
                    .collect();
                assert_eq!(for_origin(text, "http://127.0.0.1:3000"), rest, "{name}");
            }
        }
    }

    #[test]
    fn gateways_verify_the_certificate_of_a_console_with_https() {
        let whole = |id: &str| {
            let (_, _, files) = GATEWAYS.into_iter().find(|(gateway, ..)| *gateway == id).unwrap();
            for_origin(files[0].1, "https://keys.example.com")
        };
        for (id, lines) in [
            ("nginx", &["\n        proxy_ssl_verify on;", "\n        proxy_ssl_name keys.example.com;"][..]),
            (
                "envoy",
                &[
                    "\n      transport_socket:\n        name:",
                    "sni: keys.example.com",
                    "exact: keys.example.com",
                ],
            ),
            ("caddy", &["\n\t\t\theader_up Host {upstream_hostport}"]),
            ("haproxy", &["\n    httpclient.ssl.verify required"]),
        ] {
            let text = whole(id);
            assert!(!text.contains(HTTPS_ONLY), "{text}");
            for line in lines {
                assert!(text.contains(line), "{line} in {text}");
            }
        }
        let ipv6 = for_origin(GATEWAYS[4].2[0].1, "https://[2001:db8::1]:8443");
        assert!(ipv6.contains("san_type: IP_ADDRESS, matcher: { exact: 2001:db8::1 }"), "{ipv6}");
        assert!(ipv6.contains("address: 2001:db8::1, port_value: 8443"), "{ipv6}");
    }
}
