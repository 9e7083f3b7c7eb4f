//! `tacit demo --script`: a conversation, printed as it arrives on the devices.

use serde::Serialize;
use tacit_client_core::{Content, Message, Outcome};

use super::world::{Side, World, demo, until};
use crate::clock::Clock;
use crate::describe;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;

/// Who writes what.
enum Line {
    Therapist(&'static str),
    Client(&'static str),
    /// The therapist writes while the client is offline.
    Away(&'static str),
}

const CONVERSATION: [Line; 8] = [
    Line::Therapist(
        "Hello Sam, good that this works. You can write to me here between our sessions; I read it on weekdays.",
    ),
    Line::Client("Hi! Thank you. The week was mixed: two good days, then Wednesday fell apart a bit."),
    Line::Therapist("Thank you for telling me. What helped on the good days?"),
    Line::Client(
        "Mornings without the phone. And I went swimming, even though I did not feel like it at all.\nI was proud of that, to be honest.",
    ),
    Line::Therapist("You can be. Going although you did not feel like it: that is exactly what we talked about."),
    Line::Client("See you Thursday then. I am switching this off for the night."),
    Line::Away("Sleep well, Sam. Bring Wednesday with you on Thursday, we will take it apart together."),
    Line::Client("Good morning, just read it. I will. See you at ten!"),
];

/// A line of `--json`: safety words of one side.
#[derive(Serialize)]
struct WordsLine<'a> {
    device: &'a str,
    words: &'a [String],
}

/// A line of `--json`: a message as it arrived, and what became of it in the end.
#[derive(Serialize)]
struct MessageLine<'a> {
    from: &'a str,
    text: &'a str,
    outcomes: Vec<&'static str>,
}

/// Prints the conversation.
pub(super) fn run(world: &World, output: Output) -> Result<(), Failure> {
    let World { therapist, client, .. } = world;
    output.note(
        "A relay and two devices run in this process. The devices are paired by an invite; every line below went \
         through the relay in sealed boxes.\n",
    );
    let [ours, theirs] = [words(therapist, output)?, words(client, output)?];
    if ours != theirs {
        return Err(demo("the safety words differ"));
    }
    output.note("The words are the same: nobody is in between. Both sides mark each other as verified.\n");
    for side in [therapist, client] {
        side.client.verify(side.contact.clone(), ours.clone())?;
    }
    let clock = Clock::local();
    for line in CONVERSATION {
        match line {
            Line::Therapist(text) => exchange(therapist, client, text, false, &clock, output)?,
            Line::Client(text) => exchange(client, therapist, text, false, &clock, output)?,
            Line::Away(text) => exchange(therapist, client, text, true, &clock, output)?,
        }
    }
    Ok(())
}

fn words(side: &Side, output: Output) -> Result<Vec<String>, Failure> {
    let words = side.client.safety_words(side.contact.clone())?;
    output.answer(&WordsLine { device: side.name, words: &words }, || {
        format!("Safety words on the device of {}:\n    {}", side.name, words.join(" "))
    })?;
    Ok(words)
}

/// Sends a text, and prints what the other device received.
fn exchange(from: &Side, to: &Side, text: &str, is_away: bool, clock: &Clock, output: Output) -> Result<(), Failure> {
    let mut outcomes = Vec::new();
    if is_away {
        to.client.stop();
    }
    let id = from.client.send(from.contact.clone(), text.into())?;
    if is_away {
        outcomes.push(from.client.wait_outcome(id.clone(), false, 30_000)?);
        to.client.start(None)?;
    }
    outcomes.push(from.client.wait_outcome(id.clone(), true, 30_000)?);
    let received = until(|| {
        let newest = to.client.history(to.contact.clone(), None, 1)?;
        Ok(newest.into_iter().find(|message| message.id == id))
    })?;
    to.client.mark_read(to.contact.clone())?;
    let text = shown_text(&received);
    let codes = outcomes.iter().copied().map(describe::outcome_code).collect();
    output.answer(&MessageLine { from: from.name, text, outcomes: codes }, || {
        let head = format!("{}  {}: ", clock.time(received.sent_at), from.name);
        let text = escape::indented(text, head.len());
        let became: Vec<String> = outcomes.iter().map(|outcome| became(*outcome, clock)).collect();
        format!("{head}{text}\n       {}\n", became.join(", then "))
    })
}

fn became(outcome: Outcome, clock: &Clock) -> String {
    format!("{} {}", describe::outcome_mark(outcome), describe::outcome_words(outcome, clock))
}

fn shown_text(message: &Message) -> &str {
    match &message.content {
        Content::Text(text) => text,
        Content::Attachment(_) | Content::Note(_) | Content::Unknown => "",
    }
}
