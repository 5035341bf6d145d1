//! How much a stretch of sound repeats itself: what concealment and time scaling ask before they cut.

/// How alike two stretches are: 1 for the same shape at any loudness, 0 for nothing in common. Looks at each `step`th sample of the shorter.
pub(crate) fn likeness(one: &[i16], other: &[i16], step: usize) -> f32 {
    let (mut cross, mut power, mut other_power) = (0_i64, 0_i64, 0_i64);
    for (a, b) in one.iter().zip(other).step_by(step) {
        let (a, b) = (i64::from(*a), i64::from(*b));
        cross += a * b;
        power += a * a;
        other_power += b * b;
    }
    if power == 0 || other_power == 0 {
        return 0.0;
    }
    cross as f32 / (power as f32 * other_power as f32).sqrt()
}

/// The lag of `lags` at which `alike` is largest, with its value; looked for in strides of `stride` first.
pub(crate) fn best_lag(
    lags: std::ops::RangeInclusive<usize>,
    stride: usize,
    alike: impl Fn(usize, usize) -> f32,
) -> (usize, f32) {
    let best = |lags: std::ops::RangeInclusive<usize>, stride: usize, step: usize| {
        let first = (*lags.start(), f32::NEG_INFINITY);
        lags.step_by(stride).fold(first, |best, lag| {
            let value = alike(lag, step);
            if value > best.1 { (lag, value) } else { best }
        })
    };
    let (from, to) = (*lags.start(), *lags.end());
    let (near, _) = best(lags, stride, stride);
    best(
        near.saturating_sub(stride).max(from)..=(near + stride).min(to),
        1,
        1,
    )
}

/// Goes from `from` to `to` in a straight line, into `to`.
pub(crate) fn cross_fade(from: &[i16], to: &mut [i16]) {
    let count = from.len().min(to.len());
    for (n, (to, from)) in to.iter_mut().zip(from).enumerate() {
        let share = (n as i32 + 1) * 32_768 / (count as i32 + 1);
        let mixed = i32::from(*from) * (32_768 - share) + i32::from(*to) * share;
        *to = (mixed >> 15) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buzz(period: usize) -> Vec<i16> {
        (0..400)
            .map(|n| if n % period < 3 { 9_000 } else { -200 })
            .collect()
    }

    #[test]
    fn the_period_of_a_buzz_is_found() {
        for period in [41, 57, 80, 113] {
            let sound = buzz(period);
            let (recent, at) = (&sound[240..], 240);
            let (lag, value) = best_lag(40..=120, 2, |lag, step| {
                likeness(recent, &sound[at - lag..], step)
            });
            assert_eq!(lag % period, 0, "{lag} for {period}");
            assert!(value > 0.99);
        }
    }

    #[test]
    fn silence_is_like_nothing() {
        assert!(likeness(&[0; 80], &[0; 80], 1).abs() < f32::EPSILON);
        assert!(likeness(&[], &[], 1).abs() < f32::EPSILON);
        assert!(likeness(&[5, -5], &[-500, 500], 1) < -0.99);
    }

    #[test]
    fn a_fade_has_no_edge() {
        let mut to = [-1_000; 9];
        cross_fade(&[1_000; 9], &mut to);
        assert_eq!(to[4], 0);
        assert!(to.windows(2).all(|pair| pair[0] - pair[1] <= 201));
    }
}
