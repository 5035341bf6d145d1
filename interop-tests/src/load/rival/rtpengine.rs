//! rtpengine in user space, by its control protocol.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::oneshot;

use super::ng::{Dictionary, Ng};
use super::{Rival, call, installed, media_threads};
use crate::load::field::{Orders, caller_ssrc};
use crate::load::sip_text::audio_address;
use crate::load::{Case, Map};
use crate::process::Process;
use crate::{Result, Site};

/// A running rtpengine.
pub(in crate::load) struct Rtpengine {
    pub(in crate::load) process: Process,
    ng: Ng,
    map: Map,
    case: Case,
    _dir: TempDir,
}

impl Rtpengine {
    /// Starts it, without a call yet, with a thread for each of so many media workers, or with as many as it takes by itself.
    pub(in crate::load) async fn start(
        case: Case,
        workers: Option<u16>,
        site: &Site,
        map: Map,
    ) -> Result<Self> {
        let program = installed("rtpengine").ok_or("rtpengine is not installed")?;
        let dir = TempDir::new()?;
        let at = SocketAddr::new(site.gateway(), 22_222);
        let mut command = Command::new(program);
        command
            .args([
                "--config-file=none",
                "--table=-1",
                "--foreground",
                "--log-stderr",
            ])
            .args(["--log-level=4", "--port-min=16384", "--port-max=32767"])
            .args(workers.map(|workers| format!("--num-threads={}", media_threads(workers))))
            .arg(format!("--interface={}", at.ip()))
            .arg(format!("--listen-ng={at}"))
            .arg(format!("--pidfile={}", dir.path().join("pid").display()));
        let process = Process::spawn("rtpengine", &mut command, dir.path())?;
        let mut ng = Ng::new(at).await?;
        ng.ping()
            .await
            .map_err(|error| format!("{error}\n{}", process.output()))?;
        Ok(Self {
            process,
            ng,
            map,
            case,
            _dir: dir,
        })
    }
}

impl Rival for Rtpengine {
    async fn bridge(&mut self, session: usize, field: &Orders) -> Result<oneshot::Receiver<()>> {
        let (dialog, caller_sdp) = call(&self.map, session)?;
        let command = |name| {
            Dictionary::command(name)
                .text("call-id", &dialog.call_id())
                .text("from-tag", "caller")
        };
        let offer = command("offer")
            .text("sdp", &caller_sdp)
            .text("ICE", "force")
            .text("DTLS", "passive")
            .text("transport-protocol", "UDP/TLS/RTP/SAVPF")
            .list("flags", flags(self.case))
            .list("SDES", &["off"])
            .list("rtcp-mux", &["require"])
            .list("replace", &["origin"]);
        // What is coded again has an SSRC of rtpengine's own, which it tells nobody.
        let ssrc = (self.case == Case::Relay).then(|| caller_ssrc(dialog.caller));
        let page_offer = completed(&self.ng.describe(&offer).await?, ssrc);
        let (page_answer, connected) = field.offer(session, page_offer).await?;
        let answer = command("answer")
            .text("to-tag", "page")
            .text("sdp", &located(&page_answer, self.map.page(session)))
            .text("ICE", "remove")
            .text("transport-protocol", "RTP/AVP")
            .list("rtcp-mux", &["demux"])
            .list("replace", &["origin"]);
        let caller_answer = self.ng.describe(&answer).await?;
        let rtp = audio_address(&caller_answer).ok_or("no audio in rtpengine's answer")?;
        field.caller(session, rtp);
        Ok(connected)
    }
}

/// Opus as a browser has it, mono as the caller is: a stereo coder would cost rtpengine more for nothing. How hard its coder works cannot be set.
fn flags(case: Case) -> &'static [&'static str] {
    match case {
        Case::Relay => &["generate-mid"],
        Case::Transcode => &[
            "generate-mid",
            "codec-mask-all",
            "codec-transcode-opus/48000/2/32000//stereo=0;useinbandfec=1",
        ],
    }
}

/// What a page needs and rtpengine does not say, so whoever uses it for browsers adds it: the group,
/// without which the section is refused (RFC 8829 section 5.3.1), and the stream, which it passes on
/// under the caller's own SSRC.
fn completed(sdp: &str, ssrc: Option<u32>) -> String {
    let mid = sdp
        .lines()
        .find_map(|line| line.strip_prefix("a=mid:"))
        .unwrap_or_default();
    let group = format!("a=group:BUNDLE {mid}\r\nm=audio ");
    let stream = ssrc.map(|ssrc| format!("a=ssrc:{ssrc} cname:caller\r\n"));
    sdp.replacen("m=audio ", &group, 1) + &stream.unwrap_or_default()
}

/// The page's answer with the address of its default candidate, as a browser that has gathered its
/// candidates writes it (RFC 8839 section 4.2.1.2). Without it rtpengine takes 0.0.0.0 for a hold.
fn located(sdp: &str, page: SocketAddr) -> String {
    sdp.replacen("c=IN IP4 0.0.0.0", &format!("c=IN IP4 {}", page.ip()), 1)
        .replacen("m=audio 9 ", &format!("m=audio {} ", page.port()), 1)
}
