//! What may be dialled.

use crate::limits;

/// Why digits or a number were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Nothing is left when separators are taken away.
    #[error("it is empty")]
    Empty,
    /// Longer than [`limits::MAX_NUMBER_BYTES`] or [`limits::MAX_DIGITS`].
    #[error("it is too long")]
    TooLong,
    /// Holds something else.
    #[error("it holds a character that cannot be dialled")]
    Character,
}

/// The number to dial, without the spaces, brackets and slashes that people write for the eye.
///
/// A number is made of ASCII letters, digits and `+ * # - . _ ~`. Hyphens and dots are separators too when
/// everything else is digits or a leading `+` (`+1 (555) 010-1234`), and kept in names (`front-desk`).
/// Nothing else gets in, so no number can carry a host, a parameter, an escape or a line end into a SIP URI.
///
/// # Errors
/// Says why it cannot be dialled.
pub fn dial_number(text: &str) -> Result<String, NumberError> {
    if text.len() > limits::MAX_NUMBER_BYTES {
        return Err(NumberError::TooLong);
    }
    let is_separator = |c: char| matches!(c, ' ' | '(' | ')' | '/');
    let is_dialled = |c: char| c.is_ascii_alphanumeric() || "+*#-._~".contains(c);
    if !text.chars().all(|c| is_dialled(c) || is_separator(c)) {
        return Err(NumberError::Character);
    }
    let is_name = text.contains(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '~'));
    let number: String = text
        .chars()
        .filter(|c| !is_separator(*c) && (is_name || !matches!(c, '-' | '.')))
        .collect();
    if number.contains(|c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '#')) {
        Ok(number)
    } else {
        Err(NumberError::Empty)
    }
}

/// Whether these are digits that RFC 4733 can send: `0-9`, `*`, `#`, `A-D`.
///
/// # Errors
/// Says why they cannot be sent.
pub fn check_digits(digits: &str) -> Result<(), NumberError> {
    if digits.is_empty() {
        return Err(NumberError::Empty);
    }
    if digits.len() > limits::MAX_DIGITS {
        return Err(NumberError::TooLong);
    }
    if digits
        .bytes()
        .all(|digit| matches!(digit, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D'))
    {
        Ok(())
    } else {
        Err(NumberError::Character)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_for_the_eye() {
        let cases = [
            ("1003", Ok("1003")),
            ("+1 (555) 010-1234", Ok("+15550101234")),
            ("030/123.45", Ok("03012345")),
            ("*21#", Ok("*21#")),
            ("front-desk", Ok("front-desk")),
            ("alice.smith", Ok("alice.smith")),
            ("", Err(NumberError::Empty)),
            ("( )-", Err(NumberError::Empty)),
            ("+", Err(NumberError::Empty)),
        ];
        for (text, expected) in cases {
            assert_eq!(dial_number(text), expected.map(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn nothing_can_leave_the_user_part() {
        let attacks = [
            "1003@evil.example",
            "1003;phone-context=x",
            "1003\r\nX-Evil: 1",
            "1003\n",
            "1003\0",
            "%2321",
            "<1003>",
            "\"1003\"",
            "1003?Replaces=x",
            "1003,1004",
            "sip:1003",
            "\u{661}\u{662}",
            "10\t03",
        ];
        for text in attacks {
            assert_eq!(dial_number(text), Err(NumberError::Character), "{text:?}");
        }
        assert_eq!(
            dial_number(&"1".repeat(limits::MAX_NUMBER_BYTES + 1)),
            Err(NumberError::TooLong)
        );
    }

    #[test]
    fn digits_are_those_of_a_keypad() {
        assert_eq!(check_digits("0123456789*#ABCD"), Ok(()));
        assert_eq!(check_digits(""), Err(NumberError::Empty));
        assert_eq!(check_digits("12a"), Err(NumberError::Character));
        assert_eq!(check_digits("E"), Err(NumberError::Character));
        assert_eq!(
            check_digits(&"1".repeat(limits::MAX_DIGITS + 1)),
            Err(NumberError::TooLong)
        );
    }
}
