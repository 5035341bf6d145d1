//! A TURN client (RFC 8656) that asks for whatever credentials may get.

use std::net::{IpAddr, SocketAddr};

use rtc::crypto::default_provider;
use rtc::stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME};
use rtc::stun::error_code::ErrorCodeAttribute;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_REQUEST, Getter, METHOD_ALLOCATE, METHOD_CHANNEL_BIND,
    METHOD_CREATE_PERMISSION, Message, MessageType, Method, Setter, TransactionId,
};
use rtc::stun::textattrs::TextAttribute;
use rtc::turn::proto::PROTO_UDP;
use rtc::turn::proto::channum::ChannelNumber;
use rtc::turn::proto::peeraddr::PeerAddress;
use rtc::turn::proto::reqfamily::{REQUESTED_FAMILY_IPV6, RequestedAddressFamily};
use rtc::turn::proto::reqtrans::RequestedTransport;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::Result;
use crate::wait::DEADLINE;

/// The first channel number (RFC 8656 section 12).
const FIRST_CHANNEL: u16 = 0x4000;

/// A client, and its relay if it got one.
#[derive(Debug)]
pub struct TurnClient {
    socket: UdpSocket,
    username: String,
    password: String,
    realm: String,
    nonce: String,
    channel: u16,
}

impl TurnClient {
    /// Asks the server for a relay with these credentials; its error code where it refuses.
    ///
    /// # Errors
    /// When the server does not speak TURN.
    pub async fn allocate(
        local: IpAddr,
        server: SocketAddr,
        username: &str,
        password: &str,
    ) -> Result<std::result::Result<Self, u16>> {
        Self::allocate_of(local, server, (username, password), None).await
    }

    /// The same for a relay with an address of IPv6 (RFC 8656 section 7.1).
    ///
    /// # Errors
    /// When the server does not speak TURN.
    pub async fn allocate_by_ipv6(
        local: IpAddr,
        server: SocketAddr,
        username: &str,
        password: &str,
    ) -> Result<std::result::Result<Self, u16>> {
        let family = Some(REQUESTED_FAMILY_IPV6);
        Self::allocate_of(local, server, (username, password), family).await
    }

    async fn allocate_of(
        local: IpAddr,
        server: SocketAddr,
        (username, password): (&str, &str),
        family: Option<RequestedAddressFamily>,
    ) -> Result<std::result::Result<Self, u16>> {
        let socket = UdpSocket::bind((local, 0)).await?;
        socket.connect(server).await?;
        let mut client = Self {
            socket,
            username: username.to_owned(),
            password: password.to_owned(),
            realm: String::new(),
            nonce: String::new(),
            channel: FIRST_CHANNEL,
        };
        let wishes = || {
            let mut wishes: Vec<Box<dyn Setter>> = vec![Box::new(RequestedTransport {
                protocol: PROTO_UDP,
            })];
            if let Some(family) = &family {
                wishes.push(Box::new(RequestedAddressFamily(family.0)));
            }
            wishes
        };
        // The first one is refused, and says realm and nonce.
        let refusal = client.ask(METHOD_ALLOCATE, wishes()).await?;
        client.realm = TextAttribute::get_from_as(&refusal, ATTR_REALM)?.text;
        client.nonce = TextAttribute::get_from_as(&refusal, ATTR_NONCE)?.text;
        let answer = client.ask(METHOD_ALLOCATE, wishes()).await?;
        Ok(outcome(&answer).map(|()| client))
    }

    /// Asks for leave to exchange datagrams with a peer: the error code where it is refused.
    ///
    /// # Errors
    /// When the server does not speak TURN.
    pub async fn permission(&self, peer: SocketAddr) -> Result<std::result::Result<(), u16>> {
        let answer = self.ask(METHOD_CREATE_PERMISSION, vec![at(peer)]).await?;
        Ok(outcome(&answer))
    }

    /// The same by a channel.
    ///
    /// # Errors
    /// When the server does not speak TURN.
    pub async fn channel(&mut self, peer: SocketAddr) -> Result<std::result::Result<(), u16>> {
        let number = Box::new(ChannelNumber(self.channel));
        self.channel += 1;
        let answer = self
            .ask(METHOD_CHANNEL_BIND, vec![number, at(peer)])
            .await?;
        Ok(outcome(&answer))
    }

    async fn ask(&self, method: Method, wishes: Vec<Box<dyn Setter>>) -> Result<Message> {
        let crypto = default_provider()?;
        let mut parts: Vec<Box<dyn Setter + '_>> = vec![
            Box::new(TransactionId::new()),
            Box::new(MessageType::new(method, CLASS_REQUEST)),
        ];
        for wish in wishes {
            parts.push(wish);
        }
        if !self.nonce.is_empty() {
            let texts = [
                (ATTR_USERNAME, &self.username),
                (ATTR_REALM, &self.realm),
                (ATTR_NONCE, &self.nonce),
            ];
            for (attribute, text) in texts {
                parts.push(Box::new(TextAttribute::new(attribute, text.clone())));
            }
            parts.push(Box::new(
                MessageIntegrity::new_long_term_integrity_with_provider(
                    self.username.clone(),
                    self.realm.clone(),
                    self.password.clone(),
                    crypto.crypto(),
                )?,
            ));
        }
        let mut request = Message::new();
        request.build(&parts)?;
        self.socket.send(&request.raw).await?;
        let mut buffer = vec![0; 2_048];
        loop {
            let len = timeout(DEADLINE, self.socket.recv(&mut buffer)).await??;
            let mut answer = Message::new();
            answer.write(&buffer[..len])?;
            if answer.transaction_id == request.transaction_id {
                return Ok(answer);
            }
        }
    }
}

fn at(peer: SocketAddr) -> Box<dyn Setter> {
    Box::new(PeerAddress {
        ip: peer.ip(),
        port: peer.port(),
    })
}

fn outcome(answer: &Message) -> std::result::Result<(), u16> {
    if answer.typ.class != CLASS_ERROR_RESPONSE {
        return Ok(());
    }
    let mut code = ErrorCodeAttribute::default();
    match code.get_from(answer) {
        Ok(()) => Err(code.code.0),
        Err(_) => Err(0),
    }
}
