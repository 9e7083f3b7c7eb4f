//! A real browser: headless Chromium, driven over its DevTools protocol.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::PATIENCE_MS;
use crate::process::kill;

/// A browser with an empty profile. Killed when dropped.
pub struct Browser {
    child: Child,
    socket: WebSocketStream<TcpStream>,
    last_id: u64,
    events: Vec<Value>,
    _profile: TempDir,
}

/// A tab of a browser.
pub struct Tab(String);

impl Browser {
    /// Starts one. `None` if there is no Chromium on this machine.
    pub async fn start() -> Option<Self> {
        let program = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))?;
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .args([
                "--headless",
                // Its sandbox needs rights that a container does not give. It shows our own pages only.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned))
            .expect("the browser says where it can be driven");
        std::thread::spawn(move || lines.for_each(drop));
        let host = url.trim_start_matches("ws://").split('/').next().unwrap().to_owned();
        let stream = TcpStream::connect(host).await.unwrap();
        // A screenshot is one message.
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = client_async_with_config(url, stream, Some(config)).await.unwrap();
        Some(Self { child, socket, last_id: 0, events: Vec::new(), _profile: profile })
    }

    async fn next(&mut self) -> Value {
        loop {
            let message = timeout(Duration::from_millis(PATIENCE_MS), self.socket.next()).await;
            if let Message::Text(text) = message.expect("the browser answers").unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    async fn ask_in(&mut self, tab: Option<&Tab>, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut request = json!({ "id": id, "method": method, "params": params });
        if let Some(Tab(session)) = tab {
            request["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(request.to_string())).await.unwrap();
        loop {
            let mut message = self.next().await;
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// Asks a tab for something: a method of the DevTools protocol.
    pub async fn ask(&mut self, tab: &Tab, method: &str, params: Value) -> Value {
        self.ask_in(Some(tab), method, params).await
    }

    /// Opens an empty tab that tells everything.
    pub async fn tab(&mut self) -> Tab {
        let target = self.ask_in(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let tab =
            Tab(self.ask_in(None, "Target.attachToTarget", attach).await["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network", "Audits", "DOM", "CSS"] {
            self.ask(&tab, &format!("{domain}.enable"), json!({})).await;
        }
        self.ask(&tab, "Page.setLifecycleEventsEnabled", json!({ "enabled": true })).await;
        tab
    }

    /// Loads a page, and returns when nothing more is loaded. Everything that the browser told on the way.
    pub async fn load(&mut self, tab: &Tab, url: &str) -> Vec<Value> {
        self.events.clear();
        self.ask(tab, "Page.navigate", json!({ "url": url })).await;
        self.loaded().await
    }

    /// The same, by following the first link to a page from the one that is shown, as a person does.
    pub async fn follow(&mut self, tab: &Tab, href: &str) -> Vec<Value> {
        let node = self.find(tab, &format!("a[href='{href}']")).await;
        self.events.clear();
        self.ask(tab, "DOM.focus", json!({ "nodeId": node })).await;
        for kind in ["keyDown", "keyUp"] {
            let key = json!({ "type": kind, "key": "Enter", "windowsVirtualKeyCode": 13, "text": "\r" });
            self.ask(tab, "Input.dispatchKeyEvent", key).await;
        }
        self.loaded().await
    }

    async fn loaded(&mut self) -> Vec<Value> {
        let loader = |event: &Value| match event["method"].as_str() {
            Some("Page.frameNavigated") => Some(event["params"]["frame"]["loaderId"].clone()),
            _ => None,
        };
        let idle = |events: &[Value]| {
            let loader = events.iter().rev().find_map(loader);
            loader.is_some_and(|loader| {
                events
                    .iter()
                    .any(|event| event["params"]["name"] == "networkIdle" && event["params"]["loaderId"] == loader)
            })
        };
        while !idle(&self.events) {
            let event = self.next().await;
            self.events.push(event);
        }
        std::mem::take(&mut self.events)
    }

    async fn find(&mut self, tab: &Tab, selector: &str) -> Value {
        let root = self.ask(tab, "DOM.getDocument", json!({})).await["root"]["nodeId"].clone();
        let find = json!({ "nodeId": root, "selector": selector });
        self.ask(tab, "DOM.querySelector", find).await["nodeId"].clone()
    }

    /// The page's markup, as the browser understood it.
    pub async fn html(&mut self, tab: &Tab) -> String {
        let root = self.ask(tab, "DOM.getDocument", json!({})).await["root"]["nodeId"].clone();
        let html = self.ask(tab, "DOM.getOuterHTML", json!({ "nodeId": root })).await;
        html["outerHTML"].as_str().unwrap().to_owned()
    }

    /// What a property of the first element of a kind comes out as.
    pub async fn style(&mut self, tab: &Tab, selector: &str, property: &str) -> String {
        let node = self.find(tab, selector).await;
        let computed = self.ask(tab, "CSS.getComputedStyleForNode", json!({ "nodeId": node })).await;
        let all = computed["computedStyle"].as_array().unwrap();
        let found = all.iter().find(|style| style["name"] == property).unwrap();
        found["value"].as_str().unwrap().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}
