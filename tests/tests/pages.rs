//! The relay's pages, in a real browser.

#![allow(missing_docs, reason = "tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};
use tacit_tests::{Browser, Relay, Tab, Wire};

/// The browser, or a word on why nothing is tested.
macro_rules! browser {
    () => {
        match Browser::start().await {
            Some(browser) => browser,
            None => return eprintln!("NOT TESTED: there is no Chromium on this machine"),
        }
    };
}

/// Complaints of the browser: console messages, exceptions, violations of the page's policy.
fn complaints(told: &[Value]) -> Vec<&Value> {
    let complains = [
        "Log.entryAdded",
        "Runtime.consoleAPICalled",
        "Runtime.exceptionThrown",
        "Audits.issueAdded",
        "Network.loadingFailed",
    ];
    told.iter().filter(|event| complains.contains(&event["method"].as_str().unwrap_or_default())).collect()
}

fn requested(told: &[Value]) -> Vec<&str> {
    let requests = told.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
    requests.filter_map(|event| event["params"]["request"]["url"].as_str()).collect()
}

async fn with_scripts(browser: &mut Browser, tab: &Tab, on: bool) {
    browser.ask(tab, "Emulation.setScriptExecutionDisabled", json!({ "value": !on })).await;
}

#[tokio::test]
async fn pages_render_with_and_without_scripts_and_the_browser_has_nothing_to_complain_of() {
    let mut browser = browser!();
    let relay = Relay::start_with("operator = \"\"\"Clinic <Example>\nit@clinic.example\"\"\"\nnotice = \"<b>Hello\"");
    let tab = browser.tab().await;
    for scripts in [true, false] {
        with_scripts(&mut browser, &tab, scripts).await;
        for (path, says) in [("/", "Clinic &lt;Example&gt;\nit@clinic.example"), ("/i", "Compare the safety words")] {
            let url = format!("http://{}{path}", relay.address());
            let told = browser.load(&tab, &url).await;
            assert!(complaints(&told).is_empty(), "{path}: {:?}", complaints(&told));
            let from_elsewhere: Vec<&str> =
                requested(&told).into_iter().filter(|request| *request != url && *request != "data:,").collect();
            assert!(from_elsewhere.is_empty(), "{from_elsewhere:?}");
            let html = browser.html(&tab).await;
            assert!(html.contains(says), "{html}");
            assert!(!html.contains("<b>"), "{html}");
            assert_eq!(
                browser.style(&tab, "main", "max-width").await,
                "672px",
                "the policy lets the page's style pass"
            );
        }
        // What is not there is told in the same way. The browser itself notes such a status.
        let told = browser.load(&tab, &format!("http://{}/nowhere", relay.address())).await;
        assert!(complaints(&told).iter().all(|told| told.to_string().contains("404")), "{:?}", complaints(&told));
        assert!(browser.html(&tab).await.contains("There is nothing here"));
    }
}

#[tokio::test]
async fn what_the_browser_complains_of_is_heard() {
    let mut browser = browser!();
    let relay = Relay::start();
    // The same page with a script in it: its policy must stop that, and this test must notice.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let page = fetch(relay.address());
    let page = page.replace("</main>", "<script>document.title = 'ran'</script></main>");
    let page = page.split("\r\n").filter(|line| !line.starts_with("Content-Length")).collect::<Vec<_>>().join("\r\n");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(page.as_bytes());
        }
    });
    let tab = browser.tab().await;
    let told = browser.load(&tab, &url).await;
    let violated = |event: &&&Value| event.to_string().to_lowercase().contains("content security policy");
    assert!(complaints(&told).iter().any(|event| violated(&event)), "{told:?}");
    assert!(browser.html(&tab).await.contains("<title>A Tacit relay</title>"), "the script did not run");
}

fn fetch(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[tokio::test]
async fn the_invites_secret_never_leaves_the_browser() {
    let mut browser = browser!();
    let relay = Relay::start_with("log = \"trace\"");
    let wire = Wire::before(relay.address());
    let tab = browser.tab().await;
    let secret = "AQEthesecretofaninvite";
    for scripts in [true, false] {
        with_scripts(&mut browser, &tab, scripts).await;
        browser.load(&tab, &format!("http://{}/i#{secret}", wire.address())).await;
        assert!(browser.html(&tab).await.contains("You were given an invite"));
        // Nor by following the page's link, which a browser follows with a Referer unless it is told not to.
        let told = browser.follow(&tab, "/").await;
        assert!(browser.html(&tab).await.contains("This is a Tacit relay"));
        assert!(complaints(&told).is_empty(), "{:?}", complaints(&told));
    }
    let sent = wire.sent();
    assert!(sent.contains("GET /i HTTP/1.1\r\n") && sent.contains("GET / HTTP/1.1\r\n"), "{sent}");
    assert!(!sent.contains(secret) && !sent.contains("Referer"), "{sent}");
    assert!(!relay.log().contains(secret));
    // The wire shows what is sent: here, on purpose.
    browser.load(&tab, &format!("http://{}/i?{secret}", wire.address())).await;
    assert!(wire.sent().contains(secret));
    assert!(!relay.log().contains(secret), "and not even that is logged");
}

#[tokio::test]
async fn pages_fit_a_phone_and_follow_the_dark_mode() {
    let mut browser = browser!();
    let relay = Relay::start_with(&format!("operator = \"{}\"", "unbrokenaddress".repeat(20)));
    let tab = browser.tab().await;
    let phone = json!({ "width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": true });
    browser.ask(&tab, "Emulation.setDeviceMetricsOverride", phone).await;
    for path in ["/", "/i", "/nowhere"] {
        browser.load(&tab, &format!("http://{}{path}", relay.address())).await;
        let width = browser.ask(&tab, "Page.getLayoutMetrics", json!({})).await["cssContentSize"]["width"].clone();
        assert_eq!(width, 320, "{path} is not wider than the screen");
        let mut papers = Vec::new();
        for scheme in ["light", "dark"] {
            let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.ask(&tab, "Emulation.setEmulatedMedia", features).await;
            papers.push(browser.style(&tab, "body", "background-color").await);
        }
        assert_eq!(papers, ["rgb(251, 250, 247)", "rgb(20, 25, 30)"], "{path}");
    }
}
