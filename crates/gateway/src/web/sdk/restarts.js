// @ts-check
/** Asks the gateway for another offer: not too often, and again where nothing comes of it. */
import { varied } from './attempts.js';

/** Shortest time between two requests for an ICE restart. */
const INTERVAL_MS = 3_000;

/** How long an offer may take before it is asked for again, each varied by a quarter. The gateway offers by itself in most cases; where it does not, it has reasons that
 * may last. */
const PAUSES_MS = [3_000, 6_000, 12_000, 24_000, 48_000];

/** The requests of one page. */
export class Restarts {
  #mayAsk;
  #ask;
  #pace = new Pace(INTERVAL_MS, () => this.now());
  #asked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {() => boolean} mayAsk whether the gateway can be asked
   * @param {() => Promise<unknown>} ask
   */
  constructor(mayAsk, ask) {
    this.#mayAsk = mayAsk;
    this.#ask = ask;
  }

  /** The connection is bad, or the network is another one: an offer is asked for, and again where none comes. */
  now() {
    // While we are offline nothing is asked for: `hello` says that the media is gone, and an offer comes.
    if (!this.#mayAsk() || !this.#pace.mayGo()) return;
    this.soon();
    this.#ask().catch(() => undefined);
  }

  /** The connection has failed, or the gateway hears nothing of it, or an offer could not be taken. The gateway offers another, or it comes back; where it does not, it is asked. */
  soon() {
    if (this.#timer !== undefined) return;
    const pause = PAUSES_MS[Math.min(this.#asked, PAUSES_MS.length - 1)];
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#asked += 1;
      this.now();
    }, varied(pause));
  }

  /** An offer is there: what comes of it is told. */
  offered() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The connection is up: the next pause is the shortest again. */
  connected() {
    this.offered();
    this.#asked = 0;
  }

  stop() {
    this.connected();
    this.#pace.stop();
  }
}

/** Keeps attempts of a kind apart. */
class Pace {
  #interval_ms;
  #again;
  #last = Number.NEGATIVE_INFINITY;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {number} interval_ms shortest time between two
   * @param {() => void} again makes another one, for what wanted one too early
   */
  constructor(interval_ms, again) {
    this.#interval_ms = interval_ms;
    this.#again = again;
  }

  /** Whether one may be made now. Where not, there is another one as soon as it may. */
  mayGo() {
    if (this.#timer !== undefined) return false;
    const wait = this.#last + this.#interval_ms - performance.now();
    if (wait > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#again();
      }, wait);
      return false;
    }
    this.#last = performance.now();
    return true;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
