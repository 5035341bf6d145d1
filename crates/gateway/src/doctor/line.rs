//! The line to one SIP Server: requests out, final answers back, with the repetitions of RFC 3261 section 17.1.2.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sip::wire::Frame;
use sip::{Branch, HeaderName, Message, Request, Response, StreamFramer, Via};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::{Config, SipTransport};
use crate::limits::{SIP_CONNECT_WITHIN, SIP_DATAGRAM_OCTETS_MAX, SIP_STREAM_READ_OCTETS};
use crate::tls::{SipTls, SipTlsRead};

/// How long an answer is waited for, in T1 (500 ms): four transmissions. A SIP Server that needs longer cannot ring a telephone.
const PATIENCE_T1: u32 = 8;

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// Nobody listens there.
    #[error("nobody listens there")]
    Refused,
    /// No answer to the connection request.
    #[error("no answer to the connection request")]
    Silent,
    /// The connection is up and TLS is not.
    #[error("TLS: {0}")]
    Tls(String),
    /// What the operating system says otherwise.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for LineError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Io(error),
        }
    }
}

/// A stream of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

enum Wire {
    Datagrams(UdpSocket),
    Stream {
        stream: Box<dyn Stream>,
        framer: StreamFramer,
    },
}

/// The line to one SIP Server.
pub(super) struct Line {
    wire: Wire,
    server: SocketAddr,
    /// What our Via names: answers come back there.
    pub(super) own: SocketAddr,
    /// Whether the datagrams leave from the configured SIP port, so that firewalls see what they will see.
    pub(super) from_sip_port: bool,
    t1: Duration,
}

impl Line {
    /// Binds or connects.
    pub(super) async fn open(
        config: &Config,
        transport: SipTransport,
        server: SocketAddr,
        named: Option<&str>,
    ) -> Result<Self, LineError> {
        let listen = config.sip.listen.iter();
        let listen = listen
            .filter(|listen| listen.transport == transport)
            .map(|listen| listen.address)
            .find(|address| address.is_ipv4() == server.is_ipv4());
        let ours = listen.map_or(config.sip.advertise, |address| address.ip());
        let t1 = Duration::from_millis(config.sip.timers.t1_ms.into());
        let advertised = |port| SocketAddr::new(config.sip.advertise, port);
        if transport == SipTransport::Udp {
            let (socket, from_sip_port) = bind(ours, listen).await?;
            let own = advertised(socket.local_addr()?.port());
            return Ok(Self {
                wire: Wire::Datagrams(socket),
                server,
                own,
                from_sip_port,
                t1,
            });
        }
        let stream = match timeout(SIP_CONNECT_WITHIN, connect(ours, server)).await {
            Ok(connected) => connected?,
            Err(_) => return Err(LineError::Silent),
        };
        let own = advertised(listen.map_or(stream.local_addr()?.port(), |address| address.port()));
        let stream: Box<dyn Stream> = if transport == SipTransport::Tls {
            Box::new(secure(config, server, named, stream).await?)
        } else {
            Box::new(stream)
        };
        Ok(Self {
            wire: Wire::Stream {
                stream,
                framer: StreamFramer::new(),
            },
            server,
            own,
            from_sip_port: false,
            t1,
        })
    }

    /// Sends the requests and waits for the final answer of each; `None` where none came.
    pub(super) async fn exchange(&mut self, requests: &[Request]) -> Vec<Option<Response>> {
        let mut places: HashMap<Branch, usize> = requests
            .iter()
            .enumerate()
            .filter_map(|(place, request)| Some((branch(request)?, place)))
            .collect();
        let mut answers: Vec<Option<Response>> = requests.iter().map(|_| None).collect();
        let started = Instant::now();
        let deadline = started + self.t1 * PATIENCE_T1;
        let (mut send_at, mut pause) = (started, self.t1);
        while !places.is_empty() {
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            if now >= send_at {
                let waiting = requests
                    .iter()
                    .zip(&answers)
                    .filter(|(_, answer)| answer.is_none());
                let bytes: Vec<Vec<u8>> = waiting.map(|(request, _)| request.to_bytes()).collect();
                if self.send(&bytes).await.is_err() {
                    break;
                }
                // A stream repeats by itself.
                send_at = match self.wire {
                    Wire::Datagrams(_) => now + pause,
                    Wire::Stream { .. } => deadline,
                };
                pause *= 2;
            }
            let Ok(heard) = timeout_at(send_at.min(deadline), self.hear()).await else {
                continue;
            };
            let Ok(messages) = heard else { break };
            for response in messages {
                let place = response
                    .headers
                    .top_via()
                    .ok()
                    .and_then(|via| places.get(&via.branch?).copied());
                if let Some(place) = place.filter(|_| response.status.is_final()) {
                    places.retain(|_, other| *other != place);
                    answers[place] = Some(response);
                }
            }
        }
        answers
    }

    async fn send(&mut self, messages: &[Vec<u8>]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Datagrams(socket) => {
                for message in messages {
                    socket.send_to(message, self.server).await?;
                }
                Ok(())
            }
            Wire::Stream { stream, .. } => {
                stream.write_all(&messages.concat()).await?;
                stream.flush().await
            }
        }
    }

    /// The responses that come next; an error when the line is broken.
    async fn hear(&mut self) -> io::Result<Vec<Response>> {
        let mut messages = Vec::new();
        match &mut self.wire {
            Wire::Datagrams(socket) => {
                let mut buffer = vec![0; SIP_DATAGRAM_OCTETS_MAX];
                let (length, from) = socket.recv_from(&mut buffer).await?;
                // Only SIP Server itself is believed, as by the gateway.
                if same_host(from.ip(), self.server.ip()) {
                    messages.push(buffer[..length].to_vec());
                }
            }
            Wire::Stream { stream, framer } => {
                let mut buffer = vec![0; SIP_STREAM_READ_OCTETS];
                let length = stream.read(&mut buffer).await?;
                if length == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                framer.push(&buffer[..length]);
                while let Some(frame) = framer.next() {
                    match frame {
                        Ok(Frame::Message(message)) => messages.push(message),
                        Ok(Frame::KeepAlive) => {}
                        Err(error) => return Err(io::Error::other(error)),
                    }
                }
            }
        }
        Ok(messages
            .iter()
            .filter_map(|message| match Message::parse(message) {
                Ok(Message::Response(response)) => Some(response),
                _ => None,
            })
            .collect())
    }
}

fn branch(request: &Request) -> Option<Branch> {
    Via::parse(request.headers.get(&HeaderName::VIA)?)?.branch
}

fn same_host(one: IpAddr, other: IpAddr) -> bool {
    one.to_canonical() == other.to_canonical()
}

/// The configured SIP port while nobody holds it, else any port of the same address.
async fn bind(ours: IpAddr, listen: Option<SocketAddr>) -> io::Result<(UdpSocket, bool)> {
    if let Some(listen) = listen
        && let Ok(socket) = UdpSocket::bind(listen).await
    {
        return Ok((socket, true));
    }
    Ok((UdpSocket::bind((ours, 0)).await?, false))
}

async fn connect(ours: IpAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.bind(SocketAddr::new(ours, 0))?;
    socket.connect(server).await
}

async fn secure(
    config: &Config,
    server: SocketAddr,
    named: Option<&str>,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, LineError> {
    let settings = config.sip.tls.as_ref();
    let settings = settings.ok_or_else(|| LineError::Tls("there is no [sip.tls]".to_owned()))?;
    let tls = SipTls::new(SipTlsRead::read(settings).map_err(LineError::Tls)?);
    let shaken = tls.connect(server.ip(), named.map(str::to_owned), stream);
    match timeout(SIP_CONNECT_WITHIN, shaken).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(LineError::Tls(error.to_string())),
        Err(_) => Err(LineError::Tls("the handshake is not answered".to_owned())),
    }
}

/// Whether the machine there says that nobody listens on a UDP port (ICMP). Silence says nothing.
pub(super) async fn is_closed(server: SocketAddr, ours: IpAddr) -> bool {
    let knock = async {
        let socket = UdpSocket::bind((ours, 0)).await?;
        socket.connect(server).await?;
        // Two line ends are a keep-alive (RFC 5626 section 3.5.1): nobody acts on them.
        socket.send(b"\r\n\r\n").await?;
        socket.recv(&mut [0; 64]).await
    };
    let knocked = timeout(KNOCK_WITHIN, knock).await;
    matches!(knocked, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// How long the word that nobody listens may take: it comes from the machine itself, not from a program.
const KNOCK_WITHIN: Duration = Duration::from_millis(500);
