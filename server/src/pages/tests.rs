use std::time::Duration;

use super::*;
use crate::config::Acme;

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::new("data");
    change(&mut config);
    config
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = tokio_tungstenite::tungstenite::http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// The header and the body of a page.
fn get(config: &Config, path: &str) -> (String, String) {
    let bytes = Pages::new(config).unwrap().page(&request("GET", path, &[])).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// As it is read, without where the lines of the source end.
fn home(change: impl FnOnce(&mut Config)) -> String {
    get(&config(change), "/").1.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn acme() -> Transport {
    let directory = "https://authority.example".to_owned();
    Transport::Acme(Acme { domain: "relay.example".to_owned(), contact: None, directory, root: None })
}

fn files() -> Transport {
    Transport::Files { certificate: "a".into(), private_key: "b".into() }
}

#[test]
fn the_page_says_what_this_relay_is_configured_to_do() {
    let page = home(|config| {
        config.limits.hold = 36 * 3_600;
        config.grace = Duration::from_millis(250);
        config.limits.backlog_boxes = 12_345;
        config.limits.backlog_bytes = 48 << 20;
    });
    for says in ["kept for 36 hours", "within 250 milliseconds", "12,345 messages", "48 MiB"] {
        assert!(page.contains(says), "{says}: {page}");
    }
    assert!(home(|_| ()).contains("kept for 21 days"));
}

#[test]
fn who_runs_it_is_said_or_said_to_be_unknown() {
    let page = home(|config| config.operator = "Clinic Example, it@clinic.example".to_owned());
    assert!(page.contains("Clinic Example, it@clinic.example") && !page.contains("has not said so"));
    assert!(home(|config| config.operator = " \n".to_owned()).contains("has not said so"));
}

#[test]
fn what_the_operator_writes_is_text_and_never_markup() {
    let hostile = "</p><script>alert('x')</script>\"&<b>";
    for page in [home(|config| config.operator = hostile.to_owned()), home(|config| config.notice = hostile.to_owned())]
    {
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(page.contains("&#60;script&#62;alert(&#39;x&#39;)"), "{page}");
    }
}

#[test]
fn it_says_how_connections_are_encrypted() {
    let connections = |transport: Transport| home(|config| config.transport = transport);
    for transport in [files(), acme()] {
        assert!(connections(transport).contains("a certificate names its host"));
    }
    assert!(connections(Transport::Pinned).contains("under a key of its own"));
    let plain = Transport::Plain { trusted_proxies: Vec::new() };
    assert!(connections(plain).contains("does not encrypt connections"));
    let proxied = Transport::Plain { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()] };
    let page = connections(proxied);
    assert!(page.contains("A proxy in front of the relay encrypts") && page.contains("The proxy in front"), "{page}");
    let page = home(|config| config.url = Some("wss://relay.example".parse().unwrap()));
    assert!(page.contains("A proxy in front of the relay encrypts"));
}

#[test]
fn it_says_whether_statistics_are_collected() {
    assert!(home(|_| ()).contains("None are collected"));
    let page = home(|config| config.metrics = Some("127.0.0.1:7444".parse().unwrap()));
    assert!(page.contains("blurred") && !page.contains("None are collected"));
}

#[test]
fn what_a_live_relay_could_see_is_not_hidden() {
    let page = home(|_| ());
    for honest in
        ["network address of every connection", "which two addresses write to each other", "reviewed", "emergencies"]
    {
        assert!(page.contains(honest), "{honest}");
    }
}

#[test]
fn the_invites_page_says_how_and_warns_and_has_nothing_that_could_read_the_link() {
    let page = get(&config(|_| ()), "/i").1.split_whitespace().collect::<Vec<_>>().join(" ");
    for says in ["Copy the whole link", "tacit join LINK", "safety words", "remote", "already used"] {
        assert!(page.contains(says), "{says}");
    }
}

#[test]
fn no_page_has_a_script_a_form_or_anything_from_elsewhere() {
    let config = config(|config| config.operator = "x".to_owned());
    let failed = Failed { style: STYLE, title: "t", line: "l" }.render().unwrap();
    for page in [get(&config, "/").1, get(&config, "/i").1, failed] {
        let page = page.to_lowercase();
        for tag in
            ["<script", "<iframe", "<form", "<object", "<embed", "<img", "<base", "http-equiv", "@import", "url("]
        {
            assert!(!page.contains(tag), "{tag}");
        }
        for (at, _) in page.match_indices("href=").chain(page.match_indices("src=")) {
            let to = page[at..].split('"').nth(1).unwrap();
            assert!(["/", "/i", "data:,"].contains(&to), "{to}");
        }
        // `onclick=` and its like.
        let handler = page.split('<').any(|tag| tag.split('>').next().unwrap_or_default().contains(" on"));
        assert!(!handler);
        assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
        assert!(page.len() < 15 * 1_024, "{} bytes", page.len());
    }
}

#[test]
fn headers_forbid_everything_but_the_pages_own_style() {
    for path in ["/", "/i"] {
        let (head, body) = get(&config(|_| ()), path);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
        for header in [
            "Content-Type: text/html; charset=utf-8",
            &format!("Content-Length: {}", body.len()),
            "Connection: close",
            "Referrer-Policy: no-referrer",
            "X-Content-Type-Options: nosniff",
            "X-Frame-Options: DENY",
            "Cross-Origin-Opener-Policy: same-origin",
            "Cross-Origin-Resource-Policy: same-origin",
            "X-Robots-Tag: noindex, nofollow",
            "Cache-Control: no-store",
        ] {
            assert!(head.split("\r\n").any(|line| line == header), "{header}: {head}");
        }
        let policy = head.split("\r\n").find_map(|line| line.strip_prefix("Content-Security-Policy: ")).unwrap();
        let style = body.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = STANDARD.encode(Sha256::digest(style));
        assert_eq!(
            policy,
            format!(
                "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; \
                 frame-ancestors 'none'"
            )
        );
    }
}

#[test]
fn browsers_are_bound_to_tls_only_where_the_relay_serves_it() {
    let hsts = |transport: Transport| {
        get(&config(|config| config.transport = transport), "/").0.contains("Strict-Transport-Security: max-age=")
    };
    assert!(hsts(files()));
    assert!(hsts(acme()));
    assert!(!hsts(Transport::Pinned));
    assert!(!hsts(Transport::Plain { trusted_proxies: Vec::new() }));
}

#[test]
fn only_the_two_pages_are_pages() {
    let pages = Pages::new(&config(|_| ())).unwrap();
    let is_page = |method, path, headers: &[_]| pages.page(&request(method, path, headers)).is_some();
    for path in ["/", "/i", "/?x", "/i?utm_source=mail"] {
        assert!(is_page("GET", path, &[]) && is_page("HEAD", path, &[]), "{path}");
        assert!(!is_page("POST", path, &[]), "{path}");
        assert!(!is_page("GET", path, &[("Upgrade", "websocket")]), "{path}");
    }
    for path in ["/v1", "/i/", "/index.html", "/favicon.ico"] {
        assert!(!is_page("GET", path, &[]), "{path}");
    }
}

#[test]
fn a_refusal_is_a_page_for_browsers_and_a_line_for_everything_else() {
    let pages = Pages::new(&config(|_| ())).unwrap();
    let refusal = Refusal(StatusCode::NOT_FOUND, "a line that helps");
    let says = |request: Option<&Request>| String::from_utf8(pages.refusal(request, refusal)).unwrap();
    let browser = request("GET", "/x", &[("Accept", "application/xml, Text/HTML;q=0.9")]);
    let page = says(Some(&browser));
    assert!(page.starts_with("HTTP/1.1 404 ") && page.contains("<h1>There is nothing here</h1>"), "{page}");
    assert!(page.contains("a line that helps") && page.contains("Content-Security-Policy: default-src 'none'"));
    for other in [Some(&request("GET", "/x", &[("Accept", "*/*")])), None] {
        let line = says(other);
        assert!(line.ends_with("\r\n\r\na line that helps\n"), "{line}");
        assert!(line.contains("nosniff") && line.contains("Content-Security-Policy"), "{line}");
    }
    let head = says(Some(&request("HEAD", "/x", &[])));
    assert!(head.ends_with("\r\n\r\n") && head.contains("Content-Length: 18\r\n"), "{head}");
}

#[test]
fn numbers_are_written_for_people() {
    assert_eq!(time(1_814_400_000), "21 days");
    assert_eq!(time(129_600_000), "36 hours");
    assert_eq!(time(1_000), "1 second");
    assert_eq!(time(1_500), "1,500 milliseconds");
    assert_eq!(time(0), "0 milliseconds");
    assert_eq!(bytes(33_554_432), "32 MiB");
    assert_eq!(bytes(16_319), "16,319 bytes");
    assert_eq!(grouped(1_234_567), "1,234,567");
    assert_eq!(grouped(100), "100");
}
