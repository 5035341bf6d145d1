//! Where histograms are cut.

/// From half a millisecond to half a minute: a talk on a warm leg at one end, a page that is slow to answer at the other.
pub(super) const SECONDS: [f64; 15] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];

/// A turn of the control loop: microseconds, or something is wrong.
pub(super) const TURN_SECONDS: [f64; 10] = [
    0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.005, 0.02, 0.1,
];
