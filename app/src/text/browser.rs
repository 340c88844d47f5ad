//! Names of browsers and programs, from their `User-Agent`.

use woothee::parser::Parser;

/// The name of a browser, its major version and its system: `Chrome 159 on Windows`. For other programs, their first
/// product: `curl/8.5`. `None` if the `User-Agent` is empty.
#[must_use]
pub fn browser(agent: &str) -> Option<String> {
    let program = agent.split_whitespace().next()?.to_owned();
    let parser = Parser::new();
    let Some(found) = parser.parse(agent).filter(|found| ![found.version, found.os].contains(&UNKNOWN))
    else {
        return Some(program);
    };
    let version = found.version.split('.').next().unwrap_or_default();
    let system = match found.os {
        "Mac OSX" => "macOS",
        windows if windows.starts_with("Windows") => "Windows",
        system => system,
    };
    Some(format!("{} {version} on {system}", found.name))
}

const UNKNOWN: &str = "UNKNOWN";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_named_with_version_and_system() {
        let chromium = |system: &str, rest: &str| {
            format!("Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/159.0.0.0 {rest}")
        };
        for (agent, name) in [
            (chromium("Windows NT 10.0; Win64; x64", "Safari/537.36"), "Chrome 159 on Windows"),
            (chromium("Windows NT 10.0; Win64; x64", "Safari/537.36 Edg/159.0.0.0"), "Edge 159 on Windows"),
            (chromium("Linux; Android 10; K", "Mobile Safari/537.36"), "Chrome 159 on Android"),
            (chromium("X11; CrOS x86_64 14541.0.0", "Safari/537.36"), "Chrome 159 on ChromeOS"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0".to_owned(), "Firefox 150 on Linux"),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/26.1 Safari/605.1.15"
                    .to_owned(),
                "Safari 26 on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/26.0 Mobile/15E148 Safari/604.1"
                    .to_owned(),
                "Safari 26 on iPhone",
            ),
            ("curl/8.5.0".to_owned(), "curl/8.5.0"),
            ("<b>".to_owned(), "<b>"),
        ] {
            assert_eq!(browser(&agent).as_deref(), Some(name), "{agent}");
        }
        assert_eq!(browser(""), None);
    }
}
