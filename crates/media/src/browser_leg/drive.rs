//! What drives the engine behind a leg: datagrams in, everything out, and what its events mean.

use std::time::Duration;

use str0m::net::{Protocol, Receive};
use str0m::{Event, IceConnectionState, Input, Output, RtcError};

use super::cookie::Verdict;
use super::hello::Hello;
use super::types::{
    Carrier, Endpoint, Failure, LegError, LegKind, LegOutput, LegState, Received, Refusal,
};
use super::{BrowserFormats, BrowserLeg, Check, NEVER};
use crate::limits::{
    DISCONNECTED_MAX, ENGINE_TURNS_MAX, HANDSHAKE_MAX, MOVED_CHECKS_AFTER, PATH_MAX,
    SPOILED_HANDSHAKE_MAX,
};
use crate::stun::{self, BindingRequest, DatagramKind};

impl BrowserLeg {
    /// Descriptions are exchanged, or not.
    pub(super) fn negotiated(&mut self, result: Result<(), LegError>) -> Result<(), LegError> {
        if let Err(error) = result {
            self.fail(Failure::Description);
            return Err(error);
        }
        self.pump();
        if let Some(mid) = self.mid {
            self.formats = BrowserFormats::negotiated(&self.rtc, mid, self.formats);
        }
        if self.formats.is_empty() {
            self.fail(Failure::Description);
            return Err(LegError::Engine("no common audio codec".into()));
        }
        if matches!(self.state, LegState::New | LegState::Offered) {
            self.negotiated_at = Some(self.now);
            self.name_stream();
            self.set_state(LegState::Connecting);
            let path = self.now + PATH_MAX;
            self.deadline = self.deadline.map(|deadline| deadline.min(path));
        } else if self.state != LegState::Connecting {
            // ICE restarted: media goes on over the old path, but not for ever.
            self.deadline = Some(self.now + DISCONNECTED_MAX);
        }
        // Checks that waited for the answer are handled one per turn of the engine's clock.
        self.feed(Input::Timeout(self.now));
        if let Some(source) = self.paths.current() {
            self.replay_early(source);
        }
        Ok(())
    }

    /// Our stream has the source that the description names.
    fn name_stream(&mut self) {
        self.secured.ssrc = self.mid.and_then(|mid| {
            let mut api = self.rtc.direct_api();
            let stream = api.stream_tx_by_mid(mid, None)?;
            Some(*stream.ssrc())
        });
    }

    pub(super) fn unaccepted(
        &mut self,
        kind: DatagramKind,
        source: Endpoint,
        datagram: &[u8],
    ) -> Received {
        Received::Refused(match kind {
            DatagramKind::Stun => Refusal::BadIntegrity,
            DatagramKind::Dtls if self.awaits_hello() && self.paths.is_signalled(source) => {
                self.early.keep(self.now, source, datagram);
                return Received::Kept;
            }
            DatagramKind::Dtls => Refusal::UnvalidatedDtls,
            DatagramKind::Rtp => Refusal::UnknownSource,
            DatagramKind::Other => Refusal::Malformed,
        })
    }

    pub(super) fn receive_stun(
        &mut self,
        source: Endpoint,
        datagram: &[u8],
        input: Input<'_>,
    ) -> Received {
        let Some(request) = BindingRequest::glance(datagram) else {
            self.feed(input);
            return Received::Taken;
        };
        if let Some(candidate) = self.paths.bring_back(source) {
            self.rtc.add_remote_candidate(candidate);
            self.pump();
        }
        let BindingRequest {
            transaction,
            use_candidate,
            ..
        } = request;
        self.check = Some(Check {
            transaction,
            use_candidate,
            answered: false,
        });
        self.feed(input);
        let answered = self.check.take().is_some_and(|check| check.answered);
        self.follow_nomination();
        if answered {
            self.follow(source, MOVED_CHECKS_AFTER);
        }
        if !answered && self.negotiated_at.is_some() {
            return Received::Refused(Refusal::BadIntegrity);
        }
        self.replay_early(source);
        Received::Taken
    }

    /// DTLS from a checked address. Where the browser begins the handshake it must show first that it hears us.
    pub(super) fn receive_dtls(
        &mut self,
        source: Endpoint,
        datagram: &[u8],
        input: Input<'_>,
    ) -> Received {
        let verdict = match (self.secured.begins_handshake(), Hello::first_of(datagram)) {
            (false, hello) => self.door.judge(hello),
            // Nobody who is asked for a handshake asks for one.
            (true, Some(_)) => Verdict::Drop,
            (true, None) => Verdict::Pass,
        };
        match verdict {
            Verdict::Pass => {
                self.look_for_signs(datagram);
                self.feed(input);
                Received::Taken
            }
            Verdict::Ask => {
                let datagram = self.door.question().into();
                let to = source;
                self.outputs.push_back(LegOutput::Transmit { to, datagram });
                Received::Taken
            }
            Verdict::Drop => Received::Refused(Refusal::UnvalidatedDtls),
        }
    }

    /// The browser has said something from there, by its keys or its password. It is followed where a NAT has moved it, and it is connected where media goes.
    pub(super) fn follow(&mut self, source: Endpoint, long: Duration) {
        if !self.state.is_up() {
            return;
        }
        if self.paths.is_back(source) || self.paths.is_moved(self.now, source, long) {
            let old = self.paths.follow(source);
            self.leave(old);
            self.outputs.push_back(LegOutput::Reachable(source));
        }
        if self.state == LegState::Disconnected && self.paths.current() == Some(source) {
            self.set_state(LegState::Connected);
        }
    }

    /// The browser may have nominated another address than before.
    pub(super) fn follow_nomination(&mut self) {
        if let Some(address) = self.nominated.take() {
            let old = self.paths.nominate(address);
            self.leave(old);
        }
    }

    /// Media goes elsewhere from now on: the former address is retired.
    fn leave(&mut self, old: Option<Endpoint>) {
        let Some(old) = old else {
            return;
        };
        if !self.state.is_up() {
            return;
        }
        for candidate in self.paths.retire(old) {
            self.rtc.direct_api().invalidate_candidate(&candidate);
            self.feed(Input::Timeout(self.now));
        }
        if self.paths.exhausted() {
            self.fail(Failure::AddressChanges);
        }
    }

    /// A datagram as the engine wants it. `None` for one that it does not know, or that came by what we have not offered.
    pub(super) fn arrival<'a>(&self, source: Endpoint, datagram: &'a [u8]) -> Option<Input<'a>> {
        let (protocol, local) = match source.carrier {
            Carrier::Udp => (Protocol::Udp, self.local),
            Carrier::Tcp => (Protocol::Tcp, self.local_tcp?),
        };
        let receive = Receive::new(protocol, source.address, local, datagram).ok()?;
        Some(Input::Receive(self.now, receive))
    }

    /// Hands over early DTLS whose address has been checked meanwhile.
    pub(super) fn replay_early(&mut self, source: Endpoint) {
        while let Some(datagram) = self.early.take(self.now, source) {
            let Some(input) = self.arrival(source, &datagram) else {
                continue;
            };
            if self.rtc.accepts(&input) {
                self.receive_dtls(source, &datagram, input);
            }
        }
    }

    pub(super) fn feed(&mut self, input: Input<'_>) {
        if self.rtc.handle_input(input).is_err() {
            // Anyone who can forge the browser's address can make an error; only the engine's own end counts.
            self.engine_errors += 1;
        }
        self.pump();
    }

    /// Drains the engine, as it must be after every change.
    pub(super) fn pump(&mut self) {
        let mut turns = 0;
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    let carrier = match transmit.proto {
                        Protocol::Udp => Carrier::Udp,
                        Protocol::Tcp | Protocol::SslTcp | Protocol::Tls => Carrier::Tcp,
                    };
                    let to = Endpoint {
                        carrier,
                        address: transmit.destination,
                    };
                    self.note_response(to, &transmit.contents);
                    let datagram = transmit.contents;
                    self.outputs.push_back(LegOutput::Transmit { to, datagram });
                }
                Ok(Output::Event(event)) => self.on_event(event),
                Ok(Output::Timeout(at)) => {
                    if at > self.now || !self.rtc.is_alive() {
                        self.engine_at = (at < self.now + NEVER).then_some(at);
                        break;
                    }
                    turns += 1;
                    if turns > ENGINE_TURNS_MAX {
                        self.engine_at = Some(self.now + crate::wheel::TICK);
                        break;
                    }
                    if self.rtc.handle_input(Input::Timeout(self.now)).is_err() {
                        self.engine_errors += 1;
                    }
                }
                Err(error) => {
                    // The one thing that the engine holds against a description this late is its fingerprint.
                    if matches!(error, RtcError::RemoteSdp(_)) && !self.rtc.is_alive() {
                        self.fail(Failure::Certificate);
                    }
                    self.engine_errors += 1;
                    turns += 1;
                    if !self.rtc.is_alive() || turns > ENGINE_TURNS_MAX {
                        self.engine_at = None;
                        break;
                    }
                }
            }
        }
        if !self.rtc.is_alive() {
            self.engine_at = None;
            self.fail(Failure::Engine);
        }
    }

    /// A success response of the engine is the proof that a check was genuine.
    pub(super) fn note_response(&mut self, to: Endpoint, datagram: &[u8]) {
        let Some(transaction) = stun::success_response(datagram) else {
            return;
        };
        self.outputs.push_back(LegOutput::Reachable(to));
        match &mut self.check {
            Some(check) if check.transaction == transaction => {
                check.answered = true;
                if check.use_candidate {
                    self.nominated = Some(to);
                }
            }
            // A check that waited for the browser's description.
            _ => {
                if self.paths.current().is_none() {
                    self.paths.nominate(to);
                }
            }
        }
    }

    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Connected => self.on_connected(),
            Event::IceConnectionStateChange(state) => self.on_ice(state),
            Event::Closed => self.set_state(LegState::Closed),
            _ => {}
        }
    }

    pub(super) fn on_connected(&mut self) {
        self.times.dtls = self.ice_at.map(|at| self.now.saturating_duration_since(at));
        self.early.clear();
        self.secured.connected(self.now);
        self.set_state(LegState::Connected);
    }

    pub(super) fn on_ice(&mut self, state: IceConnectionState) {
        match state {
            IceConnectionState::Connected | IceConnectionState::Completed => {
                if self.ice_at.is_none() {
                    self.ice_at = Some(self.now);
                    self.times.ice = self
                        .negotiated_at
                        .map(|at| self.now.saturating_duration_since(at));
                    let handshake = self.now + HANDSHAKE_MAX;
                    self.deadline = self.deadline.map(|deadline| match self.kind {
                        LegKind::Warm if !self.spoiled => handshake,
                        _ => deadline.min(handshake),
                    });
                }
                match self.state {
                    LegState::Disconnected => self.set_state(LegState::Connected),
                    LegState::Connected => self.deadline = None,
                    _ => {}
                }
            }
            IceConnectionState::Disconnected if self.state == LegState::Connected => {
                self.set_state(LegState::Disconnected);
            }
            _ => {}
        }
    }

    /// The handshake has not got to its end: only then is a datagram of it early.
    fn awaits_hello(&self) -> bool {
        matches!(self.state, LegState::Offered | LegState::Connecting)
    }

    /// A handshake that somebody may have spoiled gets less time to end well than one that only lacks luck.
    pub(super) fn look_for_signs(&mut self, datagram: &[u8]) {
        if self.awaits_hello() && !self.spoiled && self.signs.seen_in(datagram) {
            self.spoiled = true;
            let soon = self.now + SPOILED_HANDSHAKE_MAX;
            self.deadline = self.deadline.map(|deadline| deadline.min(soon));
        }
    }

    /// What it means that the time of the present state is over.
    pub(super) const fn lateness(&self) -> Failure {
        match self.state {
            LegState::Connected | LegState::Disconnected => Failure::Consent,
            _ if self.spoiled => Failure::Disturbed,
            _ if self.ice_at.is_some() => Failure::Handshake,
            LegState::Connecting => Failure::NoPath,
            _ => Failure::Unanswered,
        }
    }

    pub(super) fn set_state(&mut self, state: LegState) {
        if self.state == state || self.state.is_over() {
            return;
        }
        self.state = state;
        match state {
            LegState::Connected => self.deadline = None,
            LegState::Closed | LegState::Failed(_) => {
                self.deadline = None;
                self.secured.report_at = None;
            }
            LegState::Disconnected => self.deadline = Some(self.now + DISCONNECTED_MAX),
            LegState::New | LegState::Offered | LegState::Connecting => {}
        }
        self.outputs.push_back(LegOutput::State(state));
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        if self.state.is_over() {
            return;
        }
        self.rtc.disconnect();
        self.engine_at = None;
        self.set_state(LegState::Failed(failure));
    }
}
