// @ts-check

/** Two tones that make a ring without a file. */
const TONES_HZ = [440, 554];
/** Loudness of the ring, full scale being 1. */
const RING_GAIN = 0.22;
/** Loudness of the knock while another call talks. */
const KNOCK_GAIN = 0.07;
/** One round of ringing: seconds of sound and of the whole. */
const RING = { burst_s: 1.1, period_ms: 3_500 };
/** The knock for a second call. */
const KNOCK = { burst_s: 0.18, period_ms: 4_000 };

/** Rings, or knocks while the agent talks. */
export class Ringer {
  /** @type {AudioContext & { setSinkId?: (id: string) => Promise<void> } | null} */
  #context = null;
  /** @type {'silent' | 'ring' | 'knock'} */
  #mode = 'silent';
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  /** @type {GainNode | null} */
  #sounding = null;
  #speaker = '';

  /** What is heard: `silent`, `ring` or `knock`. */
  get mode() {
    return this.#mode;
  }

  /** @param {'silent' | 'ring' | 'knock'} mode */
  set(mode) {
    if (mode === this.#mode) return;
    this.#mode = mode;
    clearInterval(this.#timer);
    this.#hush();
    if (mode === 'silent') return;
    const { burst_s, period_ms } = mode === 'ring' ? RING : KNOCK;
    const gain = mode === 'ring' ? RING_GAIN : KNOCK_GAIN;
    const round = () => this.#sound(burst_s, gain);
    round();
    this.#timer = setInterval(round, period_ms);
  }

  /** One burst, so that the agent can hear that the speaker is the right one. */
  test() {
    this.#sound(RING.burst_s, RING_GAIN);
  }

  /** Must be called from a click or key once, else the browser stays silent. */
  unlock() {
    const context = this.#open();
    if (context.state === 'suspended') void context.resume();
  }

  /** @param {string} deviceId */
  setSpeaker(deviceId) {
    this.#speaker = deviceId;
    // Not every browser can; the ring then comes from the default speaker.
    this.#context?.setSinkId?.(deviceId).catch(() => undefined);
  }

  #open() {
    if (!this.#context) {
      this.#context = new AudioContext();
      if (this.#speaker) this.setSpeaker(this.#speaker);
    }
    return this.#context;
  }

  /**
   * @param {number} seconds
   * @param {number} loudness
   */
  #sound(seconds, loudness) {
    const context = this.#open();
    if (context.state === 'suspended') void context.resume();
    const start = context.currentTime + 0.01;
    const gain = context.createGain();
    gain.connect(context.destination);
    gain.gain.setValueAtTime(0, start);
    // Slopes instead of edges: edges click.
    gain.gain.linearRampToValueAtTime(loudness, start + 0.03);
    gain.gain.setValueAtTime(loudness, start + seconds - 0.05);
    gain.gain.linearRampToValueAtTime(0, start + seconds);
    for (const hz of TONES_HZ) {
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
