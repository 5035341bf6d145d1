// @ts-check

/** How soon after it has ended the microphone is opened by itself again: one that ends at once does not work. */
const RETRY_MS = 10_000;

/** Characters of a device's name that the gateway is told. */
const LABEL_MAX = 128;

/**
 * @typedef {object} MicrophoneState
 * @property {'asking' | 'open' | 'muted' | 'denied' | 'missing' | 'busy' | 'insecure' | 'ended'} state `muted`: it is open and gives silence, because the
 *   system or a key of the headset mutes it
 * @property {string} [label] name of the device, when one is open
 * @property {string} [deviceId] the device that was chosen, when one is open; empty for the system's default
 * @property {boolean} [fallback] the chosen device is not there, and the system's default is open in its place
 * @property {'denied' | 'missing' | 'busy'} [problem] why another one could not be opened: the one before is open, and heard
 */

/**
 * Who is told of the stream of a microphone.
 * @typedef {object} Listener
 * @property {(stream: MediaStream) => Promise<void>} use takes another one; the one before is stopped behind it
 * @property {() => void} release lets go of the one before, copies included
 */

/**
 * The system's default as the browser shows it.
 * @typedef {object} SystemDefault
 * @property {string} groupId of the hardware
 * @property {string} label
 * @property {string} [deviceId] by which the device itself can be asked for
 */

/**
 * The microphone that the agent has chosen, or the system's default: opened again when it comes back, when another one becomes the default, and when the browser
 * gives it up.
 *
 * Events: `microphone` ({@link MicrophoneState}), `known` (the browser names its devices now).
 */
export class Microphone extends EventTarget {
  /** @type {MediaStream | null} what it hears */
  stream = null;
  /** @type {MicrophoneState} */
  state = { state: 'asking' };
  /** The last attempt to open one has come to its end. @type {Promise<unknown>} */
  ready = Promise.resolve();

  #constraints;
  #listener;
  #enabled = false;
  #closed = false;
  #attempt = 0;
  /** The device that the agent wants. */
  #chosen = '';
  /** The system's default when the microphone was opened. @type {SystemDefault | null} */
  #default = null;
  /** The microphone, or another one, is asked for. */
  #asking = false;
  /** A device came or went meanwhile. */
  #changedMeanwhile = false;
  /** When the browser ended the microphone's track last. */
  #endedAt = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;

  /**
   * @param {MediaTrackConstraints} constraints
   * @param {Listener} listener
   */
  constructor(constraints, listener) {
    super();
    this.#constraints = constraints;
    this.#listener = listener;
  }

  /**
   * Opens a microphone. Never throws: `microphone` says what came of it.
   * @param {string} [deviceId] empty for the system's default
   */
  open(deviceId = '') {
    this.#chosen = deviceId;
    return this.#begin();
  }

  /** The state in the words of the agent protocol. */
  get said() {
    const { state, label } = this.state;
    // JSON has no words for half a character.
    const whole = [...(label ?? '')].filter((character) => !/\p{Surrogate}/u.test(character));
    return { state, ...(whole.length > 0 ? { label: whole.slice(0, LABEL_MAX).join('') } : {}) };
  }

  /** Opens the one that could not be had: whoever used it may have ended. */
  retry() {
    if (!this.#asking && ['missing', 'ended', 'busy'].includes(this.state.state)) void this.#begin();
  }

  /**
   * Lets the microphone be heard, or not. It stays open either way, so this takes effect at once.
   * @param {boolean} enabled
   */
  enable(enabled) {
    this.#enabled = enabled;
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = enabled;
  }

  /** A device came or went, or another one is the system's default. Whoever plugs a microphone in wants it to work. */
  look() {
    if (this.#asking) this.#changedMeanwhile = true;
    else if (this.#isOpen) void this.#follow();
    else this.retry();
  }

  /** Lets everything go. */
  close() {
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    if (this.stream) stopTracks(this.stream);
    this.stream = null;
  }

  /** @param {string} [standIn] the device that is the system's default */
  #begin(standIn) {
    this.ready = this.#open(standIn);
    return this.ready;
  }

  /** @param {string} [standIn] */
  async #open(standIn) {
    clearTimeout(this.#retryTimer);
    this.#attempt += 1;
    const attempt = this.#attempt;
    const isLate = () => this.#closed || attempt !== this.#attempt;
    if (!navigator.mediaDevices?.getUserMedia) {
      this.#set({ state: 'insecure' });
      return;
    }
    // Until another one is open the one before is heard, and nobody is told otherwise.
    if (!this.#isOpen) this.#set({ state: 'asking' });
    const chosen = this.#chosen;
    this.#asking = true;
    this.#changedMeanwhile = false;
    let stream;
    let fallback = Boolean(chosen && standIn !== undefined);
    try {
      try {
        stream = await this.#capture(standIn ?? chosen);
      } catch (error) {
        const wants = !this.#isOpen && !isLate();
        if (!(standIn || chosen) || microphoneFault(error) !== 'missing' || !wants) throw error;
        // The headset of yesterday is not plugged in: another microphone is better than none.
        fallback = chosen !== '';
        stream = await this.#capture('');
      }
    } catch (error) {
      if (!isLate()) this.#failed(error);
      return;
    }
    if (isLate()) {
      stopTracks(stream);
      return;
    }
    await this.#use(stream, { deviceId: chosen, ...(fallback ? { fallback } : {}) });
  }

  /** @param {string} deviceId */
  #capture(deviceId) {
    const audio = { ...this.#constraints, ...(deviceId ? { deviceId: { exact: deviceId } } : {}) };
    return navigator.mediaDevices.getUserMedia({ audio });
  }

  /**
   * @param {MediaStream} stream
   * @param {{ deviceId: string, fallback?: boolean }} choice
   */
  async #use(stream, choice) {
    this.#asking = false;
    const old = this.stream;
    this.stream = stream;
    const [track] = stream.getAudioTracks();
    track.enabled = this.#enabled;
    const told = () => {
      if (this.stream === stream) this.#set({ state: track.muted ? 'muted' : 'open', label: track.label, ...choice });
    };
    track.addEventListener('mute', told);
    track.addEventListener('unmute', told);
    track.addEventListener('ended', () => {
      if (this.stream === stream) this.#onEnded();
    });
    await this.#listener.use(stream);
    if (old) stopTracks(old);
    told();
    this.dispatchEvent(new Event('known'));
    void this.#noteDefault(stream);
  }

  /** @param {unknown} error */
  #failed(error) {
    this.#asking = false;
    const problem = microphoneFault(error);
    if (this.#isOpen) {
      this.#chosen = this.state.deviceId ?? '';
      this.#set({ ...this.state, problem });
    } else {
      this.#set({ state: problem });
    }
    // The agent may choose another.
    this.dispatchEvent(new Event('known'));
    if (this.#changedMeanwhile) this.look();
  }

  /** A microphone is open, and what it hears is sent while a call talks. */
  get #isOpen() {
    const live = this.stream?.getAudioTracks().some(({ readyState }) => readyState === 'live') ?? false;
    return live && (this.state.state === 'open' || this.state.state === 'muted');
  }

  /**
   * The device is gone, or the browser has given it up, as it does when the machine slept. It is opened once more: an agent whose voice is gone does not notice
   * by herself.
   */
  #onEnded() {
    this.#set({ state: 'ended' });
    if (this.#closed || this.#asking) return;
    const now = performance.now();
    const wait = this.#endedAt + RETRY_MS - now;
    this.#endedAt = now;
    if (wait > 0) this.#retryTimer = setTimeout(() => this.retry(), wait);
    else void this.#begin();
  }

  /** The device that the agent chose may be back; and where the system's default is open, another one may be that. */
  async #follow() {
    const devices = await microphones();
    if (this.#closed || this.#asking || !this.#isOpen) return;
    const { fallback } = this.state;
    if (this.#chosen && !fallback) return;
    if (fallback && devices.some(({ deviceId }) => deviceId === this.#chosen)) {
      void this.#begin();
      return;
    }
    const now = systemDefault(devices);
    if (!now || this.#isOpenAlready(now)) {
      // What could not be had is not wanted any more.
      const { problem, ...state } = this.state;
      if (problem) this.#set(state);
      return;
    }
    if (now.deviceId === undefined) {
      // Chromium hands out the former default for as long as anything of it is open.
      this.#listener.release();
      if (this.stream) stopTracks(this.stream);
    }
    void this.#begin(now.deviceId ?? '');
  }

  /** @param {SystemDefault} now */
  #isOpenAlready(now) {
    const [track] = this.stream?.getAudioTracks() ?? [];
    const { deviceId, groupId } = track?.getSettings() ?? {};
    // What Chromium calls by this name is the device that was the default when it was opened.
    if (deviceId === 'default' && groupId !== undefined && groupId !== now.groupId) return false;
    const before = this.#default;
    return before === null || (now.groupId === before.groupId && now.label === before.label);
  }

  /** @param {MediaStream} stream that has been opened */
  async #noteDefault(stream) {
    const now = systemDefault(await microphones());
    if (this.stream !== stream) return;
    this.#default = now;
    // Where it cannot be asked for itself, another attempt may bring the same one.
    const isAnother = now?.deviceId !== undefined && !this.#isOpenAlready(now);
    if (isAnother || this.#changedMeanwhile) this.look();
  }

  /** @param {MicrophoneState} state */
  #set(state) {
    this.state = state;
    this.dispatchEvent(new CustomEvent('microphone', { detail: state }));
  }
}

async function microphones() {
  // A page that is being left is refused.
  const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  return devices.filter(({ kind }) => kind === 'audioinput');
}

/**
 * Chromium has an entry of its own for it, which says only by group and name which device it is; elsewhere it is the first (Media Capture and Streams, section 9.2).
 * @param {MediaDeviceInfo[]} devices
 * @returns {SystemDefault | null} `null` where nobody may know
 */
function systemDefault(devices) {
  const named = devices.find(({ deviceId }) => deviceId === 'default');
  if (!named) {
    const [first] = devices;
    return first?.deviceId ? { groupId: first.groupId, label: first.label, deviceId: first.deviceId } : null;
  }
  const { groupId, label } = named;
  const real = devices.filter((device) => device.groupId === groupId && !['default', 'communications'].includes(device.deviceId));
  // A device may have several microphones; its entry is called "Default - " and the name of one, in the browser's language.
  const device = real.length === 1 ? real[0] : real.find((device) => device.label && label.endsWith(device.label));
  return { groupId, label, ...(device ? { deviceId: device.deviceId } : {}) };
}

/**
 * @param {unknown} error of getUserMedia
 * @returns {'denied' | 'missing' | 'busy'}
 */
function microphoneFault(error) {
  switch (/** @type {{ name?: string } | null} */ (error)?.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return 'missing';
  }
}

/** @param {MediaStream} stream */
export function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}
