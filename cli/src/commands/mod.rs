//! The commands, one file each for what belongs together.

mod attach;
mod backup;
mod contacts;
mod edits;
mod end;
mod enrol;
mod history;
mod invite;
mod join;
mod keys;
mod network;
mod reset;
mod retention;
mod search;
mod send;
mod sync;
mod words;

pub(crate) use self::attach::new_attachment;

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{NewHome, Session};
use crate::{care, chat, demo};

/// Carries out the command line.
pub(crate) fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let output = *output;
    let known = || Session::open(&args, NewHome::Refused);
    let known_or_new = || Session::open(&args, NewHome::Allowed);
    match &args.command {
        Command::Enrol(enrol) => enrol::run(&known_or_new()?, enrol, output),
        Command::Invite(invite) => invite::run(&known()?, invite, output),
        Command::Join(join) => join::run(&known_or_new()?, join, output),
        Command::Contacts => contacts::list(&known()?, output),
        Command::Send(send) => send::run(&known()?, send, output),
        Command::Edit(edit) => edits::edit(&known()?, edit, output),
        Command::Withdraw(withdraw) => edits::withdraw(&known()?, withdraw, output),
        Command::Attach(attach) => attach::attach(&known()?, attach, output),
        Command::Save(save) => attach::save(&known()?, save, output),
        Command::Cancel(cancel) => attach::cancel(&known()?, cancel, output),
        Command::Sync(sync) => sync::run(&known()?, sync, output),
        Command::History(history) => history::run(&known()?, history, output),
        Command::Search(search) => search::run(&known()?, search, output),
        Command::Words(words) => words::run(&known()?, words, output),
        Command::Reset(args) => reset::reset(&known()?, args, output),
        Command::Resend(args) => reset::resend(&known()?, args, output),
        Command::Receipts(args) => reset::receipts(&known()?, args, output),
        Command::End(end) => end::run(&known()?, end, output),
        Command::Rename(rename) => contacts::rename(&known()?, rename, output),
        Command::Retention(retention) => retention::run(&known()?, retention, output),
        Command::Delete(delete) => retention::delete(&known()?, delete, output),
        Command::Backup(backup) => backup::backup(&known()?, backup, output),
        Command::Restore(restore) => backup::restore(&args, restore, output),
        Command::CheckConsent(file) => care::check_consent(file, output),
        Command::Practice(_)
        | Command::Hours(_)
        | Command::Crisis(_)
        | Command::Terms(_)
        | Command::Consent(_)
        | Command::Pause(_)
        | Command::Resume(_)
        | Command::Discharge(_)
        | Command::Word(_)
        | Command::Notifications(_) => care::run(&known()?, &args.command, output),
        Command::Network(network) => network::run(&known_or_new()?, network, output),
        Command::Passphrase(passphrase) => keys::passphrase(&args, passphrase, output),
        Command::Check => keys::check(&known()?, output),
        Command::Erase(erase) => keys::erase(&args, erase, output),
        Command::Chat(chat) => {
            chat::check_terminal(output)?;
            chat::run(&known_or_new()?, chat)
        }
        Command::Demo(demo) => demo::run(demo, output),
    }
}
