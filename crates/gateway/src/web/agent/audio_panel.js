// @ts-check
/** @import { Talkbridge } from '../sdk/talkbridge.js' */
import { byId, make, say } from './dom.js';
import { microphoneWords, speakerWords } from './words.js';

/** Where the choice of devices is remembered. Device ids are random and mean nothing on another site. */
const REMEMBERED = { audioinput: 'talkbridge.microphone', audiooutput: 'talkbridge.speaker' };

/** Microphone, speaker, levels, mute. */
export class AudioPanel {
  #talkbridge;
  #microphone = /** @type {HTMLSelectElement} */ (byId('microphone'));
  #speaker = /** @type {HTMLSelectElement} */ (byId('speaker'));
  #levelIn = /** @type {HTMLMeterElement} */ (byId('level-in'));
  #levelOut = /** @type {HTMLMeterElement} */ (byId('level-out'));
  #mute = /** @type {HTMLButtonElement} */ (byId('mute'));
  #state = byId('microphone-state');
  #speakerState = byId('speaker-state');

  /**
   * @param {Talkbridge} talkbridge
   * @param {boolean} canChooseSpeaker
   */
  constructor(talkbridge, canChooseSpeaker) {
    this.#talkbridge = talkbridge;
    this.#speaker.disabled = !canChooseSpeaker;
    if (!canChooseSpeaker) this.#speaker.title = 'This browser plays on the system’s default speaker.';
    this.#microphone.addEventListener('change', () => {
      remember('audioinput', this.#microphone.value);
      void talkbridge.setMicrophone(this.#microphone.value);
    });
    this.#speaker.addEventListener('change', () => this.#chooseSpeaker());
    this.#mute.addEventListener('click', () => talkbridge.mute(!talkbridge.muted));
    talkbridge.addEventListener('muted', () => this.#showMuted());
    talkbridge.addEventListener('devices', () => void this.#listDevices());
    talkbridge.addEventListener('microphone', () => this.#showMicrophone());
    talkbridge.addEventListener('speaker', () => this.#showSpeaker());
    const draw = () => {
      this.#drawLevels();
      requestAnimationFrame(draw);
    };
    draw();
  }

  /** The devices chosen last time. */
  static get remembered() {
    return { microphone: recall('audioinput'), speaker: recall('audiooutput') };
  }

  async #chooseSpeaker() {
    const former = recall('audiooutput');
    const id = this.#speaker.value;
    remember('audiooutput', id);
    try {
      await this.#talkbridge.setSpeaker(id);
    } catch {
      this.#keep(this.#speaker, 'audiooutput', former);
      say(this.#speakerState, 'This speaker cannot be used. You hear by the one before.');
    }
  }

  /**
   * Shows what is used and not what was chosen in vain, so that the same can be chosen again.
   * @param {HTMLSelectElement} select
   * @param {'audioinput' | 'audiooutput'} kind
   * @param {string} id
   */
  #keep(select, kind, id) {
    remember(kind, id);
    select.value = id;
  }

  #showMuted() {
    const { muted } = this.#talkbridge;
    this.#mute.setAttribute('aria-pressed', String(muted));
    say(this.#mute, muted ? 'Muted' : 'Mute');
  }

  #showMicrophone() {
    const { microphone } = this.#talkbridge;
    this.#state.dataset.state = microphone?.state ?? '';
    say(this.#state, microphoneWords(microphone));
    if (microphone?.problem) this.#keep(this.#microphone, 'audioinput', microphone.deviceId ?? '');
  }

  #showSpeaker() {
    say(this.#speakerState, speakerWords(this.#talkbridge.speaker));
  }

  async #listDevices() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    fill(this.#microphone, devices, 'audioinput');
    fill(this.#speaker, devices, 'audiooutput');
  }

  #drawLevels() {
    const levels = this.#talkbridge.levels();
    drawLevel(this.#levelIn, levels.in);
    drawLevel(this.#levelOut, levels.out);
  }
}

/**
 * @param {HTMLMeterElement} meter
 * @param {number} level
 */
function drawLevel(meter, level) {
  if (meter.value === level) return;
  meter.value = level;
  meter.style.setProperty('--level', String(level));
}

/**
 * Lists the devices of a kind and keeps the choice, also of one that is not there: it is used again when it is back, unless another one is chosen.
 * @param {HTMLSelectElement} select
 * @param {MediaDeviceInfo[]} devices
 * @param {'audioinput' | 'audiooutput'} kind
 */
function fill(select, devices, kind) {
  const chosen = select.value || recall(kind);
  const options = devices
    .filter((device) => device.kind === kind && device.deviceId !== '' && device.deviceId !== 'default')
    .map(({ deviceId, label }) => {
      const option = make('option', { text: label || 'Unnamed device' });
      option.value = deviceId;
      return option;
    });
  const system = make('option', { text: 'System default' });
  system.value = '';
  if (chosen !== '' && !options.some(({ value }) => value === chosen)) {
    const missing = make('option', { text: 'The chosen device (not there)' });
    missing.value = chosen;
    options.push(missing);
  }
  select.replaceChildren(system, ...options);
  select.value = chosen;
}

/**
 * @param {'audioinput' | 'audiooutput'} kind
 * @param {string} id
 */
function remember(kind, id) {
  try {
    localStorage.setItem(REMEMBERED[kind], id);
  } catch {
    // A browser that stores nothing forgets the choice; no more than that.
  }
}

/** @param {'audioinput' | 'audiooutput'} kind */
function recall(kind) {
  try {
    return localStorage.getItem(REMEMBERED[kind]) ?? '';
  } catch {
    return '';
  }
}
