//! `tacit-server enrolments` and `revoke`. They ask the running relay; if none runs, they open its data folder themselves.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tacit_server::control::{Ask, AskError, Reply, ask};
use tacit_server::{Listed, Relay, Revoked};

use crate::Failure;
use crate::args::{Place, Revoke, Show};
use crate::control_commands::{ODD_ANSWER, length};
use crate::owner::work_as_owner_of;

pub(crate) fn list(args: &Show) -> Result<(), Failure> {
    let all = match asked(&args.place, &Ask::Enrolments)? {
        Some(Reply::Enrolments(all)) => all,
        Some(_) => return Err(ODD_ANSWER.into()),
        None => opened(&args.place)?.enrolments()?,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&all)?)?;
        return Ok(());
    }
    if all.is_empty() {
        writeln!(out, "No enrolment has anything left. Make one with `tacit-server enrol`.")?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    for Listed { enrolment, link_until, channels_left, channels_given } in all {
        let given = channels_given.map_or_else(String::new, |given| format!(" of {given}"));
        let link = match link_until {
            Some(until) => {
                format!("link not used yet, good for {}", length(Duration::from_secs(until.saturating_sub(now))))
            }
            None => "link used".to_owned(),
        };
        writeln!(out, "{enrolment}  {channels_left}{given} channels left, {link}")?;
    }
    Ok(())
}

pub(crate) fn revoke(args: &Revoke) -> Result<(), Failure> {
    let what = Ask::Revoke { enrolment: args.enrolment.clone() };
    let Revoked { permits, unused_code, durable } = match asked(&args.place, &what)? {
        Some(Reply::Revoked(revoked)) => revoked,
        Some(_) => return Err(ODD_ANSWER.into()),
        None => {
            let id = args.enrolment.parse()?;
            let relay = opened(&args.place)?;
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(relay.revoke(id))?
        }
    };
    let mut out = std::io::stdout().lock();
    match unused_code {
        true => writeln!(out, "Revoked: its link enrols nobody any more.")?,
        false => writeln!(out, "Revoked: {permits} channels can no longer be opened with it.")?,
    }
    writeln!(
        out,
        "Channels that were opened with it go on. By design a relay cannot tell which those are; who may close one"
    )?;
    writeln!(out, "is the therapist or the client.")?;
    if !durable {
        writeln!(
            out,
            "The disk cannot be written now: until the relay could write this down, only a restart would undo it."
        )?;
    }
    Ok(())
}

/// The running relay's answer; `None` if none runs.
fn asked(place: &Place, what: &Ask) -> Result<Option<Reply>, Failure> {
    match ask(&place.settings()?.data(), what) {
        Ok(Reply::Refused(why)) => Err(why.into()),
        Ok(reply) => Ok(Some(reply)),
        Err(AskError::NotRunning) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn opened(place: &Place) -> Result<Relay, Failure> {
    let settings = place.settings()?;
    let data = settings.data();
    work_as_owner_of(&data)?;
    match data.is_dir() {
        true => Ok(Relay::open(settings.config()?)?),
        false => Err(format!("there is no relay's data in {}", data.display()).into()),
    }
}
