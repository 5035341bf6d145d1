//! Microphones and loudspeakers that come, go, and cannot be had.

use serde_json::json;

use super::*;

/// What the page is asked for from now on, and how it is answered.
const OPEN_MICROPHONE: &str = "
    window.asked = [];
    navigator.mediaDevices.getUserMedia = async ({ audio }) => {
        window.asked.push(audio.deviceId?.exact ?? 'default');
        throw new DOMException('no', window.fault);
    };";

/// She chooses another microphone in mid-call, and that one cannot be had: she is heard by the one before, and the page does not tell her that she has none. An
/// agent who thinks that nobody hears her says what nobody is to hear.
#[tokio::test]
async fn a_microphone_that_is_chosen_in_vain_leaves_the_one_before() {
    let office = Office::open().await;
    office.sign_in().await;
    let call = office.talk().await;
    let browser = &office.browser;
    browser.eval(OPEN_MICROPHONE, vec![]).await;
    let choose = "
        const [fault] = arguments;
        window.fault = fault;
        const choice = document.querySelector('#microphone');
        choice.value = choice.options[1].value;
        choice.dispatchEvent(new Event('change'));
        return choice.options[1].value;";
    for (fault, words) in [
        ("NotReadableError", "used by another program"),
        ("NotFoundError", "not there"),
    ] {
        let wanted = browser.eval(choose, vec![json!(fault)]).await;
        browser.reads("#microphone-state", words).await;
        browser
            .reads("#microphone-state", "heard by the one before")
            .await;
        // The default would be another one than she chose, and than she has.
        let state = "
            const { state, problem } = talkbridge.microphone;
            return [state, problem, document.querySelector('#microphone').value, window.asked.splice(0)];";
        let problem = if fault == "NotFoundError" {
            "missing"
        } else {
            "busy"
        };
        let expected = json!(["open", problem, "", [wanted]]);
        assert_eq!(browser.eval(state, vec![]).await, expected);
        office.sim.customer_hears(&call, PAGE_HZ).await;
    }
    office.release(&call).await;
}

/// Loudspeakers of which some can be unplugged; what plays through which is kept.
const SPEAKERS: &str = "
    window.there = ['desk', 'headset'];
    window.plays = {};
    const devices = navigator.mediaDevices;
    const real = devices.enumerateDevices.bind(devices);
    devices.enumerateDevices = async () => {
        const others = (await real()).filter(({ kind }) => kind !== 'audiooutput');
        const kind = 'audiooutput';
        return [...others, ...window.there.map((deviceId) => ({ kind, deviceId, label: deviceId }))];
    };
    const choose = (name) => async function setSinkId(id) {
        if (id !== '' && !window.there.includes(id)) throw new DOMException('none', 'NotFoundError');
        window.plays[name] = id;
    };
    HTMLMediaElement.prototype.setSinkId = choose('voice');
    AudioContext.prototype.setSinkId = choose('ring');
    window.plug = (...names) => {
        window.there = names;
        devices.dispatchEvent(new Event('devicechange'));
    };
    localStorage.setItem('talkbridge.speaker', 'headset');";

impl Office {
    /// The customer's voice and the ring come from this loudspeaker, and the page shows that one as chosen.
    async fn plays_by(&self, used: &str, shown: &str) {
        let both = json!({"voice": used, "ring": used});
        interop_tests::wait::eventually_async(&format!("all is heard by {used:?}"), || async {
            let plays = self.browser.eval("return window.plays", vec![]).await;
            (plays == both).then_some(())
        })
        .await;
        let choice = "return document.querySelector('#speaker').value";
        assert_eq!(self.browser.eval(choice, vec![]).await, shown);
    }
}

/// Her headset is unplugged in mid-call and comes back: microphone and loudspeaker go and come together, the ring too. So it is where it was not there from the
/// start; and who chooses the default in between has it.
#[tokio::test]
async fn the_loudspeaker_follows_the_headset() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser.open_agent(office.gateway.agents()).await;
    browser.eval(SPEAKERS, vec![]).await;
    browser.enter("1002").await;
    office.ready().await;
    browser.click("#test-sound").await;
    office.plays_by("headset", "headset").await;
    let call = office.talk().await;
    browser.eval("window.plug('desk')", vec![]).await;
    browser
        .reads("#speaker-state", "The chosen speaker is not there")
        .await;
    office.plays_by("", "headset").await;
    browser.eval("window.plug('desk', 'headset')", vec![]).await;
    office.plays_by("headset", "headset").await;
    let none = "return document.querySelector('#speaker-state').textContent";
    assert_eq!(browser.eval(none, vec![]).await, "");

    browser.eval("window.plug('desk')", vec![]).await;
    office.plays_by("", "headset").await;
    let choose = "
        const choice = document.querySelector('#speaker');
        choice.value = '';
        choice.dispatchEvent(new Event('change'));";
    browser.eval(choose, vec![]).await;
    eventually_empty(browser).await;
    browser.eval("window.plug('desk', 'headset')", vec![]).await;
    browser.sees("#speaker option[value=headset]").await;
    office.plays_by("", "").await;
    office.release(&call).await;
}

/// The page says nothing of loudspeakers.
async fn eventually_empty(browser: &Browser) {
    interop_tests::wait::eventually_async("the speaker is what was chosen", || async {
        let text = "return document.querySelector('#speaker-state').textContent";
        (browser.eval(text, vec![]).await == "").then_some(())
    })
    .await;
}

/// What the laptop's own microphone says, and what the headset's says.
const LAPTOP_HZ: u32 = 660;
const HEADSET_HZ: u32 = 1_000;

/// A laptop with a headset that can be plugged in, as Chromium shows them: an entry of its own for the system's default, with the group of the device that it is; and
/// whoever asks for the default is given what was the default when it was opened first, for as long as anything of that is open.
const HEADSET: &str = "
    const [hz, names] = arguments;
    const devices = navigator.mediaDevices;
    const microphone = (deviceId, groupId, label) => ({ kind: 'audioinput', deviceId, groupId, label });
    const context = new AudioContext();
    let system = 'laptop';
    let open = [];
    const all = () => {
        const real = Object.keys(hz).filter((name) => name === 'laptop' || system !== 'laptop');
        const listed = real.flatMap((name) => names[name].map((label, at) => microphone(`${name}${at}`, name, label)));
        return [microphone('default', system, 'Default - Array'), ...listed];
    };
    const live = () => open.filter(({ track }) => track.readyState === 'live');
    const watched = (track, name, byDefault) => {
        open.push({ track, name, byDefault });
        const clone = track.clone.bind(track);
        track.clone = () => watched(clone(), name, byDefault);
        return track;
    };
    MediaStream.prototype.clone = function () {
        return new MediaStream(this.getTracks().map((track) => track.clone()));
    };
    devices.enumerateDevices = async () => all();
    devices.getUserMedia = async ({ audio }) => {
        const exact = audio.deviceId?.exact ?? '';
        const entry = all().find(({ deviceId }) => deviceId === (exact || 'default'));
        if (!entry) throw new DOMException('none', 'NotFoundError');
        const name = exact ? entry.groupId : (live().find(({ byDefault }) => byDefault)?.name ?? system);
        const tone = new OscillatorNode(context, { frequency: hz[name] });
        const quieter = new GainNode(context, { gain: 0.3 });
        const out = context.createMediaStreamDestination();
        tone.connect(quieter).connect(out);
        tone.start();
        const [track] = out.stream.getAudioTracks();
        watched(track, name, !exact);
        track.getSettings = () => ({ deviceId: exact || 'default', groupId: name });
        Object.defineProperty(track, 'label', { value: exact ? entry.label : `Default - ${name}` });
        return out.stream;
    };
    window.plug = (name) => {
        const gone = name === 'laptop' ? live().filter((one) => one.name !== 'laptop') : [];
        system = name;
        for (const { track } of gone) {
            track.stop();
            track.dispatchEvent(new Event('ended'));
        }
        devices.dispatchEvent(new Event('devicechange'));
    };
    window.live = () => [...new Set(live().map(({ name }) => name))];";

/// An agent signed in on the laptop's own microphone, in a call.
async fn on_the_laptop(names: &Value) -> (Office, String) {
    let office = Office::open().await;
    let browser = &office.browser;
    browser.open_agent(office.gateway.agents()).await;
    let hz = json!({"laptop": LAPTOP_HZ, "headset": HEADSET_HZ});
    browser.eval(HEADSET, vec![hz, names.clone()]).await;
    browser.enter("1002").await;
    office.ready().await;
    browser.reads("#microphone-state", "Default - laptop").await;
    let call = office.talk().await;
    (office, call)
}

impl Office {
    /// The customer hears this microphone, and no other one is open.
    async fn is_heard_by(&self, call: &str, name: &str, hz: u32) {
        self.sim.customer_hears(call, hz).await;
        interop_tests::wait::eventually_async("no other is open", || async {
            let live = self.browser.eval("return window.live()", vec![]).await;
            (live == json!([name])).then_some(())
        })
        .await;
    }

    /// She plugs the headset in, it slips out, and she plugs it in again.
    async fn headset_comes_and_goes(&self, call: &str) {
        for (name, hz) in [
            ("headset", HEADSET_HZ),
            ("laptop", LAPTOP_HZ),
            ("headset", HEADSET_HZ),
        ] {
            self.browser
                .eval("window.plug(...arguments)", vec![json!(name)])
                .await;
            self.is_heard_by(call, name, hz).await;
        }
    }
}

/// Her microphone is the system's default, and she plugs the headset in, which becomes that: she is heard by it, and by it again when it has slipped out in mid-call. The
/// browser goes on with what was the default before, and callers heard the laptop, and the room around it, for the rest of the shift.
#[tokio::test]
async fn the_microphone_follows_the_systems_default() {
    let names = json!({"laptop": ["Inner Array"], "headset": ["Headset"]});
    let (office, call) = on_the_laptop(&names).await;
    office.headset_comes_and_goes(&call).await;
    office.browser.reads("#microphone-state", "Headset").await;
    let chosen =
        "return [document.querySelector('#microphone').value, talkbridge.microphone.deviceId]";
    assert_eq!(office.browser.eval(chosen, vec![]).await, json!(["", ""]));
    office.release(&call).await;
}

/// The same where a device has two microphones, and nothing says which of them is the default.
#[tokio::test]
async fn the_microphone_follows_a_default_of_two_microphones() {
    let names = json!({"laptop": ["Left", "Right"], "headset": ["Near", "Far"]});
    let (office, call) = on_the_laptop(&names).await;
    office.headset_comes_and_goes(&call).await;
    office.release(&call).await;
}

impl Office {
    /// What administrators are told of her microphone.
    async fn microphone_is(&self, state: &str) -> Value {
        interop_tests::wait::eventually_async(&format!("the microphone is {state}"), || async {
            let agent = self.gateway.get("/api/v1/agents/1002").await.body;
            let agent: Value = serde_json::from_str(&agent).ok()?;
            (agent["microphone"]["state"] == state).then(|| agent["microphone"].clone())
        })
        .await
    }
}

/// She mutes herself by the key of her headset and forgets it: the page says in the call that nobody hears her, and what to do; administrators see it.
#[tokio::test]
async fn a_microphone_that_the_headset_mutes_is_told() {
    let office = Office::open().await;
    office.sign_in().await;
    let browser = &office.browser;
    let open = office.microphone_is("open").await;
    let label = browser
        .eval("return talkbridge.microphone.label", vec![])
        .await;
    assert_eq!(open["label"], label);
    let mute = "
        const [track] = talkbridge.localStream.getAudioTracks();
        Object.defineProperty(track, 'muted', { configurable: true, value: arguments[0] });
        track.dispatchEvent(new Event(arguments[0] ? 'mute' : 'unmute'));";
    browser.eval(mute, vec![json!(true)]).await;
    browser
        .reads("#microphone-state", "a key of the headset")
        .await;
    office.microphone_is("muted").await;
    browser.sees_no("#unheard").await;
    let call = office.talk().await;
    browser
        .reads("#unheard", "The other side cannot hear you")
        .await;
    browser.eval(mute, vec![json!(false)]).await;
    browser.sees_no("#unheard").await;
    office.microphone_is("open").await;
    office.release(&call).await;
}

/// Another program has her microphone when she signs in, and ends: the next call that rings opens it, and nobody has to do anything.
#[tokio::test]
async fn a_microphone_that_another_program_had_is_there_for_the_call() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser.open_agent(office.gateway.agents()).await;
    let busy = "
        const devices = navigator.mediaDevices;
        const real = devices.getUserMedia.bind(devices);
        window.busy = true;
        devices.getUserMedia = async (wish) => {
            if (window.busy) throw new DOMException('no', 'NotReadableError');
            return real(wish);
        };";
    browser.eval(busy, vec![]).await;
    browser.enter("1002").await;
    office.ready().await;
    browser
        .reads("#microphone-state", "used by another program")
        .await;
    let said = office.microphone_is("busy").await;
    assert_eq!(said, json!({"state": "busy"}));
    browser.eval("window.busy = false", vec![]).await;
    let call = office.talk().await;
    office.release(&call).await;
}

/// The browser's dialogue about the microphone is open, and until it is answered no loudspeaker may be chosen: the one that she chose last time is used from then on.
#[tokio::test]
async fn the_loudspeaker_is_remembered_behind_the_dialogue() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser.open_agent(office.gateway.agents()).await;
    browser.eval(SPEAKERS, vec![]).await;
    let dialogue = "
        let named = false;
        const devices = navigator.mediaDevices;
        const listed = devices.enumerateDevices;
        const nameless = ({ kind }) => ({ kind, deviceId: '', groupId: '', label: '' });
        devices.enumerateDevices = async () => (await listed()).map((device) => (named ? device : nameless(device)));
        const choose = HTMLMediaElement.prototype.setSinkId;
        HTMLMediaElement.prototype.setSinkId = async function (id) {
            if (id !== '' && !named) throw new DOMException('not yet', 'NotAllowedError');
            return choose.call(this, id);
        };
        const open = devices.getUserMedia.bind(devices);
        devices.getUserMedia = async (wish) => {
            await new Promise((allow) => { window.allow = allow; });
            named = true;
            return open(wish);
        };";
    browser.eval(dialogue, vec![]).await;
    browser.enter("1002").await;
    office.ready().await;
    browser
        .reads("#microphone-state", "Allow the microphone")
        .await;
    browser.click("#test-sound").await;
    browser.eval("window.allow()", vec![]).await;
    office.plays_by("headset", "headset").await;
    let call = office.talk().await;
    office.release(&call).await;
}
