//! What is heard in a browser: its loudspeaker, and what the page plays by itself.

use serde_json::{Value, json};

use super::Chromium;
use crate::Result;
use crate::http;
use crate::wait::lastingly;

/// `window.interop` of every page.
const EARS: &str = include_str!("ears.js");

/// Of the energy that is heard, when a tone is one of several of about the same loudness; of a tone that is not there, less than a
/// hundredth is found.
const ONE_OF_SEVERAL: f64 = 0.1;

/// Of the energy that is heard, what several tones have together when there is little else.
const NEARLY_ALL: f64 = 0.8;

/// What is heard at one moment.
struct Heard {
    /// Root of the mean square, 1 at full scale.
    rms: f64,
    /// Parts of the energy, in the order of the tones that were asked for.
    shares: Vec<f64>,
}

impl Heard {
    fn read(heard: &Value) -> Option<Self> {
        let shares = heard["shares"].as_array()?;
        Some(Self {
            rms: heard["rms"].as_f64()?,
            shares: shares.iter().filter_map(Value::as_f64).collect(),
        })
    }
}

impl Chromium {
    /// Whatever the current tab opens from now on has ears, and a microphone that is sent as it is. WebDriver has no word for this: the
    /// browser's own protocol has.
    pub(super) async fn gives_ears(&self) -> Result<()> {
        let session = self.client.session_id().await?.ok_or("no session")?;
        let path = format!("/session/{session}/goog/cdp/execute");
        let command = json!({
            "cmd": "Page.addScriptToEvaluateOnNewDocument",
            "params": {"source": EARS},
        });
        let answer = http::post(self.driver_at, &path, &command).await?;
        match answer.status {
            200 => Ok(()),
            _ => Err(answer.body.into()),
        }
    }

    /// The page that is open gets another microphone, which speaks `hz`, when it asks for one.
    ///
    /// # Panics
    /// When the page has no ears.
    pub async fn speaks(&self, hz: u32) {
        self.eval("window.interop.speak(...arguments)", vec![json!(hz)])
            .await;
    }

    /// Waits until the page's loudspeaker plays a tone of `hz`.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn hears(&self, hz: u32) {
        self.until(&format!("the browser hears {hz} Hz"), || async move {
            let heard = self.heard(&[hz]).await?;
            (heard.rms > 0.02 && heard.shares.first()? > &0.5).then_some(())
        })
        .await;
    }

    /// Waits until the page's loudspeaker plays all these tones at once, and nothing else.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn hears_together(&self, tones: &[u32]) {
        let what = format!("the browser hears {tones:?} Hz together, and nothing else");
        self.until(&what, || async move {
            let heard = self.heard(tones).await?;
            let each = heard.shares.iter().all(|share| *share > ONE_OF_SEVERAL);
            let all: f64 = heard.shares.iter().sum();
            (heard.rms > 0.02 && each && all > NEARLY_ALL).then_some(())
        })
        .await;
    }

    /// Waits until the page's loudspeaker plays nothing.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn hears_nothing(&self) {
        lastingly("the browser hears nothing", || async {
            let heard = self.heard(&[]).await;
            heard.is_some_and(|heard| heard.rms < 0.005)
        })
        .await;
    }

    /// From now on what the page plays by itself can be heard.
    ///
    /// # Panics
    /// When the page has no ears.
    pub async fn listen_to_the_page(&self) {
        self.eval("window.interop.listenToThePage()", vec![]).await;
    }

    /// Waits until the page itself plays a tone of `hz`.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn plays(&self, hz: u32) {
        self.until(&format!("the page plays {hz} Hz"), || async move {
            let played = self.played(&[hz]).await?;
            (played.rms > 0.01 && played.shares.first()? > &0.5).then_some(())
        })
        .await;
    }

    /// Waits until the page itself plays nothing.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn plays_nothing(&self) {
        lastingly("the page plays nothing", || async {
            let played = self.played(&[]).await;
            played.is_some_and(|played| played.rms < 0.001)
        })
        .await;
    }

    async fn heard(&self, tones: &[u32]) -> Option<Heard> {
        self.listen("return window.interop.hears(...arguments)", tones)
            .await
    }

    async fn played(&self, tones: &[u32]) -> Option<Heard> {
        self.listen("return window.interop.plays(...arguments)", tones)
            .await
    }

    /// `None` while there is nothing to listen to.
    async fn listen(&self, script: &str, tones: &[u32]) -> Option<Heard> {
        let answer = self.client.execute(script, vec![json!(tones)]).await.ok()?;
        Heard::read(&answer)
    }

    /// Everything that the tabs with a page can say about their sound: which tones are in loudspeaker and microphone, and the packets. What
    /// one does not hear, another may not have said.
    pub(super) async fn sounds(&self) -> String {
        let (Ok(current), Ok(tabs)) = (self.client.window().await, self.client.windows().await)
        else {
            return "the browser is gone".to_owned();
        };
        let mut sounds = String::new();
        for tab in tabs {
            let report = "return window.interop?.report() ?? null";
            // A tab that does not answer has nothing to say.
            let report = match self.client.switch_to_window(tab).await {
                Ok(()) => self.client.execute(report, vec![]).await.ok(),
                Err(_) => None,
            };
            let report = report.as_ref().and_then(Value::as_str);
            sounds.extend(report.into_iter().flat_map(|report| [report, "\n"]));
        }
        drop(self.client.switch_to_window(current).await);
        sounds
    }
}
