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

  /** How a recording is coded: with every sample as it is, where the browser can, or with as much as Opus takes. */
  const RECORDED_AS = ['audio/webm;codecs=pcm', 'audio/ogg;codecs=opus', 'audio/webm;codecs=opus'];
  const RECORDED_BITS_PER_S = 510_000;
  const RECORDED_HZ = 48_000;

  /** 10 ms of a recording. */
  const BLOCK = RECORDED_HZ / 100;

  /** How long an ear records that can do nothing else. */
  const RECORDED_MS = 200;

  const IS_FIREFOX = navigator.userAgent.includes('Firefox');

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

  /** The level of samples, and the part of their energy that each tone has, 0 to 1. */
  function weigh(samples, rate, tones) {
    let energy = 0;
    for (const sample of samples) energy += sample * sample;
    const share = (hz) => (energy > 0 ? power(samples, rate, hz) / energy : 0);
    return { rms: Math.sqrt(energy / samples.length), shares: tones.map(share) };
  }

  /** Goertzel. */
  function power(samples, rate, hz) {
    const twice = 2 * Math.cos((2 * Math.PI * hz) / rate);
    let [s1, s2] = [0, 0];
    for (const sample of samples) [s1, s2] = [sample + twice * s1 - s2, s1];
    return (2 * (s1 * s1 + s2 * s2 - twice * s1 * s2)) / samples.length;
  }

  /** What a stream plays from now on, until it is asked for the samples. */
  class Recording {
    constructor(stream) {
      const type = RECORDED_AS.find((type) => MediaRecorder.isTypeSupported(type));
      this.recorder = new MediaRecorder(stream, { mimeType: type, audioBitsPerSecond: RECORDED_BITS_PER_S });
      this.parts = [];
      this.recorder.addEventListener('dataavailable', ({ data }) => this.parts.push(data));
      this.recorder.start();
    }

    /** All samples of it, at 48 kHz. */
    async samples() {
      const stopped = new Promise((done) => this.recorder.addEventListener('stop', done));
      this.recorder.stop();
      await stopped;
      const whole = await new Blob(this.parts).arrayBuffer();
      const decoded = await new OfflineAudioContext(1, 1, RECORDED_HZ).decodeAudioData(whole);
      return decoded.getChannelData(0);
    }
  }

  /** Without a sound device Firefox lets no page listen by itself, but it records: what an ear hears is what comes from now on. */
  class PatientEar {
    constructor(stream) {
      this.stream = stream;
    }

    async hears(tones) {
      const recording = new Recording(this.stream);
      await new Promise((done) => setTimeout(done, RECORDED_MS));
      return weigh((await recording.samples()).slice(-SAMPLES), RECORDED_HZ, tones);
    }

    describe() {
      return 'not described';
    }
  }

  class Ear {
    constructor(context) {
      this.analyser = context.createAnalyser();
      this.analyser.fftSize = SAMPLES;
      this.analyser.smoothingTimeConstant = 0;
      this.samples = new Float32Array(SAMPLES);
    }

    static of(stream) {
      if (IS_FIREFOX) return new PatientEar(stream);
      const context = new AudioContext();
      const ear = new Ear(context);
      ear.stream = stream;
      context.createMediaStreamSource(stream).connect(ear.analyser);
      return ear;
    }

    hears(tones) {
      this.analyser.getFloatTimeDomainData(this.samples);
      return weigh(this.samples, this.analyser.context.sampleRate, tones);
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

  /** What is recorded for a test. */
  let recording = null;

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

    /** Begins to record what the page's remote stream plays. */
    record() {
      recording = new Recording(window.talkbridge.remoteStream);
    },

    /** What was recorded, for every 10 ms: how loud it is, and how sharply its curve bends at most, from sample to sample. */
    async recorded() {
      const samples = await recording.samples();
      const blocks = [];
      for (let from = 1; from + BLOCK < samples.length; from += BLOCK) {
        let [energy, bend] = [0, 0];
        for (let at = from; at < from + BLOCK; at += 1) {
          energy += samples[at] * samples[at];
          bend = Math.max(bend, Math.abs(samples[at + 1] - 2 * samples[at] + samples[at - 1]));
        }
        blocks.push([Math.sqrt(energy / BLOCK), bend]);
      }
      return blocks;
    },

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
