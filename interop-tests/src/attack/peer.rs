//! A host that speaks SIP over UDP by hand.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::dialog::{Dialog, crlf};
use crate::Site;
use crate::process::show_on_failure;
use crate::sipp::header;
use crate::wait::{eventually_some, within};

/// T1 of RFC 3261, after which an unanswered request is sent again.
const REPEAT_AFTER: Duration = Duration::from_millis(500);

/// How often: longer than a queue may be full.
const REPEATS: usize = 40;

/// What a peer answers by itself.
type Reflex = Box<dyn FnMut(&str) -> Vec<String> + Send>;

/// Messages that have reached a peer, each with its sender.
type Mail = Arc<Mutex<Vec<(SocketAddr, String)>>>;

/// A UDP socket at an address of the site, and everything that has reached it.
#[derive(Debug)]
pub struct SipPeer {
    local: SocketAddr,
    gateway: SocketAddr,
    socket: Arc<UdpSocket>,
    mail: Mail,
    task: JoinHandle<()>,
}

impl SipPeer {
    /// Listens on `port` of `host`, and says nothing by itself.
    ///
    /// # Panics
    /// When the address is taken.
    pub async fn start(site: &Site, host: IpAddr, port: u16) -> Self {
        Self::with_reflex(site, host, port, |_| Vec::new()).await
    }

    /// The same; what `reflex` returns for a message is sent to its sender.
    ///
    /// # Panics
    /// When the address is taken.
    #[expect(
        clippy::unused_async,
        reason = "as every peer starts: within a runtime"
    )]
    pub async fn with_reflex(
        site: &Site,
        host: IpAddr,
        port: u16,
        reflex: impl FnMut(&str) -> Vec<String> + Send + 'static,
    ) -> Self {
        let socket = std::net::UdpSocket::bind((host, port)).expect("the port is ours");
        Self::on(site, socket, reflex)
    }

    /// The same on a socket that is bound already, perhaps at another host.
    ///
    /// # Panics
    /// When the runtime does not take it.
    pub fn on(
        site: &Site,
        socket: std::net::UdpSocket,
        reflex: impl FnMut(&str) -> Vec<String> + Send + 'static,
    ) -> Self {
        socket.set_nonblocking(true).expect("it is a socket");
        let local = socket.local_addr().expect("it is bound");
        let socket = Arc::new(UdpSocket::from_std(socket).expect("the runtime takes it"));
        let mail = Mail::default();
        let task = tokio::spawn(listen(
            Arc::clone(&socket),
            Arc::clone(&mail),
            Box::new(reflex),
        ));
        Self {
            local,
            gateway: site.gateway_sip(),
            socket,
            mail,
            task,
        }
    }

    /// The same, for a gateway that speaks SIP at another address than its site's.
    #[must_use]
    pub fn towards(mut self, gateway: SocketAddr) -> Self {
        self.gateway = gateway;
        self
    }

    /// Its address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The gateway's SIP address.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Sends a message; a line feed alone is written as a whole line end.
    ///
    /// # Panics
    /// When loopback does not take it.
    pub async fn say(&self, text: &str) {
        self.send(crlf(text).as_bytes()).await;
    }

    /// Sends octets as they are.
    ///
    /// # Panics
    /// When loopback does not take them.
    pub async fn send(&self, octets: &[u8]) {
        let sent = self.socket.send_to(octets, self.gateway).await;
        sent.expect("loopback takes it");
    }

    /// Every message that has reached it.
    ///
    /// # Panics
    /// When its task has panicked.
    pub fn heard(&self) -> Vec<String> {
        let mail = self.mail.lock().expect("the peer's task lives");
        mail.iter().map(|(_, message)| message.clone()).collect()
    }

    /// How many messages that `wanted` tells from others have reached it.
    pub fn count(&self, wanted: impl Fn(&str) -> bool) -> usize {
        self.heard()
            .iter()
            .filter(|message| wanted(message))
            .count()
    }

    /// Waits until `wanted` is true of a message, and returns the latest such.
    ///
    /// # Panics
    /// When none comes.
    pub async fn hears(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually_some(&format!("{}: {what}", self.local), || {
            let heard = self.heard();
            heard.into_iter().rev().find(|message| wanted(message))
        })
        .await
    }

    /// Sends a request and waits for the status of its final answer, found by its branch. On the way it may be lost: it is repeated,
    /// as every client repeats it.
    ///
    /// # Panics
    /// When none comes.
    pub async fn asks(&self, request: &str) -> u16 {
        let branch = branch(request);
        let final_answer = |message: &str| {
            message.starts_with("SIP/2.0 ")
                && !message.starts_with("SIP/2.0 1")
                && message.contains(branch)
        };
        let answer = self.repeats(request, final_answer).await;
        status(&answer)
    }

    /// Sends a request again and again until a message is `wanted`; returns it.
    ///
    /// # Panics
    /// When none comes.
    async fn repeats(&self, request: &str, wanted: impl Fn(&str) -> bool) -> String {
        for _ in 0..REPEATS {
            self.say(request).await;
            if within(REPEAT_AFTER, || self.count(&wanted) > 0).await {
                break;
            }
        }
        self.hears("an answer", wanted).await
    }

    /// Asks whether talkbridge is alive, as SIP Server would: by OPTIONS.
    ///
    /// # Panics
    /// When nothing comes back.
    pub async fn finds_it_alive(&self, after: &str) {
        let options = Dialog::new(self, "1002").request("OPTIONS", "", "");
        assert_eq!(self.asks(&options).await, 200, "after {after}");
    }

    /// A new call to `dn` that rings; `lines` are added to its INVITE.
    ///
    /// # Panics
    /// When it does not ring.
    pub async fn rings(&self, dn: &str, lines: &str, media: SocketAddr) -> Dialog {
        let tried = self.tries(dn, lines, media).await;
        tried.unwrap_or_else(|refusal| panic!("{dn} does not ring: {refusal}"))
    }

    /// The same; the refusal when it does not ring.
    ///
    /// # Errors
    /// The status of the refusal.
    ///
    /// # Panics
    /// When nothing comes back.
    pub async fn tries(&self, dn: &str, lines: &str, media: SocketAddr) -> Result<Dialog, u16> {
        let mut dialog = Dialog::new(self, dn);
        let invite = dialog.invite(lines, media);
        self.invites(dialog, &invite).await
    }

    async fn invites(&self, mut dialog: Dialog, invite: &str) -> Result<Dialog, u16> {
        let about = |message: &str| {
            message.contains(&dialog.call_id) && !message.starts_with("SIP/2.0 100")
        };
        let answer = self.repeats(invite, about).await;
        dialog.heard_tag(&answer);
        if answer.starts_with("SIP/2.0 180") {
            return Ok(dialog);
        }
        self.say(&dialog.ack_refusal()).await;
        Err(status(&answer))
    }

    /// Cancels a call that rings.
    ///
    /// # Panics
    /// When that is not confirmed.
    pub async fn gives_up(&self, call: &Dialog) {
        let ended =
            |message: &str| message.starts_with("SIP/2.0 487") && message.contains(&call.call_id);
        self.repeats(&call.cancel(), ended).await;
        self.say(&call.ack_refusal()).await;
    }

    /// The same, answered by talk and confirmed.
    ///
    /// # Panics
    /// When it is not answered.
    pub async fn talks(&self, dn: &str, media: SocketAddr) -> Dialog {
        self.is_answered(self.rings(dn, "", media).await).await.0
    }

    /// The same for a telephone with a description of its own; and the answer to it.
    ///
    /// # Panics
    /// When it is not answered.
    pub async fn talks_by(&self, dn: &str, description: &str) -> (Dialog, String) {
        let mut dialog = Dialog::new(self, dn);
        let invite = dialog.invite_with("", description);
        let tried = self.invites(dialog, &invite).await;
        let rings = tried.unwrap_or_else(|refusal| panic!("{dn} does not ring: {refusal}"));
        self.is_answered(rings).await
    }

    async fn is_answered(&self, mut dialog: Dialog) -> (Dialog, String) {
        let talk = dialog.request("NOTIFY", "Event: talk\n", "");
        assert_eq!(self.asks(&talk).await, 200, "talk");
        let answer = self.confirms(&mut dialog).await;
        (dialog, answer)
    }

    /// Waits for the 200 to the INVITE of `dialog` and acknowledges it; the 200.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn confirms(&self, dialog: &mut Dialog) -> String {
        let answer = self
            .hears("200 to INVITE", |message| {
                message.starts_with("SIP/2.0 200")
                    && header(message, "CSeq") == Some("1 INVITE")
                    && message.contains(&dialog.call_id)
            })
            .await;
        dialog.heard_tag(&answer);
        self.say(&dialog.ack(1)).await;
        answer
    }
}

impl Drop for SipPeer {
    fn drop(&mut self) {
        self.task.abort();
        show_on_failure(&format!("what reached {}", self.local), || {
            let heard = self.heard();
            let last = heard.len().saturating_sub(20);
            heard[last..].join("\n")
        });
    }
}

fn status(answer: &str) -> u16 {
    let status = answer.get(8..11).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {answer}"))
}

/// The branch of a message's first Via.
pub(super) fn branch(message: &str) -> &str {
    let via = header(message, "Via").unwrap_or_default();
    let branch = via.split("branch=").nth(1).unwrap_or_default();
    branch.split([';', ',']).next().unwrap_or_default()
}

async fn listen(socket: Arc<UdpSocket>, mail: Mail, mut reflex: Reflex) {
    let mut buffer = vec![0; 65_536];
    loop {
        // An error is the ICMP answer to an earlier datagram of ours.
        let Ok((size, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let message = String::from_utf8_lossy(&buffer[..size]).into_owned();
        let answers = reflex(&message);
        mail.lock()
            .expect("no panic while held")
            .push((from, message));
        for answer in answers {
            // A lost answer is repeated when its request is.
            drop(socket.send_to(crlf(&answer).as_bytes(), from).await);
        }
    }
}
