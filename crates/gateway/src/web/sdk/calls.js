// @ts-check
/** @import { Call } from './types.js' */

/** What the microphone has to do with calls. */

/**
 * The two hear each other, or may: a call that talks, and a dialled one whose other side is heard before its answer (an announcement may be spoken to).
 * @param {Call} call
 */
export function isSpoken({ state, early_media }) {
  return state === 'talking' || early_media === true;
}

/**
 * The microphone is open for it: it is spoken in, or will be as soon as the connection of this browser is up. Nothing goes further than the gateway before that, and
 * the first word is not cut by the time which the news takes to come here.
 * @param {Call} call
 */
export function opensMicrophone(call) {
  return isSpoken(call) || call.state === 'answering';
}

/**
 * It was answered, on hold or not, or is spoken in before its answer.
 * @param {Call} call
 */
export function isConversation({ talking_ms, early_media }) {
  return talking_ms !== undefined || early_media === true;
}

/** The calls that the agent has answered here, until they talk or come to nothing. */
export class Answering {
  /** @type {Set<string>} */
  #calls = new Set();

  /** Whether there is one. */
  get any() {
    return this.#calls.size > 0;
  }

  /** @param {string} call */
  begin(call) {
    this.#calls.add(call);
  }

  /** @param {string} call */
  end(call) {
    this.#calls.delete(call);
  }

  /** @param {Call} call as it is now */
  see({ id, state }) {
    if (state !== 'ringing' && state !== 'answering') this.end(id);
  }

  clear() {
    this.#calls.clear();
  }
}
