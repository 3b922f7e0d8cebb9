//! What is read and bound in place is what sqlx reads and binds.

use std::fmt::Debug;

use sea_orm::prelude::{
    ChronoDate, ChronoDateTime, ChronoDateTimeUtc, ChronoDateTimeWithTimeZone, ChronoTime, Decimal, Json, TimeDate,
    TimeDateTime, TimeDateTimeWithTimeZone, TimeTime, Uuid,
};
use sea_orm::sea_query::{Alias, ColumnDef, SqliteQueryBuilder, Table, ValueType};
use sea_orm::sqlx::Error;
use sea_orm::{
    DbBackend, DbErr, FromQueryResult, JsonValue, QueryResult, RuntimeErr, SqlErr, Statement, TryGetable, Value,
};

use crate::connection::{Connection, Connector};
use crate::sqlite;
use crate::testing::Directory;

/// The same database twice: called in place, and on sqlx's thread.
struct Both {
    all: [Connection; 2],
    _directory: Directory,
}

impl Both {
    async fn open() -> Self {
        let (directory, config) = (Directory::new(), essaim_config::StoreConfig::default());
        let file = directory.path().join("in-place.db");
        sqlite::make_private_file(&file).unwrap();
        let in_place = sqlite::writer(&file, &config);
        let Connector::InPlace(_, beside) = sqlite::writer(&directory.path().join("sqlx.db"), &config) else {
            unreachable!("a writer is called in place")
        };
        let sqlx = Connector::Sqlite(beside);
        let all = [in_place.connect().await.unwrap(), sqlx.connect().await.unwrap()];
        Self { all, _directory: directory }
    }

    async fn run(&mut self, sql: &str, values: impl IntoIterator<Item = Value> + Clone) {
        let done = self.each(sql, values, |rows| format!("{} rows", rows.len())).await;
        assert!(done.starts_with("Ok"), "{sql}: {done}");
    }

    /// What both find, which is the same.
    async fn each(
        &mut self,
        sql: &str,
        values: impl IntoIterator<Item = Value> + Clone,
        read: impl Fn(&[QueryResult]) -> String,
    ) -> String {
        let mut found = Vec::new();
        for connection in &mut self.all {
            let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values.clone());
            let rows = connection.query_all(statement).await;
            found.push(format!("{:?}", rows.map(|rows| read(&rows)).map_err(|error| error.to_string())));
        }
        assert_eq!(found[0], found[1], "{sql}");
        found.remove(0)
    }
}

/// A row as each type, by name and by index, that may be null and that may not.
fn decoded(row: &QueryResult) -> String {
    fn one<T: TryGetable + Debug>(row: &QueryResult, all: &mut String) {
        let shown = |got: Result<T, _>| format!("{got:?}");
        let maybe = |got: Result<Option<T>, DbErr>| format!("{got:?}");
        all.push_str(&format!("{} {} ", std::any::type_name::<T>(), shown(row.try_get::<T>("", "it"))));
        all.push_str(&format!("{} ", shown(row.try_get_by_index::<T>(1))));
        all.push_str(&format!("{} {}\n", maybe(row.try_get("", "it")), maybe(row.try_get_by_index(1))));
        all.push_str(&format!("{:?}\n", row.try_get_many_by_index::<(i64, Option<T>)>()));
        all.push_str(&format!("{:?}\n", row.try_get::<Option<T>>("", "absent")));
    }
    let mut all = format!("{:?}\n", row.column_names());
    one::<bool>(row, &mut all);
    one::<i8>(row, &mut all);
    one::<i16>(row, &mut all);
    one::<i32>(row, &mut all);
    one::<i64>(row, &mut all);
    one::<u8>(row, &mut all);
    one::<u16>(row, &mut all);
    one::<u32>(row, &mut all);
    one::<f32>(row, &mut all);
    one::<f64>(row, &mut all);
    one::<String>(row, &mut all);
    one::<Vec<u8>>(row, &mut all);
    one::<Json>(row, &mut all);
    one::<Uuid>(row, &mut all);
    one::<Decimal>(row, &mut all);
    one::<ChronoDate>(row, &mut all);
    one::<ChronoTime>(row, &mut all);
    one::<ChronoDateTime>(row, &mut all);
    one::<ChronoDateTimeUtc>(row, &mut all);
    one::<ChronoDateTimeWithTimeZone>(row, &mut all);
    one::<TimeDate>(row, &mut all);
    one::<TimeTime>(row, &mut all);
    one::<TimeDateTime>(row, &mut all);
    one::<TimeDateTimeWithTimeZone>(row, &mut all);
    all.push_str(&format!("{:?}\n", JsonValue::from_query_result(row, "")));
    all
}

async fn alike<T: ValueType + Into<Value> + Clone>(both: &mut Both, name: &str, it: T) {
    let (table, mut column) = (Alias::new(name), ColumnDef::new_with_type(Alias::new("it"), T::column_type()));
    let created = Table::create()
        .table(table)
        .col(ColumnDef::new(Alias::new("id")).integer().primary_key())
        .col(&mut column)
        .to_string(SqliteQueryBuilder);
    both.run(&created, []).await;
    let all = |rows: &[QueryResult]| rows.iter().map(decoded).collect::<String>();
    for (id, value) in [(1, Some(it.clone())), (2, None)] {
        let value = value.map_or_else(|| it.clone().into().as_null(), Into::into);
        let insert = format!("INSERT INTO {name} (id, it) VALUES ($1, $2) RETURNING id, it");
        both.each(&insert, [id.into(), value.clone()], all).await;
        // As it is stored, and in the order that the numbers of the values tell.
        let same = format!("SELECT id, quote(it) AS it FROM {name} WHERE it IS $2 AND id = $1");
        assert!(both.each(&same, [id.into(), value], all).await.starts_with("Ok"));
    }
    for sql in [
        format!("SELECT id, it FROM {name} ORDER BY id"),
        format!("SELECT id, coalesce(it, it) AS it FROM {name} ORDER BY id"),
        format!("SELECT count(*) AS id, max(it) AS it FROM {name}"),
        format!("SELECT a.id, a.it, b.it, b.id FROM {name} a JOIN {name} b ON a.id <> b.id ORDER BY a.id"),
        format!("SELECT inner.id, inner.it FROM (SELECT * FROM {name}) AS inner ORDER BY inner.id DESC"),
        format!("UPDATE {name} SET id = id + 10 RETURNING id, it"),
        format!("SELECT id, it FROM {name} WHERE id = 0"),
        format!("SELECT id, nothing FROM {name}"),
    ] {
        both.each(&sql, [], all).await;
    }
}

#[tokio::test]
async fn each_type_is_stored_and_decoded_alike() {
    let both = &mut Both::open().await;
    alike(both, "booleans", true).await;
    alike(both, "bytes_i8", -8i8).await;
    alike(both, "shorts", -16i16).await;
    alike(both, "ints", i32::MIN).await;
    alike(both, "longs", i64::MAX).await;
    alike(both, "bytes_u8", 8u8).await;
    alike(both, "shorts_u16", 16u16).await;
    alike(both, "ints_u32", u32::MAX).await;
    alike(both, "longs_u64", 7u64).await;
    alike(both, "floats", 1.5f32).await;
    alike(both, "doubles", 0.1f64).await;
    alike(both, "whole_doubles", 3.0f64).await;
    alike(both, "texts", "7 \"words\" \u{1f41d}\0 and more".to_string()).await;
    alike(both, "numbers_as_texts", "12".to_string()).await;
    alike(both, "chars", 'é').await;
    alike(both, "blobs", vec![0u8, 255, 34]).await;
    alike(both, "jsons", serde_json::json!({ "a": [1, null, "x"] })).await;
    alike(both, "uuids", Uuid::from_u128(7)).await;
    alike(both, "decimals", Decimal::new(12_345, 2)).await;
    let at = ChronoDateTimeUtc::from_timestamp_millis(1_790_000_000_123).unwrap();
    alike(both, "dates", at.date_naive()).await;
    alike(both, "times", at.time()).await;
    alike(both, "moments", at.naive_utc()).await;
    alike(both, "moments_utc", at).await;
    alike(both, "moments_zoned", at.fixed_offset()).await;
    let at = TimeDateTimeWithTimeZone::from_unix_timestamp(1_790_000_000).unwrap();
    alike(both, "time_dates", at.date()).await;
    alike(both, "time_times", at.time()).await;
    alike(both, "time_moments", TimeDateTime::new(at.date(), at.time())).await;
    alike(both, "time_zoned", at).await;
}

#[tokio::test]
async fn many_rows_keep_their_order_and_texts_of_several_statements_their_values() {
    let both = &mut Both::open().await;
    both.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b)", []).await;
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
                INSERT INTO t SELECT i, 'word ' || i, i % 3 FROM n";
    both.run(many, []).await;
    let all = |rows: &[QueryResult]| {
        let row = |row: &QueryResult| format!("{:?}", row.try_get_many_by_index::<(i64, String, i64)>());
        rows.iter().map(row).collect::<String>()
    };
    let shown = both.each("SELECT id, a, b FROM t ORDER BY b, id DESC", [], all).await;
    assert!(shown.len() > 10_000 * 20);
    let mut changed = Vec::new();
    for connection in &mut both.all {
        let text = "UPDATE t SET b = $2 WHERE id < $1; DELETE FROM t WHERE id > $1";
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, text, [10.into(), "x".into()]);
        let one = Statement::from_string(DbBackend::Sqlite, "INSERT INTO t (id, a) VALUES (77, '')");
        let several = "INSERT INTO t (id) VALUES (78), (79); DELETE FROM t WHERE id = 79; -- the end".to_string();
        let (text, one) = (connection.execute(statement).await.unwrap(), connection.execute(one).await.unwrap());
        let several = connection.execute_unprepared(several).await.unwrap();
        changed.push([text, one, several].map(|done| (done.rows_affected(), done.last_insert_id())));
    }
    assert_eq!(changed[0], changed[1]);
    assert_eq!(changed[0].map(|(rows, _)| rows), [9_999, 1, 3]);
}

#[tokio::test]
async fn errors_have_the_same_words_and_those_about_keys_are_known_to_sea_orm() {
    let both = &mut Both::open().await;
    for sql in [
        "CREATE TABLE \"pa.rent\" (id TEXT PRIMARY KEY, a TEXT, b TEXT NOT NULL DEFAULT '', UNIQUE (a, b), CHECK (b <> 'no'))",
        "CREATE UNIQUE INDEX \"by lower\" ON \"pa.rent\" (lower(a))",
        "CREATE TABLE child (id INTEGER PRIMARY KEY, of TEXT REFERENCES \"pa.rent\")",
        "CREATE TRIGGER refuses BEFORE DELETE ON child BEGIN SELECT RAISE(ABORT, 'never'); END",
        "INSERT INTO \"pa.rent\" VALUES ('1', 'a', 'b')",
        "INSERT INTO child VALUES (1, '1')",
    ] {
        both.run(sql, []).await;
    }
    let mut known = Vec::new();
    for sql in [
        "INSERT INTO \"pa.rent\" VALUES ('1', 'x', 'y')",
        "INSERT INTO \"pa.rent\" VALUES ('2', 'a', 'b')",
        "INSERT INTO \"pa.rent\" VALUES ('2', 'A', 'y')",
        "INSERT INTO child VALUES (1, '1')",
        "INSERT INTO child VALUES (2, 'nobody')",
        "INSERT INTO \"pa.rent\" VALUES ('3', 'c', 'no')",
        "INSERT INTO \"pa.rent\" VALUES ('3', 'c', NULL)",
        "DELETE FROM child",
        "INSERT INTO nowhere VALUES (1)",
        "no statement at all",
    ] {
        let mut told = Vec::new();
        for connection in &mut both.all {
            let statement = Statement::from_string(DbBackend::Sqlite, sql);
            let error = connection.execute(statement).await.unwrap_err();
            let Error::Database(database) = &error else { panic!("{error:?}") };
            let (code, kind) = (database.code().map(|code| code.to_string()), format!("{:?}", database.kind()));
            let words = error.to_string();
            let error = DbErr::Exec(RuntimeErr::SqlxError(std::sync::Arc::new(error)));
            told.push((
                code,
                kind,
                words,
                error.sql_err().map(|known| matches!(known, SqlErr::UniqueConstraintViolation(_))),
            ));
        }
        assert_eq!(told[0], told[1], "{sql}");
        known.push(told[0].3);
    }
    let unique = Some(true);
    assert_eq!(known, [unique, unique, unique, unique, Some(false), None, None, None, None, None]);
}
