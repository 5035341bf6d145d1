//! SIP over UDP and TCP.

use std::net::SocketAddr;
use std::sync::Arc;

use sim::tserver::limits::MAX_MESSAGE_BYTES;
use sim::tserver::{ConnectionId, Source, Transport, next_frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket, tcp};
use tokio::sync::mpsc;

use crate::settings::Settings;
use crate::shell::Message;

/// Attempts to find one port that is free for UDP and TCP alike.
const PORT_ATTEMPTS: u32 = 50;
/// Messages waiting to be written to one connection.
const WRITE_QUEUE: usize = 1024;
/// What is read at once: a whole datagram.
const BUFFER: usize = 65_536;
/// Asked of the system for UDP: thousands of registrations arrive in one go.
const RECEIVE_BUFFER: usize = 4 << 20;

/// What SIP is received on.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) udp: Option<Arc<UdpSocket>>,
    pub(crate) tcp: Option<TcpListener>,
}

impl Sockets {
    pub(crate) async fn bind(settings: &Settings) -> Result<Self, String> {
        let mut refusal = String::new();
        for _ in 0..PORT_ATTEMPTS {
            match Self::bind_once(settings).await {
                Ok(sockets) => return Ok(sockets),
                Err(error) => refusal = error,
            }
            if settings.udp.is_none_or(|udp| udp.port() != 0) {
                break;
            }
        }
        Err(refusal)
    }

    async fn bind_once(settings: &Settings) -> Result<Self, String> {
        let mut sockets = Self {
            udp: None,
            tcp: None,
        };
        let mut chosen = 0;
        if let Some(address) = settings.udp {
            let socket = UdpSocket::bind(address)
                .await
                .map_err(|error| format!("udp {address}: {error}"))?;
            // What the system does not grant is made up for by repetitions.
            let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
            chosen = socket.local_addr().map_err(|e| e.to_string())?.port();
            sockets.udp = Some(Arc::new(socket));
        }
        if let Some(mut address) = settings.tcp {
            // Via and Contact name one port for both.
            if address.port() == 0 {
                address.set_port(chosen);
            }
            let listener = TcpListener::bind(address)
                .await
                .map_err(|error| format!("tcp {address}: {error}"))?;
            sockets.tcp = Some(listener);
        }
        Ok(sockets)
    }

    pub(crate) fn udp_address(&self) -> Option<SocketAddr> {
        self.udp
            .as_ref()
            .and_then(|socket| socket.local_addr().ok())
    }

    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp
            .as_ref()
            .and_then(|socket| socket.local_addr().ok())
    }
}

/// Forwards every datagram.
pub(crate) async fn read_datagrams(socket: Arc<UdpSocket>, to: mpsc::Sender<Message>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        // An error here is an ICMP answer to something sent earlier, not the end of the socket.
        let Ok((length, remote)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let message = Message::Sip {
            source: Source::udp(remote),
            bytes: buffer[..length].to_vec(),
        };
        if to.send(message).await.is_err() {
            return;
        }
    }
}

/// Takes connections.
pub(crate) async fn accept(listener: TcpListener, to: mpsc::Sender<Message>) {
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            continue;
        };
        if to.send(Message::Accepted { stream, remote }).await.is_err() {
            return;
        }
    }
}

/// Opens a connection, then carries it.
pub(crate) fn connect(
    connection: ConnectionId,
    remote: SocketAddr,
    to: mpsc::Sender<Message>,
) -> mpsc::Sender<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(WRITE_QUEUE);
    tokio::spawn(async move {
        match TcpStream::connect(remote).await {
            Ok(stream) => both_ways(stream, connection, remote, to, receiver).await,
            Err(error) => {
                tracing::warn!(%remote, "no connection: {error}");
                let _ = to.send(Message::Closed(connection)).await;
            }
        }
    });
    sender
}

/// Carries an accepted connection.
pub(crate) fn carry(
    stream: TcpStream,
    connection: ConnectionId,
    remote: SocketAddr,
    to: mpsc::Sender<Message>,
) -> mpsc::Sender<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(WRITE_QUEUE);
    tokio::spawn(both_ways(stream, connection, remote, to, receiver));
    sender
}

async fn both_ways(
    stream: TcpStream,
    connection: ConnectionId,
    remote: SocketAddr,
    to: mpsc::Sender<Message>,
    mut queue: mpsc::Receiver<Vec<u8>>,
) {
    let (reader, mut writer) = stream.into_split();
    let write = async {
        while let Some(bytes) = queue.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = read_stream(reader, connection, remote, &to) => {}
        () = write => {}
    }
    let _ = to.send(Message::Closed(connection)).await;
}

async fn read_stream(
    mut reader: tcp::OwnedReadHalf,
    connection: ConnectionId,
    remote: SocketAddr,
    to: &mpsc::Sender<Message>,
) {
    let mut pending = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let source = Source {
        transport: Transport::Tcp,
        remote,
        connection: Some(connection),
    };
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => pending.extend_from_slice(&buffer[..length]),
        }
        while let Some(bytes) = next_frame(&mut pending) {
            if to.send(Message::Sip { source, bytes }).await.is_err() {
                return;
            }
        }
        if pending.len() > MAX_MESSAGE_BYTES {
            return;
        }
    }
}
