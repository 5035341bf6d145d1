// @ts-check

/** A refusal: `code` is one of the protocol's error codes, or `offline`, `timeout` or `closed`. */
export class TalkbridgeError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = 'TalkbridgeError';
    this.code = code;
  }
}

/**
 * @typedef {object} Open
 * @property {() => void} resolve
 * @property {(error: Error) => void} reject
 * @property {ReturnType<typeof setTimeout>} timer
 */

/** Requests that wait for their `ok` or `error`. */
export class Requests {
  /** @type {Map<string, Open>} */
  #open = new Map();
  #lastId = 0;
  #timeoutMs;

  /** @param {number} timeoutMs */
  constructor(timeoutMs) {
    this.#timeoutMs = timeoutMs;
  }

  /** An `id` that was not used before. */
  newId() {
    this.#lastId += 1;
    return String(this.#lastId);
  }

  /**
   * Waits for the reply to a request.
   * @param {string} id
   * @param {() => void} onSilence called when none came in time
   * @returns {Promise<void>}
   */
  wait(id, onSilence) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#open.delete(id);
        reject(new TalkbridgeError('timeout', 'the gateway did not answer'));
        onSilence();
      }, this.#timeoutMs);
      this.#open.set(id, { resolve, reject, timer });
    });
  }

  /**
   * Takes a reply.
   * @param {{ id?: string, type: string, code?: string, message?: string }} reply
   * @returns {boolean} whether a request of ours waited for it
   */
  settle({ id = '', type, code = 'internal', message = '' }) {
    const request = this.#open.get(id);
    if (!request) return false;
    this.#open.delete(id);
    clearTimeout(request.timer);
    if (type === 'ok') request.resolve();
    else request.reject(new TalkbridgeError(code, message));
    return true;
  }

  /** The connection is lost: nothing will be answered. */
  abandon() {
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const { reject, timer } of open) {
      clearTimeout(timer);
      reject(new TalkbridgeError('offline', 'the connection was lost'));
    }
  }
}
