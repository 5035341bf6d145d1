//! WAV: a head of 44 octets, then samples of 16 bits by turns of both channels. The head's lengths are right when the file is whole.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use media::codec::Rate;

/// Octets of the head.
pub(super) const HEAD: u32 = 44;

/// Octets that wait before the disk is asked: half a second of a recording at 16 kHz.
const BUFFER: usize = 32 * 1024;

/// Octets of the samples of one moment.
const MOMENT: u16 = 4;

/// A file that is being written.
pub(super) struct Track {
    out: BufWriter<File>,
    octets: u64,
}

impl Track {
    pub(super) fn begin(file: File, rate: Rate) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER, file);
        out.write_all(b"RIFF")?;
        out.write_all(&(HEAD - 8).to_le_bytes())?;
        out.write_all(b"WAVEfmt ")?;
        out.write_all(&16_u32.to_le_bytes())?;
        // PCM, two channels.
        out.write_all(&1_u16.to_le_bytes())?;
        out.write_all(&2_u16.to_le_bytes())?;
        out.write_all(&rate.hz().to_le_bytes())?;
        out.write_all(&(rate.hz() * u32::from(MOMENT)).to_le_bytes())?;
        out.write_all(&MOMENT.to_le_bytes())?;
        out.write_all(&16_u16.to_le_bytes())?;
        out.write_all(b"data")?;
        out.write_all(&0_u32.to_le_bytes())?;
        Ok(Self { out, octets: 0 })
    }

    pub(super) fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        for sample in samples {
            self.out.write_all(&sample.to_le_bytes())?;
        }
        self.octets += 2 * samples.len() as u64;
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<File> {
        let mut file = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        lengths(&mut file, self.octets)?;
        Ok(file)
    }
}

/// Writes the lengths of a file whose writer has not come to do it.
pub(super) fn mend(file: &mut File) -> io::Result<()> {
    let octets = file.metadata()?.len().saturating_sub(HEAD.into());
    // The last moment may be there in part.
    let whole = octets - octets % u64::from(MOMENT);
    file.set_len(u64::from(HEAD) + whole)?;
    lengths(file, whole)
}

/// A head can tell 4 GiB, 18 hours at 16 kHz; of a longer file it tells as much as it can.
fn lengths(file: &mut File, octets: u64) -> io::Result<()> {
    let data = u32::try_from(octets).unwrap_or(u32::MAX - HEAD);
    file.seek(SeekFrom::Start(4))?;
    file.write_all(&(data + HEAD - 8).to_le_bytes())?;
    file.seek(SeekFrom::Start(u64::from(HEAD) - 4))?;
    file.write_all(&data.to_le_bytes())
}
