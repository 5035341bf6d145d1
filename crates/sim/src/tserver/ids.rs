//! Identities as SIP Server spells them: one GUID a kind and a counter.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::io::CallUuid;

const BASE32: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

/// Maker of tags, branches, Call-IDs, CallUUIDs and nonces, all from one seed.
#[derive(Debug)]
pub(super) struct Ids {
    rng: ChaCha12Rng,
    tag_guid: String,
    branch_guid: String,
    call_guid: String,
    uuid_prefix: String,
    tags: u64,
    branches: u64,
    calls: u64,
    uuids: u64,
}

impl Ids {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        Self {
            tag_guid: guid(&mut rng),
            branch_guid: guid(&mut rng),
            call_guid: guid(&mut rng),
            uuid_prefix: base32(&mut rng, 26),
            rng,
            tags: 0,
            branches: 0,
            calls: 0,
            uuids: 0,
        }
    }

    /// `88170A6B-45A8-43AE-9D3C-97CE63DC2C9C-256`
    pub(super) fn tag(&mut self) -> String {
        self.tags += 1;
        format!("{}-{}", self.tag_guid, self.tags)
    }

    /// `z9hG4bKF9D1A146-A651-43A6-8A12-32F3EB33637E-149`
    pub(super) fn branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bK{}-{}", self.branch_guid, self.branches)
    }

    /// `D6F9763C-E5D5-4C4B-97C3-C0725E0E2E17-56@192.0.2.81`
    pub(super) fn call_id(&mut self, host: &str) -> String {
        self.calls += 1;
        format!("{}-{}@{host}", self.call_guid, self.calls)
    }

    /// `UIVB8J6JE91C53UIM3VI59VHQ4000015`: 26 characters of the process, 6 that count.
    pub(super) fn call_uuid(&mut self) -> CallUuid {
        self.uuids += 1;
        let mut digits = [b'0'; 6];
        let mut rest = self.uuids;
        for digit in digits.iter_mut().rev() {
            *digit = BASE32[(rest % 32) as usize];
            rest /= 32;
        }
        let counter: String = digits.iter().map(|&d| char::from(d)).collect();
        CallUuid(format!("{}{counter}", self.uuid_prefix))
    }

    /// 16 hex digits.
    pub(super) fn conn_id(&mut self) -> String {
        // The leading zeros are as seen: an application number of a small site.
        format!("006c{:012x}", self.rng.next_u64() & 0xffff_ffff_ffff)
    }

    /// An unguessable word for a digest challenge.
    pub(super) fn nonce(&mut self) -> String {
        format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64())
    }

    /// A number in `0..bound`; 0 if `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.rng.next_u64() % bound
        }
    }
}

fn guid(rng: &mut ChaCha12Rng) -> String {
    let high = rng.next_u64();
    let low = rng.next_u64();
    // Version 4, variant 1, as the traced ones.
    format!(
        "{:08X}-{:04X}-4{:03X}-{:04X}-{:012X}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

fn base32(rng: &mut ChaCha12Rng, length: usize) -> String {
    (0..length)
        .map(|_| char::from(BASE32[(rng.next_u64() % 32) as usize]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_traced_shape() {
        let mut ids = Ids::new([7; 32]);
        let first = ids.call_uuid().0;
        let second = ids.call_uuid().0;
        assert_eq!(first.len(), 32);
        assert!(first.ends_with("000001") && second.ends_with("000002"));
        assert!(
            first
                .bytes()
                .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        );
        assert!(ids.branch().starts_with("z9hG4bK"));
        let tag = ids.tag();
        assert_eq!(tag.split('-').count(), 6, "{tag}");
        assert!(ids.call_id("192.0.2.81").ends_with("-1@192.0.2.81"));
        assert_eq!(ids.conn_id().len(), 16);
    }

    #[test]
    fn the_same_seed_makes_the_same_ids() {
        let (mut one, mut two) = (Ids::new([1; 32]), Ids::new([1; 32]));
        assert_eq!(one.tag(), two.tag());
        assert_eq!(one.nonce(), two.nonce());
        assert_ne!(one.nonce(), Ids::new([2; 32]).nonce());
    }
}
