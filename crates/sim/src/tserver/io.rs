//! What goes into the simulated SIP Server and what comes out of it.

use std::fmt;
use std::net::SocketAddr;

use super::trunk::TrunkCall;

/// How a SIP message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams: repetitions are ours to send.
    Udp,
    /// A stream: no repetitions of requests.
    Tcp,
    /// The same within TLS, which is the shell's.
    Tls,
}

impl Transport {
    pub(crate) const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// What a URI says of it behind `host:port`.
    pub(crate) const fn uri_param(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => ";transport=tcp",
            Self::Tls => ";transport=tls",
        }
    }

    /// Repetitions are not ours to send.
    pub(super) const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }
}

/// A stream as the shell numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Datagram or stream.
    pub transport: Transport,
    /// The sender's address.
    pub remote: SocketAddr,
    /// The stream, if it was one.
    pub connection: Option<ConnectionId>,
}

impl Source {
    /// A datagram from `remote`.
    #[must_use]
    pub fn udp(remote: SocketAddr) -> Self {
        Self {
            transport: Transport::Udp,
            remote,
            connection: None,
        }
    }
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Datagram or stream.
    pub transport: Transport,
    /// Where to.
    pub to: SocketAddr,
    /// The stream to prefer while it is open; else connect to `to`.
    pub connection: Option<ConnectionId>,
    /// One whole SIP message.
    pub bytes: Vec<u8>,
}

/// The T-Library CallUUID: 32 characters of `0-9A-V`, the value of `X-Genesys-CallUUID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallUuid(pub String);

impl fmt::Display for CallUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What may be put into the machine.
#[derive(Debug, Clone)]
pub enum Input {
    /// One whole SIP message arrived.
    Received {
        /// From where.
        source: Source,
        /// The bytes of the datagram or frame.
        bytes: Vec<u8>,
    },
    /// A stream has closed.
    ConnectionLost(ConnectionId),
    /// A T-Library request; its failure comes out as [`EventKind::Error`].
    Request(Request),
    /// A fault or a mode to switch.
    Control(Control),
    /// The time of `poll_timeout` has come.
    Tick,
}

/// T-Library requests, and what model customers do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Something that moves no call is said to an endpoint in the dialog of one.
    Aside {
        /// The DN.
        dn: String,
        /// Its call.
        call: CallUuid,
        /// What.
        aside: super::Aside,
    },
    /// A customer calls a DN.
    CustomerCall {
        /// His number.
        from: String,
        /// The DN.
        to: String,
    },
    /// A call for a DN of this site comes over the trunk from the peer site.
    TrunkCall(TrunkCall),
    /// The customer of a call hangs up.
    CustomerHangup {
        /// Which call.
        call: CallUuid,
    },
    /// The customer of a call hands its agent on, or another customer takes his place (see [`super::TransferBy`]).
    CustomerTransfers {
        /// Which call.
        call: CallUuid,
        /// To whom.
        to: String,
    },
    /// TMakeCall.
    MakeCall {
        /// The DN that dials.
        dn: String,
        /// The dialled number.
        to: String,
    },
    /// TAnswerCall.
    AnswerCall {
        /// The DN that answers.
        dn: String,
        /// Which call.
        call: CallUuid,
    },
    /// THoldCall.
    HoldCall {
        /// The DN that holds.
        dn: String,
        /// Which call.
        call: CallUuid,
    },
    /// TRetrieveCall.
    RetrieveCall {
        /// The DN that retrieves.
        dn: String,
        /// Which call.
        call: CallUuid,
    },
    /// TReleaseCall.
    ReleaseCall {
        /// The DN that releases.
        dn: String,
        /// Which call.
        call: CallUuid,
    },
    /// TSendDTMF.
    SendDtmf {
        /// The DN whose endpoint makes the tones.
        dn: String,
        /// Which call.
        call: CallUuid,
        /// Digits `0-9*#A-D`.
        digits: String,
    },
    /// TInitiateTransfer: the call is held and a consult call is made in a dialog of its own.
    InitiateTransfer {
        /// The DN that transfers.
        dn: String,
        /// The main call.
        call: CallUuid,
        /// Whom to consult.
        to: String,
    },
    /// TAlternateCall: the talking call is held and the held one retrieved.
    AlternateCall {
        /// The DN that alternates.
        dn: String,
        /// The call that it talks in.
        call: CallUuid,
        /// The call that it holds.
        held: CallUuid,
    },
    /// TCompleteTransfer: the remaining parties of both calls are joined, the DN is released.
    CompleteTransfer {
        /// The DN that transfers.
        dn: String,
        /// The main call or its consult call.
        call: CallUuid,
    },
    /// TSingleStepTransfer: the other party is connected to `to` without consultation.
    SingleStepTransfer {
        /// The DN that transfers.
        dn: String,
        /// Which call.
        call: CallUuid,
        /// The new destination.
        to: String,
    },
    /// TReconnectCall: the consult call is released, the main call retrieved.
    ReconnectCall {
        /// The DN that consults.
        dn: String,
        /// The main call or its consult call.
        call: CallUuid,
    },
    /// TCompleteConference: all parties of main and consult call talk over the Media Server.
    CompleteConference {
        /// The DN that consults.
        dn: String,
        /// The main call or its consult call.
        call: CallUuid,
    },
    /// TSingleStepConference: `to` joins without consultation.
    SingleStepConference {
        /// A DN of the call.
        dn: String,
        /// Which call.
        call: CallUuid,
        /// Who joins.
        to: String,
    },
    /// A supervisor joins the call; its agents hear a beep where `sip-cti-control` has it.
    Supervise {
        /// The supervisor's DN.
        dn: String,
        /// The call.
        call: CallUuid,
    },
    /// TDeleteFromConference.
    DeleteFromConference {
        /// A DN of the conference.
        dn: String,
        /// The conference.
        call: CallUuid,
        /// Who goes.
        number: String,
    },
    /// Recording starts or stops: the Media Server comes between the parties, or steps out.
    RecordCall {
        /// A DN of the call.
        dn: String,
        /// Which call.
        call: CallUuid,
        /// Whether it starts.
        on: bool,
    },
}

/// Faults and modes that a test switches while the machine runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Something is said to a registered endpoint outside of any call.
    Remark {
        /// The DN.
        dn: String,
        /// What.
        remark: super::Remark,
    },
    /// How REGISTER is answered from now on.
    RegisterMode(RegisterMode),
    /// `sip-cti-control` and the MakeCall flow of a DN, from its next call on.
    SetDn {
        /// Which DN; unknown ones are ignored.
        dn: String,
        /// New event packages, if they change.
        cti_control: Option<super::CtiControl>,
        /// New flow, if it changes.
        make_call_flow: Option<super::MakeCallFlow>,
    },
    /// Swallow the next `count` received messages with this method (responses: the CSeq method).
    DropReceived {
        /// A SIP method, upper case.
        method: String,
        /// Requests or responses.
        what: DropWhat,
        /// How many.
        count: u32,
    },
    /// Graceful shutdown of a site: calls of endpoints are refused with this status
    /// (`shutdown-sip-reject-code`, usually 603); `None` takes them again.
    RefuseCalls(Option<u16>),
    /// Forget every binding, transaction and call, as after a restart without persistence.
    Restart,
    /// The backup of an HA pair takes the address over: bindings and confirmed dialogs go on, transactions and calls that are not
    /// answered are lost.
    Switchover,
    /// A desktop logs its agent in at the DN, or out (see [`super::DrForward::NoAgent`]).
    AgentLogin {
        /// The DN.
        dn: String,
        /// In.
        on: bool,
    },
    /// The agent at the DN is ready for calls, or not: TAgentSetReady, TAgentSetNotReady.
    AgentReady {
        /// The DN.
        dn: String,
        /// Ready.
        on: bool,
    },
    /// Every nonce is stale from now on.
    ExpireNonces,
    /// Send OPTIONS to the registered endpoint of a DN.
    Options {
        /// Which DN.
        dn: String,
    },
}

/// Which side of a transaction [`Control::DropReceived`] swallows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropWhat {
    /// Requests.
    Requests,
    /// Responses.
    Responses,
}

/// How REGISTER is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RegisterMode {
    /// By the registrar.
    #[default]
    Normal,
    /// Not at all.
    Silent,
    /// 503 with `Retry-After` in seconds.
    Unavailable {
        /// The value of `Retry-After`.
        retry_after_s: u32,
    },
    /// Any status code.
    Refuse(u16),
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The DN is not in the configuration.
    #[error("DN {0} is not configured")]
    UnknownDn(String),
    /// The DN has no registered endpoint.
    #[error("Device '{0}' is not registered.")]
    NotRegistered(String),
    /// `dr-forward`: it is the peer site's now.
    #[error("the call goes to the peer site of DN '{0}'")]
    Forwarded(String),
    /// No such call, or the DN is no party of it.
    #[error("no such call at this DN")]
    NoCall,
    /// The call is in a state that does not allow the request.
    #[error("invalid call state: {0:?}")]
    State(PartyState),
    /// The endpoint cannot be asked by NOTIFY and nothing else would do it.
    #[error("sip-cti-control of the DN does not allow it")]
    NotControllable,
    /// `reject-call-incall`.
    #[error("DN {0} is busy")]
    Busy(String),
    /// `reject-call-notready`.
    #[error("the agent at DN {0} is not ready")]
    NotReady(String),
    /// `recovery-timeout`.
    #[error("DN {0} is out of service")]
    OutOfService(String),
    /// No RTP address is free for a model customer.
    #[error("no free customer media address")]
    NoMedia,
    /// Digits other than `0-9*#A-D`, or too many of them.
    #[error("not a digit string")]
    Digits,
    /// [`super::limits::MAX_CALLS`].
    #[error("too many calls")]
    TooManyCalls,
}

/// The state of one party of a call, in the words that a desktop shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PartyState {
    /// Called or dialling, nothing heard of the endpoint yet.
    Initiated,
    /// The party is called and its phone rings.
    Ringing,
    /// The party dials.
    Dialing,
    /// Talking.
    Established,
    /// The party holds the call.
    Held,
    /// Gone.
    Released,
}

/// Something happened that a T-Library client or a test wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// At which DN; a customer's number for what customers do.
    pub this_dn: String,
    /// The other party's number, if there is a call.
    pub other_dn: Option<String>,
    /// The call, if there is one.
    pub call: Option<CallUuid>,
    /// 16 hex digits, the older identity of the call.
    pub conn_id: Option<String>,
    /// The state of `this_dn` in the call after the event.
    pub state: Option<PartyState>,
}

/// T-Library event names, as far as they are modelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// `EventDialing`.
    Dialing,
    /// `EventRinging`.
    Ringing,
    /// `EventEstablished`.
    Established,
    /// `EventHeld`.
    Held,
    /// `EventRetrieved`.
    Retrieved,
    /// `EventReleased`, with the SIP status that ended the call, if one did.
    Released {
        /// Final status code of a refused INVITE.
        sip_status: Option<u16>,
    },
    /// `EventAbandoned`: the caller gave up while it rang.
    Abandoned,
    /// `EventDestinationBusy`.
    DestinationBusy,
    /// `EventPartyChanged`: another party took the place of `other_dn`.
    PartyChanged,
    /// The endpoint acknowledged a DTMF request.
    DtmfSent {
        /// Which digits.
        digits: String,
    },
    /// `EventError`: a request failed.
    Error {
        /// Name of the request, e.g. `TAnswerCall`.
        request: &'static str,
        /// Why, in words.
        message: String,
    },
    /// A DN was registered for the first time.
    InService,
    /// A DN's contact appeared, changed or (with `None`) went.
    ContactChanged {
        /// The contact URI.
        contact: Option<String>,
    },
}

/// What the model customer shall do with its RTP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerMedia {
    /// The call.
    pub call: CallUuid,
    /// The customer's number.
    pub number: String,
    /// His own RTP address, one of [`super::Config::customer_media`].
    pub local: SocketAddr,
    /// Where he sends to; `None` sends nothing (not answered, held, ended).
    pub remote: Option<SocketAddr>,
    /// Static payload type in use: 0 is mu-law, 8 is A-law.
    pub payload_type: u8,
    /// Payload type of RFC 4733 events, if agreed.
    pub telephone_event: Option<u8>,
    /// The call is over and the address is free again.
    pub ended: bool,
}

/// What comes out of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Transmit(Transmit),
    /// Tell those who watch.
    Event(Event),
    /// A customer's media changed.
    Media(CustomerMedia),
    /// A port of the Media Server changed; `number` is the party that it serves.
    Bridge(CustomerMedia),
    /// The peer site is to take a call.
    Trunk(TrunkCall),
}
