// @ts-check

/** Share of what was said that may be missing before the agent is told. */
const MISSING_MAX = 0.05;

/** Opinion score below which people complain (ITU-T G.107), and the share of missing speech from which on that has a reason in the present. */
const MOS_MIN = 3.5;
const MISSING_SOME = 0.01;

/** From mouth to ear: above this people speak at the same time (ITU-T G.114). */
const ONE_WAY_MAX_MS = 400;

/** Packets of 20 ms. */
const PACKET_MS = 20;

/**
 * @typedef {{ packets?: number | null, lost?: number | null, concealed_ms?: number | null, one_way_ms?: number | null, mos?: number | null }} Direction
 * @typedef {{ to_agent: Direction, to_caller: Direction, browser?: { received?: Direction } }} Quality
 */

/** Tells from what the gateway measures every 5 s how a call is heard now; the figures themselves are of the whole call. */
export class Hearing {
  /** What was counted last. @type {Map<string, { packets: number, lost: number }>} */
  #before = new Map();

  /**
   * @param {Quality} quality
   * @returns {{ here: boolean, there: boolean }} whether the agent hears badly, and whether the other side does
   */
  badly({ to_agent: here, to_caller: there, browser }) {
    const arrives = this.#missing('arrives', here);
    const played = this.#missing('played', browser?.received ?? {});
    return {
      here: isBad(here, Math.max(arrives, played)),
      there: isBad(there, this.#missing('said', there)),
    };
  }

  /**
   * The share that has gone missing since last time, 0 where nobody knows.
   * @param {string} where
   * @param {Direction} counts
   */
  #missing(where, { packets, lost, concealed_ms: concealed }) {
    if (typeof packets !== 'number' || typeof (concealed ?? lost) !== 'number') return 0;
    const now = { packets, lost: typeof concealed === 'number' ? concealed / PACKET_MS : (lost ?? 0) };
    const before = this.#before.get(where) ?? { packets: 0, lost: 0 };
    this.#before.set(where, now);
    const [came, went] = [now.packets - before.packets, now.lost - before.lost];
    return came >= 0 && went > 0 ? went / (came + went) : 0;
  }
}

/**
 * @param {Direction} direction
 * @param {number} missing
 */
function isBad({ mos, one_way_ms: delay }, missing) {
  const isLate = typeof delay === 'number' && delay > ONE_WAY_MAX_MS;
  return missing > MISSING_MAX || (typeof mos === 'number' && mos < MOS_MIN && (missing > MISSING_SOME || isLate));
}
