//! Asking for the agreed word, and answering: what is sent, and how often.

use rand_core::CryptoRng;

use crate::care::agreed_word::{MOST_ANSWERS, MOST_WRONG, Nonce, WINDOW_MS, WordAnswer, WordKey, draw_nonce};
use crate::content::{Body, WordReply};
use crate::error::{StoreError, WordError};
use crate::note::Note;
use crate::pairing::draw_id;
use crate::statements::Received;
use crate::store::{ContactRow, Tx};
use crate::types::Timestamp;

/// Asks for the word.
pub(crate) fn ask(tx: &Tx<'_>, row: &ContactRow, now: Timestamp, rng: &mut dyn CryptoRng) -> Result<(), WordError> {
    if !row.state.can_send() {
        return Err(WordError::WrongState);
    }
    if tx.word_key(&row.key)?.is_none() {
        return Err(WordError::NoWord);
    }
    if let Some((_, asked_at)) = tx.open_word_question(&row.key, true)?
        && now.abs_diff(asked_at) < WINDOW_MS
    {
        return Err(WordError::AlreadyAsked);
    }
    // A clock that went back must not lift the limit, so wrong answers of the future count as well.
    let (wrong, first) = tx.wrong_answers_since(&row.key, now.saturating_sub(WINDOW_MS))?;
    if wrong >= MOST_WRONG {
        return Err(WordError::TooMany { until: first.saturating_add(WINDOW_MS) });
    }
    let question = draw_nonce(rng);
    tx.add_word_question(&row.key, true, &question, now)?;
    tx.queue_note(&row.key, &draw_id(rng), Some(&Note::WordAsked), &Body::WordQuestion(question), now)?;
    Ok(())
}

/// The question that waits for our answer, if we may still give one.
pub(crate) fn question(tx: &Tx<'_>, row: &ContactRow, now: Timestamp) -> Result<Nonce, WordError> {
    if !row.state.can_send() {
        return Err(WordError::WrongState);
    }
    let (question, _) = tx.open_word_question(&row.key, false)?.ok_or(WordError::NotAsked)?;
    let (given, first) = tx.given_answers_since(&row.key, now.saturating_sub(WINDOW_MS))?;
    if given >= MOST_ANSWERS {
        return Err(WordError::TooMany { until: first.saturating_add(WINDOW_MS) });
    }
    Ok(question)
}

/// Answers a question with a word, or declines to. It is not compared here: whoever holds this device could try words
/// until one is right.
pub(crate) fn answer(
    tx: &Tx<'_>,
    row: &ContactRow,
    asked: &Nonce,
    word: Option<&WordKey>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), WordError> {
    // It may have been answered by another process while the key was made.
    if question(tx, row, now)? != *asked {
        return Err(WordError::NotAsked);
    }
    let nonce = draw_nonce(rng);
    let tag = word.map(|key| key.answer(row.of.end.other(), asked, &nonce));
    tx.answer_word_question(&row.key, asked, word.is_none(), now)?;
    let note = if word.is_some() { Note::WordGiven } else { Note::WordDeclined };
    let body = Body::WordReply(WordReply { question: *asked, nonce, tag });
    tx.queue_note(&row.key, &draw_id(rng), Some(&note), &body, now)?;
    Ok(())
}

/// Takes a question of theirs. More than we would answer are not even shown.
pub(crate) fn receive_question(
    tx: &Tx<'_>,
    row: &ContactRow,
    question: &Nonce,
    now: Timestamp,
) -> Result<Received, StoreError> {
    if tx.word_questions_since(&row.key, now.saturating_sub(WINDOW_MS))? >= MOST_ANSWERS {
        return Ok(Received::Silent);
    }
    let is_new = tx.add_word_question(&row.key, false, question, now)?;
    Ok(if is_new { Received::Note(Note::WordAsked) } else { Received::Bad })
}

/// Takes an answer of theirs, once for each question of ours.
pub(crate) fn receive_reply(
    tx: &Tx<'_>,
    row: &ContactRow,
    reply: &WordReply,
    now: Timestamp,
) -> Result<Received, StoreError> {
    let (answer, note) = match (&reply.tag, tx.word_key(&row.key)?) {
        (None, _) => (WordAnswer::Declined, Note::WordDeclined),
        (Some(tag), Some(key)) if key.is_right(row.of.end, &reply.question, &reply.nonce, tag) => {
            (WordAnswer::Right, Note::WordRight)
        }
        (Some(_), _) => (WordAnswer::Wrong, Note::WordWrong),
    };
    let was_open = tx.close_word_question(&row.key, &reply.question, answer, now)?;
    Ok(if was_open { Received::Note(note) } else { Received::Bad })
}

#[cfg(test)]
mod tests;
