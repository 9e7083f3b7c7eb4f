//! `tacit network`

use serde::Serialize;

use crate::args;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

/// Answer of `network`.
#[derive(Serialize)]
struct Network {
    /// `null`: relays are reached directly.
    proxy: Option<String>,
    separate: bool,
}

pub(super) fn run(session: &Session, args: &args::Network, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let mut settings = client.network()?;
    if args.proxy.is_some() || args.direct {
        settings.proxy.clone_from(&args.proxy);
    }
    settings.separate = (settings.separate || args.separate) && !args.together;
    client.set_network(settings.clone())?;
    output.answer(&Network { proxy: settings.proxy.clone(), separate: settings.separate }, || {
        let way = match &settings.proxy {
            Some(proxy) => format!("Relays are reached through {}, and in no other way.", escape::line(proxy)),
            None => "Relays are reached directly: they, and whoever watches this network, see its address.".to_owned(),
        };
        let lines = if settings.separate {
            "Each contact has a connection of its own."
        } else {
            "All contacts at a relay share one connection, so that it can tell that they are one device's."
        };
        format!("{way}\n{lines}")
    })
}
