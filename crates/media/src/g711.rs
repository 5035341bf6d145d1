//! G.711 mu-law and A-law (ITU-T G.711): expansion, compression, and the direct conversion of one law to the other.
//!
//! All of it is tables computed at build time, so a 20 ms packet costs 160 look-ups.

/// Which of the two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// mu-law, `PCMU`, static payload type 0.
    Mu,
    /// A-law, `PCMA`, static payload type 8.
    A,
}

impl Law {
    /// The static payload type of RFC 3551.
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// The octet of silence.
    #[must_use]
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xff,
            Self::A => 0xd5,
        }
    }

    /// Expands one octet to a 16-bit sample.
    #[must_use]
    pub const fn decode(self, octet: u8) -> i16 {
        match self {
            Self::Mu => MU_TO_LINEAR[octet as usize],
            Self::A => A_TO_LINEAR[octet as usize],
        }
    }

    /// Compresses a 16-bit sample to one octet.
    #[must_use]
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => linear_to_mu(sample),
            Self::A => linear_to_a(sample),
        }
    }
}

/// The table that turns `from` into `to`; `None` when they are the same.
#[must_use]
pub const fn conversion(from: Law, to: Law) -> Option<&'static [u8; 256]> {
    match (from, to) {
        (Law::Mu, Law::A) => Some(&MU_TO_A),
        (Law::A, Law::Mu) => Some(&A_TO_MU),
        (Law::Mu, Law::Mu) | (Law::A, Law::A) => None,
    }
}

/// Added to the magnitude before the segment is found, so that the segments are powers of two.
const MU_BIAS: i32 = 0x84;

const fn mu_to_linear(octet: u8) -> i16 {
    let bits = !octet;
    let segment = ((bits >> 4) & 7) as i32;
    let step = (bits & 0x0f) as i32;
    let magnitude = (((step << 3) + MU_BIAS) << segment) - MU_BIAS;
    (if bits & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }) as i16
}

const fn linear_to_mu(sample: i16) -> u8 {
    let negative = sample < 0;
    let mut magnitude = if negative {
        -(sample as i32)
    } else {
        sample as i32
    };
    if magnitude > 32_635 {
        magnitude = 32_635;
    }
    magnitude += MU_BIAS;
    let mut segment = 7;
    while segment > 0 && magnitude & (0x80 << segment) == 0 {
        segment -= 1;
    }
    let step = (magnitude >> (segment + 3)) & 0x0f;
    let bits = ((segment << 4) | step) as u8 | if negative { 0x80 } else { 0 };
    !bits
}

const fn a_to_linear(octet: u8) -> i16 {
    let bits = octet ^ 0x55;
    let segment = ((bits >> 4) & 7) as i32;
    let step = (bits & 0x0f) as i32;
    let magnitude = if segment == 0 {
        (step << 4) + 8
    } else {
        ((step << 4) + 0x108) << (segment - 1)
    };
    (if bits & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }) as i16
}

const fn linear_to_a(sample: i16) -> u8 {
    let positive = sample >= 0;
    // 13 bits are coded; one's complement keeps -1 in the smallest negative step.
    let magnitude = (if positive {
        sample as i32
    } else {
        !(sample as i32)
    }) >> 3;
    let mut segment = 7;
    while segment > 0 && magnitude & (0x10 << segment) == 0 {
        segment -= 1;
    }
    let step = if segment == 0 {
        (magnitude >> 1) & 0x0f
    } else {
        (magnitude >> segment) & 0x0f
    };
    let bits = ((segment << 4) | step) as u8 | if positive { 0x80 } else { 0 };
    bits ^ 0x55
}

const MU_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = mu_to_linear(octet as u8);
        octet += 1;
    }
    table
};

const A_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = a_to_linear(octet as u8);
        octet += 1;
    }
    table
};

static MU_TO_A: [u8; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = linear_to_a(MU_TO_LINEAR[octet]);
        octet += 1;
    }
    table
};

static A_TO_MU: [u8; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = linear_to_mu(A_TO_LINEAR[octet]);
        octet += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The corner values of the tables of ITU-T G.711.
    #[test]
    fn corner_values() {
        assert_eq!(Law::Mu.decode(0x00), -32_124);
        assert_eq!(Law::Mu.decode(0x80), 32_124);
        assert_eq!(Law::Mu.decode(0xff), 0);
        assert_eq!(Law::Mu.encode(0), 0xff);
        assert_eq!(Law::Mu.encode(i16::MIN), 0x00);
        assert_eq!(Law::Mu.encode(i16::MAX), 0x80);
        assert_eq!(Law::A.decode(0xd5), 8);
        assert_eq!(Law::A.decode(0x55), -8);
        assert_eq!(Law::A.decode(0xaa), 32_256);
        assert_eq!(Law::A.decode(0x2a), -32_256);
        assert_eq!(Law::A.encode(0), 0xd5);
        assert_eq!(Law::A.encode(i16::MAX), 0xaa);
        assert_eq!(Law::A.encode(i16::MIN), 0x2a);
    }

    /// Every octet survives expansion and compression, but for mu-law's second zero.
    #[test]
    fn every_octet_survives() {
        for octet in 0..=u8::MAX {
            assert_eq!(Law::A.encode(Law::A.decode(octet)), octet);
            let expected = if octet == 0x7f { 0xff } else { octet };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(octet)), expected);
        }
    }

    /// A law conversion costs less than one step of the coarser law.
    #[test]
    fn conversion_keeps_the_sound() {
        for (from, to) in [(Law::Mu, Law::A), (Law::A, Law::Mu)] {
            let table = conversion(from, to).expect("the laws differ");
            for octet in 0..=u8::MAX {
                let before = i32::from(from.decode(octet));
                let after = i32::from(to.decode(table[usize::from(octet)]));
                assert!(
                    (before - after).abs() <= 16 + before.abs() / 16,
                    "{octet:#x}: {before} {after}"
                );
            }
        }
        assert!(conversion(Law::Mu, Law::Mu).is_none());
    }
}
