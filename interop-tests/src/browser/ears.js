// What a test adds to every page, before the page's own scripts run: a microphone that is sent as it is, and ears.
'use strict';
(() => {
  /** Samples that an ear looks at: 85 ms at 48 kHz. */
  const SAMPLES = 4096;

  /** How long an ear that was not there before listens, until it is asked. */
  const SETTLED_MS = 300;

  /** Loudest tones in a report, and how far below the loudest one they may be. */
  const TONES = 4;
  const TONES_DB = 40;

  // A browser's processing is made for speech. It takes a steady tone for noise, and lowers it by 20 dB; and for echo what the
  // loudspeaker plays as well, or might, and lets nothing of it through. Tests are about the way behind the microphone.
  const NOT = { exact: false };
  const AS_IT_IS = { echoCancellation: NOT, noiseSuppression: NOT, autoGainControl: NOT };
  // Only pages of a secure origin have microphones.
  const devices = window.MediaDevices?.prototype;
  const open = devices?.getUserMedia;
  if (devices) {
    devices.getUserMedia = function (wanted) {
      return open.call(this, { ...wanted, audio: wanted.audio && { ...wanted.audio, ...AS_IT_IS } });
    };
  }

  class Ear {
    constructor(context) {
      this.analyser = context.createAnalyser();
      this.analyser.fftSize = SAMPLES;
      this.analyser.smoothingTimeConstant = 0;
      this.samples = new Float32Array(SAMPLES);
    }

    static of(stream) {
      const context = new AudioContext();
      const ear = new Ear(context);
      ear.stream = stream;
      context.createMediaStreamSource(stream).connect(ear.analyser);
      return ear;
    }

    /** The level of the last samples, and the part of their energy that each tone has, 0 to 1 (Goertzel). */
    hears(tones) {
      this.analyser.getFloatTimeDomainData(this.samples);
      let energy = 0;
      for (const sample of this.samples) energy += sample * sample;
      return { rms: Math.sqrt(energy / SAMPLES), shares: tones.map((hz) => (energy > 0 ? this.#power(hz) / energy : 0)) };
    }

    #power(hz) {
      const twice = 2 * Math.cos((2 * Math.PI * hz) / this.analyser.context.sampleRate);
      let [s1, s2] = [0, 0];
      for (const sample of this.samples) [s1, s2] = [sample + twice * s1 - s2, s1];
      return (2 * (s1 * s1 + s2 * s2 - twice * s1 * s2)) / SAMPLES;
    }

    /** In words: how loud it is, and which tones, the others in relation to the loudest. */
    describe() {
      const { rms } = this.hears([]);
      if (rms === 0) return `nothing (audio context ${this.analyser.context.state})`;
      const spectrum = new Float32Array(SAMPLES / 2);
      this.analyser.getFloatFrequencyData(spectrum);
      const loudest = spectrum.reduce((most, db) => Math.max(most, db));
      const tones = [...spectrum.keys()]
        .filter((at) => spectrum[at] > loudest - TONES_DB)
        .filter((at) => spectrum[at] > (spectrum[at - 1] ?? -Infinity) && spectrum[at] >= (spectrum[at + 1] ?? -Infinity))
        .sort((one, other) => spectrum[other] - spectrum[one])
        .slice(0, TONES)
        .map((at) => `${Math.round((at * this.analyser.context.sampleRate) / SAMPLES)} Hz (${(spectrum[at] - loudest).toFixed(0)} dB)`);
      return `rms ${rms.toFixed(4)}: ${tones.join(', ')}`;
    }
  }

  const ears = {};

  /** The ear at one of the page's streams: renewed when the page has a new one. */
  function at(name) {
    const stream = window.talkbridge?.[name];
    if (stream && ears[name]?.stream !== stream) ears[name] = Ear.of(stream);
    return stream ? ears[name] : null;
  }

  const words = (found, names) => names.map((name) => `${name} ${found?.[name] ?? 'unknown'}`).join(', ');

  window.interop = {
    /** What the page's remote stream plays right now. */
    hears: (tones) => at('remoteStream')?.hears(tones) ?? null,

    /** What the page plays by itself right now. */
    plays: (tones) => ears.speaker?.hears(tones) ?? null,

    /** From now on an oscillator is the page's microphone. */
    speak(hz) {
      devices.getUserMedia = async () => {
        const context = new AudioContext();
        const tone = new OscillatorNode(context, { frequency: hz });
        const quieter = new GainNode(context, { gain: 0.3 });
        const microphone = context.createMediaStreamDestination();
        tone.connect(quieter).connect(microphone);
        tone.start();
        return microphone.stream;
      };
    },

    /**
     * Lets a test hear what the page plays by itself: its ring and its ring-back tone. Rounds of such a sound follow each other without a
     * pause, so that silence is not the pause between two.
     */
    listenToThePage() {
      const connect = AudioNode.prototype.connect;
      AudioNode.prototype.connect = function (to, ...rest) {
        if (to instanceof AudioDestinationNode) {
          if (ears.speaker?.analyser.context !== to.context) ears.speaker = new Ear(to.context);
          connect.call(this, ears.speaker.analyser);
        }
        return connect.call(this, to, ...rest);
      };
      const setInterval = window.setInterval;
      window.setInterval = (work, ms, ...rest) => setInterval(work, ms >= 3000 ? ms / 10 : ms, ...rest);
    },

    /** Everything there is to know about an agent's sound, in words; `null` where the page is none of an agent. */
    async report() {
      if (!window.talkbridge) return null;
      const names = ['remoteStream', 'localStream'];
      names.forEach(at);
      await new Promise((settled) => setTimeout(settled, SETTLED_MS));
      const [loudspeaker, microphone] = names.map((name) => at(name)?.describe() ?? 'there is none');
      const track = window.talkbridge.localStream?.getAudioTracks()[0];
      const peer = window.talkbridge.peerConnection;
      const stats = peer ? [...(await peer.getStats()).values()] : [];
      const codecOf = (found) => stats.find((one) => one.id === found?.codecId)?.mimeType ?? 'no codec';
      const sound = (type) => stats.find((one) => one.type === type && one.kind === 'audio');
      const [inbound, outbound] = [sound('inbound-rtp'), sound('outbound-rtp')];
      const agent = document.querySelector('#agent')?.textContent;
      return [
        `sound of ${agent}:`,
        `loudspeaker: ${loudspeaker}`,
        `microphone: ${microphone}; ${words(track, ['readyState', 'enabled', 'muted'])}`,
        `in: ${codecOf(inbound)}, ${words(inbound, ['packetsReceived', 'packetsLost', 'packetsDiscarded', 'concealedSamples', 'totalSamplesReceived'])}`,
        `out: ${codecOf(outbound)}, ${words(outbound, ['packetsSent'])}; ${words(peer, ['connectionState'])}`,
      ].join('\n  ');
    },
  };
})();
