// The desk follows what the server says: every state on the page comes from an event or from the list
// of calls, never from the click that asked for it.

const LOG_LINES = 200;
const KEYS = [..."123456789*0#"];

/** What a card offers, by state of its call. */
const OFFERS = {
  Ringing: ["answer"],
  Dialing: ["release"],
  Established: ["hold", "release", "consult", "transfer"],
  Held: ["retrieve", "release", "consult"],
};

const OPERATIONS = {
  answer: "Answer",
  hold: "Hold",
  retrieve: "Retrieve",
  release: "Hangup",
  consult: "InitiateTransfer",
  transfer: "SingleStepTransfer",
  complete: "CompleteTransfer",
  conference: "CompleteConference",
  alternate: "SwapCalls",
  reconnect: "Reconnect",
};

/** What a card of a consultation offers beside. */
const CONSULTING = ["complete", "conference", "alternate", "reconnect"];

/** The main call of a consultation, by the id of the consult call. */
const mainCalls = new Map();

const byId = (id) => document.getElementById(id);
const dn = byId("dn");
const cards = new Map();

async function api(path, body) {
  const options = body
    ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }
    : {};
  const response = await fetch(path, options);
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = { statusMessage: text };
  }
  if (!response.ok) throw new Error(answer.statusMessage || response.statusText);
  return answer;
}

function say(text) {
  const line = byId("message");
  line.textContent = text;
  line.hidden = text === "";
}

/** Runs a request and shows why it failed, if it did. */
async function attempt(work) {
  say("");
  try {
    await work();
  } catch (error) {
    say(error.message);
  }
}

function log(text, bad = false) {
  const line = document.createElement("li");
  line.textContent = `${new Date().toLocaleTimeString()}  ${text}`;
  line.classList.toggle("bad", bad);
  const list = byId("log");
  list.prepend(line);
  while (list.children.length > LOG_LINES) list.lastElementChild.remove();
}

function operate(id, action, extra = {}) {
  const path = `/api/v2/me/calls/${encodeURIComponent(id)}`;
  const body = { operationName: OPERATIONS[action] ?? action, dn: dn.value, ...extra };
  return attempt(() => api(path, body));
}

/** Changes between the two calls of a consultation, whichever of them is held. */
function alternate(consult) {
  const main = mainCalls.get(consult);
  const state = cards.get(consult)?.dataset.state;
  const [talking, held] = state === "Held" ? [main, consult] : [consult, main];
  return operate(talking, "alternate", { otherCallUri: `/api/v2/me/calls/${held}` });
}

function newCard(id) {
  const card = byId("card").content.firstElementChild.cloneNode(true);
  card.dataset.call = id;
  card.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-action]");
    if (!button) return;
    const { action } = button.dataset;
    const target = card.querySelector(".target").value.trim();
    if (["consult", "transfer"].includes(action)) {
      if (target === "") return say("Enter the number to transfer to.");
      return operate(id, action, { destination: { phoneNumber: target } });
    }
    if (action === "alternate") return alternate(id);
    operate(id, action);
  });
  const keypad = card.querySelector(".keypad");
  for (const key of KEYS) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = key;
    button.dataset.key = key;
    button.addEventListener("click", () => operate(id, "SendDtmf", { digits: key }));
    keypad.append(button);
  }
  byId("calls").append(card);
  return card;
}

function show(call) {
  if (call.state === "Released") {
    const card = cards.get(call.id);
    const focused = card?.contains(document.activeElement);
    card?.remove();
    cards.delete(call.id);
    mainCalls.delete(call.id);
    if (focused) byId("customer-calls").focus();
    byId("no-calls").hidden = cards.size > 0;
    return;
  }
  const card = cards.get(call.id) ?? newCard(call.id);
  const fresh = !cards.has(call.id);
  cards.set(call.id, card);
  byId("no-calls").hidden = true;
  card.dataset.state = call.state;
  const number = call.participants[0]?.phoneNumber ?? call.dnis;
  card.setAttribute("aria-label", `Call with ${number}, ${call.state}`);
  card.querySelector(".number").textContent = number;
  const badge = card.querySelector(".state");
  badge.textContent = call.state;
  badge.dataset.state = call.state;
  card.querySelector(".details").textContent = `${call.callType} · ${call.callUuid}`;
  const offers = new Set(OFFERS[call.state] ?? []);
  const main = call.parentCallUri?.split("/").pop();
  // Whoever is consulted has no main call, and nothing to complete.
  if (cards.has(main)) {
    mainCalls.set(call.id, main);
    for (const action of CONSULTING) {
      if (call.capabilities.includes(OPERATIONS[action])) offers.add(action);
    }
  }
  for (const button of card.querySelectorAll("button[data-action]")) {
    button.hidden = !offers.has(button.dataset.action);
  }
  const transferring = ["consult", "transfer", ...CONSULTING].some((action) => offers.has(action));
  card.querySelector(".transfer").hidden = !transferring;
  card.querySelector(".keypad").hidden = call.state !== "Established";
  if (fresh && call.state === "Ringing") card.querySelector('[data-action="answer"]').focus();
}

async function readCalls() {
  const { calls } = await api(`/api/v2/me/calls?dn=${encodeURIComponent(dn.value)}`);
  const living = new Set(calls.map((call) => call.id));
  for (const [id, card] of cards) {
    if (!living.has(id)) {
      card.remove();
      cards.delete(id);
    }
  }
  byId("no-calls").hidden = cards.size > 0;
  calls.forEach(show);
}

const devices = new Map();

function showDevice() {
  const state = devices.get(dn.value) ?? "Inactive";
  const badge = byId("device");
  badge.dataset.state = state;
  badge.textContent = state === "Active" ? "registered" : "not registered";
}

async function readDevices() {
  const answer = await api("/api/v2/devices");
  const wanted = dn.value || new URL(location).searchParams.get("dn");
  dn.replaceChildren();
  for (const { phoneNumber, deviceState } of answer.devices) {
    devices.set(phoneNumber, deviceState);
    dn.add(new Option(phoneNumber));
  }
  const registered = answer.devices.find((device) => device.deviceState === "Active");
  const choice = wanted ?? registered?.phoneNumber;
  if (choice && devices.has(choice)) dn.value = choice;
  showDevice();
}

async function refresh() {
  await readDevices();
  await readCalls();
}

function notified(message) {
  switch (message.messageType) {
    case "CallStateChangeMessage": {
      const { call, phoneNumber, notificationType, sipStatus } = message;
      const other = call.participants[0]?.phoneNumber ?? call.dnis;
      const why = sipStatus ? ` (SIP ${sipStatus})` : "";
      const what = notificationType === "StatusChange" ? call.state : notificationType;
      log(`${phoneNumber}  ${what}${why}  ${other}`);
      if (phoneNumber === dn.value) show(call);
      // A party that was moved into another call has left its own without a word.
      if (phoneNumber === dn.value && notificationType === "ParticipantsUpdated") attempt(readCalls);
      break;
    }
    case "DeviceStateChangeMessage":
      for (const { phoneNumber, deviceState } of message.devices) {
        devices.set(phoneNumber, deviceState);
        log(`${phoneNumber}  ${deviceState === "Active" ? "registered" : "not registered"}`);
      }
      showDevice();
      break;
    case "ErrorMessage":
      log(`${message.phoneNumber}  ${message.request}: ${message.errorMessage}`, true);
      if (message.phoneNumber === dn.value) say(`${message.request}: ${message.errorMessage}`);
      break;
    default:
      attempt(refresh);
  }
}

function watch() {
  const events = new EventSource("/api/v2/events");
  const link = byId("link");
  events.addEventListener("open", () => {
    link.dataset.state = "open";
    link.textContent = "connected";
    attempt(refresh);
  });
  events.addEventListener("error", () => {
    link.dataset.state = "lost";
    link.textContent = "connection lost, trying again";
  });
  events.addEventListener("message", (event) => notified(JSON.parse(event.data)));
}

dn.addEventListener("change", () => {
  showDevice();
  attempt(readCalls);
});

byId("customer-calls").addEventListener("click", () =>
  attempt(() => api("/sim/calls", { from: byId("customer").value.trim(), to: dn.value })),
);

byId("dialler").addEventListener("submit", (event) => {
  event.preventDefault();
  const number = byId("number").value.trim();
  if (number === "") return say("Enter a number to dial.");
  const path = `/api/v2/me/devices/${encodeURIComponent(dn.value)}/calls`;
  attempt(() => api(path, { operationName: "Dial", destination: { phoneNumber: number } }));
});

// One key for the call that waits: Alt+A answers, Alt+H holds or retrieves, Alt+R releases.
document.addEventListener("keydown", (event) => {
  if (!event.altKey || event.ctrlKey || event.metaKey) return;
  const wanted = { a: ["answer"], h: ["hold", "retrieve"], r: ["release"] }[event.key.toLowerCase()];
  if (!wanted) return;
  for (const card of cards.values()) {
    const button = [...card.querySelectorAll("button[data-action]")].find(
      (candidate) => !candidate.hidden && wanted.includes(candidate.dataset.action),
    );
    if (button) {
      event.preventDefault();
      button.click();
      return;
    }
  }
});

watch();
