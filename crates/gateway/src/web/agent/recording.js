// @ts-check
/** @import { Call } from '../sdk/talkbridge.js' */
import { make, say } from './dom.js';

/** @typedef {'start' | 'pause' | 'resume' | 'stop'} Order */

/** @type {Record<Order, { label: string, look: string }>} */
const ORDERS = {
  start: { label: 'Record', look: '' },
  pause: { label: 'Pause recording', look: '' },
  resume: { label: 'Resume recording', look: 'good' },
  stop: { label: 'Stop recording', look: '' },
};

/**
 * What can be asked for now.
 * @param {Call} call
 * @returns {Order[]}
 */
function ordersFor({ state, recording }) {
  if (state !== 'talking' && state !== 'held') return [];
  if (recording === 'recording') return ['pause', 'stop'];
  if (recording === 'paused') return ['resume', 'stop'];
  return ['start'];
}

/** @param {Call} call empty where nothing is recorded */
function words({ recording }) {
  switch (recording) {
    case 'recording':
      return 'Recording';
    case 'paused':
      return 'Recording paused: nothing said now is kept';
    case 'failed':
      return 'The recording failed. Tell your administrator.';
    default:
      return '';
  }
}

/** What becomes of a call's recording, and the buttons for it where the agent may. */
export class RecordingPanel {
  /** Goes into the card. */
  element;
  #words = make('p', { class: 'recording', data: { testid: 'recording' }, attributes: { role: 'status' } });
  #row = make('div', { class: 'actions' });
  #may;
  /** @type {Map<Order, HTMLButtonElement>} */
  #buttons = new Map();

  /**
   * @param {(order: Order) => Promise<boolean>} act
   * @param {() => boolean} may whether the agent may record
   */
  constructor(act, may) {
    this.#may = may;
    for (const order of /** @type {Order[]} */ (Object.keys(ORDERS))) {
      const { label, look } = ORDERS[order];
      const button = make('button', { class: look, text: label, data: { record: order }, attributes: { type: 'button' } });
      button.addEventListener('click', async () => {
        button.disabled = true;
        await act(order);
        button.disabled = false;
      });
      this.#buttons.set(order, button);
      this.#row.append(button);
    }
    this.element = make('div', {}, this.#words, this.#row);
  }

  /** @param {Call} call */
  update(call) {
    say(this.#words, words(call));
    this.#words.dataset.recording = call.recording ?? '';
    const orders = this.#may() ? ordersFor(call) : [];
    const hadFocus = this.#row.contains(document.activeElement);
    this.#row.hidden = orders.length === 0;
    for (const [order, button] of this.#buttons) button.hidden = !orders.includes(order);
    // A button that was pressed and is gone leaves the focus on the one in its place.
    const [next] = orders;
    if (hadFocus && next && document.activeElement?.closest('[hidden]')) this.#buttons.get(next)?.focus();
  }
}
