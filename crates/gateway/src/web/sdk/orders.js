// @ts-check

/** What an agent can ask for by one message of the protocol. Each promise is fulfilled when the gateway took it; what comes of it the events tell. */
export class Orders extends EventTarget {
  #ask;

  /** @param {(order: Record<string, unknown>) => Promise<void>} ask */
  constructor(ask) {
    super();
    this.#ask = ask;
  }

  /** @param {string} call */
  reject(call) {
    return this.#ask({ type: 'reject', call });
  }

  /** @param {string} call */
  hangup(call) {
    return this.#ask({ type: 'hangup', call });
  }

  /** @param {string} call */
  hold(call) {
    return this.#ask({ type: 'hold', call });
  }

  /** @param {string} call */
  retrieve(call) {
    return this.#ask({ type: 'retrieve', call });
  }

  /** @param {string} number */
  dial(number) {
    return this.#ask({ type: 'dial', number });
  }

  /**
   * @param {string} call
   * @param {string} digits `0-9`, `*`, `#`, `A-D`
   */
  dtmf(call, digits) {
    return this.#ask({ type: 'dtmf', call, digits });
  }

  /**
   * Begins, ends, pauses or resumes the recording of a call; `recording` of the call says what came of it.
   * @param {string} call
   * @param {'start' | 'stop' | 'pause' | 'resume'} action
   */
  record(call, action) {
    return this.#ask({ type: 'record', call, action });
  }

  /**
   * @param {string} call
   * @param {{ to: string } | { to_call: string }} target a number, or another call to join with
   */
  transfer(call, target) {
    return this.#ask({ type: 'transfer', call, ...target });
  }

  /** Asks for a fresh path of the media connection (ICE restart). */
  restartMedia() {
    return this.#ask({ type: 'media_restart' });
  }
}
