//! The `Date` of an answer (RFC 3261 section 20.17).

/// Days of a year before the first of each month, in a year that is no leap year.
const DAYS_BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Names of the months as RFC 1123 spells them.
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Seconds since 1970 of `Sat, 13 Nov 2010 23:29:00 GMT`; `None` when it is no such date. SIP dates are always GMT.
pub(super) fn unix_s(text: &str) -> Option<i64> {
    let (_, rest) = text.trim().split_once(',')?;
    let mut words = rest.split_ascii_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<i64>);
    let mut part = || clock.next()?.ok();
    let (hour, minute, second) = (part()?, part()?, part()?);
    let sane = (1970..=9999).contains(&year)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if words.next() != Some("GMT") || !sane {
        return None;
    }
    let before = DAYS_BEFORE_MONTH.get(month)?;
    let days = 365 * (year - 1970) + leap_days(year, month) + before + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Leap days from 1970 up to the month.
fn leap_days(year: i64, month: usize) -> i64 {
    // February of the year itself counts once it is over.
    let last = if month >= 2 { year } else { year - 1 };
    let up_to = |year: i64| year / 4 - year / 100 + year / 400;
    up_to(last) - up_to(1969)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds() {
        assert_eq!(unix_s("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(unix_s("Sat, 13 Nov 2010 23:29:00 GMT"), Some(1_289_690_940));
        assert_eq!(unix_s("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        assert_eq!(unix_s("Fri, 01 Mar 2024 00:00:00 GMT"), Some(1_709_251_200));
    }

    #[test]
    fn what_is_no_date_is_unknown() {
        for text in [
            "",
            "yesterday",
            "Sat, 13 Nov 2010 23:29:00 CET",
            "Sat, 13 Nov 2010 23:29 GMT",
            "Sat, 99 Nov 2010 23:29:00 GMT",
            "Sat, 13 Nov 99999999999999999 23:29:00 GMT",
        ] {
            assert_eq!(unix_s(text), None, "{text}");
        }
    }
}
