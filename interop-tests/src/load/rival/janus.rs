//! Janus with its NoSIP plugin: WebRTC on one side, plain RTP on the other, and the signalling is ours.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::oneshot;

use super::janus_api::Api;
use super::{Rival, call, installed, media_threads};
use crate::load::Map;
use crate::load::field::Orders;
use crate::load::sip_text::audio_address;
use crate::process::Process;
use crate::{Result, Site};

/// Its configuration: a file's name, and what is in it.
const FILES: [(&str, &str); 3] = [
    ("janus.jcfg", include_str!("../../../janus/janus.jcfg")),
    (
        "janus.plugin.nosip.jcfg",
        include_str!("../../../janus/janus.plugin.nosip.jcfg"),
    ),
    (
        "janus.transport.websockets.jcfg",
        include_str!("../../../janus/janus.transport.websockets.jcfg"),
    ),
];

/// A running Janus.
pub(in crate::load) struct Janus {
    pub(in crate::load) process: Process,
    api: Api,
    map: Map,
    _dir: TempDir,
}

impl Janus {
    /// Where everybody is: Janus takes no address of the loopback interface, and sends to none from the
    /// one that it has instead, so the pages are at that too. What a machine sends to itself passes
    /// through the loopback interface all the same.
    pub(in crate::load) fn map(site: &Site) -> Result<Map> {
        Ok(Map::new(own_address()?, site.media()))
    }

    /// Starts it at the address of the pages, without a call yet.
    pub(in crate::load) async fn start(workers: u16, map: Map) -> Result<Self> {
        let program = installed("janus").ok_or("janus is not installed")?;
        let dir = TempDir::new()?;
        let socket = dir.path().join("api");
        // That costs it less than its default, a thread for each call. The plugin has a thread for each call whatever is set.
        let event_loops = media_threads(workers);
        configure(dir.path(), &socket, map.page_host(), event_loops)?;
        // As many descriptors as may be, which other programs ask for themselves: a call takes more than two.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"ulimit -n "$(ulimit -H -n)" && exec "$0" "$@""#])
            .arg(program)
            .arg("--config")
            .arg(dir.path().join("janus.jcfg"))
            .arg("--configs-folder")
            .arg(dir.path());
        let process = Process::spawn("janus", &mut command, dir.path())?;
        let api = Api::open(&socket)
            .await
            .map_err(|error| format!("{error}\n{}", process.output()))?;
        Ok(Self {
            process,
            api,
            map,
            _dir: dir,
        })
    }
}

impl Rival for Janus {
    async fn bridge(&mut self, session: usize, field: &Orders) -> Result<oneshot::Receiver<()>> {
        let (_, caller_offer) = call(&self.map, session)?;
        let call = self.api.attach().await?;
        let page_offer = self.api.process(call, &caller_offer).await?;
        let (page_answer, connected) = field.offer(session, page_offer).await?;
        let caller_answer = self.api.generate(call, &page_answer).await?;
        let rtp = audio_address(&caller_answer).ok_or("no audio in Janus's answer")?;
        field.caller(session, rtp);
        Ok(connected)
    }
}

/// Writes its configuration.
fn configure(dir: &Path, socket: &Path, address: IpAddr, event_loops: usize) -> Result<()> {
    for (name, template) in FILES {
        let text = template
            .replace("@ADDRESS@", &address.to_string())
            .replace("@SOCKET@", &socket.display().to_string())
            .replace("@EVENT_LOOPS@", &event_loops.to_string());
        std::fs::write(dir.join(name), text)?;
    }
    Ok(())
}

/// An address of this machine that is not of the loopback interface. Nothing is sent: the system only
/// says from where it would be.
fn own_address() -> Result<IpAddr> {
    let elsewhere = (Ipv4Addr::new(198, 51, 100, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(elsewhere).map_err(|error| {
        format!("Janus takes no address of the loopback interface, and there is no other: {error}")
    })?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_filled_in() {
        let dir = TempDir::new().unwrap();
        let address = IpAddr::from([192, 0, 2, 7]);
        configure(
            dir.path(),
            &dir.path().join("api"),
            address,
            media_threads(3),
        )
        .unwrap();
        let text = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        for (name, _) in FILES {
            assert!(!text(name).contains('@'), "{name}");
        }
        assert!(text("janus.jcfg").contains("event_loops = 3"));
        assert!(text("janus.plugin.nosip.jcfg").contains("192.0.2.7"));
        assert!(media_threads(0) >= 1);
    }
}
