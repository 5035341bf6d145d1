//! Whose pages may open the WebSocket. A browser always says from which page it comes; a foreign page must not use the
//! agent's browser to reach us.

use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderName, ORIGIN};

use crate::limits::ORIGIN_SHOWN_MAX;

/// The rule of the configuration.
#[derive(Debug, Clone, Default)]
pub struct OriginRule {
    /// Origins besides our own; `"*"` is every origin.
    pub allowed: Vec<String>,
    /// Whether a request without Origin, so not from a browser's page, passes.
    pub allow_missing: bool,
}

impl OriginRule {
    /// Whether a request with these headers may go on.
    #[must_use]
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return self.allow_missing;
        };
        let (Ok(origin), None) = (origin.to_str(), origins.next()) else {
            return false;
        };
        if self
            .allowed
            .iter()
            .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
        {
            return true;
        }
        is_same_host(origin, headers)
    }
}

/// Whether a page of `origin` and the request's Host are one and the same server. The scheme is not compared, since a proxy
/// in front may speak TLS for us; the port is, with the default of the page's scheme.
#[must_use]
pub fn is_same_host(origin: &str, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|h| h.to_str().ok()), hosts.next()) else {
        return false;
    };
    let Some((_, rest, default_port)) = parts(origin) else {
        return false;
    };
    if rest.contains(['/', '@', '?', '#']) {
        return false;
    }
    match (split(rest, default_port), split(host, default_port)) {
        (Some((page, page_port)), Some((own, own_port))) => {
            page_port == own_port && page.eq_ignore_ascii_case(own)
        }
        _ => false,
    }
}

/// What a request says in this header, for the log: printable, and not longer than a host may be.
pub(super) fn shown(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let all = values.collect::<Vec<_>>().join(", ");
    let printable = all.chars().take(ORIGIN_SHOWN_MAX);
    if all.is_empty() {
        return "-".to_owned();
    }
    printable.flat_map(char::escape_debug).collect()
}

/// An origin as browsers write it (RFC 6454 section 6.2), which they do without the port that its scheme has anyway and in small letters. `None` for what is no
/// origin: one with a path, a user, a wildcard or nothing in it.
#[must_use]
pub fn as_browsers_write(origin: &str) -> Option<String> {
    let (scheme, rest, default_port) = parts(origin)?;
    let (host, port) = split(rest, default_port)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.chars().all(named),
    };
    let host = host.to_ascii_lowercase();
    is_host.then(|| match port {
        port if port == default_port => format!("{scheme}{host}"),
        port => format!("{scheme}{host}:{port}"),
    })
}

/// Scheme, the rest, and the port that the scheme has.
fn parts(origin: &str) -> Option<(&'static str, &str, u16)> {
    [("https://", 443), ("http://", 80)]
        .into_iter()
        .find_map(|(scheme, port)| {
            let begin = origin.get(..scheme.len())?;
            begin
                .eq_ignore_ascii_case(scheme)
                .then(|| (scheme, &origin[scheme.len()..], port))
        })
}

/// Host and port; an IPv6 host keeps its brackets.
fn split(authority: &str, default_port: u16) -> Option<(&str, u16)> {
    let port_at = match authority.rfind(':') {
        Some(at) if authority[at..].contains(']') => None,
        found => found,
    };
    let (host, port) = match port_at {
        Some(at) => (&authority[..at], authority[at + 1..].parse().ok()?),
        None => (authority, default_port),
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_matrix_of_origins() {
        let strict = OriginRule::default();
        let cases = [
            ("gw.example.com", "https://gw.example.com", true),
            ("gw.example.com", "https://GW.example.com", true),
            ("gw.example.com:443", "https://gw.example.com", true),
            ("gw.example.com:8443", "https://gw.example.com:8443", true),
            ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("[::1]", "http://[::1]", true),
            ("gw.example.com:8443", "https://gw.example.com", false),
            ("gw.example.com", "https://gw.example.com:8443", false),
            ("gw.example.com", "https://gw.example.com.evil.net", false),
            ("gw.example.com", "https://evil.gw.example.com", false),
            ("gw.example.com", "https://evil.net", false),
            ("gw.example.com", "https://evil.net/gw.example.com", false),
            ("gw.example.com", "https://gw.example.com@evil.net", false),
            ("gw.example.com", "null", false),
            ("gw.example.com", "", false),
            ("gw.example.com", "file://", false),
            ("gw.example.com", "gw.example.com", false),
        ];
        for (host, origin, admitted) in cases {
            assert_eq!(
                strict.admits(&headers(host, Some(origin))),
                admitted,
                "{origin} at {host}"
            );
        }
    }

    #[test]
    fn a_missing_origin_is_a_rule_of_its_own() {
        let without = headers("gw.example.com", None);
        assert!(!OriginRule::default().admits(&without));
        assert!(
            OriginRule {
                allow_missing: true,
                ..OriginRule::default()
            }
            .admits(&without)
        );
    }

    #[test]
    fn configured_origins_pass() {
        let rule = OriginRule {
            allowed: vec!["https://desk.example.com".into()],
            allow_missing: false,
        };
        assert!(rule.admits(&headers("gw.example.com", Some("https://desk.example.com"))));
        assert!(!rule.admits(&headers(
            "gw.example.com",
            Some("https://desk.example.com.evil.net")
        )));
        let any = OriginRule {
            allowed: vec!["*".into()],
            allow_missing: false,
        };
        assert!(any.admits(&headers("gw.example.com", Some("https://evil.net"))));
    }

    /// An entry with a port that browsers leave out, or in capitals, would let nobody in.
    #[test]
    fn an_entry_is_compared_as_browsers_write_it() {
        let cases = [
            ("https://desk.example.com", Some("https://desk.example.com")),
            (
                "https://desk.example.com:443",
                Some("https://desk.example.com"),
            ),
            (
                "HTTPS://Desk.Example.com:443",
                Some("https://desk.example.com"),
            ),
            (
                "http://desk.example.com:80",
                Some("http://desk.example.com"),
            ),
            (
                "https://desk.example.com:8443",
                Some("https://desk.example.com:8443"),
            ),
            ("https://[2001:DB8::1]:443", Some("https://[2001:db8::1]")),
            ("https://desk.example.com/", None),
            ("https://*.example.com", None),
            ("https://ada@desk.example.com", None),
            ("https://desk.example.com:", None),
            ("https://desk.example.com:port", None),
            ("https://", None),
            ("desk.example.com", None),
            ("wss://desk.example.com", None),
        ];
        for (entry, written) in cases {
            assert_eq!(as_browsers_write(entry).as_deref(), written, "{entry}");
        }
    }

    #[test]
    fn what_is_shown_is_printable_and_short() {
        let long = "x".repeat(10 * ORIGIN_SHOWN_MAX);
        let headers = headers("gw.example.com", Some(&long));
        assert_eq!(shown(&headers, ORIGIN).len(), ORIGIN_SHOWN_MAX);
        assert_eq!(shown(&headers, HOST), "gw.example.com");
        assert_eq!(shown(&HeaderMap::new(), HOST), "-");
        let mut odd = HeaderMap::new();
        odd.insert(
            ORIGIN,
            axum::http::HeaderValue::from_bytes(b"a\tb\xff").unwrap(),
        );
        assert!(shown(&odd, ORIGIN).chars().all(|c| !c.is_control()));
    }

    #[test]
    fn two_origins_are_none() {
        let mut twice = headers("gw.example.com", Some("https://gw.example.com"));
        twice.append(ORIGIN, "https://evil.net".parse().unwrap());
        assert!(!OriginRule::default().admits(&twice));
    }
}
