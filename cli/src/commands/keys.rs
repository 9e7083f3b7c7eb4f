//! `tacit passphrase`, `tacit check` and `tacit erase`

use serde::Serialize;
use tacit_client_core::{Client, StoreKey};

use crate::args::{self, Args};
use crate::ask;
use crate::failure::Failure;
use crate::output::Output;
use crate::passphrase as secret;
use crate::session::Session;

/// Answer of `passphrase`, `check` and `erase`: what is true now.
#[derive(Serialize)]
struct Done {
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<bool>,
}

const NOTHING: Done = Done { changed: None, whole: None, erased: None };

pub(super) fn passphrase(args: &Args, wanted: &args::Passphrase, output: Output) -> Result<(), Failure> {
    let home = Session::home(args)?;
    if !Client::exists(home.clone()) {
        return Err(Failure::NoHome);
    }
    let old = StoreKey::Passphrase(secret::get(args.passphrase_file.as_deref(), false)?);
    let client = Client::open(home, old.clone())?;
    let new = StoreKey::Passphrase(secret::get_new(wanted.new_passphrase_file.as_deref())?);
    client.change_key(old, new)?;
    output.answer(&Done { changed: Some(true), ..NOTHING }, || "The passphrase is changed.".into())
}

pub(super) fn check(session: &Session, output: Output) -> Result<(), Failure> {
    session.client().check()?;
    output.answer(&Done { whole: Some(true), ..NOTHING }, || "Everything is as it was written.".into())
}

/// Needs no passphrase: a home of which it was forgotten can be erased too.
pub(super) fn erase(args: &Args, wanted: &args::Erase, output: Output) -> Result<(), Failure> {
    let home = Session::home(args)?;
    if !Client::exists(home.clone()) {
        return Err(Failure::NoHome);
    }
    if !wanted.yes {
        let question = "Destroy everything on this device for good? Contacts, messages and keys cannot be got back.";
        if output.is_json() || !ask::is_anyone_there() || !ask::yes(question).map_err(Failure::Terminal)? {
            return Err(Failure::NotConfirmed);
        }
    }
    Client::erase_home(home)?;
    output.answer(&Done { erased: Some(true), ..NOTHING }, || {
        "Erased. SSDs and snapshots may keep copies of what was overwritten; without the key they cannot be opened."
            .into()
    })
}
