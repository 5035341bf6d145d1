//! Opus in Ogg (RFC 7845): two channels, one stream, a page each second, so that what is lost with a machine is a second.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use media::codec::{Rate, StereoEncoder};
use ogg::{PacketWriteEndInfo, PacketWriter};

/// Frames of a page.
const PAGE: u64 = 50;

/// Samples of a frame at 48 kHz, in which Ogg counts Opus (RFC 7845 section 4).
const FRAME: u64 = 960;

/// Octets of the largest packet: 20 ms at 510 kbit/s.
const PACKET_MAX: usize = 1_275;

/// Octets that wait before the disk is asked.
const BUFFER: usize = 16 * 1024;

/// The one stream of a file.
const SERIAL: u32 = 1;

/// A file that is being written.
pub(super) struct Track {
    out: PacketWriter<'static, BufWriter<File>>,
    encoder: StereoEncoder,
    pre_skip: u16,
    rate: Rate,
    frames: u64,
}

impl Track {
    pub(super) fn begin(file: File, rate: Rate) -> io::Result<Self> {
        let encoder = StereoEncoder::new(rate).map_err(io::Error::other)?;
        let scale = 48_000 / rate.hz();
        let pre_skip = u16::try_from(encoder.lookahead() * scale).unwrap_or(u16::MAX);
        let mut out = PacketWriter::new(BufWriter::with_capacity(BUFFER, file));
        let page = PacketWriteEndInfo::EndPage;
        out.write_packet(head(rate, pre_skip), SERIAL, page, 0)?;
        out.write_packet(tags(), SERIAL, page, 0)?;
        Ok(Self {
            out,
            encoder,
            pre_skip,
            rate,
            frames: 0,
        })
    }

    pub(super) fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        self.frames += 1;
        let info = if self.frames.is_multiple_of(PAGE) {
            PacketWriteEndInfo::EndPage
        } else {
            PacketWriteEndInfo::NormalPacket
        };
        self.packet(samples, info, self.frames * FRAME)
    }

    /// One frame more brings out what the encoder still holds; the last position says that it is none (RFC 7845 section 4.4).
    pub(super) fn finish(mut self) -> io::Result<File> {
        let silence = [0; media::tap::TAP_FRAME_MAX];
        let end = self.frames * FRAME + u64::from(self.pre_skip);
        let frame = &silence[..2 * self.rate.frame_len()];
        self.packet(frame, PacketWriteEndInfo::EndStream, end)?;
        let out = self.out.into_inner();
        out.into_inner().map_err(io::IntoInnerError::into_error)
    }

    fn packet(
        &mut self,
        samples: &[i16],
        info: PacketWriteEndInfo,
        position: u64,
    ) -> io::Result<()> {
        let mut packet = [0; PACKET_MAX];
        let len = self
            .encoder
            .encode(samples, &mut packet)
            .ok_or_else(|| io::Error::other("the Opus encoder takes no frame"))?;
        let packet = packet[..len].to_vec();
        let ends_page = !matches!(info, PacketWriteEndInfo::NormalPacket);
        self.out.write_packet(packet, SERIAL, info, position)?;
        if ends_page {
            // Else some pages would wait for others: at 48 kbit/s nearly three of them.
            self.out.inner_mut().flush()?;
        }
        Ok(())
    }
}

/// RFC 7845 section 5.1; channel mapping family 0: left is the caller, right the agent.
fn head(rate: Rate, pre_skip: u16) -> Vec<u8> {
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend(pre_skip.to_le_bytes());
    head.extend(rate.hz().to_le_bytes());
    head.extend([0; 3]);
    head
}

/// RFC 7845 section 5.2.
fn tags() -> Vec<u8> {
    let vendor = concat!("talkbridge ", env!("CARGO_PKG_VERSION"));
    let mut tags = b"OpusTags".to_vec();
    // Far below 2^32.
    tags.extend((vendor.len() as u32).to_le_bytes());
    tags.extend(vendor.as_bytes());
    tags.extend(0_u32.to_le_bytes());
    tags
}
