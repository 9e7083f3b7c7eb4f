//! The metrics' HTTP server: few connections, short ones, and from this machine only.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as BlockingListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::http::{Method, StatusCode, header, uri::Authority};

use super::Metrics;
use crate::http::{self, Answer, Refusal, Request};

/// A monitor needs one.
const MOST_CONNECTIONS: usize = 8;

/// How long one may take, from its beginning to its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The listener. Open before the relay says that it is ready, so that an address that is taken is an error at the start.
#[derive(Debug)]
pub(crate) struct MetricsServer(BlockingListener);

impl MetricsServer {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = BlockingListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers. Never returns, unless the listener is of no use.
    pub(crate) async fn run(self, metrics: Metrics) {
        let Ok(listener) = TcpListener::from_std(self.0) else { return };
        let (metrics, places) = (Arc::new(metrics), Arc::new(Semaphore::new(MOST_CONNECTIONS)));
        let mut serving = JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let metrics = Arc::clone(&metrics);
                    serving.spawn(async move {
                        // Whoever is too slow, or gone, does not want the answer.
                        let _ = timeout(PATIENCE, serve(stream, metrics)).await;
                        drop(place);
                    });
                    while serving.try_join_next().is_some() {}
                }
                Err(error) => {
                    tracing::warn!(%error, "the monitoring could not be heard");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn serve(mut stream: TcpStream, metrics: Arc<Metrics>) -> io::Result<()> {
    let bytes = match http::read_request(&mut stream).await? {
        // The file system is asked, which may take its time.
        Ok((request, _)) => tokio::task::spawn_blocking(move || answer(&request, &metrics)).await?,
        Err(refusal) => Answer::line(refusal).to_bytes(&Method::GET),
    };
    http::answer(&mut stream, &bytes).await
}

fn answer(request: &Request, metrics: &Metrics) -> Vec<u8> {
    let (text, ready);
    let answer = match check(request).and_then(|()| page(request)) {
        Err(refusal) => Answer::line(refusal),
        Ok(Page::Metrics) => {
            text = metrics.text();
            Answer { content_type: "text/plain; version=0.0.4; charset=utf-8", body: &text, ..Answer::line(OK) }
        }
        Ok(Page::Healthy) => Answer::line(OK),
        Ok(Page::Ready) => match metrics.ready() {
            Ok(()) => Answer::line(OK),
            Err(why) => {
                ready = why.to_string();
                Answer { status: StatusCode::SERVICE_UNAVAILABLE, body: &ready, ..Answer::line(OK) }
            }
        },
    };
    answer.to_bytes(request.method())
}

const OK: Refusal = Refusal(StatusCode::OK, "ok");

enum Page {
    Metrics,
    Healthy,
    Ready,
}

fn page(request: &Request) -> Result<Page, Refusal> {
    match request.uri().path() {
        "/metrics" => Ok(Page::Metrics),
        "/healthz" => Ok(Page::Healthy),
        "/readyz" => Ok(Page::Ready),
        _ => Err(Refusal(StatusCode::NOT_FOUND, "Here are /metrics, /healthz and /readyz.")),
    }
}

fn check(request: &Request) -> Result<(), Refusal> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "Use GET."));
    }
    // A page in a browser on this machine may have its own name lead here, and would then be shown the answer.
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) {
        (Some(host), None) if is_this_machine(host) => Ok(()),
        _ => Err(Refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "This is for this machine only: ask for localhost or 127.0.0.1 (a proxy must set Host so).",
        )),
    }
}

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
    !host.contains('@')
        && (bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in
            ["localhost", "localhost:7444", "LOCALHOST", "127.0.0.1", "127.0.0.1:7444", "127.1.2.3", "[::1]:7444"]
        {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["relay.example", "localhost.example", "127.0.0.1.example", "10.0.0.1", "[::2]", "", "x@localhost"]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
