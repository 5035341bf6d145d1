// @ts-check
/** @import { Call } from '../sdk/talkbridge.js' */
import { make, say, whileBusy } from './dom.js';

/** @typedef {'start' | 'pause' | 'resume' | 'stop'} Order */

/** @type {Record<Order, { label: string, look: string }>} */
const ORDERS = {
  start: { label: 'Record', look: '' },
  pause: { label: 'Pause recording', look: '' },
  resume: { label: 'Resume recording', look: 'good' },
  stop: { label: 'Stop recording', look: '' },
};

/** The same where somebody listens live, and nothing is recorded. @type {typeof ORDERS} */
const UNRECORDED = { ...ORDERS, pause: { label: 'Pause listening', look: '' }, resume: { label: 'End the pause', look: 'good' } };

/** @param {Call} call */
const isRecorded = ({ recording }) => recording === 'recording' || recording === 'paused';

/**
 * What can be asked for now. To pause is the agent's wherever somebody would hear; to begin and to end where she may.
 * @param {Call} call
 * @param {boolean} may whether she may record
 * @returns {Order[]}
 */
function ordersFor(call, may) {
  const { state, listened, paused } = call;
  if (state !== 'talking' && state !== 'held') return [];
  /** @type {Order[]} */
  const orders = [];
  if (paused) orders.push('resume');
  else if (isRecorded(call) || listened) orders.push('pause');
  if (may) orders.push(isRecorded(call) ? 'stop' : 'start');
  return orders;
}

/** @param {Call} call empty where nothing is recorded, and nobody listens */
function words(call) {
  const { recording, listened, paused } = call;
  const failed = recording === 'failed' ? 'The recording failed. Tell your administrator' : '';
  const said = [failed];
  if (paused) {
    said.push(isRecorded(call) ? 'Recording paused: nothing said now is kept' : 'Paused: whoever listens live hears nothing');
  } else {
    said.push(isRecorded(call) ? 'Recording' : '', listened ? 'Somebody listens live' : '');
  }
  return said.filter(Boolean).join('. ');
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
      button.addEventListener('click', () => void whileBusy(button, () => act(order)));
      this.#buttons.set(order, button);
      this.#row.append(button);
    }
    this.element = make('div', {}, this.#words, this.#row);
  }

  /** @param {Call} call */
  update(call) {
    say(this.#words, words(call));
    this.#words.dataset.recording = call.paused ? 'paused' : (call.recording ?? '');
    const orders = ordersFor(call, this.#may());
    const hadFocus = this.#row.contains(document.activeElement);
    this.#row.hidden = orders.length === 0;
    const named = isRecorded(call) ? ORDERS : UNRECORDED;
    for (const [order, button] of this.#buttons) {
      button.hidden = !orders.includes(order);
      say(button, named[order].label);
    }
    // A button that was pressed and is gone leaves the focus on the one in its place.
    const [next] = orders;
    if (hadFocus && next && document.activeElement?.closest('[hidden]')) this.#buttons.get(next)?.focus();
  }
}
