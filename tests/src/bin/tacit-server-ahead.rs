//! The relay of `tacit-server`, as a program of its own whose wall clock is ahead by as many seconds as a file says, so
//! that a test can let hours pass while it runs. `tacit-server` itself has no such thing, and must not.
//!
//! Called as `tacit-server` is: `--config FILE --data FOLDER --listen ADDRESS`. The file is `ahead`, beside the
//! configuration.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tacit_server::settings::Settings;
use tacit_server::{Clock, Relay};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};

fn argument(name: &str) -> String {
    std::env::args().skip_while(|argument| argument != name).nth(1).unwrap()
}

/// The file is replaced and never written into: what is read is whole.
fn ahead(file: &Path) -> Duration {
    Duration::from_secs(std::fs::read_to_string(file).unwrap().trim().parse().unwrap())
}

fn main() {
    let own = Targets::new().with_target("tacit_server", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_filter(own);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines)).unwrap();

    let file = PathBuf::from(argument("--config"));
    let settings = Settings { data: Some(argument("--data").into()), ..Settings::read(&file).unwrap() };
    let mut config = settings.config().unwrap();
    let ahead_file = file.with_file_name("ahead");
    config.clock = Clock::with_wall(move || SystemTime::now() + ahead(&ahead_file));
    // Hours come faster here than elsewhere.
    config.sweep_every = Duration::from_millis(50);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(argument("--listen")).await.unwrap();
        let relay = Relay::open(config).unwrap();
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        println!("ready {}", relay.listening_url(listener.local_addr().unwrap()));
        relay.serve(listener, async move { terminate.recv().await.unwrap() }).await.unwrap();
    });
}
