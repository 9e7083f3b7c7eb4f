//! A relay, a therapist's device and a client's device, enrolled and paired.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tacit_client_core::{Client, ContactId, ContactState, EnrolmentState, StoreKey};
use tempfile::TempDir;

use super::relay::Relay;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// How clients see the therapist of the demo.
pub(super) const THERAPIST: &str = "Dr. Lindqvist";
/// What the therapist of the demo calls the client.
pub(super) const CLIENT: &str = "Sam";

/// Nothing here takes longer, unless something is wrong with the machine.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const A_DAY: u64 = 24 * 3_600;

/// One side of the conversation.
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) client: Arc<Client>,
    /// The other side, as this one knows them.
    pub(super) contact: ContactId,
}

/// All of the demo. Its parts end in the order in which they stand here: devices, relay, folder.
pub(super) struct World {
    pub(super) therapist: Side,
    pub(super) client: Side,
    _relay: Relay,
    _folder: TempDir,
}

impl World {
    /// Sets everything up, as people would do it.
    pub(super) fn begin() -> Result<Self, Failure> {
        let interrupt = Interrupt::watch();
        let folder = tempfile::Builder::new().prefix("tacit-demo-").tempdir().map_err(demo)?;
        interrupt.removes(folder.path());
        let relay = Relay::start(&folder.path().join("relay"))?;
        let therapist = device(&folder.path().join("therapist"), &interrupt)?;
        let client = device(&folder.path().join("client"), &interrupt)?;

        therapist.enrol(relay.enrolment_link(), THERAPIST.into())?;
        until(|| Ok(therapist.enrolments()?.pop().filter(|enrolment| enrolment.state == EnrolmentState::Enrolled)))?;
        let invite = therapist.invite(CLIENT.into(), A_DAY)?;
        reaches(&therapist, &invite.contact, &[ContactState::Invited])?;
        let theirs = client.join(invite.link, None)?;
        reaches(&client, &theirs, &[ContactState::Consenting])?;
        client.consent(theirs.clone())?;
        reaches(&therapist, &invite.contact, &[ContactState::Paired])?;
        reaches(&client, &theirs, &[ContactState::Paired, ContactState::Joined])?;

        Ok(Self {
            therapist: Side { name: THERAPIST, client: therapist, contact: invite.contact },
            client: Side { name: CLIENT, client, contact: theirs },
            _relay: relay,
            _folder: folder,
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A chat's worker may still hold a device; it must be off before the relay and the folder go.
        self.therapist.client.stop();
        self.client.client.stop();
    }
}

/// A device with a home of its own, connected. Nobody needs its passphrase again.
fn device(home: &Path, interrupt: &Interrupt) -> Result<Arc<Client>, Failure> {
    let passphrase = StoreKey::Passphrase(hex::encode(random::<32>()?));
    let client = Arc::new(Client::open(home.to_string_lossy().into_owned(), passphrase)?);
    interrupt.covers(&client);
    client.start(None)?;
    Ok(client)
}

fn reaches(client: &Client, contact: &ContactId, wanted: &[ContactState]) -> Result<(), Failure> {
    until(|| match client.contact(contact.clone())?.state {
        ContactState::Ended(why) => Err(Failure::PairingEnded(why)),
        state => Ok(wanted.contains(&state).then_some(())),
    })
}

/// Looks again and again until there is something.
pub(super) fn until<T>(mut look: impl FnMut() -> Result<Option<T>, Failure>) -> Result<T, Failure> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = look()? {
            return Ok(found);
        }
        thread::sleep(LOOK_AGAIN);
    }
    Err(demo("the relay in this process does not answer"))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(demo)?;
    Ok(bytes)
}

pub(super) fn demo(error: impl Display) -> Failure {
    Failure::Demo(error.to_string())
}
