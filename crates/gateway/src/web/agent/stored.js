// @ts-check

/**
 * Where a reload finds its session: this tab only, gone when the tab is closed. Whoever was muted in a call stays muted in it. A browser that forbids a site
 * to store anything forgets it; no more than that.
 */
const KEYS = { token: 'talkbridge.token', resume: 'talkbridge.resume', muted: 'talkbridge.muted' };

/** @typedef {keyof typeof KEYS} Key */

/**
 * @template T
 * @param {(storage: Storage) => T} use
 * @returns {T | null}
 */
function tried(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}

export const stored = {
  /** @param {Key} key */
  get: (key) => tried((storage) => storage.getItem(KEYS[key])),

  /**
   * @param {Key} key
   * @param {string} value
   */
  set: (key, value) => tried((storage) => storage.setItem(KEYS[key], value)),

  /** @param {Key[]} keys */
  forget: (...keys) => tried((storage) => keys.forEach((key) => storage.removeItem(KEYS[key]))),

  forgetAll: () => stored.forget(.../** @type {Key[]} */ (Object.keys(KEYS))),
};
