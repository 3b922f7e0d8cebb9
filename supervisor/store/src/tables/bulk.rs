//! Many rows in few statements.
//!
//! A connection keeps prepared statements (`store.statement_cache`) by their texts. So the number of rows of a statement is
//! one of few sizes, and a statement for fewer rows is padded with rows that change nothing.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

/// The numbers of rows that statements are for. The largest keeps a row of any of our tables below what both databases
/// bind in one statement: 32,766 values on SQLite, 65,535 on PostgreSQL.
const SIZES: [usize; 5] = [1, 4, 16, 64, 256];
pub(super) const LARGEST: usize = SIZES[SIZES.len() - 1];

fn size_for(rows: usize) -> usize {
    SIZES.into_iter().find(|size| *size >= rows).unwrap_or(LARGEST)
}

/// Inserts rows; `into` is the table with its columns, the first of which is never null, and `conflict` what is done
/// on a conflict. Returns how many rows were written.
pub(super) async fn insert<T, const N: usize>(
    db: &impl ConnectionTrait,
    into: &str,
    items: &[T],
    conflict: &str,
    row: impl Fn(&T) -> [Value; N],
) -> Result<u64, DbErr> {
    let mut written = 0;
    for statement in inserting(db.get_database_backend(), into, items, conflict, row) {
        written += db.execute_raw(statement).await?.rows_affected();
    }
    Ok(written)
}

/// The statements of [`insert`].
pub(super) fn inserting<T, const N: usize>(
    backend: DbBackend,
    into: &str,
    items: &[T],
    conflict: &str,
    row: impl Fn(&T) -> [Value; N],
) -> impl Iterator<Item = Statement> {
    pieces(items, 1, Padding::Nulls, row).map(move |(tuples, values)| {
        let sql =
            format!("INSERT INTO {into} SELECT * FROM (VALUES {tuples}) AS v WHERE v.column1 IS NOT NULL {conflict}");
        Statement::from_sql_and_values(backend, sql, values)
    })
}

/// The padding of a statement that has fewer rows than its size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    /// The last item again: in a list of what is looked for it finds nothing new.
    Repeat,
    /// Nulls, which equal nothing.
    Nulls,
}

/// The items in pieces: the text of its values, such as `($2), ($3)`, whose first is called `$first`, and the values.
pub(super) fn pieces<T, const N: usize>(
    items: &[T],
    first: usize,
    padding: Padding,
    values: impl Fn(&T) -> [Value; N],
) -> impl Iterator<Item = (String, Vec<Value>)> {
    items.chunks(LARGEST).map(move |chunk| {
        let size = size_for(chunk.len());
        let mut all = Vec::with_capacity(size * N + first - 1);
        chunk.iter().for_each(|item| all.extend(values(item)));
        let last = &all[all.len() - N..];
        let filling: Vec<Value> = match padding {
            Padding::Repeat => last.to_vec(),
            Padding::Nulls => last.iter().map(Value::as_null).collect(),
        };
        (chunk.len()..size).for_each(|_| all.extend_from_slice(&filling));
        (tuples(size, N, first), all)
    })
}

fn tuples(rows: usize, columns: usize, first: usize) -> String {
    let mut text = String::with_capacity(rows * (columns * 7 + 4));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let name = first + row * columns + column;
            text.push_str(if column == 0 { "$" } else { ", $" });
            text.push_str(&name.to_string());
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(rows: i64, padding: Padding) -> Vec<(usize, usize)> {
        let items: Vec<i64> = (0..rows).collect();
        let pieces = pieces(&items, 2, padding, |n| [Value::from(*n), Value::from("x")]);
        pieces.map(|(text, values)| (text.matches('(').count(), values.len())).collect()
    }

    #[test]
    fn pieces_have_few_sizes_and_all_their_values() {
        assert_eq!(sizes(0, Padding::Repeat), []);
        assert_eq!(sizes(1, Padding::Repeat), [(1, 2)]);
        assert_eq!(sizes(5, Padding::Nulls), [(16, 32)]);
        assert_eq!(sizes(300, Padding::Repeat), [(256, 512), (64, 128)]);
    }

    #[test]
    fn values_are_named_from_the_first_on_and_filled_up() {
        let one = |n: &i64| [Value::from(*n)];
        let (text, values) = pieces(&[7, 8], 3, Padding::Repeat, one).next().unwrap();
        assert_eq!((text.as_str(), values), ("($3), ($4), ($5), ($6)", [7i64, 8, 8, 8].map(Value::from).to_vec()));
        let (_, values) = pieces(&[7, 8], 1, Padding::Nulls, one).next().unwrap();
        assert_eq!(values[1..], [Value::from(8i64), Value::BigInt(None), Value::BigInt(None)]);
    }
}
