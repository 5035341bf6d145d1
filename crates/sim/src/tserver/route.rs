//! SIP Proxy: an instance in front of SIP Server through which everything to and from endpoints travels.
//!
//! At a site with SIP Proxy the DN `SIP Outbound Proxy` names it: requests that open a dialog go there with a Route, and
//! those inside a dialog follow what the proxy has recorded (RFC 3261 sections 12.1 and 12.2.1.1).

use super::leg::{Destination, Leg};
use super::machine::TServer;
use super::read::Incoming;
use super::register::Binding;
use super::text;

impl TServer {
    /// Where a request that opens a dialog with a registered DN goes, and its Route values.
    pub(super) fn way_to(&self, binding: &Binding) -> (Destination, Vec<String>) {
        match self.config.outbound_proxy {
            None => (binding.destination, Vec::new()),
            Some(proxy) => {
                let routes = vec![format!("<sip:{proxy};lr>")];
                let way = first_hop(&routes).unwrap_or(binding.destination);
                (way, routes)
            }
        }
    }
}

impl Leg {
    /// The route set of a dialog of ours, from the first answer that has a tag: in the reverse order.
    pub(super) fn learn_routes(&mut self, answer: &Incoming) {
        let mut routes = recorded(answer);
        routes.reverse();
        if let Some(way) = first_hop(&routes) {
            self.destination = way;
        }
        self.frame.routes = routes;
    }
}

/// The Record-Route values of a message, topmost first.
pub(super) fn recorded(message: &Incoming) -> Vec<String> {
    message
        .all("Record-Route")
        .flat_map(|line| line.split(','))
        .map(|value| value.trim().to_owned())
        .collect()
}

/// Where a request with these routes goes. Nobody but the proxy in front is ever the first, and it is reached by UDP.
pub(super) fn first_hop(routes: &[String]) -> Option<Destination> {
    let uri = text::uri_of(routes.first()?);
    Some(Destination {
        transport: text::transport_of(uri),
        to: text::address_of(uri)?,
        connection: None,
    })
}
