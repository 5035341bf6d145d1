//! Inputs: real and torturing messages, each damaged or respelt once or twice.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// One input.
pub(crate) struct Input {
    pub(crate) octets: Vec<u8>,
}

/// Draws inputs from a seed.
pub(crate) struct Mutator {
    rng: ChaCha12Rng,
    corpus: Vec<Vec<u8>>,
}

/// Octets that mean something somewhere in the grammar.
const TELLING: &[u8] = b"\0\t\r\n \"#%&'()*+,-./09:;<=>?@AZ[\\]_az{|}~\x7f\x80\xc3\xfc\xff";

impl Mutator {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let mut corpus = Vec::new();
        for folder in ["sip-server", "rfc4475", "rfc5118"] {
            let path = format!("{}/tests/data/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<_> = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.sort();
            corpus.extend(files.iter().map(|file| std::fs::read(file).unwrap()));
        }
        Self {
            rng: ChaCha12Rng::from_seed(seed),
            corpus,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap();
        usize::try_from(self.rng.next_u64() % end).unwrap()
    }

    pub(crate) fn next_input(&mut self) -> Input {
        // Real traffic three times as often as torture: it is what has to be read alike.
        let live = 29;
        let pick = if self.below(4) > 0 {
            self.below(live)
        } else {
            self.below(self.corpus.len())
        };
        let mut octets = self.corpus[pick].clone();
        for _ in 0..self.below(3) {
            octets = match self.below(3) {
                0 => self.change_octet(octets),
                _ => self.change_line(octets),
            };
        }
        Input { octets }
    }

    /// Overwrites, inserts or removes one octet, mostly of the head.
    fn change_octet(&mut self, mut octets: Vec<u8>) -> Vec<u8> {
        let at = self.below(octets.len());
        let octet = TELLING[self.below(TELLING.len())];
        match self.below(3) {
            0 => octets[at] = octet,
            1 => octets.insert(at, octet),
            _ => drop(octets.remove(at)),
        }
        octets
    }

    /// Moves, drops, doubles or respells one line of the head, as other stacks write it.
    fn change_line(&mut self, octets: Vec<u8>) -> Vec<u8> {
        let end = octets
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or(octets.len());
        let (head, rest) = octets.split_at(end);
        let head = String::from_utf8_lossy(head).into_owned();
        let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
        if lines.len() < 2 {
            return octets;
        }
        let at = 1 + self.below(lines.len() - 1);
        let line = lines[at].clone();
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let respelt = match self.below(10) {
            0 => Some(format!("{}:{value}", name.to_uppercase())),
            1 => Some(format!("{name} :{value}")),
            2 => Some(format!("{name}:{}", value.trim())),
            3 => Some(format!("{name}:\t  {value}  ")),
            4 => Some(format!("{name}:\r\n {value}")),
            5 => Some(format!("{}:{value}", compact(name))),
            6 => {
                let to = 1 + self.below(lines.len() - 1);
                lines.swap(at, to);
                None
            }
            7 => {
                lines.remove(at);
                None
            }
            8 => {
                lines.insert(at, line.clone());
                None
            }
            _ => Some(format!("{name}:{value};x=\"y, z\"")),
        };
        if let Some(respelt) = respelt {
            lines[at] = respelt;
        }
        let mut changed = lines.join("\r\n").into_bytes();
        changed.extend_from_slice(rest);
        changed
    }
}

fn compact(name: &str) -> &str {
    match name {
        "Via" => "v",
        "From" => "f",
        "To" => "t",
        "Call-ID" => "i",
        "Contact" => "m",
        "Content-Length" => "l",
        "Content-Type" => "c",
        "Supported" => "k",
        "Session-Expires" => "x",
        "Event" => "o",
        other => other,
    }
}
