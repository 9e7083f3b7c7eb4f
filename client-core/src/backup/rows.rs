//! Records: the rows of a store, into the stream of a backup and out of it.

use std::io::{Read, Write};
use std::path::Path;

use prost::Message;
use rand_core::CryptoRng;
use rusqlite::types::{Value, ValueRef};
use zeroize::Zeroizing;

use super::file::{Opener, Sealer};
use super::secret::BackupSecret;
use crate::error::{BackupError, StoreError};
use crate::store::{Kept, Key, Restoring, STORE_VERSION, Store};
use crate::types::Timestamp;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod pb {
    include!(concat!(env!("OUT_DIR"), "/tacit.backup.v1.rs"));
}

use pb::record::Record as Kind;

/// Longest record. Ours are far shorter; a hostile file must not make reading take all memory.
const MOST: usize = 16 << 20;

/// Writes one moment of a store.
pub(super) fn write(
    store: &mut Store,
    sink: &mut dyn Write,
    secret: &BackupSecret,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), BackupError> {
    let mut sealer = Sealer::begin(sink, secret, rng)?;
    let mut rows = 0;
    put(&mut sealer, Kind::Begin(pb::Begin { store_version: STORE_VERSION, made_at: now }))?;
    store.read(|tx| {
        tx.each_kept(|kept| match kept {
            Kept::Table(name, columns) => {
                let columns = columns.iter().map(|column| (*column).to_owned()).collect();
                put(&mut sealer, Kind::Table(pb::Table { name: name.to_owned(), columns }))
            }
            Kept::Row(values) => {
                rows += 1;
                let values = values.into_iter().map(to_pb).collect::<Result<_, _>>()?;
                put(&mut sealer, Kind::Row(pb::Row { values }))
            }
        })
    })?;
    put(&mut sealer, Kind::End(pb::End { rows }))?;
    sealer.finish()
}

fn put(sealer: &mut Sealer<'_>, kind: Kind) -> Result<(), BackupError> {
    let record = Zeroizing::new(pb::Record { record: Some(kind) }.encode_to_vec());
    let length = u32::try_from(record.len()).ok().filter(|length| *length as usize <= MOST);
    sealer.write(&length.ok_or(BackupError::TooLong)?.to_be_bytes())?;
    sealer.write(&record)
}

/// Puts a store together in a home that has a key and no store yet.
pub(super) fn read(home: &Path, key: &Key, source: &mut dyn Read, secret: &BackupSecret) -> Result<(), BackupError> {
    let mut opener = Opener::begin(source, secret)?;
    let Kind::Begin(begin) = take(&mut opener)? else { return Err(BackupError::Damaged) };
    let mut restoring = Restoring::begin(home, key, begin.store_version)?;
    let mut rows = 0;
    loop {
        match take(&mut opener)? {
            Kind::Begin(_) => return Err(BackupError::Damaged),
            Kind::Table(table) => restoring.table(&table.name, &table.columns)?,
            Kind::Row(row) => {
                rows += 1;
                restoring.row(row.values.into_iter().map(from_pb).collect())?;
            }
            Kind::End(end) if end.rows == rows => break,
            Kind::End(_) => return Err(BackupError::Damaged),
        }
    }
    opener.finish()?;
    Ok(restoring.finish(begin.made_at)?)
}

fn take(opener: &mut Opener<'_>) -> Result<Kind, BackupError> {
    let mut length = [0; 4];
    opener.read(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MOST {
        return Err(BackupError::Damaged);
    }
    let mut record = Zeroizing::new(vec![0; length]);
    opener.read(&mut record)?;
    let record = pb::Record::decode(record.as_slice()).map_err(|_| BackupError::Damaged)?;
    record.record.ok_or(BackupError::Damaged)
}

/// One record, whatever it is. Returns about how long it was.
#[cfg(any(test, fuzzing))]
pub(super) fn skim(opener: &mut Opener<'_>) -> Result<usize, BackupError> {
    take(opener).map(|kind| pb::Record { record: Some(kind) }.encoded_len())
}

fn to_pb(value: ValueRef<'_>) -> Result<pb::Value, BackupError> {
    use pb::value::Value as Of;
    let value = match value {
        ValueRef::Null => None,
        ValueRef::Integer(integer) => Some(Of::Integer(integer)),
        ValueRef::Real(real) => Some(Of::Real(real)),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|_| StoreError::Damaged)?;
            Some(Of::Text(text.to_owned()))
        }
        ValueRef::Blob(blob) => Some(Of::Blob(blob.to_vec())),
    };
    Ok(pb::Value { value })
}

fn from_pb(value: pb::Value) -> Value {
    use pb::value::Value as Of;
    match value.value {
        None => Value::Null,
        Some(Of::Integer(integer)) => Value::Integer(integer),
        Some(Of::Real(real)) => Value::Real(real),
        Some(Of::Text(text)) => Value::Text(text),
        Some(Of::Blob(blob)) => Value::Blob(blob),
    }
}
