//! `tacit-server run`: serves until it is told to end.

use std::io::{IsTerminal, Write, stderr, stdout};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tacit_server::Relay;
use tacit_server::settings::{LogFormat, Settings};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::args::Run;
use crate::{Failure, supervisor};

pub(crate) fn run(args: &Run) -> Result<(), Failure> {
    let settings = args.settings()?;
    start_log(&settings)?;
    let (listen, config) = (settings.listen()?, settings.config()?);
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen);
        let listener = listener.await.map_err(|error| format!("{listen} cannot be listened on: {error}"))?;
        let relay = Relay::open(config)?;
        let shutdown = until_told_to_end()?;
        reload_when_told_to(&relay)?;
        announce(&listener, &relay, args)?;
        supervisor::ready();
        tokio::spawn(supervisor::live());
        relay.serve(listener, shutdown).await?;
        Ok(())
    })
}

/// The log goes to standard error, and has this program's own events only: those of the WebSocket library show frames.
fn start_log(settings: &Settings) -> Result<(), Failure> {
    let wanted = settings.log.as_deref().unwrap_or("info");
    let wanted: LevelFilter =
        wanted.parse().map_err(|_| format!("log = \"{wanted}\": a level is error, warn, info, debug, trace or off"))?;
    let own = Targets::new().with_target("tacit_server", wanted);
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let lines = match settings.log_format.unwrap_or_default() {
        LogFormat::Text => lines.with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines.with_filter(own)))?;
    Ok(())
}

/// Every connection is a file; many systems allow a process 1,024 at first, and many more if it asks.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Says that it serves, and on an empty relay what to do next.
fn announce(listener: &TcpListener, relay: &Relay, args: &Run) -> Result<(), Failure> {
    // Whoever waits for the next line may run `enrol` at once.
    relay.note_url(listener.local_addr()?);
    let mut out = stdout().lock();
    writeln!(out, "ready {}", relay.listening_url(listener.local_addr()?))?;
    if relay.is_empty() {
        writeln!(out, "Nobody is enrolled here yet. For each therapist, run")?;
        writeln!(out, "    tacit-server enrol{}", args.place())?;
        writeln!(out, "and give them the link that it prints. It works while this relay runs.")?;
    }
    out.flush()?;
    Ok(())
}

/// Ready at the first SIGTERM or SIGINT. At the second, the program ends at once: nothing accepted is lost by that.
fn until_told_to_end() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        either(&mut terminate, &mut interrupt).await;
        supervisor::ending();
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            std::process::exit(1);
        });
    })
}

/// SIGHUP: certificate files changed. It never ends the program.
fn reload_when_told_to(relay: &Relay) -> Result<(), Failure> {
    let mut hangup = signal(SignalKind::hangup())?;
    let reload = relay.reloader();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload();
        }
    });
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
