//! The body of the fuzz target: any bytes, and what must hold of them.

use crate::{GatewayMessage, decode, dial_number, encode, limits};

/// Feeds `data` as a page's message, as a gateway's message and as a number.
///
/// # Panics
/// When an invariant is broken: what was accepted reads the same when it is written and read again; an error
/// carries no `id` longer than allowed; a number never gets out of the user part of a SIP URI.
pub fn fuzz(data: &[u8]) {
    match decode(data) {
        Ok(request) => {
            let text = serde_json::to_vec(&request).expect("own type");
            // Escapes may make the text longer than what came in.
            if text.len() <= limits::MAX_MESSAGE_BYTES {
                assert_eq!(decode(&text), Ok(request), "written and read again");
            }
        }
        Err(error) => {
            assert!(
                error.id.is_none_or(|id| id.len() <= limits::MAX_ID_BYTES),
                "id"
            );
        }
    }
    if let Ok(message) = serde_json::from_slice::<GatewayMessage>(data) {
        let again: GatewayMessage = serde_json::from_str(&encode(&message)).expect("own text");
        assert_eq!(again, message, "written and read again");
    }
    if let Ok(Ok(number)) = std::str::from_utf8(data).map(dial_number) {
        assert!(!number.is_empty() && number.is_ascii(), "number");
        assert!(
            !number.contains(['@', ';', ':', '%', '<', '>', '\r', '\n', ' ']),
            "number"
        );
    }
}
