//! `Browser`: a real Chromium without a screen, driven through chromedriver by the commands of
//! WebDriver and of Chromium's own protocol.
//!
//! Must not know a page of the program: the tests do. Whatever becomes of a test, its browser ends.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};

use super::{PATIENCE, skip};

/// What keeps a browser from everything that is not the page.
const QUIET: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-proxy-server",
];

/// How long a page may take for what a test waits for.
const SCRIPT_TIME: Duration = Duration::from_secs(100);

/// What an element is called in an answer.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. It ends when dropped.
pub struct Browser {
    driver: Driver,
    session: String,
    browser: Option<Pid>,
    folder: tempfile::TempDir,
}

/// The program between. It ends when dropped.
struct Driver {
    child: Child,
    port: u16,
}

impl Browser {
    /// One that wants pages in this language; none where this machine has no such program.
    #[track_caller]
    pub fn start(language: &str) -> Option<Self> {
        for program in ["chromium", "chromedriver"] {
            if Command::new(program).arg("--version").output().is_err() {
                skip(&format!("{program} is not installed"));
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let driver = Driver::start(folder.path());
        let mut args: Vec<String> = QUIET.iter().map(|&arg| arg.to_owned()).collect();
        args.push(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ));
        args.push(format!("--accept-lang={language}"));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "timeouts": {"script": SCRIPT_TIME.as_millis(), "pageLoad": PATIENCE.as_millis()},
            "unhandledPromptBehavior": "accept",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {
                "args": args,
                "prefs": {"intl.accept_languages": language},
            },
        }}});
        let made = driver.call("POST", "/session", &wanted);
        let pid = made["capabilities"]["goog:processID"].as_i64();
        let browser = pid.and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        let downloads = folder.path().join("downloads");
        std::fs::create_dir(&downloads).unwrap();
        let browser = Self {
            driver,
            session,
            browser,
            folder,
        };
        browser.devtools(
            "Browser.setDownloadBehavior",
            &json!({"behavior": "allow", "downloadPath": downloads}),
        );
        Some(browser)
    }

    /// Where downloads go.
    pub fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("{}{path}", self.session);
        self.driver.call(method, &path, body)
    }

    /// A command of Chromium's own protocol.
    pub fn devtools(&self, command: &str, params: &Value) -> Value {
        let body = json!({"cmd": command, "params": params});
        self.call("POST", "/goog/cdp/execute", &body)
    }

    /// Goes to a page, and waits until it is there.
    pub fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// Runs a script, the body of a function of these arguments, and gives what it returns.
    pub fn script(&self, script: &str, args: &Value) -> Value {
        let body = json!({"script": script, "args": args});
        self.call("POST", "/execute/sync", &body)
    }

    /// What an expression is.
    pub fn value(&self, expression: &str) -> Value {
        self.script(&format!("return ({expression})"), &json!([]))
    }

    /// The same, as a text.
    pub fn text(&self, expression: &str) -> String {
        let value = self.value(expression);
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    }

    /// Waits until an expression is true on the page, which is looked at whenever the page changes.
    #[track_caller]
    pub fn wait_until(&self, expression: &str) {
        let script = format!(
            "const done = arguments[arguments.length - 1];
            const all = {{subtree: true, childList: true, attributes: true, characterData: true}};
            const look = () => {{ if ({expression}) {{ seen.disconnect(); done(true); }} }};
            const seen = new MutationObserver(look);
            seen.observe(document, all);
            look();"
        );
        let body = json!({"script": script, "args": []});
        let path = format!("{}/execute/async", self.session);
        if let Err(fault) = self.driver.try_call("POST", &path, &body) {
            let page = self.text("document.body.innerText");
            panic!("never {expression}: {fault}\n{page}\n{:?}", self.log());
        }
    }

    fn element(&self, css: &str) -> String {
        let body = json!({"using": "css selector", "value": css});
        let found = self.call("POST", "/element", &body);
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks on the first element of a selector, as a mouse does.
    pub fn click(&self, css: &str) {
        let element = self.element(css);
        self.call("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Chooses files, or a folder, in an input for them.
    pub fn choose(&self, css: &str, paths: &[PathBuf]) {
        let element = self.element(css);
        let paths: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        let body = json!({"text": paths.join("\n")});
        self.call("POST", &format!("/element/{element}/value"), &body);
    }

    /// Shows pages as a phone does.
    pub fn be_a_phone(&self, width: u32, height: u32, dark: bool) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": true}),
        );
        self.devtools(
            "Emulation.setTouchEmulationEnabled",
            &json!({"enabled": true}),
        );
        let scheme = if dark { "dark" } else { "light" };
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// Runs no scripts of pages any more.
    pub fn without_scripts(&self) {
        self.devtools(
            "Emulation.setScriptExecutionDisabled",
            &json!({"value": true}),
        );
    }

    /// A picture of the window, as PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let picture = self.call("GET", "/screenshot", &Value::Null);
        from_base64(picture.as_str().unwrap())
    }

    /// What the browser has to say against pages, since it was last asked.
    pub fn log(&self) -> Vec<String> {
        let entries = self.call("POST", "/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let message = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        entries.iter().map(message).collect()
    }

    /// Waits until a download of this name is whole. It must not be empty.
    #[track_caller]
    pub fn downloaded(&self, name: &str) -> PathBuf {
        let path = self.downloads().join(name);
        wait_for_file(&path);
        path
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.try_call("DELETE", &self.session, &Value::Null);
        if let Some(pid) = self.browser {
            // It is gone already, unless something went wrong.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Driver {
    fn start(home: &Path) -> Self {
        let mut child = Command::new("setpriv")
            // It does not outlive the test, whatever ends that.
            .args(["--pdeathsig", "KILL", "chromedriver", "--port=0"])
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut driver = Self { child, port: 0 };
        let mut line = String::new();
        while driver.port == 0 {
            line.clear();
            assert!(
                lines.read_line(&mut line).unwrap() > 0,
                "chromedriver does not start"
            );
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                driver.port = port.trim().trim_end_matches('.').parse().unwrap();
            }
        }
        // It has no more to say, and must not wait to say it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        driver
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_call(method, path, body)
            .unwrap_or_else(|fault| panic!("{method} {path}: {fault}"))
    }

    /// One command, on a connection of its own.
    fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let said = |error: std::io::Error| error.to_string();
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n",
            self.port
        );
        let _ = write!(
            request,
            "Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(said)?;
        // Scripts are given up first.
        stream.set_read_timeout(Some(PATIENCE * 2)).map_err(said)?;
        stream.write_all(request.as_bytes()).map_err(said)?;
        let mut answer = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            if answer.read_line(&mut line).map_err(said)? == 0 || line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).map_err(said)?;
        let mut answer: Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        let value = answer["value"].take();
        match value.get("error") {
            Some(error) if !error.is_null() => Err(format!("{error}: {}", value["message"])),
            _ => Ok(value),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Waits until there is a file of this name with something in it, which comes whole, by a rename.
#[track_caller]
fn wait_for_file(path: &Path) {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::fs::inotify;

    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    let folder = path.parent().unwrap();
    let flags = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&watch, folder, flags).unwrap();
    let time = PATIENCE.try_into().unwrap();
    // Chromium keeps the name with an empty file until then.
    while !path.metadata().is_ok_and(|meta| meta.len() > 0) {
        let mut fds = [PollFd::new(&watch, PollFlags::IN)];
        let names: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().collect();
        assert_eq!(poll(&mut fds, Some(&time)).unwrap(), 1, "only {names:?}");
        let mut buffer = [0; 4096];
        rustix::io::read(&watch, &mut buffer).unwrap();
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let Some(value) = LETTERS.iter().position(|&known| known == letter) else {
            continue;
        };
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}
