//! The agreed word of a conversation, and questions for it.

use super::contacts::ContactKey;
use super::{Tx, fixed};
use crate::care::agreed_word::{AgreedWord, Asked, Given, Nonce, WordAnswer, WordKey};
use crate::error::StoreError;
use crate::types::Timestamp;

const OPEN: i64 = 0;
const RIGHT: i64 = 1;
const WRONG: i64 = 2;
const DECLINED: i64 = 3;
/// Theirs, and answered.
const ANSWERED: i64 = 4;

impl Tx<'_> {
    pub(crate) fn word_key(&self, contact: &ContactKey) -> Result<Option<WordKey>, StoreError> {
        let sql = "SELECT word_key FROM care WHERE contact = ?1";
        let key = self.row(sql, [contact], |row| row.get_ref(0)?.as_blob_or_null()?.map(fixed).transpose())?;
        Ok(key.flatten().map(WordKey::from_bytes))
    }

    pub(crate) fn set_word_key(&self, contact: &ContactKey, key: Option<&WordKey>) -> Result<(), StoreError> {
        let sql = "UPDATE care SET word_key = ?2 WHERE contact = ?1";
        self.execute(sql, (contact, key.map(WordKey::secret_bytes)))?;
        Ok(())
    }

    /// Keeps a question for the word; false if it was kept before.
    pub(crate) fn add_word_question(
        &self,
        contact: &ContactKey,
        ours: bool,
        question: &Nonce,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let added = self.execute(
            "INSERT INTO word_questions (contact, ours, question, asked_at, state) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
            (contact, ours, question, now, OPEN),
        )?;
        Ok(added > 0)
    }

    /// The newest question that waits for an answer, and when it was asked.
    pub(crate) fn open_word_question(
        &self,
        contact: &ContactKey,
        ours: bool,
    ) -> Result<Option<(Nonce, Timestamp)>, StoreError> {
        self.row(
            "SELECT question, asked_at FROM word_questions WHERE contact = ?1 AND ours = ?2 AND state = ?3
             ORDER BY id DESC LIMIT 1",
            (contact, ours, OPEN),
            |row| Ok((fixed(row.get_ref(0)?.as_blob()?)?, row.get(1)?)),
        )
    }

    /// Closes a question of ours that waits for an answer; false if it does not.
    pub(crate) fn close_word_question(
        &self,
        contact: &ContactKey,
        question: &Nonce,
        answer: WordAnswer,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let state = match answer {
            WordAnswer::None => OPEN,
            WordAnswer::Right => RIGHT,
            WordAnswer::Wrong => WRONG,
            WordAnswer::Declined => DECLINED,
        };
        self.set_word_question(contact, true, question, state, now)
    }

    /// We answered a question of theirs, or declined to: it and all before it are closed.
    pub(crate) fn answer_word_question(
        &self,
        contact: &ContactKey,
        question: &Nonce,
        is_declined: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.set_word_question(contact, false, question, if is_declined { DECLINED } else { ANSWERED }, now)?;
        self.execute(
            "UPDATE word_questions SET state = ?3, closed_at = ?4 WHERE contact = ?1 AND NOT ours AND state = ?2",
            (contact, OPEN, DECLINED, now),
        )?;
        Ok(())
    }

    fn set_word_question(
        &self,
        contact: &ContactKey,
        ours: bool,
        question: &Nonce,
        state: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let closed = self.execute(
            "UPDATE word_questions SET state = ?4, closed_at = ?5
             WHERE contact = ?1 AND ours = ?2 AND question = ?3 AND state = ?6",
            (contact, ours, question, state, now, OPEN),
        )?;
        Ok(closed > 0)
    }

    /// How many wrong answers came since a moment, and when the first of them did.
    pub(crate) fn wrong_answers_since(
        &self,
        contact: &ContactKey,
        since: Timestamp,
    ) -> Result<(u64, Timestamp), StoreError> {
        self.answers_since(contact, true, WRONG, since)
    }

    /// How many answers we gave since a moment, and when the first of them was.
    pub(crate) fn given_answers_since(
        &self,
        contact: &ContactKey,
        since: Timestamp,
    ) -> Result<(u64, Timestamp), StoreError> {
        self.answers_since(contact, false, ANSWERED, since)
    }

    fn answers_since(
        &self,
        contact: &ContactKey,
        ours: bool,
        state: i64,
        since: Timestamp,
    ) -> Result<(u64, Timestamp), StoreError> {
        let sql = "SELECT count(*), coalesce(min(closed_at), 0) FROM word_questions
            WHERE contact = ?1 AND ours = ?2 AND state = ?3 AND closed_at > ?4";
        let found = self.row(sql, (contact, ours, state, since), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.unwrap_or_default())
    }

    /// How many questions of theirs came since a moment.
    pub(crate) fn word_questions_since(&self, contact: &ContactKey, since: Timestamp) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM word_questions WHERE contact = ?1 AND NOT ours AND asked_at > ?2";
        Ok(self.row(sql, (contact, since), |row| row.get(0))?.unwrap_or(0))
    }

    pub(crate) fn agreed_word(&self, contact: &ContactKey) -> Result<AgreedWord, StoreError> {
        let newest = self.row(
            "SELECT asked_at, state FROM word_questions WHERE contact = ?1 AND ours ORDER BY id DESC LIMIT 1",
            [contact],
            |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)),
        )?;
        let given = self.row(
            "SELECT closed_at, state FROM word_questions WHERE contact = ?1 AND NOT ours AND state != ?2
             ORDER BY id DESC LIMIT 1",
            (contact, OPEN),
            |row| Ok(Given { at: row.get(0)?, declined: row.get::<_, i64>(1)? == DECLINED }),
        )?;
        Ok(AgreedWord {
            given,
            is_set: self.word_key(contact)?.is_some(),
            is_asked_for: self.open_word_question(contact, false)?.is_some(),
            asked: newest.map(|(at, state)| Asked {
                at,
                answer: match state {
                    RIGHT => WordAnswer::Right,
                    WRONG => WordAnswer::Wrong,
                    DECLINED => WordAnswer::Declined,
                    _ => WordAnswer::None,
                },
            }),
        })
    }
}
