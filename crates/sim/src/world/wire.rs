//! Enough of a look at a message to watch it: no parser of either side is used.

/// One line that names a message: start line, CSeq, Call-ID.
pub(super) fn summary(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let start = text.lines().next().unwrap_or_default().to_owned();
    let event = header(&text, "Event")
        .map(|event| format!(" {event}"))
        .unwrap_or_default();
    let cseq = header(&text, "CSeq").unwrap_or_default();
    let replaces = header(&text, "Replaces").and_then(|it| it.split(';').next());
    let replaces = replaces
        .map(|it| format!(" in place of {it}"))
        .unwrap_or_default();
    let refer_to = header(&text, "Refer-To")
        .map(|it| format!(" to {it}"))
        .unwrap_or_default();
    let call_id = header(&text, "Call-ID").unwrap_or_default();
    let media = text
        .lines()
        .filter(|line| {
            ["m=", "c=", "a=send", "a=recv", "a=inactive"]
                .iter()
                .any(|p| line.starts_with(p))
        })
        .collect::<Vec<_>>()
        .join(" ");
    format!("{start}{event}{refer_to}{replaces} [{cseq}] {call_id} {media}")
}

/// The first value of a header, named in full or in its compact form.
pub(super) fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let head = text.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The `tag` of From or To.
pub(super) fn tag<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let value = header(text, name)?;
    let (_, after) = value.rsplit_once(";tag=")?;
    Some(after.split(';').next().unwrap_or(after))
}

/// The user part of the URI in From or To.
pub(super) fn user<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, after) = header(text, name)?.split_once("sip:")?;
    after.split_once('@').map(|(user, _)| user)
}

/// The user part of the Request-URI.
pub(super) fn target(text: &str) -> Option<&str> {
    let (user, _) = text.split(' ').nth(1)?.split_once('@')?;
    user.split_once(':').map(|(_, user)| user)
}

/// The `branch` of the first Via.
pub(super) fn branch(text: &str) -> Option<&str> {
    let (_, after) = header(text, "Via")?.split_once(";branch=")?;
    Some(after.split(';').next().unwrap_or(after))
}

/// What a message is.
pub(super) enum Kind<'t> {
    Request { method: &'t str },
    Response { status: u16 },
}

/// Looks at the start line.
pub(super) fn kind(text: &str) -> Option<Kind<'_>> {
    let start = text.lines().next()?;
    match start.strip_prefix("SIP/2.0 ") {
        Some(rest) => Some(Kind::Response {
            status: rest.split(' ').next()?.parse().ok()?,
        }),
        None => Some(Kind::Request {
            method: start.split(' ').next()?,
        }),
    }
}

/// CSeq as number and method.
pub(super) fn cseq(text: &str) -> Option<(u32, &str)> {
    let (number, method) = header(text, "CSeq")?.split_once(' ')?;
    Some((number.parse().ok()?, method.trim()))
}
