//! `tacit-server enrol`: leaves an offer in the data folder, and prints the link to it.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rand_core::UnwrapErr;
use tacit_proto::EnrolCode;
use tacit_proto::link::{EnrolmentLink, RelayAddress, RelayPlace};
use tacit_server::settings::{DEFAULT_LISTEN, Tls};
use tacit_server::spool::EnrolmentId;
use tacit_server::{Enrolments, Offer, PINNED, URL_FILE, relay_pin};

use crate::Failure;
use crate::args::Enrol;
use crate::owner::work_as_owner_of;

pub(crate) fn enrol(args: &Enrol) -> Result<(), Failure> {
    let settings = args.place.settings()?;
    let data = settings.data();
    work_as_owner_of(&data)?;
    // Before anything is left in the data folder: a link without an address would be of no use.
    let noted = noted(&data)?;
    let address = match args.url.clone().or(settings.url) {
        Some(url) => url,
        None => noted.address(settings.tls.unwrap_or(Tls::Off))?,
    };
    let is_pinned = settings.tls.map_or(noted.is_pinned, |tls| tls == Tls::Pinned);
    let pin = is_pinned.then(|| relay_pin(&data)).transpose()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let code = EnrolCode::draw(&mut UnwrapErr(getrandom::SysRng));
    let offer = Offer { permits: args.channels, expires: now.saturating_add(args.expires.0.as_secs()) };
    let left = Enrolments::open(&data).and_then(|enrolments| enrolments.add(&code.hash(), offer));
    left.map_err(|error| format!("the enrolment could not be left in {}: {error}", data.display()))?;
    let relay = RelayPlace { address, pin };
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

/// How the relay of this data folder last served, if it ever did.
struct Noted {
    url: Option<String>,
    is_pinned: bool,
}

fn noted(data: &Path) -> Result<Noted, Failure> {
    match fs::read_to_string(data.join(URL_FILE)) {
        Ok(text) => {
            let mut lines = text.lines();
            Ok(Noted { url: lines.next().map(str::to_owned), is_pinned: lines.next() == Some(PINNED) })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Noted { url: None, is_pinned: false }),
        Err(error) => Err(error.into()),
    }
}

impl Noted {
    fn address(&self, tls: Tls) -> Result<RelayAddress, Failure> {
        let scheme = if tls == Tls::Off { "ws" } else { "wss" };
        let url = self.url.clone().unwrap_or_else(|| format!("{scheme}://{DEFAULT_LISTEN}"));
        let why = |error| {
            format!("the link needs the address at which devices reach this relay; give it with --url ({error})")
        };
        Ok(url.parse().map_err(why)?)
    }
}
