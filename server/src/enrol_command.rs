//! `tacit-server enrol`: leaves an offer in the data folder, and prints the link to it.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rand_core::UnwrapErr;
use tacit_proto::EnrolCode;
use tacit_proto::link::{EnrolmentLink, RelayAddress, RelayPlace};
use tacit_server::settings::DEFAULT_LISTEN;
use tacit_server::spool::EnrolmentId;
use tacit_server::{Enrolments, Offer, URL_FILE};

use crate::Failure;
use crate::args::Enrol;

pub(crate) fn enrol(args: &Enrol) -> Result<(), Failure> {
    let settings = args.place.settings()?;
    let data = settings.data();
    // Before anything is left in the data folder: a link without an address would be of no use.
    let address = match args.url.clone().or(settings.url) {
        Some(url) => url,
        None => noted_url(&data)?,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let code = EnrolCode::draw(&mut UnwrapErr(getrandom::SysRng));
    let offer = Offer { permits: args.channels, expires: now.saturating_add(args.expires.0.as_secs()) };
    let left = Enrolments::open(&data).and_then(|enrolments| enrolments.add(&code.hash(), offer));
    left.map_err(|error| format!("the enrolment could not be left in {}: {error}", data.display()))?;
    let relay = RelayPlace { address, pin: None };
    let link = EnrolmentLink { relay, code, permits: args.channels.get() };
    writeln!(std::io::stdout(), "{}", link.to_uri())?;
    // Not to standard output, which holds the link and nothing else.
    let id = EnrolmentId::of(&link.code.hash()).to_hex();
    writeln!(
        std::io::stderr(),
        "Enrolment {id}: `tacit-server revoke {id}` takes back what is left of it. Whose it is, the relay does not know."
    )?;
    Ok(())
}

/// Where the relay of this data folder last listened.
fn noted_url(data: &Path) -> Result<RelayAddress, Failure> {
    let url = match fs::read_to_string(data.join(URL_FILE)) {
        Ok(url) => url,
        Err(error) if error.kind() == ErrorKind::NotFound => format!("ws://{DEFAULT_LISTEN}"),
        Err(error) => return Err(error.into()),
    };
    let why =
        |error| format!("the link needs the address at which devices reach this relay; give it with --url ({error})");
    Ok(url.trim().parse().map_err(why)?)
}
