// @ts-check
/** Attempts to reach the gateway: where it is, the token of each, the pauses between them, and after which end there is none. */

/** How long a token may take to be fetched; then the next attempt asks for another. */
const TOKEN_TIMEOUT_MS = 30_000;

/** Pauses between attempts to come back, each varied by a quarter so that a restarted gateway is not run down by all
 * its pages at once. The first is short: most losses are short. */
const BACK_OFF_MS = [300, 1_000, 2_000, 4_000, 8_000];

/** Close codes after which coming back is of no use; see docs/agent-protocol.md, "Close codes". */
export const FINAL_CLOSE_CODES = new Set([1000, 4400, 4401, 4403, 4409, 4413]);

/** Close code of a gateway that wants fewer connections. */
const TOO_MANY = 4429;

/**
 * @param {number} attempts that were made in vain
 * @param {number} code with which the last one closed
 * @returns {number} milliseconds
 */
export function pauseBefore(attempts, code) {
  const last = BACK_OFF_MS.length - 1;
  const pause = BACK_OFF_MS[code === TOO_MANY ? last : Math.min(attempts, last)];
  return Math.round(pause * (0.75 + Math.random() / 2));
}

/**
 * @param {string | (() => string | Promise<string>)} token
 * @returns {Promise<string | null>} `null` when there is none in time
 */
export async function fetchToken(token) {
  if (typeof token === 'string') return token;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {Promise<null>} */
  const patience = new Promise((resolve) => {
    timer = setTimeout(() => resolve(null), TOKEN_TIMEOUT_MS);
  });
  try {
    return await Promise.race([token(), patience]);
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/** The WebSocket beside this page. */
export function defaultUrl() {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return `${scheme}//${location.host}/agent/v1`;
}
