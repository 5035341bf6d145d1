// @ts-check

/** How often something is asked: with the patience for a reply this is how long a page may go on beside a dead socket. */
const INTERVAL_MS = 5_000;

/**
 * Asks something of the gateway from time to time. A firewall that forgets a TCP connection tells neither side, while the audio beside it goes on: a call that
 * is answered at the desktop then opens no microphone, because nobody tells the page.
 */
export class Pulse {
  #ask;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {() => void} ask something that may be asked again, and is answered */
  constructor(ask) {
    this.#ask = ask;
  }

  start() {
    this.stop();
    this.#timer = setInterval(this.#ask, INTERVAL_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }
}
