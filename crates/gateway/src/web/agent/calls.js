// @ts-check
/** @import { Call } from '../sdk/talkbridge.js' */
import { Details } from './details.js';
import { make, say, whileBusy } from './dom.js';
import { RecordingPanel } from './recording.js';
import { TransferPanel, canTransfer } from './transfer.js';
import { callWords, missingWords, clock, endWords, hearingWords, who } from './words.js';

/** Ended calls that stay in sight. */
const MAX_RECENT = 5;

const KEYS = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '0', '#'];

/**
 * What the agent can do with a call: label, keyboard shortcut, looks.
 * @typedef {'answer' | 'reject' | 'hold' | 'retrieve' | 'keypad' | 'transfer' | 'hangup'} Action
 * @type {Record<Action, { label: string, keys?: string, look: string }>}
 */
const ACTIONS = {
  answer: { label: 'Answer', keys: 'Alt+A', look: 'good' },
  reject: { label: 'Reject', keys: 'Alt+R', look: 'bad' },
  hold: { label: 'Hold', keys: 'Alt+O', look: '' },
  retrieve: { label: 'Retrieve', keys: 'Alt+O', look: 'good' },
  keypad: { label: 'Keypad', look: '' },
  transfer: { label: 'Transfer', keys: 'Alt+T', look: '' },
  hangup: { label: 'Hang up', keys: 'Alt+X', look: 'bad' },
};

/**
 * @param {Call} call
 * @returns {Action[]}
 */
function actionsFor(call) {
  switch (call.state) {
    case 'offered':
    case 'ringing':
      if (call.direction === 'inbound') return ['answer', 'reject'];
      // An announcement before the answer may ask for digits.
      return call.early_media ? ['keypad', 'hangup'] : ['hangup'];
    case 'answering':
      return ['hangup'];
    case 'talking':
      return canTransfer(call) ? ['hold', 'keypad', 'transfer', 'hangup'] : ['hold', 'keypad', 'hangup'];
    case 'held': {
      const retrieve = /** @type {Action[]} */ (call.held_by === 'remote' ? [] : ['retrieve']);
      return canTransfer(call) ? [...retrieve, 'transfer', 'hangup'] : [...retrieve, 'hangup'];
    }
    default:
      return [];
  }
}

/** One call on the page. It is built once and then changed in place, so that the focus stays where it is. */
class Card {
  /** @type {Call} */
  call;
  element;
  #name = make('span', { class: 'name' });
  #number = make('span', { class: 'number' });
  #timer = make('span', { class: 'timer', attributes: { role: 'timer', 'aria-live': 'off' } });
  #state = make('p', { class: 'state' });
  #details = new Details();
  #actions = make('div', { class: 'actions' });
  #digits = make('output', { class: 'digits' });
  #missing = make('p', { class: 'missing', data: { testid: 'audio-missing' }, attributes: { role: 'alert' } });
  #heardWords = make('p', { class: 'missing', data: { testid: 'hearing' }, attributes: { role: 'status' } });
  #pressed = make('p', { class: 'pressed', data: { testid: 'pressed' }, attributes: { role: 'status' } });
  #keypad;
  #transfer;
  #recording;
  /** @type {Map<Action, HTMLButtonElement>} */
  #buttons = new Map();
  /** Keys that the other party pressed. */
  #heard = '';
  /** When it began to talk, by our own clock. @type {number | null} */
  #since = null;

  /**
   * @param {Call} call
   * @param {(action: string, call: Call, digit?: string) => Promise<boolean>} act
   * @param {() => boolean} mayRecord
   */
  constructor(call, act, mayRecord) {
    this.call = call;
    this.#recording = new RecordingPanel((order) => act('record', this.call, order), mayRecord);
    this.#keypad = this.#makeKeypad(act);
    this.#transfer = new TransferPanel(
      (number) => act('transfer', this.call, number),
      (other) => act('join', this.call, other.id),
    );
    this.#transfer.element.addEventListener('leave', () => this.#showTransfer(false));
    for (const action of /** @type {Action[]} */ (Object.keys(ACTIONS))) {
      this.#actions.append(this.#makeButton(action, act));
    }
    this.element = make(
      'li',
      { class: 'call', data: { call: call.id, testid: 'call' } },
      make('div', { class: 'row spread' }, make('div', { class: 'who' }, this.#name, this.#number), this.#timer),
      this.#state,
      this.#missing,
      this.#heardWords,
      this.#details.element,
      this.#pressed,
      this.#transfer.words,
      this.#actions,
      this.#recording.element,
      this.#keypad,
      this.#transfer.element,
    );
    this.update(call);
  }

  /**
   * @param {Action} action
   * @param {(action: string, call: Call) => Promise<boolean>} act
   */
  #makeButton(action, act) {
    const { label, keys, look } = ACTIONS[action];
    const button = make('button', {
      class: look,
      text: label,
      data: { action },
      attributes: { type: 'button', ...(keys ? { 'aria-keyshortcuts': keys, title: keys } : {}) },
    });
    button.addEventListener('click', async () => {
      if (action === 'keypad') {
        this.#showKeypad(Boolean(this.#keypad.hidden));
        return;
      }
      if (action === 'transfer') {
        this.#showTransfer(this.#transfer.element.hidden);
        return;
      }
      await whileBusy(button, () => act(action, this.call));
    });
    this.#buttons.set(action, button);
    return button;
  }

  /** @param {(action: string, call: Call, digit: string) => Promise<boolean>} act */
  #makeKeypad(act) {
    const keys = KEYS.map((digit) => {
      const key = make('button', {
        class: 'key',
        text: digit,
        data: { action: 'dtmf', digit },
        attributes: { type: 'button' },
      });
      key.addEventListener('click', () => {
        this.typed(digit);
        void act('dtmf', this.call, digit);
      });
      return key;
    });
    const grid = make('div', { class: 'keys' }, ...keys);
    const keypad = make(
      'div',
      { class: 'keypad', attributes: { role: 'group', 'aria-label': 'Keypad' } },
      this.#digits,
      grid,
    );
    keypad.hidden = true;
    return keypad;
  }

  /** @param {boolean} shown */
  #showKeypad(shown) {
    this.#keypad.hidden = !shown;
    this.#buttons.get('keypad')?.setAttribute('aria-expanded', String(shown));
  }

  /** @param {boolean} shown */
  #showTransfer(shown) {
    const panel = this.#transfer.element;
    const hadFocus = panel.contains(document.activeElement);
    panel.hidden = !shown;
    const button = this.#buttons.get('transfer');
    button?.setAttribute('aria-expanded', String(shown));
    if (shown) this.#transfer.focus();
    else if (hadFocus && !button?.hidden) button?.focus();
  }

  /** Opens the panel and goes to its number; whether the call can be transferred. */
  openTransfer() {
    const can = canTransfer(this.call);
    if (can) this.#showTransfer(true);
    return can;
  }

  /** The agent's other calls. @param {Call[]} calls */
  others(calls) {
    this.#transfer.offer(calls.filter((call) => call.id !== this.call.id && canTransfer(call)));
  }

  /** Shows a digit that was sent. @param {string} digit */
  typed(digit) {
    say(this.#digits, ((this.#digits.textContent ?? '') + digit).slice(-24));
  }

  /** Shows a key that the other party pressed. @param {string} digit */
  pressed(digit) {
    this.#heard = (this.#heard + digit).slice(-24);
    say(this.#pressed, `The other side pressed ${this.#heard}`);
  }

  /** Shows how well both hear. @param {import('../sdk/types.js').HeardBadly | undefined} badly */
  heard(badly) {
    say(this.#heardWords, this.call.state === 'talking' ? hearingWords(badly) : '');
  }

  /** @param {Call} call */
  update(call) {
    if (call.talking_ms !== undefined && this.#since === null) {
      // Seen to begin: our clock counts, which may differ from the gateway's. Found running: the gateway's.
      const seen = this.call.talking_ms === undefined;
      this.#since = seen ? Date.now() : Math.min(Date.now(), call.talking_ms);
    }
    this.call = call;
    this.element.dataset.state = call.state;
    this.element.dataset.direction = call.direction;
    this.element.dataset.heldBy = call.held_by ?? '';
    say(this.#name, who(call.remote));
    say(this.#number, call.remote.name ? call.remote.number : '');
    say(this.#state, callWords(call));
    say(this.#missing, missingWords(call));
    if (call.state !== 'talking') say(this.#heardWords, '');
    this.#transfer.update(call);
    this.#details.update(call);
    this.#recording.update(call);
    const actions = actionsFor(call);
    const focused = document.activeElement;
    for (const [action, button] of this.#buttons) button.hidden = !actions.includes(action);
    if (!actions.includes('keypad')) this.#showKeypad(false);
    if (!actions.includes('transfer') && !this.#transfer.element.hidden) this.#showTransfer(false);
    // A button that was pressed and is gone leaves the focus on the next one, not at the top of the page.
    if (focused instanceof HTMLElement && focused.closest('[hidden]') && this.element.contains(focused)) {
      this.#buttons.get(actions[0])?.focus();
    }
    this.tick();
  }

  /** How long it has talked, in ms. */
  get talked() {
    return this.#since === null ? null : Date.now() - this.#since;
  }

  tick() {
    const talked = this.talked;
    say(this.#timer, talked === null ? '' : clock(talked));
  }
}

/** The list of calls, and of those that ended. */
export class CallList {
  #list;
  #recent;
  #empty;
  #recentTitle;
  #act;
  /** Whether the agent may record calls. */
  mayRecord = false;
  /** @type {Map<string, Card>} */
  #cards = new Map();

  /**
   * @param {{ list: HTMLElement, recent: HTMLElement, empty: HTMLElement, recentTitle: HTMLElement }} elements
   * @param {(action: string, call: Call, digit?: string) => Promise<boolean>} act
   */
  constructor(elements, act) {
    this.#list = elements.list;
    this.#recent = elements.recent;
    this.#empty = elements.empty;
    this.#recentTitle = elements.recentTitle;
    this.#act = act;
    setInterval(() => this.#tick(), 500);
  }

  /** Calls that are up. @returns {Call[]} */
  get calls() {
    return [...this.#cards.values()].map(({ call }) => call);
  }

  /** @param {Call} call */
  update(call) {
    const card = this.#cards.get(call.id);
    if (call.state === 'ended') {
      this.#end(call, card);
    } else if (card) {
      card.update(call);
    } else {
      const fresh = new Card(call, this.#act, () => this.mayRecord);
      this.#cards.set(call.id, fresh);
      this.#list.append(fresh.element);
    }
    for (const each of this.#cards.values()) each.others(this.calls);
    this.#empty.hidden = this.#cards.size > 0;
  }

  /** Goes to where the target of this call's transfer is typed. @param {string} id */
  openTransfer(id) {
    return this.#cards.get(id)?.openTransfer() ?? false;
  }

  /**
   * Takes the whole list, after coming back.
   * @param {Iterable<Call>} calls
   */
  replace(calls) {
    const there = [...calls];
    for (const { call } of [...this.#cards.values()]) {
      if (!there.some(({ id }) => id === call.id)) this.update({ ...call, state: 'ended' });
    }
    for (const call of there) this.update(call);
  }

  /**
   * Shows a digit that was typed on the keyboard.
   * @param {string} id
   * @param {string} digit
   */
  typed(id, digit) {
    this.#cards.get(id)?.typed(digit);
  }

  /**
   * Shows a key that the other party pressed.
   * @param {string} id
   * @param {string} digit
   */
  pressed(id, digit) {
    this.#cards.get(id)?.pressed(digit);
  }

  /**
   * Shows how well a call is heard.
   * @param {string} id
   * @param {import('../sdk/types.js').HeardBadly} [badly] absent while both hear well
   */
  heard(id, badly) {
    this.#cards.get(id)?.heard(badly);
  }

  /**
   * @param {Call} call
   * @param {Card | undefined} card
   */
  #end(call, card) {
    const hadFocus = card?.element.contains(document.activeElement) ?? false;
    card?.element.remove();
    this.#cards.delete(call.id);
    const talked = card?.talked ?? null;
    const time = new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    const facts = [time, talked === null ? '' : clock(talked)].filter(Boolean).join(', ');
    this.#recent.prepend(
      make(
        'li',
        { class: 'ended', data: { call: call.id, state: 'ended', testid: 'ended', cause: call.end?.cause ?? '' } },
        make(
          'div',
          { class: 'row spread' },
          make('span', { class: 'name', text: who(call.remote) }),
          make('span', { class: 'facts', text: facts }),
        ),
        make('p', { class: 'state', text: endWords(call) }),
      ),
    );
    while (this.#recent.childElementCount > MAX_RECENT) this.#recent.lastElementChild?.remove();
    this.#recentTitle.hidden = false;
    if (hadFocus) this.#focusNext();
  }

  /** The call with the focus is gone: go to the next call, or to where a number is typed. */
  #focusNext() {
    const button = this.#list.querySelector('button:not([hidden])');
    if (button instanceof HTMLElement) button.focus();
    else document.getElementById('number')?.focus();
  }

  #tick() {
    for (const card of this.#cards.values()) card.tick();
  }
}
