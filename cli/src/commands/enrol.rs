//! `tacit enrol`

use std::io;

use tacit_client_core::{EnrolError, EnrolmentState};

use crate::args;
use crate::ask;
use crate::escape;
use crate::failure::Failure;
use crate::given;
use crate::output::Output;
use crate::record::Enrolled;
use crate::session::Session;

/// How clients see a therapist who did not say.
const NAME: &str = "Your therapist";

pub(super) fn run(session: &Session, args: &args::Enrol, output: Output) -> Result<(), Failure> {
    let link = given::link(&args.link)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None if ask::is_anyone_there() && !output.is_json() => ask_name().map_err(Failure::Terminal)?,
        None => NAME.into(),
    };
    let client = session.client();
    match client.enrol(link, name) {
        Ok(()) => {}
        // The same command again goes on with what it began.
        Err(EnrolError::AlreadyUsed) if is_any_pending(session)? => {}
        Err(error) => return Err(error.into()),
    }
    let changes = session.start()?;
    let enrolment = changes.wait(args.patience.timeout, || {
        let newest = client.enrolments()?.pop();
        Ok(newest.filter(|enrolment| enrolment.state != EnrolmentState::Pending))
    })?;
    let Some(enrolment) = enrolment else { return Err(Failure::EnrolmentPending { problem: session.problem() }) };
    if enrolment.state == EnrolmentState::Refused {
        return Err(Failure::EnrolmentRefused);
    }
    let record = Enrolled { relay: enrolment.relay, state: "enrolled", permits_left: enrolment.permits_left };
    output.answer(&record, || {
        format!(
            "Enrolled at {}. You can invite {} people: tacit invite --label NAME",
            escape::line(&record.relay),
            record.permits_left
        )
    })
}

fn ask_name() -> io::Result<String> {
    let name = ask::line(&format!("How clients will see you [{NAME}]: "))?;
    Ok(if name.is_empty() { NAME.into() } else { name })
}

fn is_any_pending(session: &Session) -> Result<bool, Failure> {
    Ok(session.client().enrolments()?.iter().any(|enrolment| enrolment.state == EnrolmentState::Pending))
}
