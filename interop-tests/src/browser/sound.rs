//! What is heard in a browser: its loudspeaker, and what the page plays by itself.

use serde_json::{Value, json};

use super::{Browser, Driver};
use crate::wait::lastingly;

/// `window.interop` of every page.
pub(super) const EARS: &str = include_str!("ears.js");

/// Of the energy that is heard, when a tone is one of several of about the same loudness; of a tone that is not there, less than a
/// hundredth is found.
const ONE_OF_SEVERAL: f64 = 0.1;

/// Of the energy that is heard, what several tones have together when there is little else.
const NEARLY_ALL: f64 = 0.8;

/// 10 ms of what a page has played.
#[derive(Debug, Clone, Copy)]
pub struct Played {
    /// Root of the mean square, 1 at full scale.
    pub rms: f64,
    /// How sharply the curve bends at most, from sample to sample.
    pub bend: f64,
}

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

impl Browser {
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

    /// Begins to record what the page's loudspeaker plays.
    ///
    /// # Panics
    /// When it plays nothing yet.
    pub async fn records(&self) {
        self.eval("window.interop.record()", vec![]).await;
    }

    /// What was recorded since.
    ///
    /// # Panics
    /// When nothing was.
    pub async fn recorded(&self) -> Vec<Played> {
        let blocks = self.eval("return window.interop.recorded()", vec![]).await;
        let blocks = blocks.as_array().expect("something was recorded");
        let number = |block: &Value, at: usize| block[at].as_f64().expect("a number");
        let played = |block| Played {
            rms: number(block, 0),
            bend: number(block, 1),
        };
        blocks.iter().map(played).collect()
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

    /// Waits until the page itself plays all these tones at once.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn plays_together(&self, tones: &[u32]) {
        let what = format!("the page plays {tones:?} Hz together");
        self.until(&what, || async move {
            let played = self.played(tones).await?;
            let each = played.shares.iter().all(|share| *share > ONE_OF_SEVERAL);
            (played.rms > 0.01 && each).then_some(())
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
        let answer = self.run(script, vec![json!(tones)]).await.ok()?;
        Heard::read(&answer)
    }

    /// Everything that the tabs with a page can say about their sound: which tones are in loudspeaker and microphone, and the packets. What
    /// one does not hear, another may not have said.
    pub(super) async fn sounds(&self) -> String {
        let client = match &self.driver {
            Driver::Chromium(chromium) => &chromium.client,
            Driver::Firefox(_) => return self.report().await.unwrap_or_default(),
        };
        let (Ok(current), Ok(tabs)) = (client.window().await, client.windows().await) else {
            return "the browser is gone".to_owned();
        };
        let mut sounds = String::new();
        for tab in tabs {
            // A tab that does not answer has nothing to say.
            let report = match client.switch_to_window(tab).await {
                Ok(()) => self.report().await,
                Err(_) => None,
            };
            sounds.extend(report);
        }
        drop(client.switch_to_window(current).await);
        sounds
    }

    /// What the current tab says about its sound.
    async fn report(&self) -> Option<String> {
        let report = "return window.interop?.report() ?? null";
        let report = self.run(report, vec![]).await.ok()?;
        Some(format!("{}\n", report.as_str()?))
    }
}
