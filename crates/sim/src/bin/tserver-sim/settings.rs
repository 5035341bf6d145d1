//! Flags and the configuration file.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use sim::audio::Speech;
use sim::tserver::{
    Alert, Config, CtiControl, CustomerAnswer, CustomerConfig, Delays, DnConfig, DrForward,
    MakeCallFlow, SessionConfig, TransferBy,
};

/// RFC 4028 section 5: no shorter interval is taken.
const MIN_SE_S: u32 = 90;

/// The largest range of DNs in one entry: more than any switch has.
const MAX_RANGE: u64 = 100_000;

/// A Genesys SIP Server to test against, with customers who speak and a desk to answer at.
#[derive(Debug, clap::Parser)]
#[command(name = "tserver-sim", version)]
pub(crate) struct Flags {
    /// Configuration file (TOML). Flags win over it.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Where SIP is received: udp:ADDRESS:PORT or tcp:ADDRESS:PORT; port 0 lets the system choose.
    #[arg(long)]
    listen: Vec<String>,
    /// Address that SIP messages name; the listening one by default.
    #[arg(long)]
    advertise: Option<IpAddr>,
    /// Where HTTP is served.
    #[arg(long)]
    http: Option<SocketAddr>,
    /// Address of the customers' RTP sockets.
    #[arg(long)]
    media_address: Option<IpAddr>,
    /// A DN to configure; may be repeated.
    #[arg(long)]
    dn: Vec<String>,
    /// Makes identities repeatable.
    #[arg(long)]
    seed: Option<u64>,
    /// Written when everything is bound; one line of JSON, as on standard output.
    #[arg(long)]
    pub(crate) ready_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    seed: Option<u64>,
    sip: SipSection,
    http: HttpSection,
    media: MediaSection,
    customer: CustomerSection,
    customers: Vec<NumberedCustomer>,
    dns: Vec<DnSection>,
    delays: DelaySection,
    registrar: RegistrarSection,
    reinvite_after_answer: Option<bool>,
    session_refresh: Option<bool>,
    reliable_provisional: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SipSection {
    listen: Vec<String>,
    advertise: Option<IpAddr>,
    /// A SIP Proxy in front of the endpoints.
    outbound_proxy: Option<SocketAddr>,
}

impl Default for SipSection {
    fn default() -> Self {
        Self {
            listen: vec!["udp:127.0.0.1:5060".into(), "tcp:127.0.0.1:5060".into()],
            advertise: None,
            outbound_proxy: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpSection {
    listen: SocketAddr,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MediaSection {
    /// The SIP address by default.
    address: Option<IpAddr>,
    /// First port; 0 lets the system choose every one.
    first_port: u16,
    /// How many customers can be in calls at the same time.
    sockets: u16,
}

impl Default for MediaSection {
    fn default() -> Self {
        Self {
            address: None,
            first_port: 0,
            sockets: 64,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CustomerSection {
    ring_ms: u64,
    /// `answer`, `never`, or a status code such as 486.
    then: Then,
    speech: SpeechName,
    tone_hz: u32,
    echo: bool,
    early_media: bool,
    forks: bool,
    telephone_event: bool,
}

impl Default for CustomerSection {
    fn default() -> Self {
        Self {
            ring_ms: 1500,
            then: Then::Word(ThenWord::Answer),
            speech: SpeechName::Phrase,
            tone_hz: 440,
            echo: true,
            early_media: false,
            forks: false,
            telephone_event: true,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Then {
    Word(ThenWord),
    Status(u16),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ThenWord {
    Answer,
    Never,
}

/// How a customer speaks, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SpeechName {
    /// The recorded phrase.
    Phrase,
    /// A sine.
    Tone,
    /// Nothing.
    Silence,
}

impl SpeechName {
    pub(crate) fn speech(self, tone_hz: u32, echo: bool) -> Speech {
        match self {
            Self::Phrase => Speech::Phrase { echo },
            Self::Tone => Speech::Tone { hz: tone_hz },
            Self::Silence => Speech::Silence,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberedCustomer {
    number: String,
    ring_ms: Option<u64>,
    then: Option<Then>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DnSection {
    dn: Option<String>,
    /// First and last of a row of numbers, both included.
    range: Option<(u64, u64)>,
    cti_control: Vec<CtiWord>,
    make_call_flow: u8,
    password: Option<String>,
    authenticate: Vec<AuthenticateWord>,
    qop: bool,
    dtmf_by_info: bool,
    no_answer_timeout_s: Option<u64>,
    reject_call_incall: bool,
    reject_call_notready: bool,
    recovery_timeout_s: Option<u64>,
    require_reliable: bool,
    refer_enabled: bool,
    transfer_by: TransferWord,
    oos_check_s: Option<u64>,
    dual_dialog: bool,
    hold_rfc3264: bool,
    reinvite_requires_hold: bool,
    reuse_sdp: bool,
    record: bool,
    greeting_ms: Option<u64>,
    session_interval_s: u32,
    session_refresher: Refresher,
    session_refresh_with_sdp: bool,
    session_refresh_by_update: bool,
    alert: AlertWord,
    make_call_alert: AlertWord,
    /// With `alert = "answer_after"`.
    answer_after_s: u32,
    use_contact_as_dn: bool,
}

/// How a call wants to ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AlertWord {
    Plain,
    External,
    Internal,
    AutoAnswer,
    RingAnswer,
    AnswerAfter,
}

impl AlertWord {
    fn alert(self, answer_after_s: u32) -> Alert {
        match self {
            Self::Plain => Alert::Plain,
            Self::External => Alert::Ring("alert-external"),
            Self::Internal => Alert::Ring("alert-internal"),
            Self::AutoAnswer => Alert::AutoAnswer,
            Self::RingAnswer => Alert::RingAnswer,
            Self::AnswerAfter => Alert::AnswerAfter(answer_after_s),
        }
    }
}

/// What an endpoint that stays is asked for in a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TransferWord {
    Reinvite,
    Refer,
    Replaces,
}

/// Who refreshes a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Refresher {
    Server,
    Endpoint,
}

impl Default for DnSection {
    fn default() -> Self {
        Self {
            dn: None,
            range: None,
            cti_control: vec![CtiWord::Talk, CtiWord::Hold, CtiWord::Dtmf, CtiWord::Beep],
            make_call_flow: 1,
            password: None,
            authenticate: vec![AuthenticateWord::Register],
            qop: true,
            dtmf_by_info: true,
            no_answer_timeout_s: None,
            reject_call_incall: false,
            reject_call_notready: false,
            recovery_timeout_s: None,
            require_reliable: false,
            refer_enabled: false,
            transfer_by: TransferWord::Reinvite,
            oos_check_s: None,
            dual_dialog: true,
            hold_rfc3264: false,
            reinvite_requires_hold: false,
            reuse_sdp: false,
            record: false,
            greeting_ms: None,
            session_interval_s: 1_800,
            session_refresher: Refresher::Server,
            session_refresh_with_sdp: false,
            session_refresh_by_update: false,
            alert: AlertWord::Plain,
            make_call_alert: AlertWord::Plain,
            answer_after_s: 0,
            use_contact_as_dn: false,
        }
    }
}

/// One value of `sip-cti-control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CtiWord {
    /// Answer and retrieve.
    Talk,
    /// Hold.
    Hold,
    /// Tones.
    Dtmf,
    /// A beep when a supervisor joins.
    Beep,
}

/// The event packages of a list of words.
pub(crate) fn cti_control(words: &[CtiWord]) -> CtiControl {
    CtiControl {
        talk: words.contains(&CtiWord::Talk),
        hold: words.contains(&CtiWord::Hold),
        dtmf: words.contains(&CtiWord::Dtmf),
        beep: words.contains(&CtiWord::Beep),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AuthenticateWord {
    Register,
    Invite,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DelaySection {
    ack_ms: Option<u64>,
    reinvite_ms: Option<u64>,
    customer_answer_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RegistrarSection {
    min_expires_s: Option<u32>,
}

/// Everything that is needed to start.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The machine's configuration; its addresses are filled in once the sockets are bound.
    pub(crate) config: Config,
    pub(crate) udp: Option<SocketAddr>,
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) advertise: Option<IpAddr>,
    pub(crate) http: SocketAddr,
    pub(crate) media_address: Option<IpAddr>,
    pub(crate) media_first_port: u16,
    pub(crate) media_sockets: u16,
    pub(crate) speech: Speech,
    pub(crate) seed: Option<u64>,
}

impl Settings {
    pub(crate) fn load(flags: &Flags) -> Result<Self, String> {
        let mut file = match &flags.config {
            None => File::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
            }
        };
        if !flags.listen.is_empty() {
            file.sip.listen.clone_from(&flags.listen);
        }
        let named = flags.dn.iter().map(|dn| DnSection {
            dn: Some(dn.clone()),
            ..DnSection::default()
        });
        file.dns.extend(named);
        if file.dns.is_empty() {
            file.dns.push(DnSection {
                range: Some((1001, 1010)),
                ..DnSection::default()
            });
        }
        let (mut udp, mut tcp) = (None, None);
        for listen in &file.sip.listen {
            let (transport, address) = parse_listen(listen)?;
            let slot = if transport == "udp" {
                &mut udp
            } else {
                &mut tcp
            };
            if slot.replace(address).is_some() {
                return Err(format!("sip.listen: more than one {transport} address"));
            }
        }
        let placeholder = udp.or(tcp).ok_or("sip.listen: no address")?;
        Ok(Self {
            config: file.config(placeholder)?,
            udp,
            tcp,
            advertise: flags.advertise.or(file.sip.advertise),
            http: flags.http.unwrap_or(file.http.listen),
            media_address: flags.media_address.or(file.media.address),
            media_first_port: file.media.first_port,
            media_sockets: file.media.sockets,
            speech: file
                .customer
                .speech
                .speech(file.customer.tone_hz, file.customer.echo),
            seed: flags.seed.or(file.seed),
        })
    }
}

fn parse_listen(text: &str) -> Result<(&str, SocketAddr), String> {
    let wrong = || format!("sip.listen: {text:?} is not udp:ADDRESS:PORT or tcp:ADDRESS:PORT");
    let (transport, address) = text.split_once(':').ok_or_else(wrong)?;
    if !matches!(transport, "udp" | "tcp") {
        return Err(wrong());
    }
    Ok((transport, address.parse().map_err(|_| wrong())?))
}

impl File {
    fn config(&self, advertise: SocketAddr) -> Result<Config, String> {
        let mut config = Config::new(advertise);
        config.outbound_proxy = self.sip.outbound_proxy;
        for section in &self.dns {
            let settings = section.settings()?;
            for number in section.numbers()? {
                config.dns.insert(number, settings.clone());
            }
        }
        config.customer = customer(self.customer.ring_ms, self.customer.then)?;
        config.customer.early_media = self.customer.early_media;
        config.customer.forks = self.customer.forks;
        config.customer.telephone_event = self.customer.telephone_event;
        config.customers = self
            .customers
            .iter()
            .map(|entry| {
                let ring_ms = entry.ring_ms.unwrap_or(self.customer.ring_ms);
                let then = entry.then.unwrap_or(self.customer.then);
                Ok((entry.number.clone(), customer(ring_ms, then)?))
            })
            .collect::<Result<BTreeMap<_, _>, String>>()?;
        let usual = Delays::default();
        let or = |ms: Option<u64>, usual| ms.map_or(usual, Duration::from_millis);
        config.delays = Delays {
            ack: or(self.delays.ack_ms, usual.ack),
            reinvite: or(self.delays.reinvite_ms, usual.reinvite),
            customer_answer: or(self.delays.customer_answer_ms, usual.customer_answer),
            ..usual
        };
        config.registrar.min_expires_s = self.registrar.min_expires_s;
        config.reinvite_after_answer = self.reinvite_after_answer.unwrap_or(true);
        config.session_refresh = self.session_refresh.unwrap_or(true);
        config.reliable_provisional = self.reliable_provisional.unwrap_or(true);
        Ok(config)
    }
}

fn customer(ring_ms: u64, then: Then) -> Result<CustomerConfig, String> {
    let then = match then {
        Then::Word(ThenWord::Answer) => CustomerAnswer::Answer,
        Then::Word(ThenWord::Never) => CustomerAnswer::Never,
        Then::Status(status @ 300..=699) => CustomerAnswer::Refuse(status),
        Then::Status(status) => {
            return Err(format!(
                "customer: {status} is no status that refuses a call"
            ));
        }
    };
    Ok(CustomerConfig {
        ring: Duration::from_millis(ring_ms),
        then,
        ..CustomerConfig::default()
    })
}

impl DnSection {
    fn numbers(&self) -> Result<Vec<String>, String> {
        match (&self.dn, self.range) {
            (Some(dn), None) if !dn.is_empty() => Ok(vec![dn.clone()]),
            (None, Some((first, last))) if first <= last && last - first < MAX_RANGE => {
                Ok((first..=last).map(|number| number.to_string()).collect())
            }
            _ => Err("dns: every entry needs either dn or range = [first, last]".to_owned()),
        }
    }

    fn settings(&self) -> Result<DnConfig, String> {
        if self.session_interval_s < MIN_SE_S {
            return Err(format!("session_interval_s: shorter than {MIN_SE_S}"));
        }
        Ok(DnConfig {
            cti_control: cti_control(&self.cti_control),
            make_call_flow: flow(self.make_call_flow)?,
            password: self.password.clone(),
            authenticate_register: self.authenticate.contains(&AuthenticateWord::Register),
            authenticate_invite: self.authenticate.contains(&AuthenticateWord::Invite),
            qop: self.qop,
            dtmf_by_info: self.dtmf_by_info,
            no_answer_timeout: self.no_answer_timeout_s.map(Duration::from_secs),
            reject_call_incall: self.reject_call_incall,
            reject_call_notready: self.reject_call_notready,
            recovery_timeout: self.recovery_timeout_s.map(Duration::from_secs),
            // There is no trunk between two of these programs.
            dr_forward: DrForward::Off,
            require_reliable: self.require_reliable,
            refer_enabled: self.refer_enabled,
            transfer_by: match self.transfer_by {
                TransferWord::Reinvite => TransferBy::Reinvite,
                TransferWord::Refer => TransferBy::Refer,
                TransferWord::Replaces => TransferBy::Replaces,
            },
            oos_check: self.oos_check_s.map(Duration::from_secs),
            dual_dialog: self.dual_dialog,
            hold_rfc3264: self.hold_rfc3264,
            reinvite_requires_hold: self.reinvite_requires_hold,
            reuse_sdp: self.reuse_sdp,
            record: self.record,
            greeting: self.greeting_ms.map(Duration::from_millis),
            session: SessionConfig {
                interval_s: self.session_interval_s,
                refreshes: self.session_refresher == Refresher::Server,
                with_sdp: self.session_refresh_with_sdp,
                by_update: self.session_refresh_by_update,
            },
            alert: self.alert.alert(self.answer_after_s),
            make_call_alert: self.make_call_alert.alert(self.answer_after_s),
            use_contact_as_dn: self.use_contact_as_dn,
        })
    }
}

/// `make-call-rfc3725-flow` by its number.
pub(crate) fn flow(number: u8) -> Result<MakeCallFlow, String> {
    match number {
        1 => Ok(MakeCallFlow::One),
        2 => Ok(MakeCallFlow::Two),
        _ => Err(format!("make_call_flow: {number} is neither 1 nor 2")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_documented_file_is_read() {
        let file: File =
            toml::from_str(include_str!("../../../../../conf/tserver-sim.toml")).unwrap();
        let config = file.config("127.0.0.1:5060".parse().unwrap()).unwrap();
        assert!(config.dns.contains_key("1002"));
        assert_eq!(config.customers["0800"].then, CustomerAnswer::Refuse(486));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_refused() {
        for text in [
            "port = 1",
            "[sip]\nlisten_to = []",
            "[[dns]]\ndn = '1'\ncti = []",
            "[[customers]]\nnumber = '1'\nspeach = 'tone'",
            "[[dns]]\ndn = '1'\ncti_control = ['hum']",
        ] {
            assert!(toml::from_str::<File>(text).is_err(), "{text}");
        }
        for text in [
            "[[dns]]\ndn = '1'\nrange = [1, 2]",
            "[[dns]]\nrange = [2, 1]",
            "[[dns]]\ndn = '1'\nmake_call_flow = 3",
            "[customer]\nthen = 200",
        ] {
            let file: File = toml::from_str(text).unwrap();
            assert!(
                file.config("127.0.0.1:5060".parse().unwrap()).is_err(),
                "{text}"
            );
        }
        for text in ["127.0.0.1:1", "tls:127.0.0.1:1", "udp:localhost:1"] {
            assert!(parse_listen(text).is_err(), "{text}");
        }
    }
}
