// @ts-check
/** @import { Call } from '../sdk/talkbridge.js' */
import { Talkbridge } from '../sdk/talkbridge.js';
import { AudioPanel } from './audio_panel.js';
import { CallList } from './calls.js';
import { byId, make, say } from './dom.js';
import { Sites, showRegistration } from './sites.js';
import { stored } from './stored.js';
import {
  admissionWords,
  callWords,
  closedWords,
  connectionWords,
  endWords,
  mediaFailureWords,
  mediaWords,
  refusalWords,
  transferWords,
  unheardWords,
  waitingToConnectWords,
  waitingWords,
  who,
} from './words.js';

/** Texts that stay in sight. */
const MAX_MESSAGES = 5;

const talkbridge = new Talkbridge();
// For tests and for curious agents: the session, with its `remoteStream` and `peerConnection`.
Object.assign(window, { talkbridge });

new AudioPanel(talkbridge, Talkbridge.canChooseSpeaker);
const calls = new CallList(
  { list: byId('calls'), recent: byId('recent'), empty: byId('no-calls'), recentTitle: byId('recent-title') },
  act,
);
const sites = new Sites();

/* Signing in and out */

const tokenField = /** @type {HTMLInputElement} */ (byId('token'));
const numberField = /** @type {HTMLInputElement} */ (byId('number'));

/** The page was loaded anew, and has not found its session yet. */
let isRestored = false;

/**
 * @param {string} token
 * @param {string} [resume]
 */
async function signIn(token, resume) {
  hideProblem();
  setSigningIn(true);
  stored.set('token', token);
  const { microphone, speaker } = AudioPanel.remembered;
  try {
    await talkbridge.connect({
      token,
      ...(resume ? { resume } : {}),
      ...(microphone ? { microphone } : {}),
      ...(speaker ? { speaker } : {}),
      client: { name: 'agent page', version: '1' },
    });
    tokenField.value = '';
  } catch (error) {
    if (/** @type {{ code?: string }} */ (error).code !== 'closed') showProblem(refusalWords(error));
  } finally {
    setSigningIn(false);
  }
}

/** @param {boolean} busy */
function setSigningIn(busy) {
  const button = /** @type {HTMLButtonElement} */ (byId('sign-in'));
  button.disabled = busy;
  say(button, busy ? 'Signing in …' : 'Sign in');
}

byId('sign-in-form').addEventListener('submit', (event) => {
  event.preventDefault();
  void signIn(tokenField.value.trim());
});

byId('sign-out').addEventListener('click', () => void talkbridge.signOut());

/* What the gateway tells */

talkbridge.addEventListener('connection', (event) => {
  const { state, code, refusal, retry_ms: retry } = detail(event);
  show('connection', state, connectionWords(state, refusal));
  // A connection that is lost or taken up again keeps its calls on the page.
  const signedIn = state === 'signed_in' || (state !== 'signed_out' && !byId('desk').hidden);
  byId('sign-in-form').hidden = signedIn;
  byId('desk').hidden = !signedIn;
  byId('sign-out').hidden = !signedIn;
  byId('offline').hidden = state !== 'waiting';
  if (state === 'waiting') {
    const seconds = Math.max(1, Math.round(retry / 1000));
    say(byId('offline-text'), waitingToConnectWords(seconds, refusal));
  }
  if (state === 'signed_out') signedOut(code);
});

/** @param {number | undefined} code */
function signedOut(code) {
  talkbridge.mute(false);
  stored.forgetAll();
  calls.replace([]);
  showRegistration(sites, null);
  show('media-state', 'none', mediaWords('none'));
  showMediaFailure();
  say(byId('agent'), '');
  showCaller();
  const words = closedWords(code);
  if (words) showProblem(words);
  tokenField.focus();
}

talkbridge.addEventListener('welcome', () => {
  const { agent, resume, registration } = talkbridge;
  if (resume) stored.set('resume', resume);
  say(byId('agent'), agent?.name ? `${agent.name}, ${agent.dn}` : (agent?.dn ?? ''));
  showRegistration(sites, registration);
  calls.mayRecord = talkbridge.mayRecord;
  announceWhatChanged(calls.calls, talkbridge.calls);
  calls.replace(talkbridge.calls.values());
  showWaiting();
  showAdmission();
  showCaller();
  // Reloaded in a call that is over by now.
  if (isRestored && !calls.calls.some(({ talking_ms: talking }) => talking !== undefined)) talkbridge.mute(false);
  isRestored = false;
});

talkbridge.addEventListener('registration', () => showRegistration(sites, talkbridge.registration));

for (const type of ['media', 'media_state']) {
  talkbridge.addEventListener(type, () => {
    // Both ends must be content; the page's own view comes first, it knows more of its network.
    const here = talkbridge.peerConnection?.connectionState ?? 'none';
    const there = talkbridge.mediaState;
    const state = here === 'connected' && there && there !== 'connected' ? there : here;
    show('media-state', state, mediaWords(state));
    showMediaFailure();
  });
}

/** Stays until audio is there: the next attempt may fail for the same reason. */
function showMediaFailure() {
  const words = mediaFailureWords(talkbridge.mediaFailure);
  byId('no-audio').hidden = words === '';
  say(byId('no-audio'), words);
}

talkbridge.addEventListener('call', (event) => {
  /** @type {Call} */
  const call = detail(event).call;
  const before = calls.calls.find(({ id }) => id === call.id);
  calls.update(call);
  showCaller();
  if (call.transfer?.state !== before?.transfer?.state && call.state !== 'ended') {
    say(byId('announcer'), `${who(call.remote)}: ${transferWords(call)}`);
  }
  if (call.state !== before?.state) announce(call);
});

/** @param {...Call} news calls of which there is news */
function announce(...news) {
  const comes = (/** @type {Call} */ { state, direction }) => state === 'ringing' && direction === 'inbound';
  for (const { remote } of news.filter(comes)) {
    say(byId('alarm'), `Incoming call from ${who(remote)}. Press Alt A to answer.`);
  }
  const words = news
    .filter((call) => !comes(call))
    .map((call) => `${who(call.remote)}: ${call.state === 'ended' ? endWords(call) : callWords(call)}`);
  if (words.length > 0) say(byId('announcer'), words.join('. '));
}

/**
 * What became of calls while the page was away.
 * @param {Call[]} before
 * @param {Map<string, Call>} now
 */
function announceWhatChanged(before, now) {
  /** @type {Call[]} */
  const gone = before.filter(({ id }) => !now.has(id)).map((call) => ({ ...call, state: 'ended' }));
  const changed = [...now.values()].filter((call) => before.find(({ id }) => id === call.id)?.state !== call.state);
  announce(...gone, ...changed);
}

for (const type of ['call', 'welcome', 'microphone', 'connection']) talkbridge.addEventListener(type, () => showUnheard());

/** While a call talks the agent must know that nobody hears her. */
function showUnheard() {
  const talks = [...talkbridge.calls.values()].some(({ state }) => state === 'talking');
  const words = talks ? unheardWords(talkbridge.microphone) : '';
  byId('unheard').hidden = words === '';
  say(byId('unheard'), words);
}

talkbridge.addEventListener('quality', (event) => calls.heard(detail(event).call, detail(event).heard_badly));

talkbridge.addEventListener('message_waiting', () => showWaiting());

talkbridge.addEventListener('admission', () => showAdmission());

talkbridge.addEventListener('instant_message', (event) => {
  const { from, text } = detail(event);
  const list = byId('messages');
  list.append(make('li', {}, make('b', { text: who(from) }), make('p', { text })));
  while (list.childElementCount > MAX_MESSAGES) list.firstElementChild?.remove();
  say(byId('announcer'), `Message from ${who(from)}: ${text}`);
});

function showWaiting() {
  const words = waitingWords(talkbridge.messageWaiting);
  say(byId('message-waiting'), words);
  byId('message-waiting').hidden = words === '';
}

function showAdmission() {
  const words = admissionWords(talkbridge.admission);
  say(byId('admission'), words);
  byId('admission').hidden = words === '';
}

/** The title of the tab says who calls. */
function showCaller() {
  const incoming = callWhere(({ state, direction }) => state === 'ringing' && direction === 'inbound');
  document.title = incoming ? `Call from ${who(incoming.remote)}` : 'talkbridge';
  // The next call of the same caller is another piece of news.
  if (!incoming) say(byId('alarm'), '');
}

talkbridge.addEventListener('dtmf_received', (event) => {
  const { call, digit } = detail(event);
  calls.pressed(call, digit);
});

talkbridge.addEventListener('error', (event) => showProblem(refusalWords(detail(event))));

talkbridge.addEventListener('playback', (event) => {
  byId('blocked').hidden = !detail(event).blocked;
});

talkbridge.addEventListener('muted', (event) => stored.set('muted', String(detail(event).muted)));

byId('test-sound').addEventListener('click', () => talkbridge.testRing());

/* What the agent does */

/**
 * @param {string} action
 * @param {Call} call
 * @param {string} [digit] or what else the action is about: a number, another call
 */
function act(action, call, digit = '') {
  const { id } = call;
  return attempt(() => {
    switch (action) {
      case 'answer':
        return talkbridge.answer(id);
      case 'reject':
        return talkbridge.reject(id);
      case 'hangup':
        return talkbridge.hangup(id);
      case 'hold':
        return talkbridge.hold(id);
      case 'retrieve':
        return talkbridge.retrieve(id);
      case 'transfer':
        return talkbridge.transfer(id, { to: digit });
      case 'record':
        return talkbridge.record(id, /** @type {'start' | 'stop' | 'pause' | 'resume'} */ (digit));
      case 'join':
        return talkbridge.transfer(id, { to_call: digit });
      default:
        return talkbridge.dtmf(id, digit);
    }
  });
}

/** @param {() => Promise<void>} request */
async function attempt(request) {
  try {
    await request();
    hideProblem();
    return true;
  } catch (error) {
    showProblem(refusalWords(error));
    return false;
  }
}

byId('dial-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const number = numberField.value.trim();
  if (number === '') {
    numberField.focus();
    return;
  }
  if (await attempt(() => talkbridge.dial(number))) numberField.value = '';
});

// The tab of a telephone is shut by mistake sooner or later: the browser asks whether to leave.
window.addEventListener('beforeunload', (event) => {
  if (callWhere(({ state }) => state !== 'ringing' && state !== 'offered')) event.preventDefault();
});

byId('retry').addEventListener('click', () => talkbridge.retryNow());
byId('dismiss').addEventListener('click', hideProblem);

for (const type of ['pointerdown', 'keydown']) {
  // The first click or key lets the browser play sound.
  document.addEventListener(type, () => {
    if (!byId('blocked').hidden) void talkbridge.play();
  });
}

/* Keyboard */

/** @param {(call: Call) => boolean} matches */
function callWhere(matches) {
  return calls.calls.find(matches);
}

/** @type {Record<string, () => Promise<unknown> | void>} */
const SHORTCUTS = {
  KeyA: () => onRinging('answer'),
  KeyR: () => onRinging('reject'),
  KeyX: () => {
    const call =
      callWhere(({ state }) => state === 'talking' || state === 'answering') ??
      callWhere(({ state, direction }) => direction === 'outbound' && (state === 'ringing' || state === 'offered')) ??
      callWhere(({ state }) => state === 'held');
    return call && act('hangup', call);
  },
  KeyO: () => {
    const talking = callWhere(({ state }) => state === 'talking');
    if (talking) return act('hold', talking);
    const held = callWhere(({ state, held_by: by }) => state === 'held' && by !== 'remote');
    return held && act('retrieve', held);
  },
  KeyM: () => talkbridge.mute(!talkbridge.muted),
  KeyN: () => numberField.focus(),
  KeyT: () => {
    const call = callWhere(({ state }) => state === 'talking') ?? callWhere(({ state }) => state === 'held');
    if (call) calls.openTransfer(call.id);
  },
};

/** @param {'answer' | 'reject'} action */
function onRinging(action) {
  const call = callWhere(({ state, direction }) => state === 'ringing' && direction === 'inbound');
  return call && act(action, call);
}

document.addEventListener('keydown', (event) => {
  if (byId('desk').hidden || event.ctrlKey || event.metaKey) return;
  if (event.altKey) {
    // By place on the keyboard: with Alt held some systems type another letter.
    const shortcut = SHORTCUTS[event.code];
    if (!shortcut || event.repeat) return;
    event.preventDefault();
    void shortcut();
    return;
  }
  const typing = event.target instanceof HTMLElement && event.target.matches('input, select, textarea');
  const talking = callWhere(({ state }) => state === 'talking');
  if (typing || event.repeat || !talking || !/^[0-9*#]$/.test(event.key)) return;
  calls.typed(talking.id, event.key);
  void act('dtmf', talking, event.key);
});

/* Odds and ends */

/** @param {Event} event */
function detail(event) {
  return event instanceof CustomEvent ? (event.detail ?? {}) : {};
}

/**
 * @param {string} id
 * @param {string} state
 * @param {string} words
 */
function show(id, state, words) {
  const element = byId(id);
  element.dataset.state = state;
  say(element, words);
}

/** @param {string} words */
function showProblem(words) {
  say(byId('problem-text'), words);
  byId('problem').hidden = false;
}

function hideProblem() {
  byId('problem').hidden = true;
}

/** A token in the fragment never leaves the browser; it is taken out of the address bar and out of the history, whatever becomes of it. */
function tokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token) history.replaceState(null, '', location.pathname + location.search);
  return token;
}

// A link with a token, in the tab that shows the page already: the browser loads nothing then.
window.addEventListener('hashchange', () => {
  const token = tokenFromAddress();
  if (token && talkbridge.connection === 'signed_out') void signIn(token);
});

// Whoever reads this has all scripts: the form does something.
byId('incomplete').hidden = true;
byId('sign-in-form').hidden = false;

const given = tokenFromAddress();
const former = stored.get('token');
if (given) {
  stored.forget('resume');
  void signIn(given);
} else if (former) {
  isRestored = true;
  talkbridge.mute(stored.get('muted') === 'true');
  void signIn(former, stored.get('resume') ?? undefined);
} else {
  tokenField.focus();
}
