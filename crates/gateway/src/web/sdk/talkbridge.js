// @ts-check
/**
 * The page library: an agent's session at a talkbridge gateway.
 *
 *     import { Talkbridge } from '/sdk/talkbridge.js';
 *     const talkbridge = new Talkbridge();
 *     talkbridge.addEventListener('call', ({ detail }) => show(detail.call));
 *     await talkbridge.connect({ token });
 *     await talkbridge.answer(id);
 *
 * The protocol underneath is docs/agent-protocol.md. No dependencies, no build step; a plain ES module.
 */
import { Tokens, defaultUrl, pauseBefore } from './attempts.js';
import { Answering, isConversation, isSpoken, opensMicrophone } from './calls.js';
import { MediaLeg, candidateMessage } from './media.js';
import { Network } from './network.js';
import { Orders } from './orders.js';
import { Pulse } from './pulse.js';
import { Requests, TalkbridgeError } from './requests.js';
import { Restarts } from './restarts.js';
import { Ringer } from './ringer.js';
import { StatsClock, readStats } from './stats.js';

export { TalkbridgeError };

/** Version that `hello` carries. */
const VERSION = '1.0';

/** How long a request may go unanswered. After that the socket is taken for dead: it may be open for minutes after the
 * network under it went away. */
const REQUEST_TIMEOUT_MS = 10_000;

/** What makes speech clear on a headset or a laptop. @type {MediaTrackConstraints} */
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/** @typedef {import('./types.js').CallState} CallState */
/** @typedef {import('./types.js').Call} Call */
/** @typedef {import('./types.js').Registration} Registration */
/** @typedef {import('./types.js').ConnectionState} ConnectionState */
/** @typedef {import('./types.js').MediaFailure} MediaFailure */
/** @typedef {import('./types.js').ConnectOptions} ConnectOptions */

/**
 * One agent's session.
 *
 * Events are `CustomEvent`s. Each message of the gateway is one of the same name, with the message as `detail`:
 * `welcome`, `registration`, `media_offer`, `media_state`, `call`, `remote_control`, `quality`, `replaced`, `error`
 * (one without a request of ours). Besides:
 *
 * | event | detail |
 * |---|---|
 * | `connection` | `{ state, code?, reason?, refusal?, retry_ms? }`, {@link ConnectionState}; `refusal` is the error code where `hello` was refused |
 * | `media` | `{ state }`, state of the peer connection |
 * | `microphone` | `{ state, label?, deviceId?, fallback?, problem? }` |
 * | `speaker` | `{ deviceId, fallback? }`: what plays, after a choice and when the chosen one goes or is back |
 * | `playback` | `{ blocked }`: the browser plays no sound until a click or key; then call {@link Talkbridge#play} |
 * | `devices` | a device came or went, or their names became known |
 * | `muted` | `{ muted }` |
 * | `stats` | what was sent as `stats` |
 */
export class Talkbridge extends Orders {
  /** @type {{ dn: string, name?: string } | null} */
  agent = null;
  /** @type {string | null} names the session in logs */
  session = null;
  /** @type {string | null} what brings a reloaded page back to its calls; a secret */
  resume = null;
  /** @type {Registration | null} */
  registration = null;
  /** What the server said last about waiting messages. @type {{ waiting: boolean, new?: number, old?: number } | null} */
  messageWaiting = null;
  /** Whether the page may begin and end recordings; it may pause in any case. */
  mayRecord = false;
  /** Whether calls are taken, and why not. @type {{ open: boolean, reason?: string }} */
  admission = { open: true };
  /** @type {Map<string, Call>} calls that are up */
  calls = new Map();
  /** @type {ConnectionState} */
  connection = 'signed_out';
  /** @type {string | null} the media connection as the gateway sees it */
  mediaState = null;
  /** Why the media connection failed, until another is up. @type {MediaFailure | null} */
  mediaFailure = null;
  muted = false;

  /** @type {ConnectOptions | null} */
  #options = null;
  /** @type {WebSocket | null} */
  #socket = null;
  #requests = new Requests(REQUEST_TIMEOUT_MS);
  #attempts = 0;
  #tokens = new Tokens();
  /** Tells an attempt that is under way from one that was given up while its token was fetched. */
  #attempt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #answering = new Answering();
  #statsClock = new StatsClock(() => void this.#reportStats());
  /** @type {{ resolve: (agent: { dn: string, name?: string }) => void, reject: (error: Error) => void } | null} */
  #signingIn = null;
  /** @type {TalkbridgeError | null} why `hello` was refused */
  #refusal = null;
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  #restarts = new Restarts(() => this.connection === 'signed_in', () => this.restartMedia());
  /** @type {MediaLeg | null} */
  #media = null;
  /** @type {Ringer | null} */
  #ringer = null;
  #network = new Network(() => this.#onNetworkChange());
  #pulse = new Pulse(() => this.#tellMuted());

  constructor() {
    super((order) => this.#request(order));
  }

  /** The peer connection, for tests and for statistics of your own. */
  get peerConnection() {
    return this.#media?.peerConnection ?? null;
  }

  /** What the agent hears. */
  get remoteStream() {
    return this.#media?.remoteStream ?? null;
  }

  /** What the microphone hears. */
  get localStream() {
    return this.#media?.localStream ?? null;
  }

  /** The microphone's state. */
  get microphone() {
    return this.#media?.microphone ?? null;
  }

  /** The loudspeaker's state. */
  get speaker() {
    return this.#media?.speaker ?? null;
  }

  /**
   * Signs in and stays signed in: a lost connection is taken up again until {@link signOut}, {@link close} or a close
   * code that forbids it. Must be called from a click or a key if the page shall make sounds at once.
   * @param {ConnectOptions} options
   * @returns {Promise<{ dn: string, name?: string }>} the agent; rejected when the sign-in is refused. A gateway that
   *   cannot be reached is tried again, and `connection` says so.
   */
  connect(options) {
    if (this.#options) return Promise.reject(new TalkbridgeError('wrong_state', 'already signed in'));
    this.#options = options;
    this.resume = options.resume ?? null;
    this.#attempts = 0;
    this.#media = this.#newMedia(options);
    if (options.ring !== false) this.#ringer = Ringer.beside(this.#media);
    void this.#media.openMicrophone(options.microphone);
    if (options.speaker) this.#media.setSpeaker(options.speaker).catch(() => undefined);
    void this.#media.play();
    this.#network.watch();
    return new Promise((resolve, reject) => {
      this.#signingIn = { resolve, reject };
      void this.#open();
    });
  }

  /** @param {ConnectOptions} options */
  #newMedia(options) {
    const media = new MediaLeg(options.mediaConstraints ?? MICROPHONE);
    media.addEventListener('restart_needed', () => this.#restarts.now());
    for (const type of ['microphone', 'speaker', 'playback', 'devices']) {
      media.addEventListener(type, (event) => {
        if (event instanceof CustomEvent) this.#emit(type, event.detail);
      });
    }
    media.addEventListener('microphone', () => this.#tellMicrophone());
    media.addEventListener('state', (event) => {
      if (!(event instanceof CustomEvent)) return;
      if (event.detail === 'connected') this.#restarts.connected();
      this.#emit('media', { state: event.detail });
    });
    if (options.trickle) {
      media.addEventListener('candidate', (event) => {
        if (event instanceof CustomEvent) this.#sendCandidate(event.detail);
      });
    }
    return media;
  }

  /** Signs out: calls are ended, the DN is unregistered. */
  async signOut() {
    try {
      if (this.connection === 'signed_in') await this.#request({ type: 'bye' });
    } catch {
      // Whatever became of the request, the page leaves.
    }
    this.close();
  }

  /** Leaves without signing out: the gateway keeps the session for its grace time. */
  close() {
    this.#end(1000, 'closed');
  }

  /** Takes a planned attempt to come back at once. */
  retryNow() {
    if (this.connection !== 'waiting') return;
    clearTimeout(this.#timer);
    void this.#open();
  }

  /**
   * Answers a ringing call. The microphone is open from here on: nothing of it goes further than the gateway before that has answered, and behind that the first word
   * is not cut by the time which the news takes to come here.
   * @param {string} call
   */
  answer(call) {
    this.#answering.begin(call);
    this.#applyTalking();
    return this.#request({ type: 'answer', call }).catch((error) => {
      this.#answering.end(call);
      this.#applyTalking();
      throw error;
    });
  }

  /**
   * Mutes the microphone: at once and here, then told to the gateway for whoever watches. It lasts until the last answered call has ended.
   * @param {boolean} muted
   */
  mute(muted) {
    this.muted = muted;
    this.#applyTalking();
    this.#emit('muted', { muted });
    this.#tellMuted();
  }

  /** @param {string} deviceId empty for the system's default */
  async setMicrophone(deviceId) {
    await this.#media?.openMicrophone(deviceId);
  }

  /** @param {string} deviceId empty for the system's default */
  async setSpeaker(deviceId) {
    await this.#media?.setSpeaker(deviceId);
  }

  /** Whether this browser lets a page choose the loudspeaker. */
  static get canChooseSpeaker() {
    return MediaLeg.canChooseSpeaker;
  }

  /** Lets the browser play sound; call it from a click or a key after `playback` said that it is blocked. */
  async play() {
    this.#ringer?.unlock();
    await this.#media?.play();
  }

  /** Rings once, so that the agent can hear that the loudspeaker is the right one. */
  testRing() {
    this.#ringer?.test();
  }

  /** Loudness from 0 to 1: `in` of the microphone, `out` of what the agent hears. */
  levels() {
    return this.#media?.levels() ?? { in: 0, out: 0 };
  }

  async #open() {
    const options = this.#options;
    if (!options) return;
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#setConnection('connecting');
    // Before the socket is there: the gateway does not wait long for `hello`, and a login service may take its time.
    const token = await this.#tokens.next(options.token, this.resume !== null);
    if (attempt !== this.#attempt) return;
    if (token === null) {
      this.#comeBack(1006, 'no token');
      return;
    }
    const socket = new WebSocket(options.url ?? defaultUrl());
    this.#socket = socket;
    // A host that swallows packets would keep us waiting for minutes.
    this.#timer = setTimeout(() => this.#lost(socket, 1006, 'no answer'), REQUEST_TIMEOUT_MS);
    socket.addEventListener('open', () => this.#hello(socket, token, options));
    socket.addEventListener('message', ({ data }) => {
      if (socket === this.#socket && typeof data === 'string') this.#receive(data);
    });
    socket.addEventListener('close', ({ code, reason }) => this.#lost(socket, code, reason));
  }

  /**
   * @param {WebSocket} socket
   * @param {string} token
   * @param {ConnectOptions} options
   */
  #hello(socket, token, options) {
    if (socket !== this.#socket) return;
    this.#tokens.say(token);
    this.#send({
      type: 'hello',
      id: this.#requests.newId(),
      token,
      ...(this.resume ? { resume: this.resume, media_kept: this.#media?.isConnected ?? false } : {}),
      client: options.client ?? { name: 'talkbridge.js', version: VERSION },
    });
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   * @param {string} reason
   */
  #lost(socket, code, reason) {
    if (socket !== this.#socket) return;
    this.#forgetSocket();
    const isWelcome = this.#signingIn === null && this.#refusal?.code !== 'unknown_dn';
    const mayGetAnother = isWelcome && typeof this.#options?.token === 'function';
    if (this.#tokens.isFinal(code, mayGetAnother)) this.#end(code, reason);
    else this.#comeBack(code, reason);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #comeBack(code, reason) {
    const retry = pauseBefore(this.#attempts, code);
    this.#attempts += 1;
    this.#timer = setTimeout(() => void this.#open(), retry);
    // Nobody tells when the caller gives up; `welcome` rings again.
    this.#ringer?.follow([]);
    const refusal = this.#refusal;
    this.#refusal = null;
    const why = refusal ? { reason: refusal.message, refusal: refusal.code } : { reason };
    this.#setConnection('waiting', { code, ...why, retry_ms: retry });
  }

  #forgetSocket() {
    clearTimeout(this.#timer);
    this.#pulse.stop();
    this.#attempt += 1;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#requests.abandon();
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (!this.#options) return;
    this.#options = null;
    this.resume = null;
    this.#forgetSocket();
    this.#statsClock.stop();
    this.#restarts.stop();
    this.#network.leave();
    this.#media?.close();
    this.#media = null;
    this.mediaState = null;
    this.mediaFailure = null;
    const former = [...this.calls.values()];
    this.calls.clear();
    this.#ringer?.close();
    this.#ringer = null;
    this.#answering.clear();
    this.#unmuteBehind(former);
    const refusal = this.#refusal ?? new TalkbridgeError('closed', reason || `closed with ${code}`);
    this.#refusal = null;
    this.#setConnection('signed_out', { code, reason: refusal.message });
    this.#signingIn?.reject(refusal);
    this.#signingIn = null;
  }

  /** @param {string} text */
  #receive(text) {
    /** @type {any} */
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    switch (message.type) {
      case 'welcome':
        this.#welcome(message);
        break;
      case 'replaced':
        // Says more than the refusal before it: the close code that follows is the word for this.
        this.#refusal = null;
        break;
      case 'registration': {
        const { type: _type, ...registration } = message;
        this.registration = registration;
        break;
      }
      case 'message_waiting': {
        const { type: _type, ...waiting } = message;
        this.messageWaiting = waiting;
        break;
      }
      case 'admission':
        this.admission = { open: message.open, reason: message.reason };
        break;
      case 'ice_servers':
        this.#useIceServers(message.ice_servers ?? []);
        break;
      case 'media_offer':
        void this.#acceptOffer(message);
        break;
      case 'media_state':
        this.mediaState = message.state;
        this.#mediaStateChanged(message);
        break;
      case 'call':
        this.#callChanged(message.call);
        break;
      case 'ok':
      case 'error':
        if (this.#reply(message)) return;
        break;
      default:
        break;
    }
    this.#emit(message.type, message);
  }

  /** @param {any} message */
  #welcome(message) {
    clearTimeout(this.#timer);
    this.#attempts = 0;
    this.#tokens.accept();
    this.#refusal = null;
    this.agent = message.agent;
    this.session = message.session;
    this.resume = message.resume;
    this.registration = message.registration;
    this.messageWaiting = message.message_waiting ?? null;
    this.mayRecord = message.may_record ?? false;
    this.admission = { open: true };
    this.#useIceServers(message.ice_servers ?? []);
    const former = [...this.calls.values()];
    this.calls = new Map((message.calls ?? []).map((/** @type {Call} */ call) => [call.id, call]));
    this.#answering.clear();
    this.#ringer?.follow(this.calls.values());
    this.#unmuteBehind(former);
    this.#pulse.start();
    this.#setConnection('signed_in');
    this.#applyTalking();
    // The gateway knows what it was told last, and it may have changed since.
    this.#tellMuted();
    this.#tellMicrophone();
    this.#signingIn?.resolve(message.agent);
    this.#signingIn = null;
  }

  /** @param {RTCIceServer[]} servers whose credentials are good for longer than those before */
  #useIceServers(servers) {
    this.#iceServers = servers;
    this.#media?.useIceServers(servers);
  }

  /** @param {{ state: string, cause?: MediaFailure }} message */
  #mediaStateChanged({ state, cause }) {
    if (state === 'connected') {
      this.mediaFailure = null;
      this.#restarts.connected();
    }
    if (state === 'failed') this.mediaFailure = cause ?? null;
    // A browser that slept may believe in a connection of which the gateway hears nothing any more (Firefox, for half a minute).
    if (state === 'failed' || state === 'disconnected') this.#restarts.soon();
  }

  /** @param {Call} call */
  #callChanged(call) {
    const before = this.calls.get(call.id);
    if (call.state === 'ended') this.calls.delete(call.id);
    else this.calls.set(call.id, call);
    this.#answering.see(call);
    this.#ringer?.follow(this.calls.values());
    this.#applyTalking();
    if (call.state === 'ended') this.#unmuteBehind([before ?? call]);
    // Whoever used the microphone may have ended by now.
    if (call.state === 'ringing' && before?.state !== call.state) this.#media?.retryMicrophone();
  }

  #tellMuted() {
    if (this.connection === 'signed_in') this.#request({ type: 'mute', muted: this.muted }).catch(() => undefined);
  }

  #tellMicrophone() {
    const said = this.#media?.said;
    if (said && this.connection === 'signed_in') this.#request({ type: 'microphone', ...said }).catch(() => undefined);
  }

  /**
   * Who was muted in a call is not muted in the next one: nobody may look at the page when it is answered.
   * @param {Call[]} ended
   */
  #unmuteBehind(ended) {
    if (this.muted && ended.some(isConversation) && ![...this.calls.values()].some(isConversation)) this.mute(false);
  }

  /** Opens the microphone while a call is spoken in, or being answered, here or at the desktop. */
  #applyTalking() {
    const calls = [...this.calls.values()];
    this.#media?.setTalking((calls.some(opensMicrophone) || this.#answering.any) && !this.muted);
    this.#statsClock.run(calls.some(isSpoken));
  }

  /** @param {{ sdp: string, restart?: boolean, offer?: number }} message */
  async #acceptOffer({ sdp, restart = false, offer }) {
    this.#restarts.offered();
    try {
      const answer = await this.#media?.acceptOffer({ sdp, restart }, this.#iceServers);
      if (answer) await this.#request({ type: 'media_answer', sdp: answer, ...(offer === undefined ? {} : { offer }) });
    } catch (error) {
      this.#restarts.soon();
      const message = error instanceof Error ? error.message : String(error);
      if (this.connection === 'signed_in') this.#emit('error', { type: 'error', code: 'bad_media', message });
    }
  }

  /** @param {RTCIceCandidate | null} candidate */
  #sendCandidate(candidate) {
    this.#request(candidateMessage(candidate)).catch(() => undefined);
  }

  #onNetworkChange() {
    if (this.connection === 'waiting') this.retryNow();
    // The request also finds out whether the socket outlived the old network.
    else this.#restarts.now();
  }

  async #reportStats() {
    const connection = this.peerConnection;
    if (!connection || this.connection !== 'signed_in') return;
    const talking = [...this.calls.values()].filter(({ state }) => state === 'talking').map(({ id }) => id);
    const report = await readStats(connection, talking);
    this.#emit('stats', report);
    if (this.connection === 'signed_in') this.#request({ type: 'stats', report }).catch(() => undefined);
  }

  /**
   * @param {Record<string, unknown>} message
   * @returns {Promise<void>} fulfilled when the gateway took it
   */
  #request(message) {
    const socket = this.#socket;
    if (this.connection !== 'signed_in' || !socket) {
      return Promise.reject(new TalkbridgeError('offline', 'not connected to the gateway'));
    }
    const id = this.#requests.newId();
    const reply = this.#requests.wait(id, () => this.#lost(socket, 1006, 'no answer'));
    this.#send({ ...message, id });
    return reply;
  }

  /**
   * @param {{ type: string, id?: string, code?: string, message?: string }} reply
   * @returns {boolean} whether it answers something of ours
   */
  #reply(reply) {
    if (this.#requests.settle(reply)) return true;
    if (reply.type === 'error' && this.connection !== 'signed_in') {
      this.#refusal = new TalkbridgeError(reply.code ?? 'internal', reply.message ?? '');
    }
    return reply.type === 'ok';
  }

  /** @param {Record<string, unknown>} message */
  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /**
   * @param {ConnectionState} state
   * @param {{ code?: number, reason?: string, refusal?: string, retry_ms?: number }} [detail]
   */
  #setConnection(state, detail = {}) {
    this.connection = state;
    this.#emit('connection', { state, ...detail });
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
