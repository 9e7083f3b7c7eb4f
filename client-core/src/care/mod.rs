//! What therapy needs: cards, terms and consent, quiet hours, notifications, and the life of a pairing.
//!
//! Rules here are functions of records and of the time they are given: no store, no clock, no network, and no message's
//! text. The relay learns nothing of any of it.

pub(crate) mod agreed_word;
pub(crate) mod consent;
pub(crate) mod consent_file;
pub(crate) mod crisis_card;
pub(crate) mod farewell;
pub(crate) mod hours;
pub(crate) mod notification;
pub(crate) mod practice_card;
pub(crate) mod quiet_hours;
pub(crate) mod statement;
pub(crate) mod terms;
