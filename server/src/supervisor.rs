//! What the service manager (systemd) is told, if one asked for it: that the relay serves, that it lives, and that it ends.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::{MissedTickBehavior, interval};

/// Nobody may listen, and a relay serves all the same.
fn tell(state: NotifyState<'_>) {
    if let Err(error) = notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be told how the relay is");
    }
}

pub(crate) fn ready() {
    tell(NotifyState::Ready);
}

pub(crate) fn ending() {
    tell(NotifyState::Stopping);
}

/// Tells it again and again that the relay lives, if it restarts those that do not. Else it returns at once.
pub(crate) async fn live() {
    let Some(patience) = watchdog_enabled().filter(|patience| *patience >= Duration::from_millis(10)) else { return };
    let mut ticks = interval(patience / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tell(NotifyState::Watchdog);
    }
}
