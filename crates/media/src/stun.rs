//! A glance at STUN datagrams (RFC 8489): enough to find the connection they are for, nothing more. What a glance says is not
//! authenticated; the ICE agent judges that.

/// What a datagram on a WebRTC port is by its first octet (RFC 7983).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramKind {
    /// STUN.
    Stun,
    /// DTLS.
    Dtls,
    /// SRTP or SRTCP.
    Rtp,
    /// None of them.
    Other,
}

impl DatagramKind {
    /// Sorts a datagram.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0..=3) => Self::Stun,
            Some(20..=63) => Self::Dtls,
            Some(128..=191) => Self::Rtp,
            _ => Self::Other,
        }
    }
}

/// Identifies a request and its response.
pub type TransactionId = [u8; 12];

/// Type of a Binding request.
const BINDING_REQUEST: u16 = 0x0001;
/// Type of a Binding success response.
const BINDING_SUCCESS: u16 = 0x0101;
/// The magic cookie of RFC 5389 and later.
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Attribute USERNAME.
const USERNAME: u16 = 0x0006;
/// Attribute USE-CANDIDATE (RFC 8445 section 16.1).
const USE_CANDIDATE: u16 = 0x0025;

/// A Binding request at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingRequest<'a> {
    /// Its transaction.
    pub transaction: TransactionId,
    /// The part of USERNAME before the colon: our user fragment.
    pub local_ufrag: &'a str,
    /// The sender nominates this path.
    pub use_candidate: bool,
}

fn header(datagram: &[u8]) -> Option<(u16, TransactionId, &[u8])> {
    let kind = u16::from_be_bytes(datagram.get(..2)?.try_into().ok()?);
    let len = usize::from(u16::from_be_bytes(datagram.get(2..4)?.try_into().ok()?));
    if datagram.get(4..8)? != MAGIC_COOKIE {
        return None;
    }
    let transaction = datagram.get(8..20)?.try_into().ok()?;
    Some((kind, transaction, datagram.get(20..20 + len)?))
}

impl<'a> BindingRequest<'a> {
    /// Reads a Binding request with a user name of ICE's form; `None` for anything else.
    #[must_use]
    pub fn glance(datagram: &'a [u8]) -> Option<Self> {
        let (kind, transaction, mut attributes) = header(datagram)?;
        if kind != BINDING_REQUEST {
            return None;
        }
        let (mut local_ufrag, mut use_candidate) = (None, false);
        while let Some((head, rest)) = attributes.split_at_checked(4) {
            let name = u16::from_be_bytes([head[0], head[1]]);
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = rest.get(..len)?;
            match name {
                USERNAME if local_ufrag.is_none() => {
                    let (local, _) = std::str::from_utf8(value).ok()?.split_once(':')?;
                    local_ufrag = Some(local);
                }
                USE_CANDIDATE => use_candidate = true,
                _ => {}
            }
            attributes = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(Self {
            transaction,
            local_ufrag: local_ufrag?,
            use_candidate,
        })
    }
}

/// The transaction that a Binding success response answers; `None` for anything else.
#[must_use]
pub fn success_response(datagram: &[u8]) -> Option<TransactionId> {
    let (kind, transaction, _) = header(datagram)?;
    (kind == BINDING_SUCCESS).then_some(transaction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([7; 12]);
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn the_user_fragment_is_found() {
        let bytes = request(&[
            0x80, 0x2a, 0, 2, 1, 1, 0, 0, 0, 0x25, 0, 0, 0, 6, 0, 5, b'u', b'f', b':', b'x', b'y',
            0, 0, 0,
        ]);
        let seen = BindingRequest::glance(&bytes);
        let expected = BindingRequest {
            transaction: [7; 12],
            local_ufrag: "uf",
            use_candidate: true,
        };
        assert_eq!(seen, Some(expected));
        assert_eq!(success_response(&bytes), None);
    }

    #[test]
    fn what_is_no_binding_request_is_none() {
        assert_eq!(BindingRequest::glance(&request(&[])), None);
        assert_eq!(
            BindingRequest::glance(&request(&[0, 6, 0, 200, b'a'])),
            None
        );
        assert_eq!(BindingRequest::glance(&[0, 1]), None);
        let mut cookie = request(&[0, 6, 0, 3, b'a', b':', b'b', 0]);
        cookie[4] = 0;
        assert_eq!(BindingRequest::glance(&cookie), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut bytes = bytes;
            if bytes.len() >= 8 {
                bytes[..2].copy_from_slice(&[0, 1]);
                bytes[4..8].copy_from_slice(&MAGIC_COOKIE);
            }
            let _ = BindingRequest::glance(&bytes);
            let _ = success_response(&bytes);
            let _ = DatagramKind::of(&bytes);
        }
    }
}
