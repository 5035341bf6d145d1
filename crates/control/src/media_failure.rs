//! Why the media connection to a browser is over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a media connection failed. One table: [`as_str`](Self::as_str) is the word of messages and the label of metrics, [`text`](Self::text) the log's.
/// `docs/networks.md#why-a-browser-has-no-audio` says what to do about each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaFailure {
    /// The page did not answer the offer.
    Unanswered,
    /// The page's answer could not be used, or no connection could be made for it.
    Refused,
    /// No ICE check of the browser led to a connection.
    NoPath,
    /// ICE was up, but the DTLS handshake did not come to its end in time.
    DtlsTimeout,
    /// The same, and somebody else wrote under the browser's address meanwhile, or the browser gave up.
    DtlsDisturbed,
    /// The handshake cannot go on.
    DtlsFailed,
    /// The certificate of the handshake is not the one that the page's answer named.
    WrongCertificate,
    /// The browser's checks stopped and did not come back.
    ConsentLost,
    /// The browser changed its address more often than a browser can.
    AddressChanges,
    /// The browser closed it.
    Closed,
}

impl MediaFailure {
    /// Every one, in the order of the table.
    pub const ALL: [Self; 10] = [
        Self::Unanswered,
        Self::Refused,
        Self::NoPath,
        Self::DtlsTimeout,
        Self::DtlsDisturbed,
        Self::DtlsFailed,
        Self::WrongCertificate,
        Self::ConsentLost,
        Self::AddressChanges,
        Self::Closed,
    ];

    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Unanswered => ("unanswered", "the page did not answer the offer"),
            Self::Refused => ("refused", "the page's answer could not be used"),
            Self::NoPath => (
                "no_path",
                "no ICE check of the browser led to a connection: a firewall, or no UDP",
            ),
            Self::DtlsTimeout => (
                "dtls_timeout",
                "ICE was up, but the DTLS handshake did not end in time",
            ),
            Self::DtlsDisturbed => (
                "dtls_disturbed",
                "the DTLS handshake did not end in time, and its messages contradicted each other",
            ),
            Self::DtlsFailed => ("dtls_failed", "the DTLS handshake failed"),
            Self::WrongCertificate => (
                "wrong_certificate",
                "the certificate of the handshake is not the one that the page named",
            ),
            Self::ConsentLost => (
                "consent_lost",
                "the browser's ICE checks stopped and did not come back",
            ),
            Self::AddressChanges => (
                "address_changes",
                "the browser changed its address too often",
            ),
            Self::Closed => ("closed", "the browser closed it"),
        }
    }

    /// The word for it, as in messages; the label of `talkbridge_browser_legs_failed_total`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// What happened, for the log.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The label is what messages say, each is told apart, and the page for operators has a row for it.
    #[test]
    fn one_word_each_that_the_docs_explain() {
        let docs = include_str!("../../../docs/networks.md");
        for failure in MediaFailure::ALL {
            let word = serde_json::to_value(failure).expect("a word");
            assert_eq!(word, failure.as_str());
            let row = format!("| `{}` | ", failure.as_str());
            assert!(docs.contains(&row), "docs/networks.md lacks {row}");
        }
        let words = MediaFailure::ALL.map(MediaFailure::as_str);
        let distinct: std::collections::BTreeSet<_> = words.into_iter().collect();
        assert_eq!(distinct.len(), MediaFailure::ALL.len());
    }
}
