//! What a model customer speaks and hears: G.711, RTP, tones and echo, without sockets.

pub mod g711;
mod goertzel;
mod rtp;
mod voice;

pub use goertzel::{rms, tone_hz};
pub use rtp::{Header, Packet};
pub use voice::{FRAME_SAMPLES, Heard, SAMPLE_RATE_HZ, Speech, Voice};
