//! Every phase of a call against everything that can happen to it: where the call is afterwards, and what went out.

#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;
use std::time::Duration;

use common::{ANSWER, Dialog, OFFER, SIP_SERVER, World};
use control::{GatewayMessage, PageMessage};
use sip::Message;
use sip::ua::Transport;
use switchboard::{BrowserState, CallId, Input, MediaCommand, MediaEvent};

/// A call in one phase, and the ends that can do something to it.
struct Scene {
    world: World,
    page: u64,
    dialog: Dialog,
    call: String,
}

type Prepare = fn() -> Scene;
type Act = fn(&mut Scene);

const PHASES: [(&str, Prepare); 9] = [
    ("ringing", ringing),
    ("waiting for the browser", waiting),
    ("awaiting the ACK", awaiting_ack),
    ("dialling", dialling),
    ("talking", talking),
    ("held by the page", || held(Scene::page_hold)),
    ("held by NOTIFY", || held(|scene| scene.notify("hold"))),
    ("held by the peer", held_by_peer),
    ("ending", ending),
];

const ACTS: [(&str, Act); 27] = [
    ("NOTIFY talk", |scene| scene.notify("talk")),
    ("NOTIFY hold", |scene| scene.notify("hold")),
    ("NOTIFY dtmf", |scene| scene.notify("dtmf;digits=5")),
    ("NOTIFY beep", |scene| scene.notify("beep")),
    ("NOTIFY other", |scene| scene.notify("presence")),
    ("page answer", |scene| {
        scene.says(|call| PageMessage::Answer { call })
    }),
    ("page reject", |scene| {
        scene.says(|call| PageMessage::Reject { call })
    }),
    ("page hangup", |scene| {
        scene.says(|call| PageMessage::Hangup { call })
    }),
    ("page hold", Scene::page_hold),
    ("page retrieve", |scene| {
        scene.says(|call| PageMessage::Retrieve { call })
    }),
    ("page dtmf", |scene| {
        scene.says(|call| PageMessage::Dtmf {
            call,
            digits: "5".into(),
        });
    }),
    ("CANCEL", |scene| scene.world.cancel(&scene.dialog)),
    ("BYE", |scene| scene.asks("BYE", None)),
    ("ACK", |scene| scene.ack(None)),
    ("ACK with SDP", |scene| scene.ack(Some(ANSWER))),
    ("re-INVITE without SDP", |scene| scene.asks("INVITE", None)),
    ("re-INVITE sendrecv", |scene| {
        scene.asks("INVITE", Some(MOVED))
    }),
    ("re-INVITE first offer", |scene| {
        scene.asks("INVITE", Some(OFFER))
    }),
    ("re-INVITE sendonly", |scene| {
        scene.asks("INVITE", Some(SENDONLY))
    }),
    ("UPDATE", |scene| scene.asks("UPDATE", None)),
    ("UPDATE sendonly", |scene| {
        scene.asks("UPDATE", Some(SENDONLY))
    }),
    ("INFO", |scene| scene.asks("INFO", None)),
    ("port taken", |scene| {
        let (call, port) = scene.port();
        scene.world.input(Input::Media(MediaEvent::PortFailed {
            call,
            port,
            taken: true,
        }));
    }),
    ("leg connects", |scene| {
        scene.leg(BrowserState::Connected {
            ice: None,
            dtls: None,
        })
    }),
    ("leg fails, 31 s", |scene| {
        scene.world.media_connects = false;
        scene.leg(BrowserState::Failed(control::MediaFailure::ConsentLost));
        scene.world.advance(Duration::from_secs(31));
    }),
    ("page gone, 31 s", |scene| {
        let page = scene.page;
        scene.world.lose_page(page);
        scene.world.advance(Duration::from_secs(31));
    }),
    ("page bye", |scene| scene.says(|_| PageMessage::Bye)),
];

/// SIP Server's new description, media from elsewhere, both ways.
const MOVED: &str = "v=0\r\no=Genesys 1769469826 9 IN IP4 192.0.2.81\r\ns=-\r\nc=IN IP4 192.0.2.84\r\nt=0 0\r\n\
m=audio 8010 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const SENDONLY: &str = "v=0\r\no=Genesys 1769469826 10 IN IP4 192.0.2.81\r\ns=-\r\nc=IN IP4 192.0.2.84\r\nt=0 0\r\n\
m=audio 8010 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n";

fn scene(offer: Option<&str>) -> Scene {
    let (mut world, page) = World::with_agent("1002");
    let dialog = world.invite("1002", offer);
    let call = world.call(page).id;
    Scene {
        world,
        page,
        dialog,
        call,
    }
}

fn ringing() -> Scene {
    scene(Some(OFFER))
}

fn waiting() -> Scene {
    let mut world = World::new(&["1002"]);
    world.media_connects = false;
    let page = world.sign_in("1002", None);
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "talk");
    let call = world.call(page).id;
    Scene {
        world,
        page,
        dialog,
        call,
    }
}

fn awaiting_ack() -> Scene {
    let mut scene = scene(None);
    scene.notify("talk");
    scene
}

fn dialling() -> Scene {
    let (mut world, page) = World::with_agent("1002");
    let number = "5550100".to_owned();
    world.say(page, PageMessage::Dial { number });
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "180 Ringing", None);
    let header = |name| common::text(invite.headers.get(name));
    let dialog = Dialog {
        call_id: header(&sip::HeaderName::CALL_ID),
        dn: "1002".into(),
        from_tag: "server".into(),
        cseq: 1,
        invite_branch: "z9hG4bKnone".into(),
    };
    let call = world.call(page).id;
    Scene {
        world,
        page,
        dialog,
        call,
    }
}

fn talking() -> Scene {
    let mut scene = ringing();
    scene.notify("talk");
    scene.ack(None);
    scene
}

fn held(hold: fn(&mut Scene)) -> Scene {
    let mut scene = talking();
    hold(&mut scene);
    scene.world.answer_reinvite("recvonly");
    scene
}

fn held_by_peer() -> Scene {
    let mut scene = talking();
    scene.asks("INVITE", Some(SENDONLY));
    scene.ack(None);
    scene
}

fn ending() -> Scene {
    let mut scene = talking();
    scene.says(|call| PageMessage::Hangup { call });
    scene
}

impl Scene {
    fn notify(&mut self, event: &str) {
        self.world.notify(&mut self.dialog, event);
    }

    fn asks(&mut self, method: &str, sdp: Option<&str>) {
        self.world.in_dialog(&mut self.dialog, method, "", sdp);
    }

    fn ack(&mut self, sdp: Option<&str>) {
        let dialog = self.dialog.clone();
        // The ACK of the last INVITE, whatever came between.
        let cseq = if self
            .world
            .statuses(&dialog, dialog.cseq, "INVITE")
            .is_empty()
        {
            1
        } else {
            dialog.cseq
        };
        self.world.ack(&dialog, cseq, sdp);
    }

    fn says(&mut self, message: fn(String) -> PageMessage) {
        let message = message(self.call.clone());
        self.world.say(self.page, message);
    }

    fn page_hold(&mut self) {
        self.says(|call| PageMessage::Hold { call });
    }

    fn leg(&mut self, state: BrowserState) {
        let leg = *self.world.legs.last().unwrap();
        self.world
            .input(Input::Media(MediaEvent::BrowserState { leg, state }));
    }

    fn port(&self) -> (CallId, u16) {
        let mut ports = self
            .world
            .media
            .iter()
            .rev()
            .filter_map(|command| match command {
                MediaCommand::OpenPort { call, port } => Some((*call, *port)),
                _ => None,
            });
        ports.next().unwrap()
    }

    /// State of the call as everybody is shown it, and which way its media goes.
    fn state(&self) -> String {
        let id = CallId::parse(&self.call).unwrap();
        let view = self.world.board.call(id).unwrap().call;
        let mut text = format!("{:?}", view.state).to_lowercase();
        if let Some(by) = view.held_by {
            write!(text, " {by:?}").unwrap();
        }
        if let Some(end) = view.end {
            write!(text, " {}", end.cause).unwrap();
        }
        let closed = self.world.is_media_closed(id);
        let plan = self
            .world
            .media
            .iter()
            .rev()
            .find_map(|command| match command {
                MediaCommand::Plan(plan) => Some(plan),
                _ => None,
            });
        if let Some(plan) = plan.filter(|_| !closed) {
            text.push_str(
                match (plan.browser.is_some(), plan.to_agent, plan.to_caller) {
                    (true, true, true) => " <=>",
                    (true, true, false) => " =>",
                    (true, false, true) => " <=",
                    _ => " -",
                },
            );
        }
        text
    }

    /// What went out, in order: to SIP Server, then what the page was told beside the call's picture, then digits and
    /// ports.
    fn said(&self, (sent, told, media): (usize, usize, usize)) -> String {
        let mut words: Vec<String> = Vec::new();
        for sent in &self.world.sent[sent..] {
            let word = match &sent.message {
                Message::Request(request) => format!("{:?}", request.method).to_uppercase(),
                Message::Response(response) => {
                    let cseq = common::text(response.headers.get(&sip::HeaderName::CSEQ));
                    let method = cseq.split(' ').nth(1).unwrap().to_owned();
                    format!("{}/{method}", response.status.as_u16())
                }
            };
            let direction = sent.text.lines().find_map(|line| {
                line.strip_prefix("a=").filter(|value| {
                    ["sendrecv", "sendonly", "recvonly", "inactive"].contains(value)
                })
            });
            let word = match direction {
                Some(direction) => format!("{word} {direction}"),
                None => word,
            };
            if words.last() != Some(&word) {
                words.push(word);
            }
        }
        for message in &self.world.pages[&self.page][told..] {
            match message {
                GatewayMessage::Error { code, .. } => words.push(format!("page: {code:?}")),
                GatewayMessage::RemoteControl { event, .. } => {
                    words.push(format!("page: {event:?}"));
                }
                _ => {}
            }
        }
        for command in &self.world.media[media..] {
            match command {
                MediaCommand::SendDigits { digits, .. } => words.push(format!("media: {digits}")),
                MediaCommand::Beep { .. } => words.push("media: beep".to_owned()),
                MediaCommand::OpenPort { .. } => words.push("media: port".to_owned()),
                _ => {}
            }
        }
        words.join(", ")
    }
}

/// One table, read by a human when it changes.
#[test]
fn the_whole_matrix() {
    let mut table = String::new();
    for (phase, prepare) in PHASES {
        writeln!(table, "{phase}: {}", prepare().state()).unwrap();
        for (name, act) in ACTS {
            let mut scene = prepare();
            let world = &scene.world;
            let before = (
                world.sent.len(),
                world.pages[&scene.page].len(),
                world.media.len(),
            );
            act(&mut scene);
            let row = format!(
                "    {name:<23} {:<34} {}",
                scene.state(),
                scene.said(before)
            );
            writeln!(table, "{}", row.trim_end()).unwrap();
            leaves_nothing(scene, &format!("{phase}, {name}"));
        }
    }
    insta::assert_snapshot!(table);
}

/// Wherever a call was brought, SIP Server's silence and the agent's leaving end it.
fn leaves_nothing(mut scene: Scene, cell: &str) {
    scene.world.input(Input::Shutdown);
    scene.world.advance(Duration::from_secs(120));
    assert!(scene.world.board.is_quiet(), "{cell}: something is left");
    assert_eq!(scene.world.board.gauges().ports_in_use, 0, "{cell}");
    let to = SIP_SERVER.parse().unwrap();
    let transport = Transport::Udp;
    scene
        .world
        .input(Input::SipTransmitFailed { transport, to });
}
