// @ts-check
/** Attempts to reach the gateway: where it is, the token of each, the pauses between them, and after which end there is none. */

/** How long a token may take to be fetched; then the next attempt asks for another. */
const TOKEN_TIMEOUT_MS = 30_000;

/** The same where the page has a session and the token that it came with: calls are not kept waiting for a login service. */
const TOKEN_TIMEOUT_IN_SESSION_MS = 2_000;

/** Pauses between attempts to come back, each varied by a quarter so that a restarted gateway is not run down by all
 * its pages at once. The first is short: most losses are short. */
const BACK_OFF_MS = [300, 1_000, 2_000, 4_000, 8_000];

/** Close codes after which coming back is of no use; see docs/agent-protocol.md, "Close codes". */
const FINAL_CLOSE_CODES = new Set([1000, 4400, 4401, 4409, 4413]);

/** Close code of a gateway that does not accept the token. */
const NOT_ALLOWED = 4403;

/** Tokens in a row that may be refused to a page that has a session: with the longest pauses these are 80 s, so that a login service that hands out
 * yesterday's token for a while costs no call, and one that does so for ever is not asked for ever. */
const REFUSED_TOKENS_MAX = 10;

/** Close code of a gateway that wants fewer connections. */
const TOO_MANY = 4429;

/** The tokens of a page. */
export class Tokens {
  #refusedInARow = 0;
  /** @type {string | null} */
  #said = null;
  /** @type {string | null} */
  #accepted = null;

  /**
   * The token for the next attempt. A page with a session does not wait long for a new one: with the session's secret the one that opened it will do, although
   * it may be over.
   * @param {string | (() => string | Promise<string>)} token
   * @param {boolean} hasSession
   * @returns {Promise<string | null>} `null` when there is none in time
   */
  next(token, hasSession) {
    return fetchToken(token, hasSession ? this.#accepted : null);
  }

  /** @param {string} token goes to the gateway */
  say(token) {
    this.#said = token;
  }

  /** The gateway has taken it. */
  accept() {
    this.#refusedInARow = 0;
    this.#accepted = this.#said;
  }

  /**
   * Whether the page stays away after this close code. Where a token was refused to a page that is signed in it has calls, and the next token may be good.
   * @param {number} code
   * @param {boolean} mayGetAnother the page has a session, and a way to another token
   */
  isFinal(code, mayGetAnother) {
    if (code !== NOT_ALLOWED) return FINAL_CLOSE_CODES.has(code);
    this.#accepted = null;
    this.#refusedInARow += 1;
    return !mayGetAnother || this.#refusedInARow > REFUSED_TOKENS_MAX;
  }
}

/**
 * @param {number} attempts that were made in vain
 * @param {number} code with which the last one closed
 * @returns {number} milliseconds
 */
export function pauseBefore(attempts, code) {
  const last = BACK_OFF_MS.length - 1;
  const isUnwelcome = code === TOO_MANY || code === NOT_ALLOWED;
  const pause = BACK_OFF_MS[isUnwelcome ? last : Math.min(attempts, last)];
  return varied(pause);
}

/**
 * Varied by a quarter.
 * @param {number} pause in milliseconds
 */
export function varied(pause) {
  return Math.round(pause * (0.75 + Math.random() / 2));
}

/**
 * @param {string | (() => string | Promise<string>)} token
 * @param {string | null} former
 * @returns {Promise<string | null>} the former one, or `null`, when there is none in time
 */
async function fetchToken(token, former) {
  if (typeof token === 'string') return token;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {Promise<string | null>} */
  const patience = new Promise((resolve) => {
    timer = setTimeout(() => resolve(former), former ? TOKEN_TIMEOUT_IN_SESSION_MS : TOKEN_TIMEOUT_MS);
  });
  try {
    return await Promise.race([token(), patience]);
  } catch {
    return former;
  } finally {
    clearTimeout(timer);
  }
}

/** The WebSocket beside this page. */
export function defaultUrl() {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return `${scheme}//${location.host}/agent/v1`;
}
