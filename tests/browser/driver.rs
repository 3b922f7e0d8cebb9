//! A browser that a test steers: real Chromium, by way of the WebDriver protocol.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Api, PATIENCE, Process, Scratch, eventually, free_port};

const DRIVER: &str = "chromedriver";

/// What every page has for the tests: how they look at it.
const LOOK: &str = include_str!("look.js");
const RULES: &str = include_str!("rules.js");

/// Keys that are no characters, as WebDriver names them.
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";
pub const CONTROL: &str = "\u{e009}";
pub const TAB: &str = "\u{e004}";

/// Chromium with a profile of its own. It ends with the value; what it showed is kept as a picture when its test fails.
pub struct Browser {
    session: Api,
    name: String,
    /// Where its pages are: `http://127.0.0.1:8090`.
    base: String,
    _driver: Process,
    _profile: Scratch,
}

impl Browser {
    /// Starts one; `None`, with a line on stderr, where there is no Chromium, unless `CI` is set.
    ///
    /// # Panics
    /// If it does not start, or is not there although `CI` is set.
    pub fn start(name: &str, console: &Api) -> Option<Self> {
        if !Command::new(DRIVER).arg("--version").output().is_ok_and(|told| told.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "no {DRIVER} and no Chromium: scripts/setup test installs them");
            // Directly to stderr, which is not captured: the output must show that this was not tested.
            let _ = writeln!(std::io::stderr(), "SKIPPED {name}: there is no {DRIVER}; scripts/setup test installs it");
            return None;
        }
        let (port, profile) = (free_port(), Scratch::new("browser"));
        let driver = Process::start(DRIVER, Command::new(DRIVER).arg(format!("--port={port}")));
        driver.wait_for_line("started successfully");
        let mut flags: Vec<_> = FLAGS.iter().map(ToString::to_string).collect();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": PATIENCE.as_millis() as u64 },
        });
        let asked = json!({ "capabilities": { "alwaysMatch": wanted } });
        let driver_api = Api::at(port);
        let answer = driver_api.post("/session", asked).is(200);
        let id = answer["value"]["sessionId"].as_str().expect("a session has an id");
        let (session, base) = (driver_api.under(&format!("/session/{id}")), console.base().to_string());
        let browser = Self { session, name: name.into(), base, _driver: driver, _profile: profile };
        browser.tool("Page.enable", json!({}));
        browser.before_each_page(LOOK);
        browser.before_each_page(RULES);
        browser.wide(1280);
        Some(browser)
    }

    /// Goes to a path, as typed into the address bar.
    #[track_caller]
    pub fn open(&self, path: &str) {
        self.ask("/url", json!({ "url": format!("{}{path}", self.base) }));
    }

    /// Has a script run before those of every page from now on.
    #[track_caller]
    pub fn before_each_page(&self, script: &str) {
        self.tool("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    #[track_caller]
    pub fn back(&self) {
        self.ask("/back", json!({}));
    }

    /// Path and query of the address.
    #[track_caller]
    pub fn address(&self) -> String {
        self.value("location.pathname + location.search").as_str().unwrap_or_default().to_string()
    }

    /// The value of an expression in the page. `look.*` is what `look.js` offers.
    #[track_caller]
    pub fn value(&self, expression: &str) -> Value {
        self.ask("/execute/sync", json!({ "script": format!("return {expression};"), "args": [] }))
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub fn wait(&self, expression: &str) {
        // A page that is about to be another one has no answer.
        let script = json!({ "script": format!("return Boolean({expression});"), "args": [] });
        let is_true = || self.session.post("/execute/sync", script.clone())["value"] == true;
        eventually(&format!("`{expression}`"), || is_true().then_some(()));
    }

    /// Waits until that text can be seen somewhere.
    #[track_caller]
    pub fn sees(&self, text: &str) {
        self.wait(&format!("look.sees({})", json!(text)));
    }

    /// Clicks what fits the selector and bears that text (any, if it is empty), once it is there and nothing is in the way.
    #[track_caller]
    pub fn click(&self, selector: &str, text: &str) {
        self.act(selector, text, |element| vec![(format!("{element}/click"), json!({}))]);
    }

    /// Types into a field, in the place of what was there.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        let typed = json!({ "text": text });
        let acts =
            |element: &str| vec![(format!("{element}/clear"), json!({})), (format!("{element}/value"), typed.clone())];
        self.act(selector, "", acts);
    }

    /// Presses keys one after the other, wherever the focus is. A [`CONTROL`] is held while the rest is pressed.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let held = keys.starts_with(CONTROL);
        let mut acts = Vec::new();
        for key in keys.trim_start_matches(CONTROL).chars() {
            acts.extend([json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]);
        }
        if held {
            acts.insert(0, json!({ "type": "keyDown", "value": CONTROL }));
            acts.push(json!({ "type": "keyUp", "value": CONTROL }));
        }
        self.ask("/actions", json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": acts }] }));
    }

    /// Has the window be that many pixels wide.
    pub fn wide(&self, pixels: u32) {
        let size = json!({ "width": pixels, "height": 844, "deviceScaleFactor": 1, "mobile": false });
        self.tool("Emulation.setDeviceMetricsOverride", size);
    }

    /// Has the system say that it is dark, or light.
    pub fn system_is(&self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            // Colours are what they become, at once.
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.tool("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// What the browser's console was told since it was last asked and is wrong: errors and warnings of scripts and of the
    /// policy of the page. Answers that are no success are listed there, too: the test says which it expects.
    #[track_caller]
    pub fn errors(&self, expected: &[&str]) -> Vec<String> {
        let told = self.ask("/se/log", json!({ "type": "browser" }));
        let told = told.as_array().expect("a list").iter();
        let text = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_string();
        let wrong = told.filter(|entry| ["SEVERE", "WARNING"].iter().any(|level| entry["level"] == *level)).map(text);
        wrong.filter(|text| !expected.iter().any(|part| text.contains(part))).collect()
    }

    /// Asserts that the page that is shown breaks no rule of `rules.js`.
    #[track_caller]
    pub fn is_accessible(&self, view: &str) {
        let broken = self.value("rules.broken()");
        let broken = broken.as_array().expect("a list");
        let lines = broken.iter().fold(String::new(), |mut all, one| {
            let _ = writeln!(all, "  {}", one.as_str().unwrap_or_default());
            all
        });
        assert!(broken.is_empty(), "{view} ({}):\n{lines}", self.address());
    }

    /// Keeps what is seen as a picture; where.
    pub fn picture(&self) -> Option<String> {
        let answer = self.session.try_send("GET", "/screenshot", None).ok()?;
        let picture = STANDARD.decode(answer["value"].as_str()?).ok()?;
        let path = format!("{}/{}.png", env!("CARGO_TARGET_TMPDIR"), self.name);
        std::fs::write(&path, picture).ok()?;
        Some(path)
    }

    /// Does something with the first element that is seen; again, if the page puts another one in its place meanwhile.
    #[track_caller]
    fn act(&self, selector: &str, text: &str, acts: impl Fn(&str) -> Vec<(String, Value)>) {
        let find = json!({ "script": format!("return look.find({}, {});", json!(selector), json!(text)), "args": [] });
        eventually(&format!("{selector} `{text}`"), || {
            let found = self.session.post("/execute/sync", find.clone());
            let id = found["value"].as_object()?.values().next()?.as_str()?.to_string();
            let done = acts(&format!("/element/{id}"))
                .into_iter()
                .all(|(path, body)| self.session.post(&path, body).status == 200);
            done.then_some(())
        });
    }

    #[track_caller]
    fn tool(&self, command: &str, parameters: Value) {
        self.ask("/goog/cdp/execute", json!({ "cmd": command, "params": parameters }));
    }

    #[track_caller]
    fn ask(&self, path: &str, body: Value) -> Value {
        self.session.post(path, body).is(200)["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = self.picture().unwrap_or_default();
            let text = self.session.try_send("POST", "/execute/sync", Some(json!({ "script": SEEN, "args": [] })));
            let text = text.map(|answer| answer["value"].to_string()).unwrap_or_default();
            eprintln!("--- the browser of {} showed {text}\n--- as a picture: {path}", self.name);
        }
        // Were this not heard: the browser also ends when its driver does, which holds the other end of its pipe.
        let _ = self.session.try_send("DELETE", "", None);
    }
}

const SEEN: &str = "return location.href + '\\n' + document.body.innerText.slice(0, 2000);";

/// It sees only pages of these tests, often as root and in containers, where its sandbox does not start.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
];
