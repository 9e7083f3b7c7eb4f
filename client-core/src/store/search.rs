//! Full-text search: from what a person types to a query that cannot be malformed, and to the messages it finds.

use rusqlite::Row;

use super::Tx;
use super::contacts::ContactKey;
use super::messages::{MessageKey, NAMED, PUBLIC, public};
use crate::error::StoreError;
use crate::types::{Found, Piece};

/// Words of a query beyond these are not looked at.
const MOST_TERMS: usize = 16;

/// Words of an excerpt.
const EXCERPT: u32 = 24;

/// Around what matched in an excerpt: noncharacters, which no text has a use for.
const BEGIN: char = '\u{fdd0}';
const END: char = '\u{fdd1}';

/// What a person typed, as an FTS5 query: every word, or the beginning of one from two letters on; and in double quotes words that follow each
/// other. None: there is no word in it.
///
/// Each term is a quoted string, so nothing in it is syntax.
fn terms(typed: &str) -> Option<String> {
    let is_quote = |c: char| matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}');
    let mut terms = Vec::new();
    for (number, part) in typed.split(is_quote).enumerate() {
        let has_word = |term: &&str| term.contains(char::is_alphanumeric);
        // Every second part stands between quotes. One that is not closed yet is being typed.
        if number % 2 == 1 {
            terms.extend(Some(part).filter(has_word).map(|phrase| format!("\"{}\"", without_nul(phrase))));
        } else {
            let words = part.split_whitespace().filter(has_word);
            terms.extend(words.map(|word| {
                let any_end = if is_letter(word) { "" } else { " *" };
                format!("\"{}\"{any_end}", without_nul(word))
            }));
        }
    }
    terms.truncate(MOST_TERMS);
    (!terms.is_empty()).then(|| terms.join(" AND "))
}

/// One letter begins too much to be looked for as a beginning, unless it is a word by itself.
fn is_letter(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|letter| letter < '\u{2e80}') && letters.next().is_none()
}

/// FTS5 reads a query up to its first NUL.
fn without_nul(text: &str) -> String {
    text.replace('\0', " ")
}

fn pieces(marked: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut matched = false;
    for part in marked.split_inclusive([BEGIN, END]) {
        let text = part.trim_end_matches([BEGIN, END]);
        if !text.is_empty() {
            pieces.push(Piece { text: text.to_owned(), matched });
        }
        matched = part.ends_with(BEGIN);
    }
    pieces
}

impl Tx<'_> {
    /// Messages with these words, the newest first, before another if one is given.
    pub(crate) fn search(
        &self,
        typed: &str,
        contact: Option<&ContactKey>,
        before: Option<MessageKey>,
        limit: u32,
    ) -> Result<Vec<Found>, StoreError> {
        let Some(terms) = terms(typed) else { return Ok(Vec::new()) };
        let query = match contact {
            Some(contact) => format!("contact : \"{}\" AND text : ({terms})", hex::encode_upper(contact)),
            None => format!("text : ({terms})"),
        };
        let found = self.rows(
            "SELECT rowid, snippet(search, 1, ?4, ?5, '\u{2026}', ?6) FROM search
             WHERE search MATCH ?1 AND rowid < ?2 ORDER BY rowid DESC LIMIT ?3",
            (query, before.unwrap_or(i64::MAX), limit, BEGIN.to_string(), END.to_string(), EXCERPT),
            |row: &Row<'_>| Ok((row.get::<_, MessageKey>(0)?, pieces(row.get_ref(1)?.as_str()?))),
        )?;
        let whole = |(key, excerpt)| {
            let message = self.row(&format!("{PUBLIC} WHERE id = ?1"), [key], public)?;
            let message = message.map(|message| self.completed(message)).transpose()?;
            Ok(message.map(|message| Found { message, excerpt }))
        };
        found.into_iter().filter_map(|found| whole(found).transpose()).collect()
    }

    /// The row of a message by its id.
    pub(crate) fn message_key(&self, message_id: &[u8; 16]) -> Result<Option<MessageKey>, StoreError> {
        self.row(NAMED, [message_id], |row| row.get(0))
    }
}

#[cfg(test)]
mod tests;
