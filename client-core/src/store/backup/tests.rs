use std::collections::BTreeSet;

use super::super::tests::open;
use super::*;

#[test]
fn every_table_and_column_is_kept_by_a_backup_or_left_out_on_purpose() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let names = |sql: &str| -> Vec<String> {
        let mut statement = store.connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables = names(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'search%'",
    );
    let mut all = BTreeSet::new();
    for table in &tables {
        for column in names(&format!("SELECT name FROM pragma_table_info('{table}')")) {
            all.insert((table.clone(), column));
        }
    }
    let mut said = BTreeSet::new();
    for (table, columns) in KEPT.iter().chain(LEFT_OUT) {
        for column in *columns {
            if *column == "*" {
                said.extend(all.iter().filter(|(of, _)| of == table).cloned());
            } else {
                assert!(said.insert(((*table).to_owned(), (*column).to_owned())), "{table}.{column} is said twice");
            }
        }
    }
    assert_eq!(said, all);
}

#[test]
fn what_is_no_table_of_a_store_is_not_restored() {
    let home = tempfile::tempdir().unwrap();
    drop(open(home.path()));
    let key = Key::open(home.path(), &crate::StoreKey::Raw(vec![7; 32]), &mut crate::client::rng()).unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut restoring = Restoring::begin(other.path(), &key, VERSION).unwrap();
    let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (table, names) in [
        ("sqlite_master", &["name"][..]),
        ("search", &["text"]),
        ("nowhere", &["id"]),
        ("relays", &["nothing"]),
        ("relays", &[]),
        ("relays (id) VALUES (1); --", &["id"]),
        ("relays", &["id) VALUES (1); --"]),
    ] {
        assert!(matches!(restoring.table(table, &columns(names)), Err(OpenError::Damaged)), "{table}");
    }
    restoring.table("relays", &columns(&["id", "address"])).unwrap();
    assert!(matches!(restoring.row(vec![Value::Integer(1)]), Err(OpenError::Damaged)));
    assert!(matches!(restoring.row(vec![Value::Integer(1), Value::Blob(vec![2])]), Err(OpenError::Damaged)));
    restoring.row(vec![Value::Integer(1), Value::Text("ws://127.0.0.1:1".to_owned())]).unwrap();
    // A row that refers to nothing.
    restoring.table("enrolments", &columns(&["relay", "code", "state"])).unwrap();
    restoring.row(vec![Value::Integer(9), Value::Blob(vec![1; 32]), Value::Integer(1)]).unwrap();
    assert!(matches!(restoring.finish(1), Err(OpenError::Damaged)));
    assert!(matches!(Restoring::begin(other.path(), &key, VERSION + 1), Err(OpenError::NewerFormat)));
}
