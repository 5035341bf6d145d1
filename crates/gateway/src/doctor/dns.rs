//! One DN at one SIP Server: what the answer to a REGISTER without Contact says about it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sip::digest::Credentials;
use sip::registration_words::{RegistrationFault, translated as translated_words};
use sip::{HeaderName, NameAddr, Request, Response, StatusCode};

use super::finding::{Area, Finding};
use super::line::Line;
use super::request::Writer;
use crate::config::Agent;

/// DNs that are asked for at the same time: a burst that any SIP Server takes.
const AT_ONCE: usize = 16;

/// Who asks whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) server: SocketAddr,
    /// The Contact of our own registrations, as host and port.
    pub(super) own: SocketAddr,
    /// Whether a gateway answers at our administrators' listener.
    pub(super) running: bool,
}

/// Asks for each agent's DN, `rate_per_s` a second at most.
pub(super) async fn ask(
    line: &mut Line,
    writer: &mut Writer,
    agents: &[Agent],
    place: Place,
    rate_per_s: u32,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (turn, some) in agents.chunks(AT_ONCE).enumerate() {
        if turn > 0 {
            let pause = Duration::from_secs(1) / rate_per_s.max(1);
            tokio::time::sleep(pause * AT_ONCE as u32).await;
        }
        let heard = ask_some(line, writer, some).await;
        let silent = heard.iter().all(|heard| heard.answer.is_none());
        findings.extend(
            some.iter()
                .zip(&heard)
                .map(|(agent, heard)| judge(agent, heard, place)),
        );
        let left = agents.len() - turn * AT_ONCE - some.len();
        if silent && left > 0 {
            let what = format!(
                "SIP Server {}: {left} more DNs are not asked for, since it does not answer",
                place.server
            );
            findings.push(Finding::unknown(Area::Dn, what).at(place.server));
            break;
        }
    }
    findings
}

/// What came back for one DN.
#[derive(Debug)]
struct Heard {
    /// The last answer.
    answer: Option<Response>,
    /// Whether it is the answer to our password.
    proven: bool,
}

async fn ask_some(line: &mut Line, writer: &mut Writer, agents: &[Agent]) -> Vec<Heard> {
    let queries: Vec<Option<Request>> =
        agents.iter().map(|agent| writer.query(&agent.dn)).collect();
    let requests: Vec<Request> = queries.iter().flatten().cloned().collect();
    let mut answers = line.exchange(&requests).await.into_iter();
    let mut heard: Vec<Heard> = queries
        .iter()
        .map(|query| Heard {
            answer: query.as_ref().and_then(|_| answers.next().flatten()),
            proven: false,
        })
        .collect();
    let mut again = Vec::new();
    for (index, agent) in agents.iter().enumerate() {
        let (Some(query), Some(answer)) = (&queries[index], &heard[index].answer) else {
            continue;
        };
        let Some(password) = agent.password.as_ref().filter(|_| is_challenge(answer)) else {
            continue;
        };
        let credentials =
            Credentials::new(&agent.dn, secrecy::ExposeSecret::expose_secret(password));
        again.extend(
            writer
                .prove(query, answer, &credentials)
                .map(|request| (index, request)),
        );
    }
    let requests: Vec<Request> = again.iter().map(|(_, request)| request.clone()).collect();
    let answers = line.exchange(&requests).await;
    for ((index, _), answer) in again.iter().zip(answers) {
        heard[*index] = Heard {
            answer,
            proven: true,
        };
    }
    heard
}

fn is_challenge(answer: &Response) -> bool {
    matches!(
        answer.status,
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED
    )
}

/// What an answer means for a DN, with the option of SIP Server to look at.
fn judge(agent: &Agent, heard: &Heard, place: Place) -> Finding {
    let (dn, server) = (agent.dn.as_str(), place.server);
    let finding = match &heard.answer {
        None => silence(dn, heard.proven, server),
        Some(answer) if answer.status.is_success() => accepted(dn, answer, place),
        Some(answer) => refused(dn, answer, heard.proven, server),
    };
    finding.at(server).of(dn)
}

/// Every line of a DN begins with it.
fn named(dn: &str, words: String) -> String {
    let start = format!("DN {dn}");
    if words.starts_with(&start) {
        words
    } else {
        format!("{start}: {words}")
    }
}

fn silence(dn: &str, proven: bool, server: SocketAddr) -> Finding {
    let (what, advice) = if proven {
        (
            format!("DN {dn}: SIP Server {server} asked for the password and did not answer it"),
            "a firewall that drops large datagrams, or a SIP Server that is overloaded: see its log",
        )
    } else {
        (
            format!(
                "DN {dn}: {}",
                RegistrationFault::Silent.words(dn, server, None)
            ),
            "where other DNs are answered, see SIP Server's log for this one",
        )
    };
    Finding::fail(Area::Dn, what, advice)
}

fn refused(dn: &str, answer: &Response, proven: bool, server: SocketAddr) -> Finding {
    let status = answer.status;
    let what = |proven| {
        let fault = RegistrationFault::of_status(status, proven);
        let fault = fault.unwrap_or(RegistrationFault::Refused);
        named(dn, fault.words(dn, server, Some(status)))
    };
    match status {
        StatusCode::NOT_FOUND => Finding::fail(
            Area::Dn,
            what(proven),
            format!(
                "in the configuration of the Switch, DN {dn} must exist as an Extension with State Enabled and, in \
                 section TServer, contact = *"
            ),
        ),
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED if !proven => {
            Finding::fail(
                Area::Dn,
                what(false),
                format!(
                    "options password and authenticate-requests of DN {dn}, section TServer; here: [[agents]] password, \
                     password_file or TALKBRIDGE_PASSWORD_{dn}"
                ),
            )
        }
        // Some releases say 403 to a wrong password, others challenge again.
        StatusCode::FORBIDDEN
        | StatusCode::UNAUTHORIZED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
            if proven =>
        {
            Finding::fail(
                Area::Dn,
                format!(
                    "DN {dn}: SIP Server {server} does not accept the password ({})",
                    status.as_u16()
                ),
                format!(
                    "compare [[agents]] password with option password of DN {dn}, section TServer; letters, digits and \
                     blanks at its end count"
                ),
            )
        }
        StatusCode::FORBIDDEN => Finding::fail(
            Area::Dn,
            what(proven),
            format!(
                "contact = * in section TServer of DN {dn}; and no Trunk or Voice over IP Service DN may have this \
                 gateway's address in its contact"
            ),
        ),
        StatusCode::SERVICE_UNAVAILABLE => Finding::fail(
            Area::Dn,
            what(proven),
            "a backup of an HA pair, or one that shuts down: see its state in Solution Control",
        ),
        // A registrar that does not know the question may still take registrations.
        _ => Finding::warn(
            Area::Dn,
            format!(
                "DN {dn}: SIP Server {server} answers the question for its registration with {} {}",
                status.as_u16(),
                status.default_reason()
            ),
            "the question is REGISTER without Contact; whether a registration is taken shows at sign-in",
        ),
    }
}

fn accepted(dn: &str, answer: &Response, place: Place) -> Finding {
    let Place {
        server,
        own,
        running,
    } = place;
    if let Some(seen) = translated(answer, own.ip()) {
        return Finding::fail(
            Area::Dn,
            format!("DN {dn}: {}", translated_words(own, seen)),
            "[sip] advertise must be the address that SIP Server sees; SIP Server does not fill in rport",
        );
    }
    let bindings = bindings(answer);
    let known = format!("DN {dn}: known to SIP Server {server}");
    match bindings.as_slice() {
        [] if running => Finding::ok(
            Area::Dn,
            format!("{known}, not registered now (no page is signed in)"),
        ),
        [] => Finding::ok(Area::Dn, format!("{known}, not registered now")),
        some if some.iter().all(|binding| is_at(binding, own)) => {
            Finding::ok(Area::Dn, format!("{known}, registered by this gateway"))
        }
        some => {
            let others: Vec<String> = some.iter().map(|uri| uri.uri.to_string()).collect();
            Finding::warn(
                Area::Dn,
                format!(
                    "{known}, registered by another endpoint at {}",
                    others.join(", ")
                ),
                format!(
                    "the last REGISTER wins: take DN {dn} out of that telephone or softphone before an agent signs in here"
                ),
            )
        }
    }
}

/// The address that SIP Server saw, when it is another than we name.
fn translated(answer: &Response, own: IpAddr) -> Option<IpAddr> {
    let seen = answer.headers.top_via().ok()?.received?;
    (seen.to_canonical() != own.to_canonical()).then_some(seen)
}

/// The Contacts of a 200, without those that are given up.
fn bindings(answer: &Response) -> Vec<NameAddr> {
    let live = |contact: &NameAddr| contact.params.get("expires") != Some(b"0");
    let contacts = answer.headers.list(&HeaderName::CONTACT);
    contacts.filter_map(NameAddr::parse).filter(live).collect()
}

fn is_at(contact: &NameAddr, own: SocketAddr) -> bool {
    let host = contact.uri.host().and_then(sip::Host::ip);
    host == Some(own.ip()) && contact.uri.port().unwrap_or(5060) == own.port()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::SipTransport;

    fn agent(password: bool) -> Agent {
        let text = include_str!("../../../../conf/talkbridge.minimal.toml");
        let config = crate::config::parse("minimal".as_ref(), text, &|_| None)
            .unwrap()
            .config;
        let mut agent = config.agents[0].clone();
        agent.dn = "1002".to_owned();
        agent.password = password.then(|| "secret".to_owned().into());
        agent
    }

    fn place() -> Place {
        Place {
            server: "192.0.2.81:5060".parse().unwrap(),
            own: "192.0.2.10:5060".parse().unwrap(),
            running: false,
        }
    }

    fn answer(status: u16, lines: &[(HeaderName, &str)]) -> Response {
        let own = place().own;
        let mut writer = Writer::new([1; 32], own, SipTransport::Udp, "192.0.2.81", "");
        let request = writer.query("1002").unwrap();
        let mut answer = Response::for_request(&request, StatusCode::new(status).unwrap());
        for (name, value) in lines {
            answer.headers.push(name.clone(), *value);
        }
        answer
    }

    fn said(status: u16, proven: bool, lines: &[(HeaderName, &str)]) -> String {
        let heard = Heard {
            answer: Some(answer(status, lines)),
            proven,
        };
        judge(&agent(true), &heard, place()).line()
    }

    #[test]
    fn a_dn_that_is_registered_elsewhere_is_told_before_it_is_taken_away() {
        let contact = [(
            HeaderName::CONTACT,
            "<sip:1002@192.0.2.99:5061>;expires=600",
        )];
        let line = said(200, false, &contact);
        assert!(
            line.starts_with("warn DN 1002: known to SIP Server 192.0.2.81:5060, registered by another endpoint at sip:1002@192.0.2.99:5061"),
            "{line}"
        );
        let ours = [(HeaderName::CONTACT, "<sip:1002@192.0.2.10>;expires=600")];
        assert!(said(200, false, &ours).ends_with("registered by this gateway"));
        let given_up = [(HeaderName::CONTACT, "<sip:1002@192.0.2.99>;expires=0")];
        assert!(said(200, false, &given_up).ends_with("not registered now"));
        assert!(said(200, false, &[]).ends_with("not registered now"));
    }

    #[test]
    fn each_refusal_names_the_option_to_look_at() {
        for (status, proven, option) in [
            (404, false, "contact = *"),
            (401, false, "authenticate-requests"),
            (407, false, "authenticate-requests"),
            (401, true, "option password"),
            (403, true, "option password"),
            (403, false, "Trunk"),
            (503, false, "HA pair"),
        ] {
            let line = said(status, proven, &[]);
            assert!(line.starts_with("FAIL ") && line.contains(option), "{line}");
            assert!(!line.contains("secret"), "{line}");
        }
        assert!(said(405, false, &[]).starts_with("warn "));
    }

    #[test]
    fn an_address_that_is_translated_on_the_way_is_told() {
        let mut answer = answer(200, &[]);
        let via = answer.headers.get_str(&HeaderName::VIA).unwrap().to_owned();
        answer
            .headers
            .set(HeaderName::VIA, format!("{via};received=198.51.100.7"));
        let heard = Heard {
            answer: Some(answer),
            proven: false,
        };
        let line = judge(&agent(false), &heard, place()).line();
        assert!(
            line.starts_with("FAIL ") && line.contains("198.51.100.7"),
            "{line}"
        );
    }
}
