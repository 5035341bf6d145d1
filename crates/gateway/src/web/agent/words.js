// @ts-check
/** @import { Call, ConnectionState, Registration } from '../sdk/talkbridge.js' */

/** What the page says, in one place. Plain text only: it is set as `textContent`. */

/** @param {Registration | null} registration */
export function registrationWords(registration) {
  const server = registration?.server ? ` at ${registration.server}` : '';
  switch (registration?.state) {
    case 'registered':
      return `Registered${server}`;
    case 'registering':
      return `Registering${server}`;
    case 'failed': {
      const why = [registration.sip_status, registration.reason].filter(Boolean).join(' - ');
      return why ? `Not registered: ${why}` : `Not registered: no answer${server}`;
    }
    default:
      return 'Not registered';
  }
}

/**
 * Empty where no message waits.
 * @param {{ waiting: boolean, new?: number } | null} messages
 */
export function waitingWords(messages) {
  if (!messages?.waiting) return '';
  return messages.new ? `New voice messages: ${messages.new}` : 'Voice messages are waiting';
}

/**
 * Empty while calls are taken.
 * @param {{ open: boolean }} admission
 */
export function admissionWords({ open }) {
  return open ? '' : 'The gateway has too much to do: new calls are refused for the moment. The call that you have goes on.';
}

/** @type {Record<ConnectionState, string>} */
const CONNECTION = {
  signed_out: 'Signed out',
  connecting: 'Connecting',
  signed_in: 'Signed in',
  waiting: 'Connection lost',
};

/**
 * @param {ConnectionState} state
 * @param {string} [refusal] why `hello` was refused
 */
export function connectionWords(state, refusal) {
  return state === 'waiting' && refusal ? 'Not taken yet' : CONNECTION[state];
}

/**
 * @param {number} seconds until the next attempt
 * @param {string} [refusal] why `hello` was refused
 */
export function waitingToConnectWords(seconds, refusal) {
  const why = refusal === 'overload' ? 'The gateway has too much to do and takes no further agents for the moment.' : 'The gateway cannot be reached.';
  return `${why} Trying again in ${seconds} s. Calls may have changed meanwhile.`;
}

/** @type {Record<string, string>} */
const MEDIA = {
  none: 'No audio',
  new: 'Audio is being set up',
  connecting: 'Audio is being set up',
  connected: 'Audio ready',
  disconnected: 'Audio interrupted',
  failed: 'Audio failed, trying again',
  closed: 'No audio',
};

/** @param {string} state */
export function mediaWords(state) {
  return MEDIA[state] ?? MEDIA.none;
}

/** Why there is no audio, and what an agent can do about it. @type {Record<string, string>} */
const MEDIA_FAILURES = {
  unanswered: 'Audio could not be set up: this page did not take part. Reload it.',
  refused: 'Audio could not be set up: the gateway cannot use what this browser offers. Reload the page, or use a current Chrome, Edge or Firefox.',
  no_path: 'Audio could not be set up: nothing from this browser reaches the gateway. Check the network or VPN; a firewall may be in the way. Trying again.',
  dtls_timeout: 'Audio could not be set up: the network loses too much. Trying again; use another network if this stays.',
  dtls_disturbed: 'Audio could not be set up: something in the network disturbs it. Trying again; tell your administrator if this stays.',
  dtls_failed: 'Audio could not be set up: browser and gateway did not agree on encryption. Update the browser, and reload the page.',
  wrong_certificate: 'Audio could not be set up: something between this browser and the gateway answers in its place. Tell your administrator.',
  consent_lost: 'Audio is lost: nothing has come from this browser for a minute. Check the network or VPN. Trying again.',
  address_changes: 'Audio is lost: the network changes all the time. Use another one, or a cable. Trying again.',
  // By this page, which has another one by then.
  closed: '',
};

/** @param {string | null} cause @returns {string} empty when nothing failed */
export function mediaFailureWords(cause) {
  if (cause === null) return '';
  return MEDIA_FAILURES[cause] ?? 'Audio could not be set up. Trying again; reload the page if this stays.';
}

/** @type {Record<string, string>} */
const MICROPHONE = {
  asking: 'Allow the microphone in the browser’s dialogue.',
  denied: 'The microphone is blocked. Allow it in the browser’s settings for this page and reload.',
  missing: 'No microphone was found. Plug one in and choose it here.',
  busy: 'The microphone is used by another program. Close that program; the next call that rings opens the microphone again.',
  muted: 'The microphone is muted by your computer, or by a key of the headset. Unmute it there.',
  insecure: 'The microphone needs HTTPS. Open this page by an https:// address.',
  ended: 'The microphone is gone. Plug it in again or choose another one.',
};

/** Why another microphone could not be opened. @type {Record<string, string>} */
const MICROPHONE_PROBLEMS = {
  denied: 'The browser blocks this microphone.',
  missing: 'This microphone is not there.',
  busy: 'This microphone is used by another program.',
};

/**
 * Which microphone is open, or why none is.
 * @param {{ state: string, label?: string, fallback?: boolean, problem?: string } | null} microphone
 */
export function microphoneWords(microphone) {
  const label = microphone?.label || 'unnamed';
  if (microphone?.problem) return `${MICROPHONE_PROBLEMS[microphone.problem]} You are heard by the one before: ${label}.`;
  if (microphone?.fallback) return `The chosen microphone is not there. You are heard by the system’s default: ${label}.`;
  if (microphone?.state === 'open') return `You are heard by: ${label}`;
  return MICROPHONE[microphone?.state ?? ''] ?? '';
}

/**
 * What is wrong with a microphone that a caller should hear.
 * @param {{ state: string } | null} microphone
 * @returns {string} empty when nothing is
 */
export function unheardWords(microphone) {
  const state = microphone?.state ?? '';
  return state === 'open' || state === '' ? '' : `The other side cannot hear you. ${MICROPHONE[state] ?? ''}`;
}

/** @param {{ fallback?: boolean } | null} speaker @returns {string} empty when all is well */
export function speakerWords(speaker) {
  return speaker?.fallback ? 'The chosen speaker is not there. You hear by the system’s default.' : '';
}

/** @param {Call} call */
export function callWords(call) {
  switch (call.state) {
    case 'offered':
    case 'ringing':
      return call.direction === 'inbound' ? 'Incoming call' : 'Calling';
    case 'answering':
      return 'Connecting';
    case 'talking':
      return 'Talking';
    case 'held':
      return call.held_by === 'remote' ? 'On hold by the other side' : 'On hold';
    case 'ending':
      return 'Ending';
    default:
      return endWords(call);
  }
}

/** What an agent can do about audio that is missing one way. @param {Call} call empty when all is heard */
export function missingWords({ audio_missing: missing }) {
  if (!missing) return '';
  if (missing.direction === 'to_caller') {
    return 'The other side cannot hear you: nothing comes from this browser. Check the microphone, or reload the page.';
  }
  return missing.reason === 'nothing'
    ? 'Nothing is heard from the other side. Ask whether they hear you, or call back.'
    : 'Nothing is heard from the other side: its audio comes from a wrong place or in a wrong format. Tell your administrator.';
}

/**
 * How well both hear.
 * @param {import('../sdk/types.js').HeardBadly | undefined} badly
 * @returns {string} empty when all is well
 */
export function hearingWords(badly) {
  const { to_agent: here, to_caller: there } = badly ?? { to_agent: false, to_caller: false };
  if (here && there) return 'The connection is bad: parts of what both of you say are lost.';
  if (here) return 'The connection is bad: you may miss parts of what the other side says.';
  return there ? 'The connection is bad: the other side may miss parts of what you say.' : '';
}

/** How far a transfer is. @param {Call} call empty when none was asked for */
export function transferWords({ transfer }) {
  if (!transfer) return '';
  const to = transfer.to ?? 'the other call';
  switch (transfer.state) {
    case 'asking':
    case 'trying':
      return `Transferring to ${to}`;
    case 'ringing':
      return `Transferring: ${to} rings`;
    case 'done':
      return `Transferred to ${to}`;
    default: {
      const why = [transfer.sip_status, transfer.reason].filter(Boolean).join(' - ');
      return `Not transferred to ${to}${why ? `: ${why}` : ''}`;
    }
  }
}

/** Rows of the gateway's failure table. @type {Record<string, string>} */
const CAUSES = {
  remote_hangup: 'The other side hung up',
  remote_cancel: 'The caller gave up',
  remote_rejected: 'The other side refused the call',
  agent_hangup: 'You hung up',
  agent_reject: 'You rejected the call',
  agent_cancel: 'You gave up',
  transferred: 'You transferred the call',
  replaced: 'Another call took its place',
  agent_sign_out: 'You signed out',
  browser_gone: 'This page was away too long',
  browser_media: 'The audio connection was not ready',
  unknown_dn: 'The DN is not configured',
  not_signed_in: 'Nobody was signed in',
  busy: 'Too many calls',
  no_common_codec: 'No audio format in common',
  srtp_mismatch: 'One side encrypts its audio, the other does not',
  bad_sdp: 'The other side’s audio cannot be used',
  no_sdp_in_ack: 'The other side sent no audio address',
  ack_missing: 'The other side did not confirm the call',
  prack_missing: 'The other side did not confirm the ringing',
  no_answer: 'Nobody answered in time',
  no_response: 'No answer from the server',
  replaces_unknown: 'The call that it was to replace is not known',
  replaces_ended: 'The call that it was to replace is over',
  replaces_answered: 'The call that it was to replace is answered already',
  replaces_unreadable: 'The server did not say which call it was to replace',
  bad_request: 'The server’s call could not be read',
  bad_extension: 'The server wanted what the gateway cannot do',
  no_port: 'The gateway has no free port',
  overload: 'The gateway is full',
  tables_full: 'The gateway has too many calls under way',
  draining: 'The gateway takes no new calls',
  shutdown: 'The gateway was shut down',
  dialog_lost: 'The connection to the server was lost',
};

/** @param {Call} call */
export function endWords({ end }) {
  if (!end) return 'Ended';
  const words = CAUSES[end.cause] ?? `Ended (${end.cause})`;
  const detail = end.by === 'agent' ? [] : [end.sip_status, end.reason].filter(Boolean);
  return detail.length > 0 ? `${words}: ${detail.join(' - ')}` : words;
}

/** @type {Record<string, string>} */
const REFUSALS = {
  bad_number: 'This cannot be dialled. Use digits, letters and + * #.',
  busy: 'You have as many calls as you may have.',
  draining: 'The gateway takes no new calls.',
  media_not_ready: 'Audio is not ready yet.',
  not_registered: 'Not registered, so no call can be made.',
  not_signed_in: 'You are not signed in.',
  not_allowed: 'The token was not accepted. It may have expired.',
  offline: 'There is no connection to the gateway.',
  overload: 'The gateway is full.',
  timeout: 'The gateway did not answer.',
  unknown_call: 'That call is over.',
  unknown_dn: 'The DN of this token is not configured.',
  wrong_state: 'That is not possible right now.',
};

/** Close codes that end a session. @type {Record<number, string>} */
const CLOSED = {
  4400: 'The gateway did not understand this page. Reload it.',
  4401: 'The gateway did not understand this page. Reload it.',
  4403: 'The token was not accepted. It may have expired.',
  4409: 'You signed in on another page. This one is signed out.',
  4413: 'The gateway did not understand this page. Reload it.',
};

/** @param {unknown} error */
export function refusalWords(error) {
  const { code = '', message = '' } = /** @type {{ code?: string, message?: string }} */ (error ?? {});
  return REFUSALS[code] ?? (message || 'That did not work.');
}

/** @param {number | undefined} code empty for an ordinary end */
export function closedWords(code) {
  return (code !== undefined && CLOSED[code]) || '';
}

/** @param {{ number: string, name?: string }} remote */
export function who(remote) {
  return remote.name || remote.number || 'Unknown';
}

/** @param {number} ms */
export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (/** @type {number} */ value) => String(value).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`;
}
