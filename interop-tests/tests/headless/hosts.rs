//! Attacks and faults between hosts, each a network namespace of its own.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use interop_tests::attack::forged::bad_srtp;
use interop_tests::attack::lossy::lossy_wire;
use interop_tests::attack::{Dialog, Flood, SipPeer, answer, crlf, description, torture};
use interop_tests::customer::{ANNOUNCEMENT_HZ, CUSTOMER_HZ};
use interop_tests::gateway::PAGE_HZ;
use interop_tests::page::PageOptions;
use interop_tests::{
    Customer, Desk, Gateway, Host, Lan, Page, Registrar, Site, eventually, on_hosts,
};

use super::attack_dialogs::forgeries;
use super::mid_call::offers;

mod checks;
mod full_disk;
mod lost_media;

/// Datagrams a second from each of several ports, which leaves a busy machine the time to answer.
const PER_S: u64 = 12_000;

/// A desk on a host that is SIP Server as well, and a stranger's host.
async fn desk(site: Site, lan: &Lan) -> (Desk, SipPeer, Host) {
    let stranger = lan.host(&[site.stranger()]);
    let registrar = Registrar::start(site.server_sip())
        .await
        .expect("a host of our own");
    let desk = Desk::start_at(site, registrar, |_, config| {
        config["log"]["level"] = "info".into();
        // The call's own port is among those that are sprayed.
        config["media"]["ports"] = torture::SPRAYED.into();
    })
    .await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    (desk, server, stranger)
}

/// A flood of `message` from `from` at `host`.
fn flood(
    host: &Host,
    from: SocketAddr,
    to: SocketAddr,
    message: impl FnMut(SocketAddr, u64) -> Vec<u8> + Send + 'static,
) -> Flood {
    host.at(|| Flood::start(to, [from], PER_S, message))
}

/// Sends a datagram on purpose to each socket that floods leave from: what would come back is counted. Returns how many these were.
async fn what_comes_back_is_counted(site: &Site, floods: &[Flood]) -> u64 {
    let on_purpose = UdpSocket::bind((site.gateway(), 0)).expect("a port is left");
    let addresses: Vec<SocketAddr> = floods.iter().flat_map(Flood::addresses).collect();
    for address in &addresses {
        on_purpose
            .send_to(b"on purpose", address)
            .expect("it leaves");
    }
    let mut counted = 0;
    eventually("what is sent there on purpose is counted", || {
        counted += came_back(floods);
        counted == addresses.len()
    })
    .await;
    counted as u64
}

/// Datagrams that wait where floods leave from: no counter of their host knows of them before they are read.
fn came_back(floods: &[Flood]) -> usize {
    floods.iter().map(Flood::came_back).sum()
}

/// Another host sprays every port and says everything that SIP Server could say: not one datagram comes back, and the call is heard.
#[test]
fn another_host_gets_nothing_back() {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, |site, lan| async move {
        let (desk, server, stranger) = desk(site, &lan).await;
        let mut call = server.talks("1002", desk.customer.address()).await;
        desk.both_hear().await;
        let (us, gateway) = (desk.site.stranger(), desk.site.gateway());
        let mut floods: Vec<Flood> = torture::MEDIA_PORTS
            .iter()
            .map(|port| {
                let (from, to) = (SocketAddr::new(us, *port), SocketAddr::new(gateway, *port));
                flood(&stranger, from, to, |_, nth| torture::media(nth))
            })
            .collect();
        let his = Dialog {
            us: SocketAddr::new(us, 5060),
            ..call.clone()
        };
        let said = forgeries(&his, SocketAddr::new(us, 20_000));
        let sip = desk.site.gateway_sip();
        floods.push(flood(&stranger, his.us, sip, move |_, nth| {
            crlf(&said[nth as usize % said.len()].1).into_bytes()
        }));
        let counted = what_comes_back_is_counted(&desk.site, &floods).await;
        eventually("each was sprayed for long", || {
            floods.iter().all(|flood| flood.sent() > 2_000)
        })
        .await;
        desk.both_hear().await;
        assert_eq!(came_back(&floods), 0, "of RTP, RTCP, DTLS, STUN and SIP");
        assert_eq!(stranger.datagrams(), counted, "and to no other port");
        drop(floods);
        for counted in [
            "talkbridge_rtp_wrong_source_total",
            "talkbridge_sip_refused_total",
        ] {
            let count = desk.gateway.metric(counted, "").await;
            assert!(count > 100.0, "{counted} is {count}");
        }
        nothing_was_injected(&desk, &[]);
        assert_eq!(desk.page.call()["state"], "talking");
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        desk.ended("remote_hangup").await;
    });
}

/// The six moments of the RTP bleed advisory: before the answer, before the victim's first packet, in mid-call, while it is silent, after a re-INVITE
/// has moved it, and after hang-up, when the one pair of ports is used again at once. From another host everything is sprayed all the while.
#[test]
fn no_moment_of_a_call_is_good_for_a_spray() {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, |site, lan| async move {
        let stranger = lan.host(&[site.stranger()]);
        let registrar = Registrar::start(site.server_sip())
            .await
            .expect("a host of our own");
        let desk = Desk::start_at(site, registrar, |_, config| {
            config["log"]["level"] = "info".into();
            config["media"]["ports"] = "16384-16385".into();
            config["media"]["quarantine_s"] = 0.into();
        })
        .await;
        let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
        let (us, gateway) = (desk.site.stranger(), desk.site.gateway());
        let mut sprays: Vec<Flood> = [16_384, 16_385, 40_000]
            .iter()
            .map(|port| {
                let (from, to) = (SocketAddr::new(us, *port), SocketAddr::new(gateway, *port));
                flood(&stranger, from, to, |_, nth| torture::media(nth))
            })
            .collect();
        // And as the customer by all that can be guessed of him: his source, his format, about his numbers.
        let (ssrc, began) = (desk.customer.ssrc(), Instant::now());
        let (from, to) = (
            SocketAddr::new(us, 20_000),
            SocketAddr::new(gateway, 16_384),
        );
        sprays.push(flood(&stranger, from, to, move |_, nth| {
            torture::injected(ssrc, began.elapsed(), nth)
        }));
        let sprayed = |more: u64| {
            let before: Vec<u64> = sprays.iter().map(Flood::sent).collect();
            let sprays = &sprays;
            async move {
                eventually("it is sprayed on", || {
                    let mut both = sprays.iter().zip(&before);
                    both.all(|(flood, before)| flood.sent() > before + more)
                })
                .await;
            }
        };
        let counted = what_comes_back_is_counted(&desk.site, &sprays).await;
        sprayed(300).await;
        let mut call = server.talks("1002", desk.customer.address()).await;
        desk.both_hear().await;
        let usual = description(desk.customer.address());
        offers(&server, &mut call, &usual.replace("sendrecv", "inactive")).await;
        desk.page.call_in("held").await;
        sprayed(300).await;
        desk.page.hears_nothing().await;
        let other = Customer::announcement(desk.site.media()).await;
        offers(&server, &mut call, &description(other.address())).await;
        other.hears(PAGE_HZ).await;
        desk.page.hears(ANNOUNCEMENT_HZ).await;
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        desk.ended("remote_hangup").await;
        sprayed(300).await;
        let next = Customer::start(desk.site.media()).await;
        let mut call = server.talks("1002", next.address()).await;
        next.hears(PAGE_HZ).await;
        desk.page.hears(CUSTOMER_HZ).await;
        assert_eq!(came_back(&sprays), 0, "of RTP, RTCP, DTLS and STUN");
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        desk.ended("remote_hangup").await;
        assert_eq!(came_back(&sprays), 0, "after the last call neither");
        assert_eq!(stranger.datagrams(), counted, "and to no other port");
        nothing_was_injected(&desk, &[&other, &next]);
    });
}

/// Of all that a stranger has sent, at full scale, not a sample has reached the agent or a customer, from their first moment on.
fn nothing_was_injected(desk: &Desk, others: &[&Customer]) {
    let ear = &desk.page.state().ear;
    assert!(ear.heard_tones_only(), "the agent heard {ear:?}");
    for customer in others.iter().copied().chain([&desk.customer]) {
        let heard = customer.heard();
        assert!(heard.ear.heard_tones_only(), "{:?}", heard.ear);
        assert_eq!(heard.ssrcs.len(), 1, "one source is heard");
    }
}

/// Bad SRTP, keys, alerts and greetings under the browser's own address, by the thousand: nothing is heard, the call stays.
#[test]
fn a_forged_browser_ends_no_call() {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, |site, lan| async move {
        let (desk, server, stranger) = desk(site, &lan).await;
        let mut call = server.talks("1002", desk.customer.address()).await;
        desk.both_hear().await;
        let browser = desk.page.state().media_at.expect("it has a socket");
        let worker = SocketAddr::new(desk.site.gateway(), 40_000);
        stranger.takes(browser.ip());
        let forged = flood(&stranger, browser, worker, |_, nth| {
            torture::forged_browser(nth)
        });
        eventually("it was forged for long", || forged.sent() > 20_000).await;
        desk.both_hear().await;
        drop(forged);
        let refused = desk
            .gateway
            .metric("talkbridge_srtp_auth_fail_total", "")
            .await;
        assert!(
            refused > 1_000.0,
            "they reached the authentication: {refused}"
        );
        nothing_was_injected(&desk, &[]);
        assert!(desk.page.connected());
        desk.both_hear().await;
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        desk.ended("remote_hangup").await;
    });
}

/// Another host sends under SIP Server's own address what it has to guess: the answers go to SIP Server, the call goes on.
#[test]
fn a_forged_sip_server_has_to_know_the_call() {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, |site, lan| async move {
        let (desk, server, stranger) = desk(site, &lan).await;
        let mut call = server.talks("1002", desk.customer.address()).await;
        desk.both_hear().await;
        stranger.takes(desk.site.sip_server());
        let port = server.local();
        let socket = stranger
            .at(|| UdpSocket::bind(port))
            .expect("a host of its own");
        let forger = SipPeer::on(&desk.site, socket, |_| Vec::new());
        let guess = Dialog {
            to_tag: Some("guessed".to_owned()),
            invite_branch: "z9hG4bKguessed".to_owned(),
            ..call.clone()
        };
        for (what, forgery) in forgeries(&guess, desk.customer.address()) {
            forger.say(&forgery).await;
            if what != "ack" {
                let refused = |message: &str| {
                    message.starts_with("SIP/2.0 481") && message.contains("guessed")
                };
                server.hears(what, refused).await;
            }
        }
        // The forger reads what comes to his socket, so that all of it is counted.
        assert_eq!(stranger.datagrams(), 0, "the answers went to SIP Server");
        desk.both_hear().await;
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        desk.ended("remote_hangup").await;
    });
}

/// SIP Server's address moves to another host. Where that host says nothing at first, what we send goes to the old one until ARP finds the
/// new one, and is repeated so long; where it speaks first, nobody notices. Calls go on either way.
#[test]
fn an_address_that_moves_to_another_host_keeps_its_calls() {
    let site = Site::alone();
    let addresses = site.our_side();
    on_hosts(site, &addresses, |site, lan| async move {
        let address = site.sip_server();
        lan.ours().asks_by_arp_soon();
        let (primary, backup) = (lan.host(&[address]), lan.host(&[]));
        let bind = |host: &Host, port| {
            host.at(|| UdpSocket::bind((address, port)))
                .expect("a host of its own")
        };
        let registrar = Registrar::on(bind(&primary, 5060)).expect("it runs");
        let desk = Desk::start_at(site, registrar, |_, _| {}).await;
        let server = SipPeer::on(&desk.site, bind(&primary, 5070), |_| Vec::new());
        server.talks("1002", desk.customer.address()).await;
        desk.both_hear().await;

        primary.gives_up(address);
        backup.takes(address);
        let other = SipPeer::on(&desk.site, bind(&backup, 5070), |message| {
            let bye = message.starts_with("BYE ");
            bye.then(|| answer(message, "200 OK", ""))
                .into_iter()
                .collect()
        });
        desk.page.control("hangup").await;
        other
            .hears("BYE", |message| message.starts_with("BYE "))
            .await;
        desk.ended("agent_hangup").await;

        // A telephone speaks to whoever spoke to it first.
        let caller = Customer::start(desk.site.media()).await;
        let mut call = other.talks("1002", caller.address()).await;
        caller.hears(PAGE_HZ).await;
        backup.gives_up(address);
        primary.takes(address);
        let server = SipPeer::on(&desk.site, bind(&primary, 5071), |_| Vec::new());
        call.us = server.local();
        assert_eq!(
            server
                .asks(&call.request("NOTIFY", "Event: beep\n", ""))
                .await,
            200
        );
        caller.hears(PAGE_HZ).await;
        desk.page.hears(CUSTOMER_HZ).await;
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        desk.ended("remote_hangup").await;
    });
}

/// Of all SIP 10 % is lost, either way: every call rings, is answered, held, retrieved and ended, and nothing is left of any.
#[test]
fn calls_over_a_wire_that_loses_sip() {
    let done = lossy_wire(Duration::ZERO);
    assert!(done.starts_with("96 calls"), "{done}");
}

/// Ten thousand packets a second that no key fits, under the browser's own address: each is refused, the call is heard.
#[test]
fn bad_srtp_by_the_thousand_costs_no_call() {
    let done = bad_srtp(Duration::ZERO);
    assert!(done.contains("refused"), "{done}");
}

/// The gateway's public address is translated one to one to its own, and the offer names the public one: both sides are heard.
#[test]
fn a_gateway_behind_a_one_to_one_nat_is_heard() {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, |site, lan| async move {
        let public = IpAddr::from([203, 0, 113, 7]);
        lan.ours().translates(public, site.gateway());
        let registrar = Registrar::start(site.server_sip())
            .await
            .expect("a host of our own");
        let desk = Desk::start_at(site, registrar, |_, config| {
            config["webrtc"]["advertise"] = serde_json::json!([public]);
        })
        .await;
        let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
        let mut call = server.talks("1002", desk.customer.address()).await;
        desk.both_hear().await;
        let offers = desk.page.messages("media_offer");
        let offer = offers.first().map(|offer| offer["sdp"].to_string());
        let offer = offer.expect("an offer");
        assert!(offer.contains("203.0.113.7 40000 typ host"), "{offer}");
        assert!(!offer.contains("192.0.2.1 "), "{offer}");
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        desk.ended("remote_hangup").await;
    });
}

/// Browsers by IPv4 and by IPv6 at one socket, which is told apart by nobody: each agent is heard.
#[test]
fn agents_by_both_families_are_heard() {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, |site, lan| async move {
        let registrar = Registrar::start(site.server_sip())
            .await
            .expect("a host of our own");
        let own = site.gateway();
        let gateway = Gateway::start_with(&site, |config| {
            config["webrtc"] =
                serde_json::json!({"listen": "[::]:40000", "advertise": [own, "::1"]});
        })
        .await;
        let server = SipPeer::start(&site, site.sip_server(), 5070).await;
        for local in [site.browsers(), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let page = Page::start(PageOptions {
                local,
                ..gateway.page("1002")
            });
            let page = page.await;
            let page = page.unwrap_or_else(|error| panic!("{local}: {error}"));
            eventually("the leg is warm", || page.connected()).await;
            let customer = Customer::start(site.media()).await;
            let mut call = server.talks("1002", customer.address()).await;
            customer.hears(PAGE_HZ).await;
            page.hears(CUSTOMER_HZ).await;
            assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
            page.sign_out().await;
        }
        drop((registrar, lan));
    });
}
