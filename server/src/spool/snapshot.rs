//! What a relay's backup is made of: the rows that outlive a backlog. No boxes, and no keys to boxes.

use std::ops::ControlFlow;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use tacit_proto::{ChannelId, EnrolCodeHash, PermitHash};

use super::fault::{Fault, guarded};
use super::redb_spool::{closed, lock};
use super::rows::{
    CHANNELS, Def, ENROLMENTS, PERMITS, channel_from_bytes, channel_to_bytes, permit_from_bytes, spent_code_from_bytes,
    spent_code_to_bytes,
};
use super::{ChannelRow, EnrolmentId, RedbSpool, SpentCode, SpoolError};

/// One row that a backup keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptRow {
    /// A channel.
    Channel(ChannelId, ChannelRow),
    /// An unspent permit, and the enrolment that gave it.
    Permit(PermitHash, EnrolmentId),
    /// A spent code that is not forgotten yet.
    SpentCode(EnrolCodeHash, SpentCode),
}

impl RedbSpool {
    /// See [`Spool::snapshot`](super::Spool::snapshot).
    pub(super) fn read_snapshot(&self, take: &mut dyn FnMut(KeptRow) -> ControlFlow<()>) -> Result<(), SpoolError> {
        if self.read().db.is_none() {
            self.ensure_readable(&mut lock(&self.writer)).map_err(Fault::on_read)?;
        }
        // The database is held for a moment only: the writer may have to open it anew while whoever takes the rows is
        // slow. Then reading on fails, and nothing else does.
        let txn = {
            let state = self.read();
            let db = state.db.as_ref().ok_or_else(|| closed().on_read())?;
            guarded(|| Ok(db.begin_read()?)).map_err(Fault::on_read)?
        };
        guarded(|| read_rows(&txn, take)).map_err(Fault::on_read)
    }

    /// Puts rows of a snapshot into a new spool, in one transaction.
    pub(crate) fn import(&self, rows: &[KeptRow]) -> Result<(), SpoolError> {
        let put = |tables: &mut super::transaction::Tables<'_>| {
            for row in rows {
                match row {
                    KeptRow::Channel(id, row) => drop(tables.channels.put(*id.as_bytes(), &channel_to_bytes(row))?),
                    KeptRow::Permit(permit, id) => drop(tables.permits.put(*permit.as_bytes(), id.as_bytes())?),
                    KeptRow::SpentCode(code, spent) => {
                        tables.enrolments.put(*code.as_bytes(), &spent_code_to_bytes(spent))?;
                    }
                }
            }
            Ok(())
        };
        self.write(&mut lock(&self.writer), |tables, _| put(tables)).map_err(Fault::on_write)
    }
}

fn read_rows(txn: &ReadTransaction, take: &mut dyn FnMut(KeptRow) -> ControlFlow<()>) -> Result<(), Fault> {
    let channel =
        |id: &[u8; 16], row: &[u8]| Ok(KeptRow::Channel(ChannelId::from_bytes(*id), channel_from_bytes(row)?));
    let permit =
        |hash: &[u8; 32], row: &[u8]| Ok(KeptRow::Permit(PermitHash::from_bytes(*hash), permit_from_bytes(row)?));
    let spent = |code: &[u8; 32], row: &[u8]| {
        Ok(KeptRow::SpentCode(EnrolCodeHash::from_bytes(*code), spent_code_from_bytes(row)?))
    };
    if each(txn, CHANNELS, channel, take)?.is_continue() && each(txn, PERMITS, permit, take)?.is_continue() {
        let _whoever_broke_it_off_knows = each(txn, ENROLMENTS, spent, take)?;
    }
    Ok(())
}

fn each<const K: usize>(
    txn: &ReadTransaction,
    def: Def<K>,
    parse: impl Fn(&[u8; K], &[u8]) -> Result<KeptRow, Fault>,
    take: &mut dyn FnMut(KeptRow) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Fault> {
    let table = txn.open_table(def)?;
    for row in table.iter()? {
        let (key, value) = row?;
        if take(parse(key.value(), value.value())?).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
