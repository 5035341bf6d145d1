//! A DNS server with a zone that tests write: enough of RFC 1035 to answer one question a datagram, with octets of its own making.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::Result;

/// What a name has.
#[derive(Debug, Clone)]
pub enum Record {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address (RFC 3596).
    Aaaa(Ipv6Addr),
    /// Priority, weight, port and target of a service (RFC 2782).
    Srv(u16, u16, u16, String),
    /// Order, preference, service and replacement of a terminal rule (RFC 3403, flag `s`).
    Naptr(u16, u16, &'static str, String),
}

impl Record {
    fn kind(&self) -> u16 {
        match self {
            Self::A(_) => 1,
            Self::Aaaa(_) => 28,
            Self::Srv(..) => 33,
            Self::Naptr(..) => 35,
        }
    }

    fn data(&self) -> Vec<u8> {
        let numbers = |numbers: &[u16]| -> Vec<u8> {
            numbers
                .iter()
                .flat_map(|number| number.to_be_bytes())
                .collect()
        };
        let text = |text: &str| {
            let length = u8::try_from(text.len()).expect("short texts");
            [&[length], text.as_bytes()].concat()
        };
        match self {
            Self::A(ip) => ip.octets().to_vec(),
            Self::Aaaa(ip) => ip.octets().to_vec(),
            Self::Srv(priority, weight, port, target) => {
                [numbers(&[*priority, *weight, *port]), labels(target)].concat()
            }
            Self::Naptr(order, preference, service, replacement) => [
                numbers(&[*order, *preference]),
                text("s"),
                text(service),
                text(""),
                labels(replacement),
            ]
            .concat(),
        }
    }
}

/// A name as DNS writes it.
fn labels(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(u8::try_from(label.len()).expect("short labels"));
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets
}

type Zone = BTreeMap<String, Vec<Record>>;

/// Answers from its zone, and "no such name" to everything else. Dropped, it is gone without a word.
#[derive(Debug)]
pub struct Dns {
    zone: Arc<Mutex<Zone>>,
    task: JoinHandle<()>,
}

impl Dns {
    /// Listens at `at` (UDP) with an empty zone. Records live for `ttl_s`.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(at: SocketAddr, ttl_s: u32) -> Result<Self> {
        let socket = UdpSocket::bind(at).await?;
        let zone = Arc::new(Mutex::new(Zone::new()));
        let book = Arc::clone(&zone);
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
                let answer = {
                    let zone = book.lock().expect("no panic while held");
                    answer(&buffer[..size], &zone, ttl_s)
                };
                if let Some(answer) = answer {
                    // A lost answer is asked for again.
                    drop(socket.send_to(&answer, from).await);
                }
            }
        });
        Ok(Self { zone, task })
    }

    /// The name has these records from now on, and no others.
    pub fn set(&self, name: &str, records: Vec<Record>) {
        let mut zone = self.zone.lock().expect("no panic while held");
        zone.insert(name.to_owned(), records);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Header, the question as it came, and the records of its kind (RFC 1035 section 4.1).
fn answer(query: &[u8], zone: &Zone, ttl_s: u32) -> Option<Vec<u8>> {
    let id = query.get(..2)?;
    let mut at = 12;
    let mut name = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = query.get(at..at + length)?;
        name.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
    let question = query.get(12..at + 4)?;
    let known = zone.get(&name.join("."));
    let records: Vec<&Record> = known
        .into_iter()
        .flatten()
        .filter(|record| record.kind() == kind)
        .collect();
    // A response, authoritative, recursion desired and available; 3 is "no such name".
    let refusal = if known.is_some() { 0x80 } else { 0x83 };
    let count = u16::try_from(records.len()).ok()?;
    let mut octets = [
        id,
        &[0x85, refusal, 0, 1],
        &count.to_be_bytes(),
        &[0, 0, 0, 0],
        question,
    ]
    .concat();
    for record in records {
        let data = record.data();
        // The name of the question, by pointer.
        octets.extend([0xc0, 12]);
        octets.extend(record.kind().to_be_bytes());
        octets.extend([0, 1]);
        octets.extend(ttl_s.to_be_bytes());
        octets.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        octets.extend(data);
    }
    Some(octets)
}
