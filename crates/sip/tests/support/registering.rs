//! A DN on its way to the registrar.

use sip::digest::Credentials;
use sip::ua::{Event, RegisterDn, RegistrationStatus, Transport};

use super::{Sent, World, reply, server};

pub const LISTED: &str = "Expires: 600\nContact: <sip:1002@192.0.2.10:5060>;expires=600\n";

pub fn order(dn: &str, password: Option<&str>) -> RegisterDn {
    RegisterDn {
        dn: dn.to_owned(),
        site: sip::ua::SiteId::default(),
        server: server(),
        transport: Transport::Udp,
        domain: "192.0.2.81:5060".to_owned(),
        credentials: password.map(|password| Credentials::new(dn, password)),
    }
}

pub fn register(world: &mut World, password: Option<&str>) -> Sent {
    world.act(|ua, now| ua.register(now, order("1002", password)));
    assert_eq!(world.told(), ["Registration Registering"]);
    world.only("REGISTER")
}

pub fn registered(world: &mut World) -> Sent {
    let first = register(world, None);
    world.receive(&reply(&first, "200 OK", "r", LISTED, ""));
    assert_eq!(world.told(), ["Registration Registered"]);
    first
}

pub fn status(world: &mut World) -> RegistrationStatus {
    let mut events = world.events();
    match events.pop() {
        Some(Event::Registration { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

pub fn challenge(nonce: &str, more: &str) -> String {
    format!("WWW-Authenticate: Digest realm=\"genesys\",nonce=\"{nonce}\"{more}\n")
}

pub fn cseq(sent: &Sent) -> u32 {
    sent.message.headers().cseq().unwrap().number
}
