//! SIP over TCP as networks really carry it: messages cut and joined anywhere, connections lost and opened again.

use std::net::SocketAddr;
use std::time::Duration;

use interop_tests::load::sip_text::{Dialog, header, ok, status, tag};
use interop_tests::wait::DEADLINE;
use interop_tests::{Desk, Result, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than everything here that talkbridge waits for by the book: 20 s to a ping, 10 s for its answer, 30 s for a first message.
const LONG: Duration = Duration::from_secs(60);

/// SIP Server's end of one connection.
struct Line {
    stream: TcpStream,
    heard: String,
}

impl Line {
    async fn open(desk: &Desk) -> Self {
        Self::connect(desk).await.expect("talkbridge takes it")
    }

    async fn connect(desk: &Desk) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(desk.site.sip_server(), 0))?;
        let stream = socket.connect(desk.site.gateway_sip()).await?;
        stream.set_nodelay(true)?;
        Ok(Self::on(stream))
    }

    fn on(stream: TcpStream) -> Self {
        Self {
            stream,
            heard: String::new(),
        }
    }

    /// talkbridge opens it.
    async fn accept(listener: &TcpListener) -> Self {
        let accepted = timeout(DEADLINE, listener.accept()).await;
        let (stream, _) = accepted.expect("in time").expect("a connection");
        Self::on(stream)
    }

    async fn say(&mut self, octets: &str) {
        let said = self.stream.write_all(octets.as_bytes()).await;
        said.expect("talkbridge reads");
    }

    /// The next whole message.
    async fn hear(&mut self) -> String {
        let heard = timeout(DEADLINE, self.message()).await;
        heard.expect("in time").expect("the connection lives")
    }

    async fn message(&mut self) -> Result<String> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(head) = self.heard.find("\r\n\r\n") {
                let length = header(&self.heard, "Content-Length").map_or(Ok(0), str::parse)?;
                let end = head + 4 + length;
                if self.heard.len() >= end {
                    return Ok(self.heard.drain(..end).collect());
                }
            }
            let length = self.stream.read(&mut buffer).await?;
            if length == 0 {
                return Err("talkbridge has closed the connection".into());
            }
            self.heard += std::str::from_utf8(&buffer[..length])?;
        }
    }

    /// The first final response to INVITE.
    async fn refusal(&mut self) -> String {
        loop {
            let message = self.hear().await;
            if status(&message).is_some_and(|code| code >= 300) {
                return message;
            }
        }
    }

    /// The first request of `method`.
    async fn request(&mut self, method: &str) -> String {
        loop {
            let message = self.hear().await;
            if message.split(' ').next() == Some(method) {
                return message;
            }
        }
    }

    /// The very next octets, which are no message: as many as `expected` has.
    async fn hears_exactly(&mut self, expected: &str) {
        assert_eq!(self.heard, "", "nothing has come before");
        let mut octets = vec![0; expected.len()];
        let read = timeout(LONG, self.stream.read_exact(&mut octets)).await;
        read.expect("in time").expect("the connection lives");
        assert_eq!(String::from_utf8_lossy(&octets), expected);
    }

    /// Nothing more comes: talkbridge closes it.
    async fn is_closed(&mut self) {
        let mut rest = Vec::new();
        let closed = timeout(LONG, self.stream.read_to_end(&mut rest)).await;
        closed.expect("in time").expect("closed, and not broken");
        assert_eq!(rest, b"", "not a word before it is closed");
    }

    /// Asks by OPTIONS and hears 200.
    async fn is_served(&mut self, desk: &Desk, number: u32) {
        self.say(&options(desk, number)).await;
        self.answer("OPTIONS", 200).await;
    }

    /// The first message that is of `method` and has this status.
    async fn answer(&mut self, method: &str, code: u16) -> String {
        loop {
            let message = self.hear().await;
            let cseq = header(&message, "CSeq").unwrap_or_default().to_owned();
            if status(&message) == Some(code) && cseq.ends_with(method) {
                return message;
            }
        }
    }
}

fn options(desk: &Desk, number: u32) -> String {
    let (us, them) = (desk.site.sip_server(), desk.site.gateway_sip());
    format!(
        "OPTIONS sip:1002@{them} SIP/2.0\r\nVia: SIP/2.0/TCP {us}:5060;branch=z9hG4bKstream{number}\r\n\
         From: <sip:{us}>;tag=o{number}\r\nTo: <sip:1002@{us}>\r\nCall-ID: stream-{number}@{us}\r\n\
         CSeq: {number} OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A call of the customer; its messages say TCP.
fn dialog(desk: &Desk, session: usize) -> Dialog {
    Dialog {
        session,
        dn: "1002".to_owned(),
        us: desk.site.server_sip(),
        them: desk.site.gateway_sip(),
        caller: desk.customer.address(),
        their_tag: None,
    }
}

fn by_tcp(message: &str) -> String {
    let message = message.replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    message.replacen(":5060>\r\n", ":5060;transport=tcp>\r\n", 1)
}

#[tokio::test]
async fn three_messages_in_one_segment_are_three_messages() {
    let desk = Desk::start().await;
    let mut line = Line::open(&desk).await;
    let all: String = (1..=3).map(|number| options(&desk, number)).collect();
    // A keep-alive between two of them, as SIP Server's TCP side may send.
    line.say(&format!("\r\n\r\n{all}")).await;
    let mut answered = Vec::new();
    while answered.len() < 3 {
        let message = line.hear().await;
        if status(message.trim_start()) == Some(200) {
            answered.push(header(&message, "CSeq").unwrap_or_default().to_owned());
        }
    }
    answered.sort();
    assert_eq!(answered, ["1 OPTIONS", "2 OPTIONS", "3 OPTIONS"]);
}

#[tokio::test]
async fn a_call_that_arrives_in_small_pieces_is_one_call() {
    let desk = Desk::start().await;
    let mut line = Line::open(&desk).await;
    let mut call = dialog(&desk, 1);
    let invite = by_tcp(&call.invite());
    for piece in invite.as_bytes().chunks(97) {
        line.say(std::str::from_utf8(piece).expect("ASCII")).await;
        // Let the segment leave by itself.
        tokio::task::yield_now().await;
    }
    let ringing = line.answer("INVITE", 180).await;
    call.their_tag = header(&ringing, "To").and_then(tag).map(str::to_owned);
    line.say(&by_tcp(&call.talk())).await;
    line.answer("INVITE", 200).await;
    // ACK and BYE glued together.
    line.say(&(by_tcp(&call.ack()) + &by_tcp(&call.bye())))
        .await;
    line.answer("BYE", 200).await;
    desk.ended("remote_hangup").await;
}

/// A call that came on `line` and rings.
async fn ringing(desk: &Desk, line: &mut Line) -> Dialog {
    let mut call = dialog(desk, 1);
    line.say(&by_tcp(&call.invite())).await;
    let ringing = line.answer("INVITE", 180).await;
    call.their_tag = header(&ringing, "To").and_then(tag).map(str::to_owned);
    call
}

/// The same, and the desktop has answered.
async fn talking(desk: &Desk, line: &mut Line) -> Dialog {
    let call = ringing(desk, line).await;
    line.say(&by_tcp(&call.talk())).await;
    line.answer("INVITE", 200).await;
    line.say(&by_tcp(&call.ack())).await;
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    call
}

/// SIP Server's own port, where it takes connections from now on.
async fn listening(desk: &Desk) -> TcpListener {
    let listener = TcpListener::bind(desk.site.server_sip()).await;
    listener.expect("the TCP port is free")
}

#[tokio::test]
async fn a_connection_lost_in_mid_call_is_opened_again_and_the_call_goes_on() {
    let desk = Desk::start().await;
    let mut first = Line::open(&desk).await;
    let call = talking(&desk, &mut first).await;
    drop(first);

    // The call goes on without it, and what SIP Server sends on a new connection belongs to it.
    let mut second = Line::open(&desk).await;
    desk.both_hear().await;
    let again = by_tcp(&call.talk())
        .replace("CSeq: 2 NOTIFY", "CSeq: 3 NOTIFY")
        .replace("-2\r\nContact", "-20\r\nContact");
    second.say(&again).await;
    second.answer("NOTIFY", 200).await;
    drop(second);

    // With no connection left talkbridge opens one itself, to the address of the caller's Contact.
    let listener = listening(&desk).await;
    desk.page.control("hangup").await;
    let mut third = Line::accept(&listener).await;
    let bye = third.request("BYE").await;
    assert_eq!(header(&bye, "Call-ID"), Some(call.call_id().as_str()));
    let via = header(&bye, "Via").unwrap_or_default();
    assert!(via.contains("/TCP "), "{bye}");
    third.say(&ok(&bye)).await;
    desk.ended("agent_hangup").await;
}

/// SIP Server closes the connection on which the agent's BYE has just come, unread or unanswered. It gets it once more, on a connection
/// that talkbridge opens, and hers alone.
#[tokio::test]
async fn a_bye_that_went_down_with_its_connection_comes_again() {
    let desk = Desk::start().await;
    let mut line = Line::open(&desk).await;
    let call = talking(&desk, &mut line).await;
    let listener = listening(&desk).await;
    desk.page.control("hangup").await;
    let first = line.request("BYE").await;
    drop(line);
    let mut next = Line::accept(&listener).await;
    let again = next.request("BYE").await;
    assert_eq!(again, first);
    assert_eq!(header(&again, "Call-ID"), Some(call.call_id().as_str()));
    next.say(&ok(&again)).await;
    desk.ended("agent_hangup").await;
}

/// The same on a connection that talkbridge itself has opened for it. When the next one goes as well, it is said again after a while, and taken.
#[tokio::test]
async fn a_request_is_said_again_until_a_connection_lasts() {
    let desk = Desk::start().await;
    let mut line = Line::open(&desk).await;
    talking(&desk, &mut line).await;
    drop(line);
    let open = "talkbridge_sip_connections";
    desk.gateway.metric_is(open, "", 0.0).await;
    let listener = listening(&desk).await;
    desk.page.control("hangup").await;
    let mut byes = Vec::new();
    for _ in 0..2 {
        byes.push(Line::accept(&listener).await.request("BYE").await);
    }
    let mut next = Line::accept(&listener).await;
    byes.push(next.request("BYE").await);
    assert!(byes.iter().all(|bye| *bye == byes[0]));
    next.say(&ok(&byes[2])).await;
    desk.ended("agent_hangup").await;
}

/// The agent declines, and SIP Server's connection goes before it has acknowledged that: the refusal comes once more where its Via says, or the
/// caller would be left waiting.
#[tokio::test]
async fn a_refusal_that_went_down_with_its_connection_comes_again() {
    let desk = Desk::start().await;
    let mut line = Line::open(&desk).await;
    let mut call = ringing(&desk, &mut line).await;
    let listener = listening(&desk).await;
    desk.page.call_in("ringing").await;
    desk.page.control("reject").await;
    let first = line.refusal().await;
    drop(line);
    let mut next = Line::accept(&listener).await;
    let again = next.refusal().await;
    assert_eq!(again, first);
    call.their_tag = header(&again, "To").and_then(tag).map(str::to_owned);
    next.say(&by_tcp(&call.ack_refusal())).await;
    next.is_served(&desk, 1).await;
    let call = desk.page.call_in("ended").await;
    assert_eq!(call["end"]["by"], "agent", "{call}");
}

/// SIP Server's connection goes before it has heard 200 to the desktop's Answer: it says talk again on the next one, and hears it there. The call is
/// answered once, and to its end by BYE alone.
#[tokio::test]
async fn talk_said_again_on_the_next_connection_is_answered_again() {
    let desk = Desk::start().await;
    let mut line = Line::open(&desk).await;
    let call = ringing(&desk, &mut line).await;
    let talk = by_tcp(&call.talk());
    line.say(&talk).await;
    // It has come, and might as well not have.
    line.answer("NOTIFY", 200).await;
    drop(line);
    let mut next = Line::open(&desk).await;
    next.say(&talk).await;
    next.answer("NOTIFY", 200).await;
    next.say(&by_tcp(&call.invite())).await;
    next.answer("INVITE", 200).await;
    next.say(&by_tcp(&call.ack())).await;
    desk.both_hear().await;
    next.say(&by_tcp(&call.bye())).await;
    next.answer("BYE", 200).await;
    desk.ended("remote_hangup").await;
}

/// The desktop's keypad, by a connection: the far end hears each key once, and what cannot be read is refused as over UDP.
#[tokio::test]
async fn keys_of_the_desktop_come_by_tcp_too() {
    let desk = Desk::start().await;
    let mut line = Line::open(&desk).await;
    let call = talking(&desk, &mut line).await;
    let body = "Signal=1\r\nDuration=60\r\nSignal=2\r\n";
    let relay = by_tcp(&call.later("NOTIFY", 3, "dtmf"))
        .replace(
            "Content-Length: 0",
            &format!("Content-Length: {}", body.len()),
        )
        .replace(
            "Event: dtmf",
            "Content-Type: application/dtmf-relay\r\nEvent: dtmf",
        );
    // The next request is in the same segment.
    let parameter = by_tcp(&call.later("NOTIFY", 4, "dtmf;digits=9"));
    line.say(&format!("{relay}{body}{parameter}")).await;
    line.answer("NOTIFY", 200).await;
    line.answer("NOTIFY", 200).await;
    eventually("the far end hears the keys", || {
        desk.customer.heard().keys == [1, 2, 9]
    })
    .await;
    line.say(&by_tcp(&call.later("NOTIFY", 5, "dtmf;digits=x")))
        .await;
    line.answer("NOTIFY", 415).await;
    line.say(&by_tcp(&call.later("BYE", 6, ""))).await;
    line.answer("BYE", 200).await;
    desk.ended("remote_hangup").await;
}

/// A call that takes the place of another, by the connection of that one: it is up without a click, and the old one is ended by us.
#[tokio::test]
async fn a_call_by_tcp_takes_the_place_of_another() {
    let desk = Desk::start().await;
    let mut line = Line::open(&desk).await;
    let old = talking(&desk, &mut line).await;
    let theirs = old.their_tag.clone().unwrap_or_default();
    let first = old.invite();
    let from = header(&first, "From").and_then(tag).unwrap_or_default();
    let replaces = format!(
        "Replaces: {};to-tag={theirs};from-tag={from}\r\nRequire: replaces\r\nContact:",
        old.call_id()
    );
    let mut new = dialog(&desk, 2);
    let invite = by_tcp(&new.invite()).replacen("Contact:", &replaces, 1);
    line.say(&invite).await;
    let (mut answer, mut bye) = (None, None);
    while answer.is_none() || bye.is_none() {
        let message = line.hear().await;
        let cseq = header(&message, "CSeq").unwrap_or_default();
        if status(&message) == Some(200) && cseq == "1 INVITE" {
            answer = Some(message);
        } else if message.starts_with("BYE ") {
            bye = Some(message);
        }
    }
    let (answer, bye) = (answer.expect("it has come"), bye.expect("it has come"));
    new.their_tag = header(&answer, "To").and_then(tag).map(str::to_owned);
    line.say(&by_tcp(&new.ack())).await;
    assert_eq!(header(&bye, "Call-ID"), Some(old.call_id().as_str()));
    line.say(&ok(&bye)).await;
    eventually("the new call talks without a click", || {
        let call = desk.page.call();
        call["state"] == "talking" && call["answered_by"] == "auto"
    })
    .await;
    line.say(&by_tcp(&new.later("BYE", 2, ""))).await;
    line.answer("BYE", 200).await;
    desk.ended("remote_hangup").await;
    desk.gateway
        .metric_is("talkbridge_calls_ended_total", "\"replaced\"", 1.0)
        .await;
}

/// Behind a proxy that records its name: with its connection gone the BYE goes to the port at which the proxy listens. The one that the connection
/// came from belongs to nobody.
#[tokio::test]
async fn a_proxy_of_a_name_is_connected_to_where_it_listens() {
    let desk = Desk::start().await;
    let mut line = Line::open(&desk).await;
    let mut call = dialog(&desk, 1);
    let recorded = "Record-Route: <sip:proxy.example.com;lr;transport=tcp>\r\nContact:";
    let invite = by_tcp(&call.invite()).replacen("Contact:", recorded, 1);
    line.say(&invite).await;
    let ringing = line.answer("INVITE", 180).await;
    call.their_tag = header(&ringing, "To").and_then(tag).map(str::to_owned);
    line.say(&by_tcp(&call.talk())).await;
    line.answer("INVITE", 200).await;
    line.say(&by_tcp(&call.ack())).await;
    desk.both_hear().await;
    drop(line);
    desk.gateway
        .metric_is("talkbridge_sip_connections", "", 0.0)
        .await;
    let listener = listening(&desk).await;
    desk.page.control("hangup").await;
    let mut next = Line::accept(&listener).await;
    let bye = next.request("BYE").await;
    let route = header(&bye, "Route").unwrap_or_default();
    assert!(route.contains("proxy.example.com"), "{bye}");
    next.say(&ok(&bye)).await;
    desk.ended("agent_hangup").await;
}

/// A ping of SIP Server is answered at once and by nothing but its pong (RFC 5626 section 3.5.1), before and after messages, also when it comes in two halves.
#[tokio::test]
async fn a_ping_is_answered_by_a_pong() {
    let desk = Desk::start().await;
    let mut line = Line::open(&desk).await;
    line.say("\r\n\r\n").await;
    line.hears_exactly("\r\n").await;
    line.is_served(&desk, 1).await;
    line.say("\r\n").await;
    line.say("\r\n").await;
    line.hears_exactly("\r\n").await;
    line.is_served(&desk, 2).await;
}

/// Where the site wants pings (`[sip.keep_alive] ping_s`), a silent connection is asked whether it is alive: one that answers stays, one that does not
/// is given up, so that no call is waited for on a line that a firewall has cut.
#[tokio::test]
async fn a_connection_that_answers_our_ping_stays_and_a_silent_one_goes() {
    let desk = Desk::start_with(|config| {
        config["sip"]["keep_alive"] = serde_json::json!({"ping_s": 20});
    })
    .await;
    let mut alive = Line::open(&desk).await;
    let mut dead = Line::open(&desk).await;
    alive.is_served(&desk, 1).await;
    dead.is_served(&desk, 2).await;
    alive.hears_exactly("\r\n\r\n").await;
    alive.say("\r\n").await;
    dead.hears_exactly("\r\n\r\n").await;
    dead.is_closed().await;
    alive.is_served(&desk, 3).await;
}

/// Connections that say nothing, half a message, or pings only are closed in their time, each without a word, while a call goes on; one that
/// speaks stays.
#[tokio::test]
async fn connections_without_a_message_are_closed() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-update").gives_up_after(110).start();
    desk.both_hear().await;
    let mut speaks = Line::open(&desk).await;
    speaks.is_served(&desk, 1).await;
    let (mut silent, mut half, mut pings) =
        tokio::join!(Line::open(&desk), Line::open(&desk), Line::open(&desk));
    half.say("OPTIONS sip:1002@").await;
    pings.say("\r\n\r\n").await;
    pings.hears_exactly("\r\n").await;
    tokio::join!(silent.is_closed(), half.is_closed(), pings.is_closed());
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    speaks.is_served(&desk, 2).await;
    desk.ended("remote_hangup").await;
}
