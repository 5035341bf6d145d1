#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use switchboard::CallId;

use super::*;

fn settings(folder: &Path, format: Format) -> Settings {
    Settings {
        folder: folder.to_owned(),
        format,
        rate: Rate::Narrow,
    }
}

fn open(tap: u64, name: &str) -> RecordingCommand {
    RecordingCommand::Open {
        tap: TapId(tap),
        call: CallRef {
            call: CallId(tap),
            call_uuid: None,
            dn: "1002".to_owned(),
        },
        name: name.to_owned(),
    }
}

/// 20 ms in which the left channel is `left` and the right one `right`.
fn frame(sink: &RecordingSink, number: u64, left: i16, right: i16) {
    let samples: Vec<i16> = [left, right].repeat(160);
    sink.frame(&TapFrame {
        tap: media::ids::TapId(1),
        number,
        samples: &samples,
    });
}

/// The samples of a WAV file by their channels, and its rate.
fn read_wav(path: &Path) -> (u32, Vec<i16>, Vec<i16>) {
    let octets = fs::read(path).unwrap();
    let word = |at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().unwrap());
    assert_eq!(&octets[..4], b"RIFF");
    assert_eq!(word(4) as usize, octets.len() - 8, "the length of all");
    assert_eq!(
        word(40) as usize,
        octets.len() - 44,
        "the length of the samples"
    );
    let samples = octets[44..]
        .chunks_exact(2)
        .map(|octets| i16::from_le_bytes([octets[0], octets[1]]));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (at, sample) in samples.enumerate() {
        if at % 2 == 0 { &mut left } else { &mut right }.push(sample);
    }
    (word(24), left, right)
}

/// What the disk had no time for is silence where it was, and everything else stays where it was said.
#[test]
fn a_gap_is_silence_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let counters = Arc::new(RecordingCounters::default());
    let settings = settings(dir.path(), Format::Wav);
    let recorder = Recorder::start(settings, Arc::clone(&counters), Arc::new(|_| {})).unwrap();
    let sink = recorder.sink();
    sink.command(open(1, "a.wav"));
    frame(&sink, 0, 100, -100);
    frame(&sink, 3, 200, -200);
    sink.command(RecordingCommand::Close { tap: TapId(1) });
    drop(recorder);
    let (rate, left, right) = read_wav(&dir.path().join("a.wav"));
    assert_eq!(rate, 8_000);
    let expected = [[100; 160], [0; 160], [0; 160], [200; 160]].concat();
    assert_eq!(left, expected);
    let mirrored: Vec<i16> = expected.iter().map(|sample| -sample).collect();
    assert_eq!(right, mirrored);
    assert_eq!(counters.lost_frames.load(Ordering::Relaxed), 2);
    assert_eq!(counters.finished.load(Ordering::Relaxed), 1);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "no part is left");
}

/// A process that was killed leaves a part behind; the next one makes a recording of it that a player takes.
#[test]
fn what_was_left_behind_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join("b.wav.part");
    let file = create(&part).unwrap();
    let mut track = wav::Track::begin(file, Rate::Wide).unwrap();
    track.write(&[7; 640]).unwrap();
    drop(track.finish().unwrap());
    // Killed in the middle of a moment, before the lengths were written.
    let mut octets = fs::read(&part).unwrap();
    octets.truncate(44 + 4 * 100 + 3);
    octets[40..44].fill(0);
    fs::write(&part, &octets).unwrap();
    let settings = settings(dir.path(), Format::Wav);
    let recorder = Recorder::start(settings, Arc::default(), Arc::new(|_| {})).unwrap();
    // An end would leave it to the next process.
    while part.exists() {
        std::thread::yield_now();
    }
    drop(recorder);
    let (rate, left, right) = read_wav(&dir.path().join("b.wav"));
    assert_eq!((rate, left.len(), right.len()), (16_000, 100, 100));
}

/// Of a process that was killed before a word had reached the disk no recording is left that no player takes.
#[test]
fn what_was_left_behind_empty_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["f.wav.part", "g.opus.part"] {
        fs::write(dir.path().join(name), []).unwrap();
    }
    let settings = settings(dir.path(), Format::Wav);
    let recorder = Recorder::start(settings, Arc::default(), Arc::new(|_| {})).unwrap();
    while fs::read_dir(dir.path()).unwrap().count() > 0 {
        std::thread::yield_now();
    }
    drop(recorder);
}

/// Two gateways share a folder: the one that begins takes nothing that the other is writing for left behind, however little is in it yet.
#[test]
fn what_another_gateway_writes_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let settings = settings(dir.path(), Format::Wav);
        Recorder::start(settings, Arc::default(), Arc::new(|_| {})).unwrap()
    };
    let working = start();
    working.sink().command(open(1, "i.wav"));
    let part = dir.path().join("i.wav.part");
    while !part.exists() {
        std::thread::yield_now();
    }
    drop(start());
    assert!(part.exists());
    frame(&working.sink(), 0, 5, 6);
    drop(working);
    let (_, left, _) = read_wav(&dir.path().join("i.wav"));
    assert_eq!(left, vec![5; 160]);
}

/// A process that is to end does not complete a former one's files first: they wait for the next.
#[test]
fn what_was_left_behind_holds_no_end_up() {
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join("j.wav.part");
    fs::write(&part, []).unwrap();
    completion::complete_all(vec![part.clone()], &AtomicBool::new(true));
    assert!(part.exists());
}

/// The name that a recording is to have is taken by a folder: what fails at the very end is told as well, and once.
#[test]
fn a_failure_at_the_end_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let tell = Arc::new(move |end| heard.lock().unwrap().push(end));
    let settings = settings(dir.path(), Format::Wav);
    let recorder = Recorder::start(settings, Arc::default(), tell).unwrap();
    fs::create_dir(dir.path().join("k.wav")).unwrap();
    recorder.sink().command(open(1, "k.wav"));
    frame(&recorder.sink(), 0, 5, 6);
    recorder.sink().command(open(2, "l.wav"));
    drop(recorder);
    let mut told = told.lock().unwrap().clone();
    told.sort_by_key(|end: &Settled| end.tap);
    let settled = [(1, true), (2, false)];
    let settled = settled.map(|(tap, failed)| Settled {
        tap: TapId(tap),
        failed,
    });
    assert_eq!(told, settled);
}

/// A process that ends in order completes what is open.
#[test]
fn the_end_of_the_process_completes_files() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), Format::Wav);
    let recorder = Recorder::start(settings, Arc::default(), Arc::new(|_| {})).unwrap();
    recorder.sink().command(open(1, "c.wav"));
    frame(&recorder.sink(), 0, 5, 6);
    drop(recorder);
    let (_, left, right) = read_wav(&dir.path().join("c.wav"));
    assert_eq!((left, right), (vec![5; 160], vec![6; 160]));
}

/// The disk takes its time for a call that is over: the others are written meanwhile, by a writer that does not wait for it.
#[test]
fn the_end_of_one_recording_takes_no_time_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, orders) = channel();
    let (ended, endings) = sync_channel(RECORDINGS_ENDED_MAX);
    let sink = RecordingSink {
        queue,
        waiting: Arc::default(),
    };
    let writer = Writer {
        settings: settings(dir.path(), Format::Wav),
        counters: Arc::default(),
        tell: Arc::new(|_| {}),
        waiting: Arc::clone(&sink.waiting),
        files: HashMap::new(),
        ended,
    };
    sink.command(open(2, "over.wav"));
    sink.command(open(1, "up.wav"));
    sink.command(RecordingCommand::Close { tap: TapId(2) });
    frame(&sink, 0, 1, 1);
    drop(sink);
    writer.run(&orders);
    let names = ["over.wav.part", "over.wav", "up.wav.part", "up.wav"];
    let there = names.map(|name| dir.path().join(name).exists());
    assert_eq!(there, [true, false, true, false], "nobody completes yet");
    let completer = Completer {
        counters: Arc::default(),
        tell: Arc::new(|_| {}),
    };
    completer.run(&endings);
    let (_, left, _) = read_wav(&dir.path().join("up.wav"));
    assert_eq!(left, vec![1; 160]);
    assert!(dir.path().join("over.wav").exists());
}

/// A process is killed: what it wrote as Opus is in the file up to the last second.
#[test]
fn each_page_of_opus_reaches_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join("h.opus.part");
    let mut track = opus::Track::begin(create(&part).unwrap(), Rate::Narrow).unwrap();
    for frames in 1..=3_u64 {
        for _ in 0..50 {
            track.write(&[0; 320]).unwrap();
        }
        let mut packets = ogg::PacketReader::new(File::open(&part).unwrap());
        let mut last = 0;
        while let Ok(Some(packet)) = packets.read_packet() {
            last = packet.absgp_page();
        }
        assert_eq!(last, frames * 48_000);
    }
}

/// A file that cannot be made is told once, and costs nothing but the recording.
#[test]
fn a_folder_that_is_gone_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("gone");
    let counters = Arc::new(RecordingCounters::default());
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let failed = Arc::new(move |tap| heard.lock().unwrap().push(tap));
    let settings = settings(&folder, Format::Wav);
    let recorder = Recorder::start(settings, Arc::clone(&counters), failed).unwrap();
    fs::remove_dir(&folder).unwrap();
    let sink = recorder.sink();
    sink.command(open(1, "d.wav"));
    for number in 0..3 {
        frame(&sink, number, 1, 1);
    }
    sink.command(RecordingCommand::Close { tap: TapId(1) });
    drop(recorder);
    let (tap, failed) = (TapId(1), true);
    assert_eq!(*told.lock().unwrap(), [Settled { tap, failed }]);
    assert_eq!(counters.unsettled.load(Ordering::Relaxed), 0);
    assert_eq!(counters.failed.load(Ordering::Relaxed), 1);
}

/// A full disk ends a track with an error, not with a panic and not with a short file that claims to be whole.
#[test]
fn a_full_disk_is_an_error() {
    for format in [Format::Wav, Format::Opus] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let settings = settings(Path::new("/"), format);
        let written = Track::begin(full, &settings).and_then(|mut track| {
            for _ in 0..600 {
                track.write(&[1_000; 320])?;
            }
            track.finish()
        });
        assert!(written.is_err(), "{format:?}");
    }
}

/// A disk that hangs costs what does not fit into memory, and no worker waits for it.
#[test]
fn a_hanging_disk_is_bounded() {
    let (queue, orders) = channel();
    let sink = RecordingSink {
        queue,
        waiting: Arc::default(),
    };
    for number in 0..RECORDING_FRAMES_MAX as u64 + 100 {
        frame(&sink, number, 0, 0);
    }
    drop(sink);
    assert_eq!(orders.iter().count(), RECORDING_FRAMES_MAX);
}

/// RFC 7845: head, tags, then frames that decode to both channels apart, and positions that say how long it is.
#[test]
fn opus_in_ogg_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), Format::Opus);
    let recorder = Recorder::start(settings, Arc::default(), Arc::new(|_| {})).unwrap();
    let sink = recorder.sink();
    sink.command(open(1, "e.opus"));
    for number in 0..120 {
        // 500 Hz left, nothing right.
        let samples: Vec<i16> = (0..160)
            .flat_map(|at| [if at % 16 < 8 { 6_000 } else { -6_000 }, 0])
            .collect();
        sink.frame(&TapFrame {
            tap: media::ids::TapId(1),
            number,
            samples: &samples,
        });
    }
    drop(recorder);
    let file = File::open(dir.path().join("e.opus")).unwrap();
    let mut packets = ogg::PacketReader::new(file);
    let head = packets.read_packet_expected().unwrap();
    assert_eq!(&head.data[..10], b"OpusHead\x01\x02");
    assert!(head.first_in_stream());
    let pre_skip = u64::from(u16::from_le_bytes([head.data[10], head.data[11]]));
    assert!(
        packets
            .read_packet_expected()
            .unwrap()
            .data
            .starts_with(b"OpusTags")
    );
    let (rate, channels) = (audiopus::SampleRate::Hz48000, audiopus::Channels::Stereo);
    let mut decoder = audiopus::coder::Decoder::new(rate, channels).unwrap();
    let (mut left, mut right, mut last) = (0_u64, 0_u64, None);
    let mut count = 0;
    while let Some(packet) = packets.read_packet().unwrap() {
        let mut out = vec![0_i16; 2 * 960];
        let data = audiopus::packet::Packet::try_from(&packet.data[..]).unwrap();
        let signals = audiopus::MutSignals::try_from(&mut out[..]).unwrap();
        assert_eq!(decoder.decode(Some(data), signals, false).unwrap(), 960);
        count += 1;
        if count > 10 {
            left += out
                .iter()
                .step_by(2)
                .map(|s| u64::from(s.unsigned_abs()))
                .sum::<u64>();
            right += out
                .iter()
                .skip(1)
                .step_by(2)
                .map(|s| u64::from(s.unsigned_abs()))
                .sum::<u64>();
        }
        last = Some((packet.last_in_stream(), packet.absgp_page()));
    }
    assert_eq!(last, Some((true, 120 * 960 + pre_skip)));
    assert!(left > 20 * right, "{left} {right}");
}
