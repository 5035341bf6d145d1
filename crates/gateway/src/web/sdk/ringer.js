// @ts-check
/** @import { Call } from './types.js' */

/** Two tones that make a ring without a file. */
const RING_HZ = [440, 554];

/** Tones of calls that ask to ring otherwise. @type {Record<string, number[]>} */
const ASKED_HZ = { internal: [392, 494], external: [440, 554], priority: [659, 880] };

/**
 * One round of each sound: its tones, its loudness (full scale being 1), seconds of sound and milliseconds of the whole.
 * `ring`: a call comes in. `knock`: one comes in while another talks. `ringback`: the agent's own call rings at the other
 * side, which sends no tone of its own (the cadence is that of ITU-T E.180).
 */
const SOUNDS = {
  ring: { tones_hz: RING_HZ, gain: 0.22, burst_s: 1.1, period_ms: 3_500 },
  knock: { tones_hz: RING_HZ, gain: 0.07, burst_s: 0.18, period_ms: 4_000 },
  ringback: { tones_hz: [425], gain: 0.08, burst_s: 1, period_ms: 5_000 },
};

/** Silence before the first ring. A call that the agent dials on the desktop comes in as a ringing call too, and is answered by the server within milliseconds. */
const DELAY_MS = 250;

/** @typedef {'silent' | keyof typeof SOUNDS} Mode */

/** Rings, knocks while the agent talks, and plays the ring-back tone of calls that she dials and from which nothing is heard. */
export class Ringer {
  /** @type {AudioContext & { setSinkId?: (id: string) => Promise<void> } | null} */
  #context = null;
  /** @type {Mode} */
  #mode = 'silent';
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  /** @type {GainNode | null} */
  #sounding = null;
  #speaker = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} a ring that is about to begin */
  #delay;

  /**
   * Rings where the agent hears, also when that is not what she chose.
   * @param {import('./media.js').MediaLeg} media
   */
  static beside(media) {
    const ringer = new Ringer();
    ringer.unlock();
    media.addEventListener('speaker', () => ringer.setSpeaker(media.speaker.deviceId));
    return ringer;
  }

  /**
   * Sounds as these calls want it.
   * @param {Iterable<Call>} calls all that are up
   */
  follow(calls) {
    const up = [...calls];
    clearTimeout(this.#delay);
    const incoming = up.find(({ state, direction }) => state === 'ringing' && direction === 'inbound');
    const talking = up.some(({ state }) => state === 'talking' || state === 'answering');
    if (!incoming) {
      const called = up.some(({ state, direction, early_media }) => state === 'ringing' && direction === 'outbound' && !early_media);
      this.#set(called && !talking ? 'ringback' : 'silent');
      return;
    }
    const start = () => this.#set(talking ? 'knock' : 'ring', incoming.ring);
    if (this.#mode === 'silent' || this.#mode === 'ringback') this.#delay = setTimeout(start, DELAY_MS);
    else start();
  }

  /**
   * @param {Mode} mode
   * @param {string} [kind] what the call asks for, see `ring` of a call
   */
  #set(mode, kind = '') {
    if (mode === this.#mode) return;
    this.#mode = mode;
    clearInterval(this.#timer);
    this.#hush();
    if (mode === 'silent') return;
    const asked = mode === 'ringback' ? undefined : ASKED_HZ[kind];
    const sound = asked ? { ...SOUNDS[mode], tones_hz: asked } : SOUNDS[mode];
    const round = () => this.#sound(sound);
    round();
    this.#timer = setInterval(round, sound.period_ms);
  }

  /** One burst, so that the agent can hear that the speaker is the right one. */
  test() {
    this.#sound(SOUNDS.ring);
  }

  /** Must be called from a click or key once, else the browser stays silent. */
  unlock() {
    const context = this.#open();
    if (context?.state === 'suspended') void context.resume();
  }

  /** @param {string} deviceId */
  setSpeaker(deviceId) {
    this.#speaker = deviceId;
    // Not every browser can; the ring then comes from the default speaker.
    this.#context?.setSinkId?.(deviceId).catch(() => undefined);
  }

  /** Falls silent for good. */
  close() {
    this.follow([]);
    void this.#context?.close();
    this.#context = null;
  }

  /** @returns {AudioContext | null} `null` where the browser gives none, as it does when too many are open: nothing rings then */
  #open() {
    if (this.#context) return this.#context;
    try {
      this.#context = new AudioContext();
    } catch {
      return null;
    }
    if (this.#speaker) this.setSpeaker(this.#speaker);
    return this.#context;
  }

  /** @param {{ tones_hz: number[], gain: number, burst_s: number }} sound */
  #sound({ tones_hz, gain: loudness, burst_s: seconds }) {
    const context = this.#open();
    if (!context) return;
    if (context.state === 'suspended') void context.resume();
    const start = context.currentTime + 0.01;
    const gain = context.createGain();
    gain.connect(context.destination);
    gain.gain.setValueAtTime(0, start);
    // Slopes instead of edges: edges click.
    gain.gain.linearRampToValueAtTime(loudness, start + 0.03);
    gain.gain.setValueAtTime(loudness, start + seconds - 0.05);
    gain.gain.linearRampToValueAtTime(0, start + seconds);
    for (const hz of tones_hz) {
      const tone = context.createOscillator();
      tone.frequency.value = hz;
      tone.connect(gain);
      tone.start(start);
      tone.stop(start + seconds);
    }
    this.#sounding = gain;
  }

  #hush() {
    this.#sounding?.disconnect();
    this.#sounding = null;
  }
}
