//! What happens to a page around its calls: a headset that is not there, a login service that takes its time, a laptop that slept.

use serde_json::json;

use super::ring_back::RING_HZ;
use super::*;

/// The agent worked with a headset yesterday, and it is not plugged in: she is heard by another microphone, is told so, and can choose.
#[tokio::test]
async fn a_headset_that_is_not_plugged_in_costs_no_voice() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser.open_agent(office.gateway.agents()).await;
    let remember = "localStorage.setItem('talkbridge.microphone', 'yesterday')";
    browser.eval(remember, vec![]).await;
    browser.enter("1002").await;
    office.ready().await;
    browser
        .reads("#microphone-state", "The chosen microphone is not there")
        .await;
    browser.sees("#microphone option + option").await;
    let call = office.talk().await;
    office.sim.operate(&call, "Hangup").await;
    office.over(&call).await;
}

/// She plugs her headset in while the browser still looks for one: it is found without another click.
#[tokio::test]
async fn a_headset_that_comes_while_it_is_looked_for_is_found() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser.open_agent(office.gateway.agents()).await;
    let none_at_first = "
        const devices = navigator.mediaDevices;
        const real = devices.getUserMedia.bind(devices);
        let looks = 0;
        devices.getUserMedia = async (wish) => {
            looks += 1;
            if (looks > 1) return real(wish);
            devices.dispatchEvent(new Event('devicechange'));
            throw new DOMException('none', 'NotFoundError');
        };";
    browser.eval(none_at_first, vec![]).await;
    browser.enter("1002").await;
    office.ready().await;
    let call = office.talk().await;
    office.sim.operate(&call, "Hangup").await;
    office.over(&call).await;
}

/// The site's login service takes longer for a token than the gateway waits for `hello`: the agent is signed in all the same.
#[tokio::test]
async fn a_login_service_that_takes_its_time_signs_in() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser.open_agent(office.gateway.agents()).await;
    let connect = "
        const [token] = arguments;
        import('/sdk/talkbridge.js').then(({ Talkbridge }) => {
            window.slow = new Talkbridge();
            const fetch = () => new Promise((resolve) => setTimeout(() => resolve(token), 6_000));
            window.slow.connect({ token: fetch });
        });";
    let token = json!(Gateway::token("1002"));
    browser.eval(connect, vec![token]).await;
    interop_tests::wait::eventually_async("the page is signed in", || async {
        let state = browser.eval("return window.slow?.connection", vec![]).await;
        assert_ne!(state, "signed_out");
        (state == "signed_in").then_some(())
    })
    .await;
    office.browser.close().await;
}

/// The agent closed her laptop and signed in at a desk; the laptop wakes up in mid-call. Its page says that it is signed out, and the caller stays at
/// the desk.
#[tokio::test]
async fn a_laptop_that_wakes_up_leaves_the_call_at_the_desk() {
    let office = Office::open().await;
    let cable = office.cable().await;
    office.sign_in_at(cable.address()).await;
    let call = office.talk().await;
    office.browser.sleeps();
    cable.pull();
    let ws = "talkbridge_ws_connections";
    office.gateway.metric_is(ws, "", 0.0).await;
    let second = Page::sign_in(&office.gateway, "1002").await;
    second.hears(CUSTOMER_HZ).await;
    office.browser.wakes();
    office
        .browser
        .reads("#problem-text", "You signed in on another page")
        .await;
    assert_eq!(second.call()["state"], "talking");
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office.sim.operate(&call, "Hangup").await;
    office.over(&call).await;
}

/// A firewall forgets her socket and tells neither end, while her audio goes on: the page finds out by itself, and a call that is answered at the desk then is heard both ways.
#[tokio::test]
async fn a_socket_that_dies_in_silence_is_taken_up_again() {
    let office = Office::open().await;
    let cable = office.cable().await;
    office.sign_in_at(cable.address()).await;
    let count = "
        window.asked = 0;
        window.lost = 0;
        const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (text) {
            window.asked += 1;
            send.call(this, text);
        };
        talkbridge.addEventListener('connection', ({ detail }) => {
            window.lost += detail.state === 'waiting' ? 1 : 0;
        });";
    office.browser.eval(count, vec![]).await;
    cable.swallows();
    for (what, count) in [
        ("the page asks", "return window.asked"),
        ("it has noticed", "return window.lost"),
    ] {
        interop_tests::wait::eventually_async(what, || async {
            let counted = office.browser.eval(count, vec![]).await;
            (counted.as_u64() > Some(0)).then_some(())
        })
        .await;
    }
    office.ready().await;
    let call = office.talk().await;
    office.release(&call).await;
}

/// The gateway goes while a call rings: it does not ring on for a caller of whom nobody knows any more.
#[tokio::test]
async fn nothing_rings_while_the_gateway_is_away() {
    let office = Office::open().await;
    let cable = office.cable().await;
    let browser = &office.browser;
    browser.open_agent(cable.address()).await;
    browser.listen_to_the_page().await;
    browser.enter("1002").await;
    office.ready().await;
    let call = office.sim.customer_calls("0301234567", "1002").await;
    browser.plays_together(&RING_HZ).await;
    cable.loses(Some("/agent/v1"));
    cable.pull();
    browser.reads("#offline-text", "cannot be reached").await;
    browser.plays_nothing().await;
    cable.loses(None);
    browser.plays_together(&RING_HZ).await;
    office.sim.operate(&call, "Answer").await;
    office.both_hear(&call).await;
    office.release(&call).await;
}

/// She reloads the page while a call rings, and whoever hears the page by a screen reader is told of it; another call ends while the page is away, which is told as well.
#[tokio::test]
async fn what_changed_meanwhile_is_read_out() {
    let office = Office::open().await;
    let cable = office.cable().await;
    office.sign_in_at(cable.address()).await;
    let browser = &office.browser;
    let call = office.sim.customer_calls("0301234567", "1002").await;
    browser.reads("#alarm", "Incoming call").await;
    browser.reload().await;
    browser.reads("#alarm", "Incoming call").await;
    cable.loses(Some("/agent/v1"));
    cable.pull();
    browser.reads("#offline-text", "cannot be reached").await;
    office.sim.operate(&call, "Hangup").await;
    office.sim.released("1002", &call).await;
    cable.loses(None);
    browser.reads("#announcer", "0301234567: Ended").await;
    office.browser.close().await;
}

/// A browser measures no stream: the level meters stand still, and nothing else is wrong.
#[tokio::test]
async fn a_meter_that_fails_costs_no_voice() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser.open_agent(office.gateway.agents()).await;
    let refuse = "AudioContext.prototype.createMediaStreamSource = () => {
        throw new DOMException('other sample-rate', 'NotSupportedError');
    }";
    browser.eval(refuse, vec![]).await;
    browser.enter("1002").await;
    browser.reads("#registration", "Registered").await;
    browser.reads("#media-state", "Audio ready").await;
    browser.reads("#microphone-state", "You are heard by").await;
    let call = office.sim.customer_calls("0301234567", "1002").await;
    office.sim.operate(&call, "Answer").await;
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office.release(&call).await;
}

/// The browser forbids sites to store anything: she signs in and works, and only a reload would not find her session.
#[tokio::test]
async fn a_browser_that_stores_nothing_signs_in() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser.open_agent(office.gateway.agents()).await;
    let forbid = "
        const denied = { get() { throw new DOMException('denied', 'SecurityError'); } };
        Object.defineProperty(window, 'sessionStorage', denied);
        Object.defineProperty(window, 'localStorage', denied);";
    browser.eval(forbid, vec![]).await;
    browser.enter("1002").await;
    office.ready().await;
    let call = office.talk().await;
    office.release(&call).await;
}

/// She shuts the tab by mistake: while a call is up the browser asks, and else it does not.
#[tokio::test]
async fn a_tab_with_a_call_is_not_shut_unasked() {
    let office = Office::open().await;
    office.sign_in().await;
    let asks = || async {
        let leave = "return !dispatchEvent(new Event('beforeunload', { cancelable: true }))";
        office.browser.eval(leave, vec![]).await
    };
    assert_eq!(asks().await, false);
    let call = office.talk().await;
    assert_eq!(asks().await, true);
    office.sim.operate(&call, "Hangup").await;
    office.sim.released("1002", &call).await;
    office.browser.sees_no("#calls [data-call]").await;
    assert_eq!(asks().await, false);
    office.browser.close().await;
}

/// Whoever works by the keyboard holds and retrieves without looking for the button: it keeps the focus until the gateway, which takes its time, has answered, and hands it on to the one
/// in its place.
#[tokio::test]
async fn the_focus_stays_where_the_agent_works() {
    let office = Office::open().await;
    office.sign_in().await;
    let call = office.talk().await;
    let browser = &office.browser;
    let slow = "
        const send = WebSocket.prototype.send;
        window.waiting = [];
        WebSocket.prototype.send = function (text) {
            window.waiting.push(() => send.call(this, text));
        };";
    browser.eval(slow, vec![]).await;
    let focused = || async {
        let script =
            "return document.activeElement?.dataset.action ?? document.activeElement?.localName";
        browser.eval(script, vec![]).await
    };
    for (pressed, state, next) in [
        ("hold", "held", "retrieve"),
        ("retrieve", "talking", "hold"),
    ] {
        let press = "
            const button = document.querySelector(`#calls [data-action=${arguments[0]}]`);
            button.focus();
            button.click();";
        browser.eval(press, vec![json!(pressed)]).await;
        browser
            .sees(&format!("#calls [data-action={pressed}][aria-disabled]"))
            .await;
        assert_eq!(focused().await, pressed);
        let answered = "for (const send of window.waiting.splice(0)) send()";
        browser.eval(answered, vec![]).await;
        browser
            .sees(&format!("#calls [data-call][data-state={state}]"))
            .await;
        assert_eq!(focused().await, next);
    }
    office.release(&call).await;
}

/// Her socket drops in mid-call, and the login service hands out a token that is over: the page keeps its media, asks again, and comes back to the call.
#[tokio::test]
async fn a_refused_token_in_mid_call_is_not_the_end() {
    let office = Office::open().await;
    let connect = "
        const [token] = arguments;
        window.tokens = [];
        import('/sdk/talkbridge.js').then(({ Talkbridge }) => {
            window.own = new Talkbridge();
            window.own.connect({ token: async () => window.tokens.shift() ?? token });
        });";
    let cable = office.connects_by(connect).await;
    let browser = &office.browser;
    let call = office.speaks_on_its_own_page().await;
    let before = "
        window.tokens = ['over'];
        window.kept = window.own.peerConnection;
        window.codes = [];
        window.own.addEventListener('connection', ({ detail }) => detail.code && window.codes.push(detail.code));";
    browser.eval(before, vec![]).await;
    cable.pull();
    interop_tests::wait::eventually_async("the token is refused", || async {
        let codes = browser.eval("return window.codes.at(-1)", vec![]).await;
        (codes == 4403).then_some(())
    })
    .await;
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office.own_page_is_ready().await;
    let kept = "return window.kept === window.own.peerConnection && window.own.calls.size";
    assert_eq!(browser.eval(kept, vec![]).await, 1);
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office.release(&call).await;
}

/// Sockets and the site's login service go together, as behind one ingress that is restarted: the page comes back by the token that it has, and to its call.
#[tokio::test]
async fn a_login_service_that_is_away_costs_no_call() {
    let office = Office::open().await;
    let connect = "
        const [token] = arguments;
        import('/sdk/talkbridge.js').then(({ Talkbridge }) => {
            window.own = new Talkbridge();
            window.fetches = 0;
            const login = async () => {
                window.fetches += 1;
                if (window.fetches === 1) return token;
                if (window.fetches === 2) throw new Error('503');
                return new Promise(() => {});
            };
            window.own.connect({ token: login });
        });";
    let cable = office.connects_by(connect).await;
    let browser = &office.browser;
    let call = office.speaks_on_its_own_page().await;
    for asked in [2, 3] {
        cable.pull();
        interop_tests::wait::eventually_async("the page is back", || async {
            let state = "return window.own.connection === 'signed_in' ? window.fetches : 0";
            (browser.eval(state, vec![]).await == asked).then_some(())
        })
        .await;
        assert_eq!(
            browser.eval("return window.own.calls.size", vec![]).await,
            1
        );
        office.sim.customer_hears(&call, PAGE_HZ).await;
    }
    office.release(&call).await;
}

impl Office {
    /// The page, behind a cable that can be pulled, runs a script of its own that signs in as `window.own`, with a token of 1002 as its argument.
    async fn connects_by(&self, script: &str) -> Cable {
        let cable = self.cable().await;
        self.browser.open_agent(cable.address()).await;
        let token = json!(Gateway::token("1002"));
        self.browser.eval(script, vec![token]).await;
        self.own_page_is_ready().await;
        cable
    }

    /// A customer hears what signed in as `window.own`.
    async fn speaks_on_its_own_page(&self) -> String {
        let call = self.sim.customer_calls("0301234567", "1002").await;
        self.sim.operate(&call, "Answer").await;
        self.sim.customer_hears(&call, PAGE_HZ).await;
        call
    }

    /// What signed in as `window.own` is signed in, and its media is up.
    async fn own_page_is_ready(&self) {
        let state = "return [window.own?.connection, window.own?.peerConnection?.connectionState]";
        interop_tests::wait::eventually_async("the page is ready", || async {
            let state = self.browser.eval(state, vec![]).await;
            (state == json!(["signed_in", "connected"])).then_some(())
        })
        .await;
    }

    /// What administrators are told of it.
    async fn is_muted(&self, muted: bool) {
        interop_tests::wait::eventually_async("muted as she says", || async {
            let agent = self.gateway.get("/api/v1/agents/1002").await.body;
            let agent: Value = serde_json::from_str(&agent).ok()?;
            (agent["muted"] == muted).then_some(())
        })
        .await;
    }
}

/// She unmutes herself while her socket is away: she is heard, and nobody is told that she is muted.
#[tokio::test]
async fn who_unmutes_while_the_socket_is_away_is_not_shown_as_muted() {
    let office = Office::open().await;
    let cable = office.cable().await;
    office.sign_in_at(cable.address()).await;
    let call = office.talk().await;
    office.browser.click("#mute").await;
    office.is_muted(true).await;
    let unmute = "talkbridge.addEventListener('connection', ({ detail }) => detail.state === 'waiting' && talkbridge.mute(false))";
    office.browser.eval(unmute, vec![]).await;
    cable.pull();
    office.is_muted(false).await;
    office.both_hear(&call).await;
    office.release(&call).await;
}

/// The browser finds that the network is slower than it thought, as it does all day: nothing is asked of the gateway. Another network is another path, and the
/// second of two changes in a row is not swallowed.
#[tokio::test]
async fn a_new_estimate_of_the_network_is_no_new_network() {
    let office = Office::open().await;
    office.sign_in().await;
    let call = office.talk().await;
    let browser = &office.browser;
    let watch = "
        window.asked = 0;
        window.offers = 0;
        const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (text) {
            if (JSON.parse(text).type === 'media_restart') window.asked += 1;
            send.call(this, text);
        };
        talkbridge.addEventListener('media_offer', () => { window.offers += 1; });
        const network = navigator.connection;
        for (let n = 0; n < 5; n += 1) network.dispatchEvent(new Event('change'));
        return window.asked;";
    assert_eq!(browser.eval(watch, vec![]).await, 0);
    let changes = "
        const network = navigator.connection;
        Object.defineProperty(network, 'type', { configurable: true, value: 'wifi' });
        network.dispatchEvent(new Event('change'));
        window.dispatchEvent(new Event('online'));
        network.dispatchEvent(new Event('change'));
        return window.asked;";
    assert_eq!(browser.eval(changes, vec![]).await, 1);
    interop_tests::wait::eventually_async("both are answered", || async {
        let counts = browser
            .eval("return [window.asked, window.offers]", vec![])
            .await;
        (counts == json!([2, 2])).then_some(())
    })
    .await;
    office.both_hear(&call).await;
    office.release(&call).await;
}

/// She mutes herself in a call, the caller hangs up, and the next call is answered on the desktop with the page behind it: the next caller hears her, and nobody is told
/// that she is muted. Who mutes herself between two calls stays muted, whoever gives up meanwhile; and who is muted in a call stays so when its page is loaded anew.
#[tokio::test]
async fn a_mute_ends_with_the_call() {
    let office = Office::open().await;
    office.sign_in().await;
    let (browser, sim) = (&office.browser, &office.sim);
    let call = office.talk().await;
    browser.click("#mute").await;
    office.is_muted(true).await;
    browser.reload().await;
    office.ready().await;
    browser.reads("#mute", "Muted").await;
    sim.operate(&call, "Hangup").await;
    sim.released("1002", &call).await;
    office.is_muted(false).await;
    let call = office.talk().await;
    sim.operate(&call, "Hangup").await;
    sim.released("1002", &call).await;

    browser.click("#mute").await;
    let call = sim.customer_calls("0301234567", "1002").await;
    browser.click("#calls [data-action=reject]").await;
    sim.released("1002", &call).await;
    browser.sees("#recent [data-cause=agent_reject]").await;
    office.is_muted(true).await;
    browser.reads("#mute", "Muted").await;
    let call = sim.customer_calls("0301234567", "1002").await;
    sim.operate(&call, "Answer").await;
    browser.hears(CUSTOMER_HZ).await;
    sim.customer_hears_nothing(&call).await;
    browser.click("#mute").await;
    office.both_hear(&call).await;
    office.release(&call).await;
}

/// The call in which she was muted ends while her page is loaded anew.
#[tokio::test]
async fn a_mute_ends_with_a_call_that_ends_behind_a_reload() {
    let office = Office::open().await;
    office.sign_in().await;
    let (browser, sim) = (&office.browser, &office.sim);
    let call = office.talk().await;
    browser.click("#mute").await;
    office.is_muted(true).await;
    browser.open(&format!("http://{}/desk", sim.http())).await;
    sim.operate(&call, "Hangup").await;
    sim.released("1002", &call).await;
    browser.open_agent(office.gateway.agents()).await;
    office.ready().await;
    let call = office.talk().await;
    office.release(&call).await;
}

/// Her socket drops in mid-call and her media with it, without a word to the gateway, which goes on believing in the connection before. The next one fails, because somebody is
/// in the middle, or because the gateway cannot use her page's answers and offers no more of its own accord: either way the page brings the audio back by itself, and does not
/// wait for its browser to give up, a quarter of a minute later.
#[tokio::test]
async fn a_connection_that_fails_beside_the_old_one_is_made_anew() {
    let office = Office::open().await;
    office.sign_in().await;
    let call = office.talk().await;
    let browser = &office.browser;
    let prepare = "
        window.spoil = [];
        window.failures = [];
        window.asked = [];
        talkbridge.addEventListener('media_state', ({ detail }) => {
            if (detail.state === 'failed') window.failures.push(detail.cause);
        });
        const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (text) {
            window.socket = this;
            const message = JSON.parse(text);
            if (message.type === 'media_restart') window.asked.push(talkbridge.peerConnection?.connectionState);
            const how = message.type === 'media_answer' ? window.spoil.shift() : undefined;
            const misnamed = (_, name, digit) => name + (digit === 'A' ? 'B' : 'A');
            if (how === 'refused') message.sdp = 'v=0';
            if (how === 'wrong_certificate') message.sdp = message.sdp.replace(/(sha-256 )(.)/, misnamed);
            send.call(this, JSON.stringify(message));
        };
        // As when the network took what it says at last.
        RTCPeerConnection.prototype.close = () => undefined;";
    browser.eval(prepare, vec![]).await;
    let lose = "
        [window.spoil, window.failures, window.asked] = [arguments[0].slice(), [], []];
        window.lost = talkbridge.peerConnection;
        Object.defineProperty(window.lost, 'connectionState', { get: () => 'failed' });
        talkbridge.mute(false);
        window.socket.close();";
    for failures in [vec!["wrong_certificate"], vec!["refused"; 3]] {
        let failures = json!(failures);
        browser.eval(lose, vec![failures.clone()]).await;
        let state = "const { peerConnection } = talkbridge;
            return peerConnection !== window.lost && peerConnection?.connectionState";
        let what = format!("the audio is back after {failures}");
        interop_tests::wait::eventually_async(&what, || async {
            (browser.eval(state, vec![]).await == "connected").then_some(())
        })
        .await;
        let told = browser.eval("return window.failures", vec![]).await;
        assert_eq!(told, failures);
        // A browser sees by itself that a certificate is wrong, and not that its answer was refused.
        let asked = browser.eval("return window.asked", vec![]).await;
        let gave_up = asked == json!(["failed"]) && failures[0] == "refused";
        assert!(!gave_up, "it asked when its browser had given up");
        office.both_hear(&call).await;
        browser.reads("#media-state", "Audio ready").await;
    }
    office.release(&call).await;
}
