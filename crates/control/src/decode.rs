//! Reading what a page says.

use serde::Deserialize;
use serde_json::Value;

use crate::limits;
use crate::{
    CloseCode, ErrorCode, NumberError, PageMessage, PageRequest, check_digits, dial_number,
};

/// Why a message was not understood, with the `id` for the `error` that says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct DecodeError {
    /// The `id` of the request, when it had a usable one.
    pub id: Option<String>,
    /// What was wrong.
    pub cause: Cause,
}

/// What was wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// Above [`limits::MAX_MESSAGE_BYTES`].
    #[error("the message is longer than {} bytes", limits::MAX_MESSAGE_BYTES)]
    TooLarge,
    /// Not JSON in UTF-8.
    #[error("the message is not JSON")]
    NotJson,
    /// JSON, but no object.
    #[error("the message is not a JSON object")]
    NotAnObject,
    /// `id` is no string, or longer than [`limits::MAX_ID_BYTES`].
    #[error("id: expected a string of at most {} bytes", limits::MAX_ID_BYTES)]
    BadId,
    /// No `type`, or none that is a string.
    #[error("type: expected a string")]
    NoType,
    /// A `type` that this gateway does not know.
    #[error("the gateway does not know this type of message")]
    UnknownType,
    /// A field is missing or of the wrong kind. The text is for people.
    #[error("{0}")]
    Shape(String),
    /// A field is too long.
    #[error("{field}: longer than {max} bytes")]
    TooLong {
        /// The field.
        field: &'static str,
        /// What is allowed.
        max: usize,
    },
    /// A field holds what it must not.
    #[error("{field}: {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// Digits or a number that cannot be dialled.
    #[error("{field}: {cause}")]
    Number {
        /// The field.
        field: &'static str,
        /// Why not.
        cause: NumberError,
    },
}

impl DecodeError {
    /// The code of the `error` that answers.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self.cause {
            Cause::TooLarge | Cause::NotJson | Cause::NotAnObject | Cause::NoType => {
                ErrorCode::BadMessage
            }
            Cause::UnknownType => ErrorCode::UnknownType,
            Cause::Number { .. } => ErrorCode::BadNumber,
            Cause::BadId | Cause::Shape(_) | Cause::TooLong { .. } | Cause::Value { .. } => {
                ErrorCode::BadField
            }
        }
    }

    /// The close code, when the connection is not worth keeping: whoever sends this speaks another protocol.
    #[must_use]
    pub const fn close(&self) -> Option<CloseCode> {
        match self.cause {
            Cause::TooLarge => Some(CloseCode::TooLarge),
            Cause::NotJson | Cause::NotAnObject => Some(CloseCode::BadMessage),
            _ => None,
        }
    }
}

/// Reads one message of a page and checks it: every length, digits, numbers. `number` and `to` come out
/// without separators, ready for a SIP URI.
///
/// # Errors
/// Says what was wrong, with the `id` of the request wherever it could be read.
pub fn decode(text: &[u8]) -> Result<PageRequest, DecodeError> {
    let early = |cause| DecodeError { id: None, cause };
    if text.len() > limits::MAX_MESSAGE_BYTES {
        return Err(early(Cause::TooLarge));
    }
    let value: Value = serde_json::from_slice(text).map_err(|_| early(Cause::NotJson))?;
    let Value::Object(mut fields) = value else {
        return Err(early(Cause::NotAnObject));
    };
    let id = match fields.remove("id") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) if id.len() <= limits::MAX_ID_BYTES => Some(id),
        Some(_) => return Err(early(Cause::BadId)),
    };
    match message(fields) {
        Ok(message) => Ok(PageRequest { id, message }),
        Err(cause) => Err(DecodeError { id, cause }),
    }
}

fn message(fields: serde_json::Map<String, Value>) -> Result<PageMessage, Cause> {
    let Some(Value::String(kind)) = fields.get("type") else {
        return Err(Cause::NoType);
    };
    if !PageMessage::TYPES.contains(&kind.as_str()) {
        return Err(Cause::UnknownType);
    }
    let mut message = PageMessage::deserialize(Value::Object(fields))
        .map_err(|error| Cause::Shape(shape(&error)))?;
    check(&mut message)?;
    Ok(message)
}

/// What serde says, without the value that it may quote at any length.
fn shape(error: &serde_json::Error) -> String {
    /// Enough for "invalid type: string ..., expected a boolean".
    const MAX_CHARS: usize = 120;
    error.to_string().chars().take(MAX_CHARS).collect()
}

fn check(message: &mut PageMessage) -> Result<(), Cause> {
    match message {
        PageMessage::Hello {
            token,
            resume,
            client,
            ..
        } => {
            at_most("token", token.expose(), limits::MAX_TOKEN_BYTES)?;
            if let Some(resume) = resume {
                at_most("resume", resume.expose(), limits::MAX_RESUME_BYTES)?;
            }
            if let Some(client) = client {
                at_most("client.name", &client.name, limits::MAX_CLIENT_BYTES)?;
                let version = client.version.as_deref().unwrap_or_default();
                at_most("client.version", version, limits::MAX_CLIENT_BYTES)?;
            }
            Ok(())
        }
        PageMessage::MediaAnswer { sdp, .. } => at_most("sdp", sdp, limits::MAX_SDP_BYTES),
        PageMessage::MediaCandidate {
            candidate, sdp_mid, ..
        } => {
            let candidate = candidate.as_deref().unwrap_or_default();
            at_most("candidate", candidate, limits::MAX_CANDIDATE_BYTES)?;
            if candidate.contains(['\r', '\n', '\0']) {
                return Err(Cause::Value {
                    field: "candidate",
                    expected: "expected one line",
                });
            }
            let mid = sdp_mid.as_deref().unwrap_or_default();
            at_most("sdp_mid", mid, limits::MAX_MID_BYTES)
        }
        PageMessage::Answer { call }
        | PageMessage::Reject { call }
        | PageMessage::Hangup { call }
        | PageMessage::Hold { call }
        | PageMessage::Retrieve { call }
        | PageMessage::Record { call, .. } => call_id("call", call),
        PageMessage::Dial { number } => normalise("number", number),
        PageMessage::Dtmf { call, digits } => {
            call_id("call", call)?;
            check_digits(digits).map_err(|cause| Cause::Number {
                field: "digits",
                cause,
            })
        }
        PageMessage::Transfer { call, to, to_call } => {
            call_id("call", call)?;
            match (to, to_call) {
                (Some(number), None) => normalise("to", number),
                (None, Some(other)) => call_id("to_call", other),
                _ => Err(Cause::Value {
                    field: "to",
                    expected: "expected either to or to_call",
                }),
            }
        }
        PageMessage::Microphone(microphone) => {
            let label = microphone.label.as_deref().unwrap_or_default();
            at_most("label", label, limits::MAX_LABEL_BYTES)
        }
        PageMessage::Stats { report } => {
            let text = report.to_string();
            at_most("report", &text, limits::MAX_REPORT_BYTES)
        }
        PageMessage::MediaRestart | PageMessage::Mute { .. } | PageMessage::Bye => Ok(()),
    }
}

fn at_most(field: &'static str, text: &str, max: usize) -> Result<(), Cause> {
    if text.len() > max {
        Err(Cause::TooLong { field, max })
    } else {
        Ok(())
    }
}

fn call_id(field: &'static str, call: &str) -> Result<(), Cause> {
    at_most(field, call, limits::MAX_CALL_ID_BYTES)
}

fn normalise(field: &'static str, number: &mut String) -> Result<(), Cause> {
    *number = dial_number(number).map_err(|cause| Cause::Number { field, cause })?;
    Ok(())
}
