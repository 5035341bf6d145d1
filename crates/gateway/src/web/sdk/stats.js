// @ts-check

/**
 * What the browser measured, in the words of the agent protocol. Unknown is `null`.
 * @typedef {object} StatsReport
 * @property {string[]} calls ids of the calls that talk
 * @property {number | null} rtt_ms round trip to the gateway
 * @property {Received} received what the agent hears
 * @property {Sent} sent what the microphone says
 */
/**
 * @typedef {object} Received
 * @property {number | null} packets
 * @property {number | null} lost
 * @property {number | null} jitter_ms
 * @property {number | null} jitter_buffer_ms mean delay in the jitter buffer since the beginning
 * @property {number | null} concealed share of samples that were made up, 0 to 1
 * @property {number | null} samples samples that were played
 * @property {number | null} concealed_samples those of them that were made up
 * @property {string | null} codec
 */
/**
 * @typedef {object} Sent
 * @property {number | null} packets
 * @property {number | null} lost as the gateway reports it
 * @property {number | null} jitter_ms as the gateway reports it
 */

/** How often the browser's statistics are read while a call talks. */
const INTERVAL_MS = 5_000;

/** Says when the statistics are to be read. */
export class StatsClock {
  #read;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {() => void} read */
  constructor(read) {
    this.#read = read;
  }

  /** @param {boolean} talking whether a call talks */
  run(talking) {
    if (talking && this.#timer === undefined) {
      this.#timer = setInterval(this.#read, INTERVAL_MS);
    } else if (!talking && this.#timer !== undefined) {
      this.stop();
      // The last word about this call, and where the counts of the next one begin.
      this.#read();
    }
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/**
 * Reads a connection's statistics.
 * @param {RTCPeerConnection} connection
 * @param {string[]} calls
 * @returns {Promise<StatsReport>}
 */
export async function readStats(connection, calls) {
  const stats = await connection.getStats();
  /** @type {Record<string, any>} */
  const found = {};
  stats.forEach((entry) => {
    if (entry.type === 'transport') found.transport = entry;
    else if (entry.type.endsWith('-rtp') && entry.kind === 'audio') found[entry.type] = entry;
  });
  const received = found['inbound-rtp'] ?? {};
  const sent = found['outbound-rtp'] ?? {};
  const remote = found['remote-inbound-rtp'] ?? {};
  const pair = stats.get(found.transport?.selectedCandidatePairId) ?? {};
  return {
    calls,
    rtt_ms: ms(pair.currentRoundTripTime ?? remote.roundTripTime),
    received: {
      packets: count(received.packetsReceived),
      lost: count(received.packetsLost),
      jitter_ms: ms(received.jitter),
      jitter_buffer_ms: ms(ratio(received.jitterBufferDelay, received.jitterBufferEmittedCount)),
      concealed: ratio(received.concealedSamples, received.totalSamplesReceived),
      samples: count(received.totalSamplesReceived),
      concealed_samples: count(received.concealedSamples),
      codec: stats.get(received.codecId)?.mimeType ?? null,
    },
    sent: {
      packets: count(sent.packetsSent),
      lost: count(remote.packetsLost),
      jitter_ms: ms(remote.jitter),
    },
  };
}

/** @param {unknown} value */
function count(value) {
  return typeof value === 'number' ? value : null;
}

/** @param {unknown} seconds */
function ms(seconds) {
  return typeof seconds === 'number' ? Math.round(seconds * 10_000) / 10 : null;
}

/**
 * @param {unknown} part
 * @param {unknown} whole
 */
function ratio(part, whole) {
  return typeof part === 'number' && typeof whole === 'number' && whole > 0 ? part / whole : null;
}
