//! The pages, embedded. No build step: what is served is what stands in this folder.

/// One file of the pages.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Path on the HTTP listener.
    pub path: &'static str,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The file.
    pub bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($path:literal, $content_type:expr, $file:literal) => {
        Asset {
            path: $path,
            content_type: $content_type,
            bytes: include_bytes!($file),
        }
    };
}

/// All files, by path.
pub const ASSETS: &[Asset] = &[
    asset!("/agent", HTML, "agent.html"),
    asset!("/agent/agent.css", CSS, "agent/agent.css"),
    asset!("/agent/agent.js", JS, "agent/agent.js"),
    asset!("/agent/audio_panel.js", JS, "agent/audio_panel.js"),
    asset!("/agent/calls.css", CSS, "agent/calls.css"),
    asset!("/agent/calls.js", JS, "agent/calls.js"),
    asset!("/agent/details.js", JS, "agent/details.js"),
    asset!("/agent/dom.js", JS, "agent/dom.js"),
    asset!("/agent/icon.svg", SVG, "agent/icon.svg"),
    asset!("/agent/recording.js", JS, "agent/recording.js"),
    asset!("/agent/sites.js", JS, "agent/sites.js"),
    asset!("/agent/stored.js", JS, "agent/stored.js"),
    asset!("/agent/transfer.js", JS, "agent/transfer.js"),
    asset!("/agent/words.js", JS, "agent/words.js"),
    asset!("/sdk/attempts.js", JS, "sdk/attempts.js"),
    asset!("/sdk/calls.js", JS, "sdk/calls.js"),
    asset!("/sdk/level_meter.js", JS, "sdk/level_meter.js"),
    asset!("/sdk/media.js", JS, "sdk/media.js"),
    asset!("/sdk/microphone.js", JS, "sdk/microphone.js"),
    asset!("/sdk/network.js", JS, "sdk/network.js"),
    asset!("/sdk/orders.js", JS, "sdk/orders.js"),
    asset!("/sdk/pulse.js", JS, "sdk/pulse.js"),
    asset!("/sdk/requests.js", JS, "sdk/requests.js"),
    asset!("/sdk/restarts.js", JS, "sdk/restarts.js"),
    asset!("/sdk/ringer.js", JS, "sdk/ringer.js"),
    asset!("/sdk/speaker.js", JS, "sdk/speaker.js"),
    asset!("/sdk/stats.js", JS, "sdk/stats.js"),
    asset!("/sdk/talkbridge.js", JS, "sdk/talkbridge.js"),
    asset!("/sdk/types.js", JS, "sdk/types.js"),
];

/// The file at this path.
#[must_use]
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(asset: &Asset) -> &'static str {
        std::str::from_utf8(asset.bytes).unwrap()
    }

    /// Every import, script, style and icon names a file that is served.
    #[test]
    fn what_is_named_is_there() {
        for from in ASSETS {
            let folder = &from.path[..=from.path.rfind('/').unwrap()];
            let named = text(from).split(['\'', '"', '`']).filter(|name| {
                [".js", ".css", ".svg"]
                    .iter()
                    .any(|end| name.ends_with(end))
                    && !name.contains([' ', ':'])
            });
            for name in named.filter(|name| !name.starts_with('/') && *name != "talkbridge.js") {
                let path = match name.strip_prefix("../") {
                    Some(rest) => format!("/{rest}"),
                    None => format!("{folder}{}", name.trim_start_matches("./")),
                };
                assert!(asset(&path).is_some(), "{} names {path}", from.path);
            }
        }
    }

    /// The policy forbids inline code and style; the pages must not need any, nor turn text into markup.
    #[test]
    fn nothing_is_inline_and_text_stays_text() {
        for asset in ASSETS {
            let text = text(asset);
            for forbidden in [
                " style=",
                " onclick=",
                "<style",
                "javascript:",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
            ] {
                assert!(!text.contains(forbidden), "{} has {forbidden}", asset.path);
            }
        }
        assert!(
            text(asset("/agent").unwrap())
                .contains("<script type=\"module\" src=\"agent/agent.js\"></script>")
        );
    }

    /// What tests and other people's scripts reach for.
    #[test]
    fn the_page_has_its_stable_ids() {
        let page = text(asset("/agent").unwrap());
        for id in [
            "token",
            "sign-in",
            "sign-out",
            "registration",
            "media-state",
            "calls",
            "number",
            "dial",
            "mute",
            "microphone",
            "speaker",
            "level-in",
            "level-out",
        ] {
            assert!(page.contains(&format!("id=\"{id}\"")), "no #{id}");
        }
    }

    /// Every `cause` of the failure table has words for the agent.
    #[test]
    fn every_cause_has_words() {
        let words = text(asset("/agent/words.js").unwrap());
        for cause in switchboard::Cause::ALL {
            let row = format!("  {}: '", cause.outcome().cause);
            assert!(
                words.contains(&row),
                "agent/words.js has no words for {}",
                cause.outcome().cause
            );
        }
    }
}
