// @ts-check

/** The level that reads as 0: quieter than a quiet room, in dB below full scale. */
const FLOOR_DB = -60;

/** Says how loud a stream is. */
export class LevelMeter {
  #source;
  #analyser;
  #samples;

  /**
   * @param {AudioContext} context
   * @param {MediaStream} stream
   */
  constructor(context, stream) {
    this.stream = stream;
    this.#source = context.createMediaStreamSource(stream);
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source.connect(this.#analyser);
  }

  /**
   * A meter, where there can be one: a browser may refuse to measure a stream (Firefox one whose sample rate is not that of the context), which is no reason
   * not to send it.
   * @param {AudioContext | null} context
   * @param {MediaStream | null | undefined} stream
   */
  static of(context, stream) {
    try {
      return context && stream ? new LevelMeter(context, stream) : null;
    } catch {
      return null;
    }
  }

  /** Loudness of the last 20 ms or so, from 0 (silence) to 1 (full scale), even steps for the ear. */
  get level() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let energy = 0;
    for (const sample of this.#samples) energy += sample * sample;
    const rms = Math.sqrt(energy / this.#samples.length);
    if (rms === 0) return 0;
    const db = 20 * Math.log10(rms);
    return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
  }

  /** Lets the stream go. */
  close() {
    this.#source.disconnect();
  }
}
