//! A registrar that says yes to everybody, or to everybody with the password, for tests whose subject is a call.
//!
//! Registration itself is proven against SIPp (`scenarios/uas-register-*.xml`) and the simulated
//! SIP Server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::Result;
use crate::digest::{Challenger, Proofs};
use crate::pki::Pair;

/// What a DN has asked for.
#[derive(Debug, Default)]
struct Asked {
    /// The numbers of its REGISTERs: a repetition has that of the one it repeats.
    numbers: BTreeSet<String>,
    /// When the first of them came.
    since: Option<Instant>,
    /// The last expiry, 0 after it has unregistered.
    expiry: u32,
    /// It has ever unregistered, whatever it did since.
    gave_back: bool,
    /// When the binding ends unless it is refreshed.
    until: Option<Instant>,
    /// It was refreshed too late once.
    lapsed: bool,
}

type Book = Arc<Mutex<BTreeMap<String, Asked>>>;

/// Answers every REGISTER, once its password is proven where one is asked for, and OPTIONS with 200, and everything else not at all. Dropped, it is gone without a word.
#[derive(Debug)]
pub struct Registrar {
    book: Book,
    /// Every REGISTER over UDP that was answered with 200, repetitions and refreshes included.
    accepted: Arc<AtomicU64>,
    silent: Arc<AtomicBool>,
    /// The longest life of a binding over UDP, in seconds.
    grants_s: Arc<AtomicU32>,
    /// Asks for passwords over UDP.
    challenger: Option<Arc<Challenger>>,
    task: JoinHandle<()>,
}

impl Registrar {
    /// Listens at `at` (UDP).
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(at: SocketAddr) -> Result<Self> {
        Self::on(std::net::UdpSocket::bind(at)?)
    }

    /// The same on a socket that is bound already, perhaps at another host.
    ///
    /// # Errors
    /// When the runtime does not take it.
    pub fn on(socket: std::net::UdpSocket) -> Result<Self> {
        Self::asking(socket, None)
    }

    /// Listens at `at` (UDP) and asks every DN for its password.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start_asking(at: SocketAddr, challenger: Challenger) -> Result<Self> {
        Self::asking(std::net::UdpSocket::bind(at)?, Some(challenger))
    }

    fn asking(socket: std::net::UdpSocket, challenger: Option<Challenger>) -> Result<Self> {
        let challenger = challenger.map(Arc::new);
        let asks = challenger.clone();
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let book = Book::default();
        let noted = Arc::clone(&book);
        let accepted = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&accepted);
        let silent = Arc::new(AtomicBool::new(false));
        let mute = Arc::clone(&silent);
        let grants_s = Arc::new(AtomicU32::new(u32::MAX));
        let granted = Arc::clone(&grants_s);
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
                if mute.load(Ordering::Relaxed) {
                    continue;
                }
                let request = String::from_utf8_lossy(&buffer[..size]).into_owned();
                if request.starts_with("OPTIONS ") {
                    drop(socket.send_to(echo(&request).as_bytes(), from).await);
                }
                let refused = asks.as_deref().and_then(|asks| refusal(&request, asks));
                if let Some(answer) = refused {
                    drop(socket.send_to(answer.as_bytes(), from).await);
                    continue;
                }
                let granted_s = granted.load(Ordering::Relaxed);
                if let Some(answer) = answer(&request, &noted, granted_s) {
                    counter.fetch_add(1, Ordering::Relaxed);
                    // A lost answer is repeated when the REGISTER is.
                    drop(socket.send_to(answer.as_bytes(), from).await);
                }
            }
        });
        Ok(Self {
            book,
            accepted,
            silent,
            grants_s,
            challenger,
            task,
        })
    }

    /// The same over TCP.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start_tcp(at: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let book = Book::default();
        let noted = Arc::clone(&book);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &noted).await;
            }
        });
        Ok(Self {
            book,
            accepted: Arc::default(),
            silent: Arc::default(),
            grants_s: Arc::default(),
            challenger: None,
            task,
        })
    }

    /// The same over TLS, with this certificate.
    ///
    /// # Errors
    /// When the address is taken, or the certificate cannot be used.
    pub async fn start_tls(at: SocketAddr, pair: &Pair) -> Result<Self> {
        let certificate = CertificateDer::from_pem_file(&pair.certificate)?;
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_file(&pair.key)?)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(at).await?;
        let book = Book::default();
        let noted = Arc::clone(&book);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever does not take the certificate goes.
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, &noted).await;
                }
            }
        });
        Ok(Self {
            book,
            accepted: Arc::default(),
            silent: Arc::default(),
            grants_s: Arc::default(),
            challenger: None,
            task,
        })
    }

    /// Hears nothing any more and says nothing, as a host that has lost its power: its port is not closed, so that nobody is told.
    pub fn fall_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// Grants a life of so many seconds at most from now on (UDP).
    pub fn grants(&self, expires_s: u32) {
        self.grants_s.store(expires_s, Ordering::Relaxed);
    }

    /// How many REGISTERs of `dn` have come; repetitions of one do not count.
    pub fn registrations(&self, dn: &str) -> usize {
        let book = self.book.lock().expect("no panic while held");
        book.get(dn).map_or(0, |asked| asked.numbers.len())
    }

    /// When the first REGISTER of each DN came, in order of time.
    pub fn arrivals(&self) -> Vec<Instant> {
        let book = self.book.lock().expect("no panic while held");
        let mut arrivals: Vec<Instant> = book.values().filter_map(|asked| asked.since).collect();
        arrivals.sort();
        arrivals
    }

    /// DNs whose binding has ended at least once before its refresh came.
    pub fn lapsed(&self) -> Vec<String> {
        let now = Instant::now();
        self.those(|asked| asked.lapsed || asked.until.is_some_and(|until| until < now))
    }

    /// DNs that have registered here more than once; repetitions of one REGISTER do not count.
    pub fn registered_twice(&self) -> Vec<String> {
        self.those(|asked| asked.numbers.len() > 1)
    }

    /// DNs that have ever given their binding back.
    pub fn gave_back(&self) -> Vec<String> {
        self.those(|asked| asked.gave_back)
    }

    fn those(&self, which: impl Fn(&Asked) -> bool) -> Vec<String> {
        let book = self.book.lock().expect("no panic while held");
        let found = book.iter().filter(|(_, asked)| which(asked));
        found.map(|(dn, _)| dn.clone()).collect()
    }

    /// The expiry that `dn` asked for last; `None` if it never registered.
    pub fn expiry(&self, dn: &str) -> Option<u32> {
        let book = self.book.lock().expect("no panic while held");
        book.get(dn).map(|asked| asked.expiry)
    }

    /// REGISTERs over UDP that were answered with 200, repetitions and refreshes included.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How the REGISTERs fared whose passwords were asked for; none, where none are.
    pub fn proofs(&self) -> Proofs {
        let asks = self.challenger.as_ref();
        asks.map(|asks| asks.proofs()).unwrap_or_default()
    }

    /// How many DNs are registered, and how many have been given back.
    pub fn counts(&self) -> (usize, usize) {
        let book = self.book.lock().expect("no panic while held");
        let gone = book.values().filter(|asked| asked.expiry == 0).count();
        (book.len() - gone, gone)
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers what comes on one connection, to its end.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, book: &Book) {
    let mut heard = String::new();
    let mut buffer = vec![0; 65_536];
    while let Ok(size @ 1..) = stream.read(&mut buffer).await {
        heard += &String::from_utf8_lossy(&buffer[..size]);
        // REGISTER and OPTIONS have no body.
        while let Some(end) = heard.find("\r\n\r\n") {
            let request: String = heard.drain(..end + 4).collect();
            let answer = answer(&request, book, u32::MAX).unwrap_or_else(|| echo(&request));
            // A connection that is gone is opened again.
            drop(stream.write_all(answer.as_bytes()).await);
        }
    }
}

/// 200 to a request that asks for nothing but an answer.
fn echo(request: &str) -> String {
    reply(request, "200 OK", "")
}

/// What a REGISTER hears that does not prove the DN's password.
fn refusal(request: &str, challenger: &Challenger) -> Option<String> {
    if !request.starts_with("REGISTER ") {
        return None;
    }
    let (status, lines) = challenger.refusal(request, dn_of(request)?)?;
    Some(reply(request, status, &lines))
}

/// The DN that a REGISTER is for.
fn dn_of(request: &str) -> Option<&str> {
    header(request, "To")?
        .split("sip:")
        .nth(1)?
        .split('@')
        .next()
}

/// An answer with further header lines.
fn reply(request: &str, status: &str, lines: &str) -> String {
    let mut answer = format!("SIP/2.0 {status}\r\n{lines}");
    for line in request.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        if ["Via", "From", "To", "Call-ID", "CSeq"].contains(&name) {
            let tag = if name == "To" { ";tag=options" } else { "" };
            answer += &format!("{line}{tag}\r\n");
        }
    }
    answer + "Content-Length: 0\r\n\r\n"
}

/// Notes a REGISTER and yields its answer, which keeps the header order of the request, as SIP
/// Server's does.
fn answer(request: &str, book: &Book, grants_s: u32) -> Option<String> {
    if !request.starts_with("REGISTER ") {
        return None;
    }
    let expires: u32 = header(request, "Expires")?.parse().ok()?;
    let granted = expires.min(grants_s);
    let dn = dn_of(request)?.to_owned();
    let mut answer = String::from("SIP/2.0 200 OK\r\n");
    for line in request.lines().skip(1).take_while(|line| !line.is_empty()) {
        let name = line
            .split(':')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match name.as_str() {
            "to" => answer += &format!("{line};tag=88170A6B-45A8-43AE-9D3C-97CE63DC2C9C-1\r\n"),
            "contact" => answer += &format!("{line};expires={granted}\r\n"),
            "expires" => answer += &format!("Expires: {granted}\r\n"),
            "via" | "from" | "call-id" | "cseq" => answer += &format!("{line}\r\n"),
            _ => {}
        }
    }
    answer += "Content-Length: 0\r\n\r\n";
    let number = header(request, "CSeq").unwrap_or_default().to_owned();
    let mut book = book.lock().expect("no panic while held");
    let asked = book.entry(dn).or_default();
    let now = Instant::now();
    if asked.numbers.insert(number) {
        asked.lapsed |= asked.until.is_some_and(|until| until < now);
        asked.until = (granted > 0).then(|| now + Duration::from_secs(granted.into()));
    }
    asked.since.get_or_insert(now);
    asked.expiry = expires;
    asked.gave_back |= expires == 0;
    Some(answer)
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim())
    })
}
