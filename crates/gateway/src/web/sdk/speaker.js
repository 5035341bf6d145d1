// @ts-check

/**
 * @typedef {object} SpeakerState
 * @property {string} deviceId of the loudspeaker that plays; empty for the system's default
 * @property {boolean} [fallback] the chosen one is not there, and the system's default plays in its place
 */

/**
 * The loudspeaker: an audio element, and the device that the agent chose for it. When that one goes, as a headset does that is unplugged, she hears by the
 * system's default until it is back.
 *
 * Event: `speaker` ({@link SpeakerState}).
 */
export class Speaker extends EventTarget {
  /** @type {HTMLAudioElement & { setSinkId?: (id: string) => Promise<void> }} */
  element = document.createElement('audio');
  /** @type {SpeakerState} */
  state = { deviceId: '' };

  #chosen = '';
  /** The chosen one could not be used before the browser named its devices, as while it asks for the microphone: it is tried again. */
  #owed = false;
  /** @type {Promise<unknown>} one change after the other */
  #turn = Promise.resolve();

  constructor() {
    super();
    this.element.autoplay = true;
  }

  /** Whether this browser lets a page choose the loudspeaker. */
  static get canBeChosen() {
    return 'setSinkId' in HTMLMediaElement.prototype;
  }

  /**
   * Plays through another loudspeaker, from when it is there.
   * @param {string} deviceId empty for the system's default
   * @returns {Promise<void>} rejected when it is there and cannot be used; the one before plays on then. Before the browser names its devices nobody can say whether
   *   it is there, and it is tried again then.
   */
  choose(deviceId) {
    return this.#inTurn(async () => {
      const former = this.#chosen;
      this.#chosen = deviceId;
      this.#owed = false;
      try {
        await this.#play(deviceId, false);
      } catch (error) {
        if (deviceId && /** @type {{ name?: string } | null} */ (error)?.name === 'NotFoundError') {
          await this.#play('', true);
          return;
        }
        const devices = await outputs();
        if (deviceId && !devices.some((device) => device.deviceId)) {
          this.#owed = true;
          return;
        }
        this.#chosen = former;
        throw error;
      }
    });
  }

  /** Looks whether the chosen one has gone, or is back. */
  look() {
    return this.#inTurn(async () => {
      if (!this.#chosen || !Speaker.canBeChosen) return;
      const devices = await outputs();
      if (!devices.some(({ deviceId }) => deviceId)) return;
      const isThere = devices.some(({ deviceId }) => deviceId === this.#chosen);
      if (isThere === !this.state.fallback && !this.#owed) return;
      this.#owed = false;
      await this.#play(isThere ? this.#chosen : '', !isThere);
    }).catch(() => undefined);
  }

  /**
   * @param {string} deviceId
   * @param {boolean} fallback
   */
  async #play(deviceId, fallback) {
    if (!Speaker.canBeChosen) return;
    await this.element.setSinkId?.(deviceId);
    this.state = { deviceId, ...(fallback ? { fallback } : {}) };
    this.dispatchEvent(new CustomEvent('speaker', { detail: this.state }));
  }

  /**
   * @template T
   * @param {() => Promise<T>} change
   * @returns {Promise<T>}
   */
  #inTurn(change) {
    const done = this.#turn.then(change);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}

async function outputs() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind }) => kind === 'audiooutput');
}
