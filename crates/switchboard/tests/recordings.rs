//! Recordings: who may begin them, what becomes of them when the call holds, ends or loses its disk.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{ANSWER, OFFER, World, config};
use control::{ErrorCode, PageMessage, RecordAction, RecordingState};
use switchboard::{
    AdminCommand, AdminId, AdminRefusal, AdminReply, CallId, Fact, Input, MediaCommand, MediaEvent,
    MediaReport, RecordingCommand, RecordingFact, RecordingPolicy, TapId,
};

fn world(always: bool, agents_may: bool) -> (World, u64) {
    let mut config = config(&["1002"]);
    config.policy.recording = Some(RecordingPolicy {
        always,
        agents_may,
        rate_hz: 8_000,
        beep: Some(Duration::from_secs(15)),
        extension: ".wav",
    });
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    (world, page)
}

fn record(world: &mut World, page: u64, action: RecordAction) {
    let call = world.call(page).id;
    world.say(page, PageMessage::Record { call, action });
}

/// The taps that the worker was told to open, open in a pause, pause (`true`) or resume, and close.
fn taps(world: &World) -> Vec<(u64, &'static str)> {
    let told = |command: &MediaCommand| match command {
        MediaCommand::OpenTap { tap, paused, .. } => {
            Some((tap.0, if *paused { "open paused" } else { "open" }))
        }
        MediaCommand::PauseTap { tap, paused, .. } => {
            Some((tap.0, if *paused { "pause" } else { "resume" }))
        }
        MediaCommand::CloseTap { tap, .. } => Some((tap.0, "close")),
        _ => None,
    };
    world.media.iter().filter_map(told).collect()
}

/// Which taps were told so.
fn told(world: &World, what: &str) -> Vec<u64> {
    let taps = taps(world).into_iter();
    taps.filter(|told| told.1 == what)
        .map(|told| told.0)
        .collect()
}

fn listen(call: CallId, tap: u64) -> AdminCommand {
    AdminCommand::Tap {
        call,
        tap: TapId(tap),
        rate_hz: 16_000,
    }
}

fn closed(world: &World, tap: u64) -> bool {
    world
        .recordings
        .contains(&RecordingCommand::Close { tap: TapId(tap) })
}

fn order(world: &mut World, command: AdminCommand) {
    let request = AdminId(1);
    world.input(Input::Admin { request, command });
}

fn media_closes(world: &mut World, call: &str) {
    let call = CallId::parse(call).unwrap();
    let report = Box::new(MediaReport::default());
    world.input(Input::Media(MediaEvent::CallClosed { call, report }));
}

/// The writer has said its last about a file.
fn settled(tap: u64, failed: bool) -> Input {
    let tap = TapId(tap);
    Input::RecordingSettled { tap, failed }
}

fn records(world: &World) -> usize {
    let is_record = |fact: &&Fact| matches!(fact, Fact::EndRecord { .. });
    world.facts.iter().filter(is_record).count()
}

fn failures(world: &World) -> usize {
    let failed = |fact: &&Fact| {
        let event = RecordingFact::Failed;
        matches!(fact, Fact::Recording { event: told, .. } if *told == event)
    };
    world.facts.iter().filter(failed).count()
}

fn record_of(world: &World) -> control::EndRecord {
    let record = |fact: &Fact| match fact {
        Fact::EndRecord { record } => Some(record.as_ref().clone()),
        _ => None,
    };
    world.facts.iter().find_map(record).unwrap()
}

/// The agent records, pauses for a card number, goes on, and the call ends: one file, and its record says how long it was silent.
#[test]
fn an_agent_records_and_pauses() {
    let (mut world, page) = world(false, true);
    let mut dialog = world.talking("1002");
    assert_eq!(taps(&world), [], "nobody has asked");
    record(&mut world, page, RecordAction::Start);
    record(&mut world, page, RecordAction::Start);
    assert_eq!(world.call(page).recording, Some(RecordingState::Recording));
    world.advance(Duration::from_secs(3));
    record(&mut world, page, RecordAction::Pause);
    assert_eq!(world.call(page).recording, Some(RecordingState::Paused));
    world.advance(Duration::from_secs(8));
    record(&mut world, page, RecordAction::Resume);
    world.advance(Duration::from_secs(2));
    assert_eq!(taps(&world), [(1, "open"), (1, "pause"), (1, "resume")]);
    let call = world.call(page).id;
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert!(!closed(&world, 1), "samples may still come");
    media_closes(&mut world, &call);
    assert!(closed(&world, 1));
    world.input(settled(1, false));
    let record = record_of(&world);
    let [recording] = &record.recordings[..] else {
        panic!("{record:?}")
    };
    assert_eq!(recording.paused_ms, 8_000);
    assert_eq!(recording.ended_ms - recording.started_ms, 13_000);
    assert_eq!(recording.failed, Some(false));
    let name = format!("{}-{call}.wav", recording.started_ms);
    assert_eq!(recording.file, name);
    assert!(world.recordings.iter().any(
        |command| matches!(command, RecordingCommand::Open { name: opened, .. } if *opened == name)
    ));
    world.assert_quiet();
}

/// Where every call is recorded, the first word is: the tap is there in the turn of the answer, and hold does not end it.
#[test]
fn every_call_is_recorded_from_its_answer_on() {
    let (mut world, page) = world(true, false);
    let mut dialog = world.invite("1002", Some(OFFER));
    assert_eq!(taps(&world), []);
    world.notify(&mut dialog, "talk");
    world.ack(&dialog, 1, None);
    assert_eq!(taps(&world), [(1, "open")]);
    world.notify(&mut dialog, "hold");
    world.answer_reinvite("recvonly");
    world.notify(&mut dialog, "talk");
    world.answer_reinvite("sendrecv");
    assert_eq!(taps(&world), [(1, "open")]);
    assert_eq!(world.call(page).recording, Some(RecordingState::Recording));
}

/// Where pages may not, an administrator still may; and what is stopped stays stopped.
#[test]
fn pages_may_be_kept_from_it() {
    let (mut world, page) = world(true, false);
    world.talking("1002");
    record(&mut world, page, RecordAction::Stop);
    assert_eq!(world.last_error(page), Some(ErrorCode::NotAllowed));
    let id = CallId::parse(&world.call(page).id).unwrap();
    order(&mut world, AdminCommand::Record(id, RecordAction::Stop));
    assert_eq!(world.admin.last(), Some(&Ok(AdminReply::Accepted)));
    assert_eq!(taps(&world), [(1, "open"), (1, "close")]);
    assert!(!closed(&world, 1));
    world.input(Input::Media(MediaEvent::TapClosed { tap: TapId(1) }));
    assert!(closed(&world, 1));
    assert_eq!(world.call(page).recording, None);
    world.advance(Duration::from_secs(60));
    assert_eq!(taps(&world).len(), 2, "nobody has asked again");
    order(&mut world, AdminCommand::Record(id, RecordAction::Pause));
    assert_eq!(world.admin.last(), Some(&Err(AdminRefusal::WrongState)));
}

/// A gateway without a folder says so.
#[test]
fn nothing_is_recorded_where_nothing_is_configured() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    record(&mut world, page, RecordAction::Start);
    assert_eq!(world.last_error(page), Some(ErrorCode::NotSupported));
    assert_eq!(taps(&world), []);
}

/// A call that rings has nothing to record yet.
#[test]
fn a_ringing_call_is_not_recorded() {
    let (mut world, page) = world(false, true);
    world.invite("1002", Some(OFFER));
    record(&mut world, page, RecordAction::Start);
    assert_eq!(world.last_error(page), Some(ErrorCode::WrongState));
}

/// The disk is full: the agent sees it, the call goes on, and she may try again.
#[test]
fn a_full_disk_costs_the_recording_and_not_the_call() {
    let (mut world, page) = world(true, true);
    world.talking("1002");
    world.input(settled(1, true));
    let call = world.call(page);
    assert_eq!(call.recording, Some(RecordingState::Failed));
    assert_eq!(call.state, control::CallState::Talking);
    assert_eq!(taps(&world), [(1, "open"), (1, "close")]);
    world.input(Input::Media(MediaEvent::TapClosed { tap: TapId(1) }));
    record(&mut world, page, RecordAction::Start);
    assert_eq!(world.call(page).recording, Some(RecordingState::Recording));
    assert_eq!(taps(&world).last(), Some(&(2, "open")));
}

/// The last octets of a recording that was stopped do not reach the disk: the agent sees it while her call goes on, and its record says so.
#[test]
fn a_recording_that_fails_at_its_end_is_told() {
    let (mut world, page) = world(false, true);
    let mut dialog = world.talking("1002");
    record(&mut world, page, RecordAction::Start);
    record(&mut world, page, RecordAction::Stop);
    world.input(Input::Media(MediaEvent::TapClosed { tap: TapId(1) }));
    assert_eq!(world.call(page).recording, None);
    world.input(settled(1, true));
    assert_eq!(world.call(page).recording, Some(RecordingState::Failed));
    assert_eq!(failures(&world), 1);
    let call = world.call(page).id;
    world.in_dialog(&mut dialog, "BYE", "", None);
    media_closes(&mut world, &call);
    assert_eq!(record_of(&world).recordings[0].failed, Some(true));
    world.assert_quiet();
}

/// The record of a call waits until the disk has its recording or has failed to take it, and says which; a disk that hangs keeps no record back.
#[test]
fn the_record_waits_for_the_disk() {
    for says in [Some(true), Some(false), None] {
        let (mut world, page) = world(true, true);
        let mut dialog = world.talking("1002");
        let call = world.call(page).id;
        world.in_dialog(&mut dialog, "BYE", "", None);
        media_closes(&mut world, &call);
        assert_eq!((records(&world), world.board.records_owed()), (0, 1));
        match says {
            Some(failed) => world.input(settled(1, failed)),
            None => world.advance(Duration::from_secs(3)),
        }
        assert_eq!(record_of(&world).recordings[0].failed, says);
        assert_eq!(failures(&world), usize::from(says == Some(true)));
        world.input(settled(1, true));
        assert_eq!((records(&world), world.board.records_owed()), (1, 0));
        world.assert_quiet();
    }
}

/// A card number that is not to be recorded is not heard by the transcription either, also when that begins in the middle of it.
#[test]
fn whoever_listens_live_is_paused_too() {
    let (mut world, page) = world(true, true);
    world.talking("1002");
    let call = CallId::parse(&world.call(page).id).unwrap();
    let listen = |tap| listen(call, tap);
    order(&mut world, listen(100));
    record(&mut world, page, RecordAction::Pause);
    order(&mut world, listen(101));
    assert_eq!(told(&world, "pause"), [1, 100]);
    // From its first moment on, not a moment later.
    assert_eq!(told(&world, "open paused"), [101]);
    record(&mut world, page, RecordAction::Resume);
    assert_eq!(told(&world, "resume"), [1, 100, 101]);
    order(&mut world, listen(102));
    order(&mut world, listen(103));
    assert_eq!(world.admin.last(), Some(&Err(AdminRefusal::TooMany)));
    world.input(Input::TapLeft { tap: TapId(100) });
    assert_eq!(taps(&world).last(), Some(&(100, "close")));
}

/// The disk is full, or the recording is stopped, in the middle of a card number: whoever listens live goes on hearing nothing of it until the pause is
/// over, and so does the next recording.
#[test]
fn a_recording_that_ends_in_a_pause_opens_nobodys_ears() {
    for fails in [true, false] {
        let (mut world, page) = world(true, true);
        world.talking("1002");
        let call = CallId::parse(&world.call(page).id).unwrap();
        order(&mut world, listen(call, 100));
        record(&mut world, page, RecordAction::Pause);
        if fails {
            world.input(settled(1, true));
        } else {
            record(&mut world, page, RecordAction::Stop);
        }
        world.input(Input::Media(MediaEvent::TapClosed { tap: TapId(1) }));
        order(&mut world, listen(call, 101));
        record(&mut world, page, RecordAction::Start);
        assert_eq!(world.call(page).recording, Some(RecordingState::Paused));
        assert!(told(&world, "resume").is_empty());
        assert_eq!(told(&world, "pause"), [1, 100]);
        assert_eq!(told(&world, "open paused"), [101, 2]);
        record(&mut world, page, RecordAction::Resume);
        assert_eq!(told(&world, "resume"), [2, 100, 101]);
        assert_eq!(world.call(page).recording, Some(RecordingState::Recording));
    }
}

/// The other side completes a transfer in the middle of a card number: to the agent it is the same conversation, and nothing of it is recorded before she says
/// so. So it is where SIP Server offers nothing with its INVITE, and where it moves the call by REFER.
#[test]
fn a_pause_outlives_a_call_that_another_takes_the_place_of() {
    for offer in [Some(OFFER), None] {
        let (mut world, page) = world(true, true);
        let old = world.talking("1002");
        record(&mut world, page, RecordAction::Pause);
        let header = world.replaces(&old, "");
        let new = world.invite_with("1002", offer, &header);
        world.ack(&new, 1, offer.is_none().then_some(ANSWER));
        assert_eq!(world.call(page).recording, Some(RecordingState::Paused));
        assert_eq!(told(&world, "pause"), [1]);
        assert_eq!(told(&world, "open paused"), [2]);
        record(&mut world, page, RecordAction::Resume);
        assert_eq!(told(&world, "resume"), [2]);
    }
    let (mut world, page) = world(true, true);
    let mut old = world.talking("1002");
    record(&mut world, page, RecordAction::Pause);
    world.in_dialog(
        &mut old,
        "REFER",
        "Refer-To: <sip:5550100@192.0.2.81>\r\n",
        None,
    );
    // The hold of the old call, and the new one.
    for invite in world.requests("INVITE") {
        world.respond(&invite, "200 OK", Some(ANSWER));
    }
    assert_eq!(world.call(page).recording, Some(RecordingState::Paused));
    assert_eq!(told(&world, "pause"), [1]);
    assert_eq!(told(&world, "open paused"), [2]);
}

/// The call that takes the place of another one is recorded as that one was, whatever the configuration says of calls in general.
#[test]
fn what_was_begun_or_stopped_stays_so_in_a_call_that_takes_the_place() {
    for (always, action, state) in [
        (false, RecordAction::Start, Some(RecordingState::Recording)),
        (true, RecordAction::Stop, None),
    ] {
        let (mut world, page) = world(always, true);
        let mut old = world.talking("1002");
        record(&mut world, page, action);
        // Twice, the second time without a word of the agent about the call in between; SIP Server's BYE comes first.
        for _ in 0..2 {
            world.advance(Duration::from_secs(10));
            world.media_goes();
            let header = world.replaces(&old, "");
            let new = world.invite_with("1002", Some(OFFER), &header);
            world.in_dialog(&mut old, "BYE", "", None);
            world.connect(*world.legs.last().unwrap());
            world.ack(&new, 1, None);
            let call = world.call(page);
            assert_eq!(
                (call.state, call.recording),
                (control::CallState::Talking, state)
            );
            old = new;
        }
    }
}

/// A call that is transcribed and not recorded is paused all the same, also where there is no folder.
#[test]
fn whoever_listens_live_is_paused_without_a_recording() {
    for (mut world, page) in [world(false, true), World::with_agent("1002")] {
        world.talking("1002");
        let call = CallId::parse(&world.call(page).id).unwrap();
        let record = |action| AdminCommand::Record(call, action);
        order(&mut world, record(RecordAction::Pause));
        assert!(world.admin.last().unwrap().is_err(), "nobody listens");
        order(&mut world, listen(call, 100));
        order(&mut world, record(RecordAction::Pause));
        assert_eq!(world.admin.last(), Some(&Ok(AdminReply::Accepted)));
        assert_eq!(told(&world, "pause"), [100]);
        order(&mut world, record(RecordAction::Resume));
        assert_eq!(told(&world, "resume"), [100]);
    }
}

/// A card number comes, and the agent sees that somebody listens: she pauses by her page, whether anything is recorded or not, and whether she may record or not. The
/// pause is shown for as long as it lasts, also when nobody listens any more, and it is hers to end.
#[test]
fn an_agent_pauses_whoever_listens() {
    let worlds = [
        world(false, true),
        world(false, false),
        World::with_agent("1002"),
    ];
    for (mut world, page) in worlds {
        world.talking("1002");
        let shown = |world: &World| {
            let call = world.call(page);
            (call.recording, call.listened, call.paused)
        };
        let call = CallId::parse(&world.call(page).id).unwrap();
        assert_eq!(shown(&world), (None, false, false));
        order(&mut world, listen(call, 100));
        assert_eq!(shown(&world), (None, true, false));
        record(&mut world, page, RecordAction::Pause);
        assert_eq!(shown(&world), (None, true, true));
        assert_eq!(told(&world, "pause"), [100]);
        world.input(Input::Media(MediaEvent::TapClosed { tap: TapId(100) }));
        assert_eq!(shown(&world), (None, false, true));
        record(&mut world, page, RecordAction::Resume);
        assert_eq!(shown(&world), (None, false, false));
    }
}

/// She pauses, and ends the recording in the pause: who listens hears nothing until she resumes, and the page is told so.
#[test]
fn a_pause_is_shown_behind_a_recording_that_was_ended_in_it() {
    let (mut world, page) = world(true, true);
    world.talking("1002");
    let call = CallId::parse(&world.call(page).id).unwrap();
    order(&mut world, listen(call, 100));
    record(&mut world, page, RecordAction::Pause);
    record(&mut world, page, RecordAction::Stop);
    let view = world.call(page);
    assert_eq!(
        (view.recording, view.listened, view.paused),
        (None, true, true)
    );
    record(&mut world, page, RecordAction::Resume);
    assert!(!world.call(page).paused);
    assert_eq!(told(&world, "resume").last(), Some(&100));
}

/// The page shows buttons for recordings where they would work, and nowhere else.
#[test]
fn a_page_is_told_whether_it_may_record() {
    let may = |world: &World, page: u64| {
        let welcome = world.pages[&page].iter().find_map(|message| match message {
            control::GatewayMessage::Welcome(welcome) => Some(welcome.may_record),
            _ => None,
        });
        welcome.unwrap()
    };
    for agents_may in [true, false] {
        let (world, page) = world(false, agents_may);
        assert_eq!(may(&world, page), agents_may);
    }
    let (world, page) = World::with_agent("1002");
    assert!(!may(&world, page), "there is no folder");
}
