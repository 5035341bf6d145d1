//! A SIP Server that registers, and asks for passwords in whatever way a test wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::SipPeer;
use crate::Site;
use crate::sipp::header;

/// The `Authorization` lines of each DN, one entry for each REGISTER.
pub type Registry = Arc<Mutex<BTreeMap<String, Vec<Option<String>>>>>;

/// A REGISTER that has come.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The DN.
    pub dn: &'a str,
    /// The number of this one among the DN's.
    pub nth: usize,
    /// Its `Authorization`.
    pub proof: Option<&'a str>,
    /// Its Contact.
    pub contact: &'a str,
}

/// SIP Server at its own address: `policy` says status and further lines of each answer to REGISTER.
///
/// # Panics
/// When the address is taken.
pub async fn registry(
    site: &Site,
    mut policy: impl FnMut(&Asked<'_>) -> (String, String) + Send + 'static,
) -> (SipPeer, Registry) {
    let book = Registry::default();
    let shared = Arc::clone(&book);
    let reflex = move |request: &str| {
        if !request.starts_with("REGISTER ") {
            return Vec::new();
        }
        let to = header(request, "To").unwrap_or_default();
        let dn = to.split("sip:").nth(1).and_then(|at| at.split('@').next());
        let dn = dn.unwrap_or_default().to_owned();
        let proof = header(request, "Authorization").map(str::to_owned);
        let mut book = shared.lock().expect("no panic while held");
        let seen = book.entry(dn.clone()).or_default();
        seen.push(proof.clone());
        let asked = Asked {
            dn: &dn,
            nth: seen.len(),
            proof: proof.as_deref(),
            contact: header(request, "Contact").unwrap_or_default(),
        };
        let (status, lines) = policy(&asked);
        vec![answer(request, &status, &lines)]
    };
    let server = site.server_sip();
    let peer = SipPeer::with_reflex(site, server.ip(), server.port(), reflex).await;
    (peer, book)
}

/// A challenge of SIP Server's own kind.
pub fn challenge(realm: &str, nonce: &str) -> String {
    format!("WWW-Authenticate: Digest realm=\"{realm}\",nonce=\"{nonce}\",algorithm=MD5\n")
}

/// An answer to `request` with `lines`; a successful one to REGISTER lists its Contact as registered.
pub fn answer(request: &str, status: &str, lines: &str) -> String {
    let copied = |name: &str| header(request, name).unwrap_or_default().to_owned();
    let mut to = copied("To");
    if !to.contains("tag=") {
        to += ";tag=5e7";
    }
    let contact = match (header(request, "Contact"), header(request, "Expires")) {
        (Some(contact), Some(expires)) if status.starts_with("200") && lines.is_empty() => {
            format!("Contact: {contact};expires={expires}\n")
        }
        _ => String::new(),
    };
    format!(
        "SIP/2.0 {status}\nVia: {via}\nFrom: {from}\nTo: {to}\nCall-ID: {call}\nCSeq: {cseq}\n\
         {contact}{lines}Content-Length: 0\n\n",
        via = copied("Via"),
        from = copied("From"),
        call = copied("Call-ID"),
        cseq = copied("CSeq"),
    )
}
