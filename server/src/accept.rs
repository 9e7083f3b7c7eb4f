//! The door: connections come in, are admitted or turned away before anything is read from them, encrypted if this relay
//! encrypts, and served.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::Config;
use crate::config::Transport;
use crate::connection::{self, Stage};
use crate::hub::Hub;
use crate::limits::{Guest, Limits, TurnedAway};
use crate::pages::Pages;
use crate::tls::{self, Tls};

/// Longest wait after a connection could not be accepted, for want of file descriptors, say.
const MAX_ACCEPT_WAIT: Duration = Duration::from_secs(1);

/// To who is turned away, where that can be said without a handshake.
const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 57\r\n\r\n\
    The relay has no place for this connection now. Try later";

/// What a connection is served with.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) hub: Arc<Hub>,
    pub(crate) config: Arc<Config>,
    pub(crate) pages: Arc<Pages>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) stage: watch::Sender<Stage>,
}

impl Door {
    /// Lets connections in. Never returns. Each holds a copy of `guard` for as long as it lasts.
    pub(crate) async fn accept(&self, listener: &TcpListener, guard: &mpsc::Sender<()>) {
        let mut wait = Duration::from_millis(5);
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    wait = Duration::from_millis(5);
                    match self.limits.enter(self.counted(peer.ip())) {
                        Ok(guest) => self.serve(stream, peer.ip(), guest, guard.clone()),
                        Err(why) => self.turn_away(stream, why),
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(wait).await;
                    wait = (wait * 2).min(MAX_ACCEPT_WAIT);
                }
            }
        }
    }

    /// The address that a connection counts for. For a proxy's it is known once the proxy has said it.
    fn counted(&self, peer: IpAddr) -> Option<IpAddr> {
        (!self.is_proxy(peer)).then_some(peer)
    }

    fn is_proxy(&self, ip: IpAddr) -> bool {
        is_proxy(&self.config, ip)
    }

    /// One attempt to say it, which costs a system call; nothing is waited for.
    fn turn_away(&self, stream: TcpStream, why: TurnedAway) {
        tracing::debug!(?why, "a connection was turned away");
        if self.tls.is_none()
            && let Ok(mut stream) = stream.into_std()
        {
            // Never blocks. Who does not take it at once does not hear it.
            let _ = stream.write(TURNED_AWAY);
        }
    }

    fn serve(&self, stream: TcpStream, peer: IpAddr, guest: Guest, guard: mpsc::Sender<()>) {
        // Frames are flushed when they are complete: waiting for more would only delay them.
        drop(stream.set_nodelay(true));
        let (limits, place) = (Arc::clone(guest.limits()), guest.place());
        let opened = Instant::now();
        let visit = Visit { door: self.connection(), guest, opened, proxy: self.is_proxy(peer).then_some(peer) };
        let task = match &self.tls {
            None => tokio::spawn(async move {
                connection::serve(stream, visit).await;
                drop(guard);
            }),
            Some(tls) => {
                let tls = Arc::clone(tls);
                tokio::spawn(async move {
                    // Boxed: the handshake's future is large, and must not stay part of this one.
                    if let Some(stream) = Box::pin(encrypted(stream, &tls, &visit)).await {
                        drop(tls);
                        connection::serve(stream, visit).await;
                    }
                    drop(guard);
                })
            }
        };
        if let Some(place) = place {
            limits.put_out_by(place, task.abort_handle());
        }
    }

    pub(crate) fn connection(&self) -> connection::Context {
        connection::Context {
            hub: Arc::clone(&self.hub),
            config: Arc::clone(&self.config),
            pages: Arc::clone(&self.pages),
            stage: self.stage.subscribe(),
        }
    }
}

/// A connection about to be served.
pub(crate) struct Visit {
    pub(crate) door: connection::Context,
    pub(crate) guest: Guest,
    /// From when the time for handshakes and the first frame counts.
    pub(crate) opened: Instant,
    /// The proxy that the connection came through.
    pub(crate) proxy: Option<IpAddr>,
}

pub(crate) fn is_proxy(config: &Config, ip: IpAddr) -> bool {
    let Transport::Plain { trusted_proxies } = &config.transport else { return false };
    let ip = ip.to_canonical();
    trusted_proxies.iter().any(|network| network.contains(&ip))
}

/// Boxed, because a connection's state is large, and would be moved through several futures.
async fn encrypted(
    stream: TcpStream,
    tls: &Tls,
    visit: &Visit,
) -> Option<Box<tokio_rustls::server::TlsStream<TcpStream>>> {
    let deadline = visit.opened + visit.door.config.handshake_timeout;
    let accepted = timeout_at(deadline, tls.acceptor().accept_with(stream, tls::bound_buffers)).await;
    match accepted {
        Ok(Ok(stream)) if tls::is_validation(stream.get_ref().1) => {
            tracing::info!("a validation came, and was answered");
            None
        }
        Ok(Ok(stream)) => Some(Box::new(stream)),
        Ok(Err(_)) | Err(_) => {
            tracing::debug!("a connection ended before it was encrypted");
            None
        }
    }
}
