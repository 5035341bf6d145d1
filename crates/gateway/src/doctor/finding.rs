//! What a check found, and how it is told to people and to scripts.

use std::net::SocketAddr;

use serde::Serialize;

/// Good DNs that are named one by one; of more only the number is told to people. Scripts get them all.
const GOOD_DNS_SHOWN_MAX: usize = 20;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be found out; that is no fault.
    Unknown,
    /// It works, or may work, but is likely not meant.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    /// The word at the beginning of a line: only what must be mended is in capitals.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "?",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// What was looked at. A closed set, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// The file.
    Configuration,
    /// What the operating system allows this process.
    Limit,
    /// An address that is bound or advertised.
    Address,
    /// A port that has to be bound.
    Port,
    /// A certificate with its key.
    Certificate,
    /// The keys of agents' tokens.
    Token,
    /// A SIP Server as a whole.
    Server,
    /// The time of day.
    Clock,
    /// One DN at one SIP Server.
    Dn,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it came out.
    pub verdict: Verdict,
    /// What was looked at.
    pub area: Area,
    /// The SIP Server that was asked, if one was.
    pub server: Option<SocketAddr>,
    /// The DN that was asked for, if one was.
    pub dn: Option<String>,
    /// What was found.
    pub what: String,
    /// What to do about it; `None` where nothing has to be done.
    pub advice: Option<String>,
}

impl Finding {
    /// A finding without advice.
    pub fn new(verdict: Verdict, area: Area, what: impl Into<String>) -> Self {
        Self {
            verdict,
            area,
            server: None,
            dn: None,
            what: what.into(),
            advice: None,
        }
    }

    /// All is well.
    pub fn ok(area: Area, what: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, area, what)
    }

    /// Nothing is known.
    pub fn unknown(area: Area, what: impl Into<String>) -> Self {
        Self::new(Verdict::Unknown, area, what)
    }

    /// Likely not meant.
    pub fn warn(area: Area, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Verdict::Warn, area, what).advise(advice)
    }

    /// It does not work.
    pub fn fail(area: Area, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Verdict::Fail, area, what).advise(advice)
    }

    /// Says what to do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Names the SIP Server that was asked.
    #[must_use]
    pub fn at(mut self, server: SocketAddr) -> Self {
        self.server = Some(server);
        self
    }

    /// Names the DN that was asked for.
    #[must_use]
    pub fn of(mut self, dn: &str) -> Self {
        self.dn = Some(dn.to_owned());
        self
    }

    /// `FAIL what - advice`, on one line whatever a peer has put into it.
    #[must_use]
    pub fn line(&self) -> String {
        let advice = self
            .advice
            .as_deref()
            .map_or_else(String::new, |advice| format!(" - {advice}"));
        let line = format!("{:<4} {}{advice}", self.verdict.word(), self.what);
        line.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    }
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// How far our clock is ahead of SIP Server's, in seconds; `None` when its answers tell no time.
    pub clock_ahead_s: Option<i64>,
}

impl Report {
    /// Adds what a check found.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// How many came out so.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        let same = |finding: &&Finding| finding.verdict == verdict;
        self.findings.iter().filter(same).count()
    }

    /// 2 when something does not work, 1 when something is likely not meant, else 0: what monitoring systems expect of a probe.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.findings.iter().map(|finding| finding.verdict).max() {
            Some(Verdict::Fail) => 2,
            Some(Verdict::Warn) => 1,
            _ => 0,
        }
    }

    /// What people read: a line each, and a sum.
    #[must_use]
    pub fn text(&self) -> String {
        let good_dn =
            |finding: &&Finding| finding.area == Area::Dn && finding.verdict == Verdict::Ok;
        let good_dns = self.findings.iter().filter(good_dn).count();
        let fold = good_dns > GOOD_DNS_SHOWN_MAX;
        let mut lines: Vec<String> = self
            .findings
            .iter()
            .filter(|finding| !(fold && good_dn(finding)))
            .map(Finding::line)
            .collect();
        if fold {
            lines.push(format!("ok   {good_dns} DNs are known to SIP Server"));
        }
        lines.push(format!(
            "{} ok, {} warn, {} FAIL, {} not measured",
            self.count(Verdict::Ok),
            self.count(Verdict::Warn),
            self.count(Verdict::Fail),
            self.count(Verdict::Unknown),
        ));
        lines.join("\n")
    }

    /// What scripts read.
    #[must_use]
    pub fn json(&self) -> String {
        let value = serde_json::json!({
            "findings": self.findings,
            "clock_ahead_s": self.clock_ahead_s,
            "ok": self.count(Verdict::Ok),
            "warn": self.count(Verdict::Warn),
            "fail": self.count(Verdict::Fail),
            "unknown": self.count(Verdict::Unknown),
        });
        format!("{value:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_makes_the_exit_code() {
        let mut report = Report::default();
        report.add([
            Finding::ok(Area::Port, "free"),
            Finding::unknown(Area::Clock, "not measured"),
        ]);
        assert_eq!(report.exit_code(), 0);
        report.add([Finding::warn(Area::Token, "short", "longer")]);
        assert_eq!(report.exit_code(), 1);
        report.add([Finding::fail(Area::Dn, "404", "configure it")]);
        assert_eq!(report.exit_code(), 2);
        assert_eq!(
            report.text(),
            "ok   free\n?    not measured\nwarn short - longer\nFAIL 404 - configure it\n\
             1 ok, 1 warn, 1 FAIL, 1 not measured"
        );
    }

    #[test]
    fn ten_thousand_good_dns_are_one_line_and_a_bad_one_is_named() {
        let mut report = Report::default();
        report.add((0..100).map(|dn| Finding::ok(Area::Dn, format!("DN {dn}"))));
        report.add([Finding::fail(Area::Dn, "DN 5003", "configure it")]);
        assert_eq!(
            report.text(),
            "FAIL DN 5003 - configure it\nok   100 DNs are known to SIP Server\n\
             100 ok, 0 warn, 1 FAIL, 0 not measured"
        );
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("it is JSON");
        assert_eq!(json["findings"].as_array().map(Vec::len), Some(101));
        assert!(json["clock_ahead_s"].is_null());
    }

    #[test]
    fn what_a_peer_wrote_stays_on_its_line() {
        let finding = Finding::ok(Area::Dn, "held by sip:a@b\r\nok   everything");
        assert_eq!(finding.line(), "ok   held by sip:a@b  ok   everything");
    }
}
