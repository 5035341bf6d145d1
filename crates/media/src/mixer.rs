//! Several voices in one ear.

/// Adds `more` to `voice`, sample by sample; what is too loud for 16 bits is clipped, not wrapped.
pub fn mix(voice: &mut [i16], more: &[i16]) {
    for (sample, other) in voice.iter_mut().zip(more) {
        *sample = sample.saturating_add(*other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_loud_is_clipped() {
        let mut voice = [1, -30_000, 30_000, 7];
        mix(&mut voice, &[2, -30_000, 30_000]);
        assert_eq!(voice, [3, i16::MIN, i16::MAX, 7]);
    }
}
