#![allow(clippy::unwrap_used)]
use super::*;

fn uri(text: &str) -> Uri {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_form_prints_as_it_came() {
    for text in [
        "sip:1003@192.0.2.81:5060",
        "sip:192.0.2.81",
        "sip:alice.smith@example.com",
        "sip:%2321@example.com",
        "sip:+49301234567@example.com;user=phone",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:5001;phone-context=+49@example.com",
        "sips:alice@[2001:db8::9:1]:5061;transport=TCP",
        "sip:[2001:DB8::10]",
        "tel:+49-30-123;phone-context=example.com",
        "tel:7042;phone-context=example.com",
        "sip:user;par=u%40example.net@example.com",
        "sip:sips%3Auser%40example.com@example.net",
        "sip:null-%00-null@example.com",
        "sip:bob@h;transport=UDP?Replaces=12345%40h%3Bto-tag%3D1&Subject=a",
        "soap.beep://192.0.2.103:3002",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
    ] {
        assert_eq!(uri(text).to_string(), text);
        assert_eq!(uri(text).to_bytes(), text.as_bytes());
    }
}

#[test]
fn parts() {
    let it = uri("sip:alice.smith:pw@example.com:5070;lr;transport=tcp?Subject=a%20b");
    assert_eq!(it.user().unwrap(), b"alice.smith");
    assert_eq!(it.password().unwrap(), b"pw");
    assert_eq!(it.host(), Host::parse(b"EXAMPLE.com").as_ref());
    assert_eq!(it.port(), Some(5070));
    assert_eq!(it.param("lr").unwrap(), b"");
    assert_eq!(it.param("Transport").unwrap(), b"tcp");
    assert_eq!(it.header("subject").unwrap(), b"a b");
    assert_eq!(
        it.for_request_line().to_string(),
        "sip:alice.smith:pw@example.com:5070;lr;transport=tcp"
    );
    assert_eq!(uri("sip:%2321@h").user_unescaped().unwrap(), b"#21");
    assert_eq!(
        uri("sip:[::1]:5060")
            .host()
            .unwrap()
            .ip()
            .unwrap()
            .to_string(),
        "::1"
    );
    assert_eq!(uri("tel:+49-30;ext=1").user().unwrap(), b"+49-30");
}

#[test]
fn what_is_no_uri_is_refused() {
    for (text, error) in [
        ("", UriError::Scheme),
        ("1003", UriError::Scheme),
        ("sip:", UriError::Host),
        ("sip:@h", UriError::User),
        ("sip:a b@h", UriError::Octet),
        ("sip:<a@h>", UriError::Octet),
        ("sip:a@h@i", UriError::Host),
        ("sip:a@h?Subject=b@c", UriError::Host),
        ("sip:a%4@h", UriError::User),
        ("sip:a@h:0", UriError::Port),
        ("sip:a@h:65536", UriError::Port),
        ("sip:a@h:5060x", UriError::Port),
        ("sip:a@[::1", UriError::Host),
        ("sip:a@[::g]", UriError::Host),
        ("sip:a@h;;x", UriError::Params),
        ("sip:a@h;", UriError::Params),
        ("sip:a@h?Subject", UriError::Headers),
        ("tel:", UriError::Number),
        ("tel:+49 30", UriError::Octet),
    ] {
        assert_eq!(Uri::parse(text.as_bytes()).unwrap_err(), error, "{text}");
    }
    let long = format!("sip:{}@h", "a".repeat(4096));
    assert_eq!(Uri::parse(long.as_bytes()).unwrap_err(), UriError::TooLong);
}

/// The lists of RFC 3261 section 19.1.4.
#[test]
fn equivalence_follows_the_rfc() {
    let same = [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:carol@chicago.com;newparam=5",
            "sip:carol@chicago.com;security=on",
        ),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+49-30-12", "tel:+493012"),
    ];
    for (a, b) in same {
        assert!(
            uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)),
            "{a} {b}"
        );
    }
    let different = [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
    ];
    for (a, b) in different {
        assert!(
            !uri(a).equivalent(&uri(b)) && !uri(b).equivalent(&uri(a)),
            "{a} {b}"
        );
    }
}

#[test]
fn built_uris_escape_what_they_must() {
    let host = Host::parse(b"192.0.2.1").unwrap();
    assert_eq!(
        Uri::sip(Some(b"#21*"), &host, Some(5060))
            .unwrap()
            .to_string(),
        "sip:%2321*@192.0.2.1:5060"
    );
    assert_eq!(
        Uri::sip(None, &host, None).unwrap().to_string(),
        "sip:192.0.2.1"
    );
    let with = Uri::sip(Some(b"1002"), &host, None)
        .unwrap()
        .with_param("transport", Some(b"tcp"));
    assert_eq!(with.to_string(), "sip:1002@192.0.2.1;transport=tcp");
    assert_eq!(
        uri("sip:a@h?b=c").with_param("lr", None).to_string(),
        "sip:a@h;lr?b=c"
    );
}

/// RFC 5118 section 4.10, and no further.
#[test]
fn three_colons_before_ipv4_are_two() {
    let host = |text: &str| Host::parse(text.as_bytes());
    assert_eq!(
        host("[2001:db8:::192.0.2.1]"),
        host("[2001:db8::192.0.2.1]")
    );
    assert!(host("[2001:db8:::192.0.2.1]").is_some());
    assert_eq!(
        uri("sip:a@[2001:db8:::192.0.2.1]").to_string(),
        "sip:a@[2001:db8:::192.0.2.1]"
    );
    for bad in [
        "[2001:db8:::10]",
        "[2001:db8::::192.0.2.1]",
        "[2001:db8::1:::192.0.2.1]",
    ] {
        assert_eq!(host(bad), None, "{bad}");
    }
}
