// @ts-check
/** @import { Call } from '../sdk/talkbridge.js' */
import { make } from './dom.js';

/** Attached data that is shown; the rest is for desktops, which have the room. */
const MAX_SHOWN = 8;

/** Reasons of a diversion (RFC 5806). @type {Record<string, string>} */
const REASONS = {
  unconditional: 'always',
  'user-busy': 'busy',
  'no-answer': 'no answer',
  unavailable: 'unavailable',
  deflection: 'passed on',
  'time-of-day': 'out of hours',
  'do-not-disturb': 'do not disturb',
};

/**
 * What is known of a call beside its other party, as pairs of a name and a text.
 * @param {Call} call
 * @returns {[string, string][]}
 */
function facts(call) {
  /** @type {[string, string][]} */
  const pairs = [];
  if (call.remote.privacy) pairs.push(['Caller', 'wants not to be named']);
  const { diverted_from: diverted, user_to_user: user, more_user_to_user: more = [], attached = {}, headers = {} } = call;
  if (diverted) {
    const reason = diverted.reason ? (REASONS[diverted.reason] ?? diverted.reason) : '';
    const dialled = diverted.name ? `${diverted.name}, ${diverted.number}` : diverted.number;
    pairs.push(['Dialled', reason ? `${dialled} (${reason})` : dialled]);
  }
  for (const { data, text, purpose } of user ? [user, ...more] : []) {
    pairs.push([purpose ? `User-to-user (${purpose})` : 'User-to-user', text ?? data]);
  }
  pairs.push(...Object.entries(attached), ...Object.entries(headers));
  return pairs.slice(0, MAX_SHOWN);
}

/** The list of what is known of a call. Whoever called has written it: it is text and nothing else. */
export class Details {
  element = make('dl', { class: 'details', data: { testid: 'details' } });
  #shown = '';

  /** @param {Call} call */
  update(call) {
    const pairs = facts(call);
    const shown = JSON.stringify(pairs);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const rows = pairs.map(([name, text]) =>
      make('div', {}, make('dt', { text: name }), make('dd', { text })),
    );
    this.element.replaceChildren(...rows);
    this.element.hidden = pairs.length === 0;
  }
}
