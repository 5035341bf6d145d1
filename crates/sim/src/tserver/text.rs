//! Small readings of header values and URIs, made for what `rsip` cannot read: dotted users, IPv6
//! hosts, `tel:` and addr-specs whose parameters belong to the header.

use std::net::{IpAddr, SocketAddr};

use super::io::Transport;

/// Port of SIP where none is written.
const DEFAULT_PORT: u16 = 5060;

/// The URI of a From, To or Contact value, without display name and brackets.
pub(super) fn uri_of(value: &str) -> &str {
    let rest = after_quoted(value.trim());
    if let Some(open) = rest.find('<') {
        let inner = &rest[open + 1..];
        return inner
            .find('>')
            .map_or(inner, |close| &inner[..close])
            .trim();
    }
    rest.find(';').map_or(rest, |end| &rest[..end]).trim()
}

/// A parameter of the header, not of the URI in it.
pub(super) fn header_param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let rest = after_quoted(value);
    let tail = rest.find('>').map_or(rest, |close| &rest[close..]);
    find_param(tail, name)
}

/// A parameter of a URI.
pub(super) fn uri_param<'a>(uri: &'a str, name: &str) -> Option<&'a str> {
    find_param(uri, name)
}

fn find_param<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(';').skip(1).find_map(|param| {
        let (key, value) = param.split_once('=').unwrap_or((param, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What follows a leading quoted string; the whole text if there is none.
fn after_quoted(value: &str) -> &str {
    let Some(rest) = value.strip_prefix('"') else {
        return value;
    };
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return &rest[at + 1..],
            _ => {}
        }
    }
    value
}

/// The user part, or the number of a `tel:` URI.
pub(super) fn user_of(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    if scheme.eq_ignore_ascii_case("tel") {
        return Some(rest.split(';').next().unwrap_or(rest));
    }
    rest.rsplit_once('@').map(|(user, _)| user)
}

/// Host and port as text, e.g. `192.0.2.81:5060`.
fn host_port(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once(':')?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    Some(rest.split([';', '?']).next().unwrap_or(rest))
}

/// Where a request to this URI goes, if its host is an address.
pub(super) fn address_of(uri: &str) -> Option<SocketAddr> {
    address(host_port(uri)?)
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`, the host being an address.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(full) = text.parse::<SocketAddr>() {
        return Some(full);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>()
        .ok()
        .map(|ip| SocketAddr::new(ip, DEFAULT_PORT))
}

/// The transport that a URI asks for.
pub(super) fn transport_of(uri: &str) -> Transport {
    match uri_param(uri, "transport") {
        Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
        Some(name) if name.eq_ignore_ascii_case("tls") => Transport::Tls,
        _ => Transport::Udp,
    }
}

/// The name that RFC 3261 section 7.3.3 abbreviates.
pub(super) fn long_name(name: &str) -> &str {
    match name.to_ascii_lowercase().as_str() {
        "v" => "Via",
        "f" => "From",
        "t" => "To",
        "i" => "Call-ID",
        "m" => "Contact",
        "c" => "Content-Type",
        "l" => "Content-Length",
        "k" => "Supported",
        "s" => "Subject",
        "e" => "Content-Encoding",
        "o" => "Event",
        "r" => "Refer-To",
        "x" => "Session-Expires",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_addr_spec_gives_its_parameters_to_the_header() {
        let value = "sip:1003@192.0.2.81:5060;tag=abc";
        assert_eq!(uri_of(value), "sip:1003@192.0.2.81:5060");
        assert_eq!(header_param(value, "tag"), Some("abc"));
        let value = "\"a <;tag=no> \\\" b\" <sip:alice.smith@192.0.2.1;transport=TCP>;tag=yes";
        assert_eq!(uri_of(value), "sip:alice.smith@192.0.2.1;transport=TCP");
        assert_eq!(header_param(value, "tag"), Some("yes"));
        assert_eq!(header_param("<sip:a@b;tag=no>", "tag"), None);
    }

    #[test]
    fn users_and_addresses_are_read_where_rsip_fails() {
        assert_eq!(user_of("sip:alice.smith@example.com"), Some("alice.smith"));
        assert_eq!(user_of("sip:%2321@h"), Some("%2321"));
        assert_eq!(user_of("tel:+431;phone-context=x"), Some("+431"));
        assert_eq!(
            address_of("sip:x@[2001:db8::1]:5070;transport=tcp"),
            Some("[2001:db8::1]:5070".parse().unwrap())
        );
        assert_eq!(
            address_of("sip:192.0.2.1"),
            Some("192.0.2.1:5060".parse().unwrap())
        );
        assert_eq!(address_of("sip:x@example.com"), None);
        assert_eq!(transport_of("sip:a@b;Transport=TCP"), Transport::Tcp);
    }
}
