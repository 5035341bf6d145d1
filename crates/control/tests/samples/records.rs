//! What is measured and recorded of calls.

use control::{
    AnsweredBy, BrowserSpan, BrowserStats, CallDirection, CallEnd, EndDirection, EndMedia,
    EndReceived, EndRecord, EndRecording, EndScore, EndSent, EndedBy, MediaPath, Remote,
    VoipMetrics,
};
use serde_json::json;

pub fn browser() -> BrowserStats {
    let report = json!({
        "rtt_ms": 38.2,
        "received": {
            "packets": 1_240, "lost": 9, "jitter_ms": 6, "jitter_buffer_ms": 61, "samples": 1_200_000,
            "concealed_samples": 12_000, "codec": "audio/PCMU",
        },
        "sent": {"packets": 1_260, "lost": 0, "jitter_ms": 1.5},
    });
    BrowserStats::read(&report, &mut BrowserSpan::default())
}

fn voip() -> VoipMetrics {
    VoipMetrics {
        loss: 0.05,
        rtt_ms: Some(85.0),
        signal_dbm: Some(-22),
        r: Some(88),
        mos_cq: Some(4.0),
        jitter_buffer_ms: 40.0,
        ..VoipMetrics::default()
    }
}

pub fn end_record() -> EndRecord {
    let to_agent = EndDirection {
        path: Some(MediaPath::Transcode),
        received: EndReceived {
            codec: Some("pcmu".to_owned()),
            packets: 9_800,
            lost: Some(40),
            late: Some(3),
            duplicates: Some(1),
            jitter_ms: Some(2.4),
            rtt_ms: Some(11.5),
        },
        concealed_ms: Some(860.0),
        concealed: Some(0.0044),
        playout_ms: Some(31.5),
        sent: EndSent {
            codec: Some("opus".to_owned()),
            packets: 9_840,
            lost: Some(120),
            lost_of: Some(9_700),
            jitter_ms: Some(8.5),
            voip: Some(Box::new(voip())),
        },
        score: Some(EndScore {
            r: 88.4,
            mos: 4.29,
            one_way_ms: 76.0,
            loss: 0.0165,
            far_loss: Some(0.0122),
            burst_ratio: Some(1.2),
        }),
    };
    EndRecord {
        version: EndRecord::VERSION,
        call: super::call(),
        call_uuid: Some("UIVB8J6JE91C53UIM3VI59VHQ4000015".to_owned()),
        dn: "1002".to_owned(),
        direction: CallDirection::Inbound,
        remote: Some(Remote {
            number: "1003".to_owned(),
            ..Remote::default()
        }),
        created_ms: 1_700_000_000_000,
        answered_ms: Some(1_700_000_004_000),
        ended_ms: 1_700_000_200_000,
        ring_ms: 4_000,
        talk_ms: Some(196_000),
        held_ms: Some(12_500),
        answered_by: Some(AnsweredBy::Talk),
        end: CallEnd {
            by: EndedBy::Remote,
            sip_status: None,
            reason: None,
            cause: "remote_hangup".to_owned(),
        },
        transfer: None,
        srtp: Some("AEAD_AES_256_GCM".to_owned()),
        recordings: vec![EndRecording {
            file: "1700000004000-c41.wav".to_owned(),
            started_ms: 1_700_000_004_000,
            ended_ms: 1_700_000_200_000,
            paused_ms: 21_000,
            failed: Some(false),
        }],
        media: Some(EndMedia {
            to_agent,
            to_caller: EndDirection::default(),
            browser: Some(browser()),
        }),
    }
}
