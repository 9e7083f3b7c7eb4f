//! `tacit send`

use std::io::{self, BufRead};
use std::time::{Duration, Instant};

use tacit_client_core::{Availability, Client, Contact, MessageId, Outcome, WaitError};

use crate::args::{self, Wait};
use crate::care::{Expected, words};
use crate::clock;
use crate::describe;
use crate::failure::Failure;
use crate::output::Output;
use crate::record::Sent;
use crate::session::{Session, millis};

pub(super) fn run(session: &Session, args: &args::Send, output: Output) -> Result<(), Failure> {
    let contact = session.pick(&args.contact)?;
    let wait = args.wait.unwrap_or(Wait::Accepted);
    let expectation = |at| session.client().expectation(contact.id.clone(), at);
    // Before it is sent: whoever writes to somebody who is not there must know it.
    let before = expectation(clock::now())?;
    if matches!(before.availability, Availability::Closed { .. }) {
        output.note(&words::expectation_here(&before, &session.clock));
        let crisis = session.client().crisis(contact.id.clone(), clock::locale(), false, clock::now())?;
        if crisis.reason.is_some() {
            output.note(&words::crisis(&crisis));
        }
    }
    if wait != Wait::None {
        session.start()?;
    }
    let mut queued = Vec::new();
    let all_queued = queue(session.client(), &contact, args, &mut queued);
    let begun = Instant::now();
    // Messages go in order: when the last one got there, so did the others.
    if let (Some(last), true) = (queued.last(), wait != Wait::None) {
        wait_for(session.client(), last, wait, args.patience.timeout)?;
    }
    let mut worst = None;
    for id in queued {
        let message = session.client().message(id)?;
        let outcome = message.outcome;
        let expectation = expectation(message.sent_at)?;
        let is_said = expectation.availability != Availability::Unknown || expectation.answer_by.is_some();
        let answer_by = words::answer_by(&expectation, &session.clock);
        let expected = is_said.then(|| Expected::from(expectation));
        output.answer(&Sent::new(&message, outcome, expected), || {
            let became = describe::outcome_words(outcome, &session.clock);
            if answer_by.is_empty() { became } else { format!("{became}. {answer_by} {}", session.clock.whose()) }
        })?;
        if !is_enough(outcome, args.wait) {
            worst = Some(outcome);
        }
    }
    all_queued?;
    if wait != Wait::None && session.client().contact(contact.id)?.locked_out {
        return Err(Failure::LockedOut);
    }
    match worst {
        None => Ok(()),
        Some(outcome) => {
            let problem = if begun.elapsed() >= args.patience.timeout { session.problem() } else { String::new() };
            Err(Failure::NotReached { outcome, problem })
        }
    }
}

/// Queues the message, or every line of stdin. What was queued stays queued, whatever happens after.
fn queue(client: &Client, contact: &Contact, args: &args::Send, queued: &mut Vec<MessageId>) -> Result<(), Failure> {
    let write = |text| match &args.reply_to {
        Some(to) => client.reply(contact.id.clone(), to.clone(), text),
        None => client.send(contact.id.clone(), text),
    };
    if args.text != "-" {
        queued.push(write(args.text.clone())?);
        return Ok(());
    }
    for line in io::stdin().lock().lines() {
        let line = line.map_err(Failure::Stdin)?;
        // Between paragraphs there is nothing to send.
        if !line.trim().is_empty() {
            queued.push(write(line)?);
        }
    }
    if queued.is_empty() { Err(tacit_client_core::SendError::Empty.into()) } else { Ok(()) }
}

/// Waits as long as it makes sense. How far the message got is read afterwards.
fn wait_for(client: &Client, message: &MessageId, wait: Wait, within: Duration) -> Result<(), Failure> {
    match client.wait_outcome(message.clone(), wait == Wait::Delivered, millis(within)) {
        Ok(_) | Err(WaitError::TimedOut { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a message got as far as was asked for; without a wish, whether it is on its way.
const fn is_enough(outcome: Outcome, wish: Option<Wait>) -> bool {
    match outcome {
        Outcome::Queued => matches!(wish, None | Some(Wait::None)),
        Outcome::Accepted { .. } => !matches!(wish, Some(Wait::Delivered)),
        Outcome::Delivered | Outcome::Read => true,
        Outcome::Expired | Outcome::Refused(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use tacit_client_core::RefusedWhy;

    use super::*;

    #[test]
    fn without_a_wish_a_queued_message_is_enough_and_a_refused_one_never() {
        let accepted = Outcome::Accepted { until: 1 };
        assert!(is_enough(Outcome::Queued, None));
        assert!(is_enough(Outcome::Queued, Some(Wait::None)));
        assert!(!is_enough(Outcome::Queued, Some(Wait::Accepted)));
        assert!(is_enough(accepted, Some(Wait::Accepted)));
        assert!(!is_enough(accepted, Some(Wait::Delivered)));
        assert!(is_enough(Outcome::Read, Some(Wait::Delivered)));
        for wish in [None, Some(Wait::None), Some(Wait::Accepted), Some(Wait::Delivered)] {
            assert!(!is_enough(Outcome::Refused(RefusedWhy::Ended), wish));
            assert!(!is_enough(Outcome::Expired, wish));
        }
    }
}
