// @ts-check
import { LevelMeter } from './level_meter.js';
import { Microphone, stopTracks } from './microphone.js';
import { Speaker } from './speaker.js';

/** How long an offer waits for the microphone. A permission that was given before takes 100 ms; a dialogue that the
 * agent has to read takes longer, and the track is then put in later, without negotiation. */
const MICROPHONE_PATIENCE_MS = 2_000;

/** How long a connection may be `disconnected` before a restart is asked for: most come back by themselves. */
const DISCONNECTED_PATIENCE_MS = 2_000;

/** How long a browser takes at most to start playing when it does not mind. */
const PLAYBACK_PATIENCE_MS = 500;

/**
 * The audio of one agent: microphone, peer connection, loudspeaker.
 *
 * Events: `state` (the connection's state), `restart_needed`, `candidate`, `microphone` (of {@link Microphone}),
 * `speaker` (of {@link Speaker}), `stream` (a new remote stream), `playback` (whether the browser plays sound), `devices` (a device came or went).
 */
export class MediaLeg extends EventTarget {
  /** @type {RTCPeerConnection | null} */
  peerConnection = null;
  /** @type {MediaStream | null} what the agent hears */
  remoteStream = null;
  /** The browser refuses to play sound until the agent clicks or types. */
  playbackBlocked = false;

  #closed = false;
  #microphone;
  /** @type {Promise<unknown>} offers one after the other */
  #turn = Promise.resolve();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #patience;
  #speaker = new Speaker();
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {LevelMeter | null} */
  #meterIn = null;
  /** @type {LevelMeter | null} */
  #meterOut = null;
  #devicesChanged = () => this.#onDevicesChanged();

  /** @param {MediaTrackConstraints} constraints for the microphone */
  constructor(constraints) {
    super();
    this.#microphone = new Microphone(constraints, { use: (stream) => this.#speak(stream), release: () => this.#dropMeterIn() });
    this.#microphone.addEventListener('microphone', () => this.#emit('microphone', this.microphone));
    this.#microphone.addEventListener('known', () => this.#devicesKnown());
    this.#speaker.addEventListener('speaker', () => this.#emit('speaker', this.speaker));
    navigator.mediaDevices?.addEventListener('devicechange', this.#devicesChanged);
  }

  /** Whether media can flow right now. */
  get isConnected() {
    return this.peerConnection?.connectionState === 'connected';
  }

  /** What the microphone hears. */
  get localStream() {
    return this.#microphone.stream;
  }

  /** The microphone's state. */
  get microphone() {
    return this.#microphone.state;
  }

  /**
   * Opens the microphone, or another one; {@link Microphone#open}.
   * @param {string} [deviceId] empty for the system's default
   */
  openMicrophone(deviceId) {
    return this.#microphone.open(deviceId);
  }

  /** What the gateway is told of the microphone. */
  get said() {
    return this.#microphone.said;
  }

  /** Opens the microphone that could not be had. */
  retryMicrophone() {
    this.#microphone.retry();
  }

  /** @param {MediaStream} stream of the microphone */
  async #speak(stream) {
    // A connection that was closed takes none; the next one begins with it.
    await this.#sender()?.replaceTrack(stream.getAudioTracks()[0]).catch(() => undefined);
    this.#measureMicrophone();
  }

  /** A browser names its devices to a page that has asked for the microphone. */
  #devicesKnown() {
    void this.#speaker.look();
    this.#emit('devices');
  }

  /** @returns {RTCRtpSender | undefined} */
  #sender() {
    return this.peerConnection?.getTransceivers()[0]?.sender;
  }

  #onDevicesChanged() {
    this.#microphone.look();
    void this.#speaker.look();
    this.#emit('devices');
  }

  /**
   * Answers an offer of the gateway. The answer is complete at once: the gateway learns our addresses from our
   * checks and needs no candidates.
   * @param {{ sdp: string, restart: boolean }} offer
   * @param {RTCIceServer[]} iceServers
   * @returns {Promise<string>} the answer
   */
  acceptOffer(offer, iceServers) {
    const answer = this.#turn.then(() => this.#accept(offer, iceServers));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  /**
   * @param {{ sdp: string, restart: boolean }} offer
   * @param {RTCIceServer[]} iceServers
   */
  async #accept({ sdp, restart }, iceServers) {
    await Promise.race([this.#microphone.ready, delay(MICROPHONE_PATIENCE_MS)]);
    if (this.#closed) throw new Error('signed out');
    let connection = this.peerConnection;
    if (!restart || !connection || connection.signalingState === 'closed') {
      connection = this.#newConnection(iceServers);
    }
    await connection.setRemoteDescription({ type: 'offer', sdp });
    const [transceiver] = connection.getTransceivers();
    if (!transceiver) throw new Error('the offer has no audio');
    // Without a track too: the microphone may come later, or never, and the agent still hears.
    transceiver.direction = 'sendrecv';
    await transceiver.sender.replaceTrack(this.localStream?.getAudioTracks()[0] ?? null);
    await connection.setLocalDescription(await connection.createAnswer());
    return preferDtx(connection.localDescription?.sdp ?? '');
  }

  /**
   * Lets the connection that is there use these from its next ICE restart on.
   * @param {RTCIceServer[]} iceServers
   */
  useIceServers(iceServers) {
    try {
      this.peerConnection?.setConfiguration(configuration(iceServers));
    } catch {
      // Servers that this browser does not understand: the connection goes on with those it has, and the next one says so.
    }
  }

  /** @param {RTCIceServer[]} iceServers */
  #newConnection(iceServers) {
    this.#dropConnection();
    const connection = new RTCPeerConnection(configuration(iceServers));
    this.peerConnection = connection;
    connection.addEventListener('track', ({ track, streams }) => {
      if (connection !== this.peerConnection) return;
      this.remoteStream = streams[0] ?? new MediaStream([track]);
      this.#speaker.element.srcObject = this.remoteStream;
      this.#measureRemote();
      void this.play();
      this.#emit('stream', this.remoteStream);
    });
    connection.addEventListener('icecandidate', ({ candidate }) => {
      if (connection === this.peerConnection) this.#emit('candidate', candidate);
    });
    connection.addEventListener('connectionstatechange', () => {
      if (connection === this.peerConnection) this.#connectionChanged(connection);
    });
    this.#emit('state', connection.connectionState);
    return connection;
  }

  /** @param {RTCPeerConnection} connection */
  #connectionChanged(connection) {
    clearTimeout(this.#patience);
    const state = connection.connectionState;
    if (state === 'failed') this.#emit('restart_needed');
    if (state === 'disconnected') {
      this.#patience = setTimeout(() => {
        if (connection.connectionState === 'disconnected') this.#emit('restart_needed');
      }, DISCONNECTED_PATIENCE_MS);
    }
    this.#emit('state', state);
  }

  /**
   * Lets the microphone be heard, or not. The stream stays open either way, so this takes effect at once.
   * @param {boolean} talking
   */
  setTalking(talking) {
    this.#microphone.enable(talking);
  }

  /** Whether this browser lets a page choose the loudspeaker. */
  static get canChooseSpeaker() {
    return Speaker.canBeChosen;
  }

  /** The loudspeaker's state. */
  get speaker() {
    return this.#speaker.state;
  }

  /**
   * Plays through another loudspeaker; {@link Speaker#choose}.
   * @param {string} deviceId empty for the system's default
   */
  setSpeaker(deviceId) {
    return this.#speaker.choose(deviceId);
  }

  /** Plays sound, if the browser lets us. Call it when the agent clicks or types: that opens the door. */
  async play() {
    try {
      const context = this.#audioContext();
      // A browser that wants a click first leaves this promise open instead of rejecting it.
      await Promise.race([context?.resume(), delay(PLAYBACK_PATIENCE_MS)]);
      if (this.#speaker.element.srcObject) await this.#speaker.element.play();
      this.#setPlayback(context?.state === 'suspended');
    } catch (error) {
      // Another play() was under way; that one tells the outcome.
      if (error instanceof DOMException && error.name === 'AbortError') return;
      this.#setPlayback(true);
    }
  }

  /** @param {boolean} blocked */
  #setPlayback(blocked) {
    if (blocked === this.playbackBlocked) return;
    this.playbackBlocked = blocked;
    this.#emit('playback', { blocked });
  }

  /** @returns {AudioContext | null} `null` where the browser gives none, as it does when too many are open: nothing is measured then */
  #audioContext() {
    try {
      if (!this.#context && !this.#closed) this.#context = new AudioContext();
    } catch {
      return null;
    }
    return this.#context;
  }

  /** Loudness of microphone and loudspeaker, 0 to 1. The microphone is measured while it is muted too. */
  levels() {
    return { in: this.#meterIn?.level ?? 0, out: this.#meterOut?.level ?? 0 };
  }

  #measureMicrophone() {
    const context = this.#audioContext();
    this.#dropMeterIn();
    // A copy, because a disabled track is silent for everybody.
    const copy = this.localStream?.clone();
    for (const track of copy?.getAudioTracks() ?? []) track.enabled = true;
    this.#meterIn = LevelMeter.of(context, copy);
    if (copy && !this.#meterIn) stopTracks(copy);
  }

  #dropMeterIn() {
    if (this.#meterIn) stopTracks(this.#meterIn.stream);
    this.#meterIn?.close();
    this.#meterIn = null;
  }

  #measureRemote() {
    const context = this.#audioContext();
    this.#meterOut?.close();
    this.#meterOut = LevelMeter.of(context, this.remoteStream);
  }

  #dropConnection() {
    clearTimeout(this.#patience);
    const connection = this.peerConnection;
    this.peerConnection = null;
    this.remoteStream = null;
    connection?.close();
  }

  /** Lets everything go. */
  close() {
    this.#closed = true;
    this.#dropConnection();
    this.#speaker.element.srcObject = null;
    this.#dropMeterIn();
    this.#meterOut?.close();
    this.#meterOut = null;
    this.#microphone.close();
    void this.#context?.close();
    this.#context = null;
    navigator.mediaDevices?.removeEventListener('devicechange', this.#devicesChanged);
  }

  /**
   * @param {string} type
   * @param {unknown} [detail]
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * @param {RTCIceServer[]} iceServers
 * @returns {RTCConfiguration}
 */
function configuration(iceServers) {
  return { iceServers, bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require' };
}

/**
 * Asks the gateway to send next to nothing while the caller is silent, where it sends Opus: the browser makes background of its own meanwhile
 * (RFC 7587 section 6.1). This is about what we receive, so our own description need not know.
 * @param {string} sdp
 */
function preferDtx(sdp) {
  const opus = /^a=rtpmap:(\d+) opus\//im.exec(sdp)?.[1];
  const parameters = new RegExp(`^(a=fmtp:${opus} )(?!.*usedtx)`, 'm');
  return opus ? sdp.replace(parameters, '$1usedtx=1;') : sdp;
}

/**
 * @param {RTCIceCandidate | null} candidate `null`: there are no further ones
 * @returns {Record<string, unknown>} what the gateway is told of it
 */
export function candidateMessage(candidate) {
  return {
    type: 'media_candidate',
    candidate: candidate?.candidate ?? null,
    ...(candidate?.sdpMid ? { sdp_mid: candidate.sdpMid } : {}),
    ...(typeof candidate?.sdpMLineIndex === 'number' ? { sdp_mline_index: candidate.sdpMLineIndex } : {}),
  };
}

/** @param {number} ms */
function delay(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
