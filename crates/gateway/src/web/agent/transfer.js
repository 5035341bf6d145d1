// @ts-check
/** @import { Call } from '../sdk/talkbridge.js' */
import { make, say, whileBusy } from './dom.js';
import { transferWords, who } from './words.js';

/** Whether the agent may hand this call to somebody else now. @param {Call} call */
export function canTransfer({ state, transfer }) {
  const underWay = transfer !== undefined && transfer.state !== 'failed';
  return (state === 'talking' || state === 'held') && !underWay;
}

/** Where a call is handed to: a number is typed, or one of the agent's other calls is chosen. And how far that is. */
export class TransferPanel {
  /** Goes into the card. */
  element;
  /** How far the transfer is, in words. */
  words = make('p', { class: 'transfer', data: { testid: 'transfer' } });
  #number;
  #others = make('div', { class: 'actions' });
  #join;

  /**
   * @param {(number: string) => Promise<boolean>} hand to a number
   * @param {(other: Call) => Promise<boolean>} join with another call
   */
  constructor(hand, join) {
    this.#join = join;
    this.#number = make('input', {
      attributes: {
        type: 'tel',
        'aria-label': 'Transfer to number',
        placeholder: 'Number',
        maxlength: '64',
        autocomplete: 'off',
      },
      data: { testid: 'transfer-number' },
    });
    const submit = make('button', {
      class: 'good',
      text: 'Transfer',
      data: { action: 'transfer-number' },
      attributes: { type: 'submit' },
    });
    const form = make('form', { class: 'row' }, this.#number, submit);
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const number = this.#number.value.trim();
      if (number === '') {
        this.#number.focus();
        return;
      }
      await whileBusy(submit, async () => {
        if (await hand(number)) this.#number.value = '';
      });
    });
    this.element = make(
      'div',
      { class: 'transfer-panel', attributes: { role: 'group', 'aria-label': 'Transfer' } },
      form,
      this.#others,
    );
    this.element.hidden = true;
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.element.dispatchEvent(new CustomEvent('leave'));
    });
  }

  focus() {
    this.#number.focus();
  }

  /** @param {Call} call */
  update(call) {
    say(this.words, transferWords(call));
    this.words.dataset.state = call.transfer?.state ?? '';
  }

  /**
   * The agent's other calls that this one can be joined with.
   * @param {Call[]} others
   */
  offer(others) {
    const there = new Map(
      [...this.#others.children].map((button) => [/** @type {HTMLElement} */ (button).dataset.other, button]),
    );
    for (const other of others) {
      const button = there.get(other.id) ?? this.#makeJoin(other);
      say(/** @type {HTMLElement} */ (button), `Join with ${who(other.remote)}`);
      there.delete(other.id);
    }
    for (const gone of there.values()) gone.remove();
  }

  /** @param {Call} other */
  #makeJoin(other) {
    const button = make('button', {
      data: { action: 'join', other: other.id },
      attributes: { type: 'button' },
    });
    button.addEventListener('click', () => void whileBusy(button, () => this.#join(other)));
    this.#others.append(button);
    return button;
  }
}
