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
    browser
        .open(&format!("http://{}/agent", office.gateway.agents()))
        .await;
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
