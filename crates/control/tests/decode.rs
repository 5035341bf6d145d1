//! What a page may not say, and what it gets for it.
#![allow(clippy::unwrap_used)]

use control::{CloseCode, DecodeCause, ErrorCode, NumberError, PageMessage, decode, limits};
use proptest::prelude::*;

fn refused(text: &str) -> (Option<String>, ErrorCode, Option<CloseCode>) {
    let error = decode(text.as_bytes()).unwrap_err();
    let code = error.code();
    let close = error.close();
    (error.id, code, close)
}

#[test]
fn whoever_speaks_no_json_is_let_go() {
    for text in ["", "hello", "{", "\u{0}", "{\"type\":\"bye\"} x"] {
        assert_eq!(
            refused(text),
            (None, ErrorCode::BadMessage, Some(CloseCode::BadMessage)),
            "{text:?}"
        );
    }
    for text in ["[]", "1", "null", "\"bye\""] {
        assert_eq!(
            refused(text),
            (None, ErrorCode::BadMessage, Some(CloseCode::BadMessage)),
            "{text:?}"
        );
    }
    let deep = format!(
        "{{\"type\":\"stats\",\"report\":{}1{}}}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    assert_eq!(
        refused(&deep).2,
        Some(CloseCode::BadMessage),
        "nested without end"
    );
    let large = format!(
        "{{\"type\":\"bye\",\"x\":\"{}\"}}",
        "x".repeat(limits::MAX_MESSAGE_BYTES)
    );
    assert_eq!(
        refused(&large),
        (None, ErrorCode::BadMessage, Some(CloseCode::TooLarge))
    );
    assert!(
        decode(b"{\"type\":\"dial\",\"number\":\"\xff\"}").is_err(),
        "not UTF-8"
    );
}

#[test]
fn an_error_has_the_id_of_its_request() {
    let id = || Some("7".to_owned());
    let cases = [
        ("{\"id\":\"7\"}", ErrorCode::BadMessage),
        ("{\"id\":\"7\",\"type\":5}", ErrorCode::BadMessage),
        ("{\"id\":\"7\",\"type\":\"fly\"}", ErrorCode::UnknownType),
        ("{\"id\":\"7\",\"type\":\"Bye\"}", ErrorCode::UnknownType),
        (
            "{\"id\":\"7\",\"type\":\"welcome\"}",
            ErrorCode::UnknownType,
        ),
        ("{\"id\":\"7\",\"type\":\"answer\"}", ErrorCode::BadField),
        (
            "{\"id\":\"7\",\"type\":\"answer\",\"call\":5}",
            ErrorCode::BadField,
        ),
        (
            "{\"id\":\"7\",\"type\":\"mute\",\"muted\":\"yes\"}",
            ErrorCode::BadField,
        ),
        (
            "{\"id\":\"7\",\"type\":\"microphone\",\"state\":\"loud\"}",
            ErrorCode::BadField,
        ),
        (
            "{\"id\":\"7\",\"type\":\"dial\",\"number\":\"1003@x\"}",
            ErrorCode::BadNumber,
        ),
        (
            "{\"id\":\"7\",\"type\":\"dial\",\"number\":\"1\\r\\nX: y\"}",
            ErrorCode::BadNumber,
        ),
        (
            "{\"id\":\"7\",\"type\":\"dtmf\",\"call\":\"c\",\"digits\":\"1a\"}",
            ErrorCode::BadNumber,
        ),
        (
            "{\"id\":\"7\",\"type\":\"transfer\",\"call\":\"c\"}",
            ErrorCode::BadField,
        ),
        (
            "{\"id\":\"7\",\"type\":\"transfer\",\"call\":\"c\",\"to\":\"1\",\"to_call\":\"d\"}",
            ErrorCode::BadField,
        ),
        (
            "{\"id\":\"7\",\"type\":\"media_candidate\",\"candidate\":\"a\\r\\nb\"}",
            ErrorCode::BadField,
        ),
    ];
    for (text, code) in cases {
        assert_eq!(refused(text), (id(), code, None), "{text}");
    }
    for text in [
        "{\"id\":7,\"type\":\"bye\"}",
        "{\"id\":{},\"type\":\"bye\"}",
    ] {
        assert_eq!(refused(text), (None, ErrorCode::BadField, None), "{text}");
    }
    let long = format!(
        "{{\"id\":\"{}\",\"type\":\"bye\"}}",
        "7".repeat(limits::MAX_ID_BYTES + 1)
    );
    assert_eq!(refused(&long), (None, ErrorCode::BadField, None));
}

#[test]
fn fields_that_are_not_known_are_ignored() {
    let request = decode(b"{\"type\":\"bye\",\"id\":null,\"later\":[1,{\"a\":2}]}").unwrap();
    assert_eq!((request.id, request.message), (None, PageMessage::Bye));
}

#[test]
fn a_number_comes_out_ready_to_dial() {
    let request = decode(b"{\"type\":\"dial\",\"number\":\"+1 (555) 010-1234\"}").unwrap();
    assert_eq!(
        request.message,
        PageMessage::Dial {
            number: "+15550101234".to_owned()
        }
    );
    let error = decode(b"{\"type\":\"dial\",\"number\":\" \"}").unwrap_err();
    assert_eq!(
        error.cause,
        DecodeCause::Number {
            field: "number",
            cause: NumberError::Empty
        }
    );
    assert_eq!(error.to_string(), "number: it is empty");
}

#[test]
fn every_text_has_a_limit() {
    let at =
        |json: &str, bytes: usize| decode(json.replace("$", &"x".repeat(bytes)).as_bytes()).is_ok();
    let cases = [
        (
            "{\"type\":\"hello\",\"token\":\"$\"}",
            limits::MAX_TOKEN_BYTES,
        ),
        (
            "{\"type\":\"hello\",\"token\":\"t\",\"resume\":\"$\"}",
            limits::MAX_RESUME_BYTES,
        ),
        (
            "{\"type\":\"hello\",\"token\":\"t\",\"client\":{\"name\":\"$\"}}",
            limits::MAX_CLIENT_BYTES,
        ),
        (
            "{\"type\":\"hello\",\"token\":\"t\",\"client\":{\"name\":\"n\",\"version\":\"$\"}}",
            limits::MAX_CLIENT_BYTES,
        ),
        (
            "{\"type\":\"media_answer\",\"sdp\":\"$\"}",
            limits::MAX_SDP_BYTES,
        ),
        (
            "{\"type\":\"media_candidate\",\"candidate\":\"$\"}",
            limits::MAX_CANDIDATE_BYTES,
        ),
        (
            "{\"type\":\"media_candidate\",\"candidate\":\"\",\"sdp_mid\":\"$\"}",
            limits::MAX_MID_BYTES,
        ),
        (
            "{\"type\":\"hold\",\"call\":\"$\"}",
            limits::MAX_CALL_ID_BYTES,
        ),
        (
            "{\"type\":\"transfer\",\"call\":\"c\",\"to_call\":\"$\"}",
            limits::MAX_CALL_ID_BYTES,
        ),
        (
            "{\"type\":\"dial\",\"number\":\"$\"}",
            limits::MAX_NUMBER_BYTES,
        ),
        // Quotes belong to the text of a report.
        (
            "{\"type\":\"stats\",\"report\":\"$\"}",
            limits::MAX_REPORT_BYTES - 2,
        ),
    ];
    for (json, max) in cases {
        assert!(at(json, max), "{json} with {max}");
        assert!(!at(json, max + 1), "{json} with {max} and one");
    }
}

#[test]
fn what_is_logged_holds_no_secret() {
    let request =
        decode(b"{\"type\":\"hello\",\"token\":\"geheim\",\"resume\":\"streng\",\"client\":{\"name\":\"n\"}}").unwrap();
    let log = format!("{request:?}");
    assert!(!log.contains("geheim") && !log.contains("streng"), "{log}");
}

#[test]
fn what_is_refused_is_not_repeated_at_length() {
    let text = format!("{{\"type\":\"mute\",\"muted\":\"{}\"}}", "x".repeat(60_000));
    assert!(decode(text.as_bytes()).unwrap_err().to_string().len() < 600);
}

/// JSON that looks like a message, with values of any kind.
fn message() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("JSON", |value| value.is_finite())
            .prop_map(|value| format!("{value:e}")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("{\"name\":\"n\"}".to_owned()),
        Just("[[]]".to_owned()),
    ];
    let name = prop::sample::select(vec![
        "id",
        "token",
        "resume",
        "client",
        "sdp",
        "candidate",
        "call",
        "number",
        "digits",
        "to",
        "to_call",
        "muted",
        "report",
    ]);
    let fields = prop::collection::vec((name, value), 0..5);
    (prop::sample::select(PageMessage::TYPES.to_vec()), fields).prop_map(|(kind, fields)| {
        let fields: String = fields
            .iter()
            .map(|(name, value)| format!(",\"{name}\":{value}"))
            .collect();
        format!("{{\"type\":\"{kind}\"{fields}}}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_fields_break_nothing(text in message()) {
        control::fuzz(text.as_bytes());
    }

    #[test]
    fn noise_breaks_nothing(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        control::fuzz(&bytes);
    }
}
