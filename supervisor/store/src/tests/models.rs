//! A model is what sea-orm makes of its row, wherever that was decoded.

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, QueryTrait, TryIntoModel};

use super::bench::{Bench, begin};
use crate::Transaction;
use crate::models::ModelQueries;
use crate::testing::schema;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "things")]
struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    id: i64,
    name: Option<String>,
    small: Option<i16>,
    count: Option<i32>,
    large: Option<i64>,
    certain: i64,
    done: Option<bool>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The same rows with types that are left to sea-orm.
mod others {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "things")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        id: i64,
        weight: Option<f64>,
        bytes: Option<Vec<u8>>,
        kind: Option<Json>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Columns take any value in SQLite, whatever they were declared as.
const TABLE: &str =
    "CREATE TABLE things (id INTEGER PRIMARY KEY, name, small, count, large, certain, done, weight, bytes, kind)";

const VALUES: [&str; 12] =
    ["NULL", "0", "1", "2", "-7", "40000", "3000000000", "9223372036854775807", "1.5", "'text'", "'12'", "x'0102'"];

/// Puts each value into each of these columns, and reads the row in both ways; how often it was a model, and how often none.
async fn compare<E>(tx: &Transaction, columns: &[&str]) -> (usize, usize)
where
    E: EntityTrait,
    E::ActiveModel: TryIntoModel<E::Model>,
{
    let (mut decoded, mut failed) = (0, 0);
    for column in columns {
        for value in VALUES {
            tx.execute_unprepared(&format!("UPDATE things SET certain = 3, {column} = {value}")).await.unwrap();
            let here = tx.model::<E>(&E::find().into_query()).await;
            let there = E::find().one(tx).await;
            assert_eq!(format!("{here:?}"), format!("{there:?}"), "{value} in {column}");
            match here {
                Ok(model) => decoded += usize::from(model.is_some()),
                Err(_) => failed += 1,
            }
            tx.execute_unprepared(&format!("UPDATE things SET {column} = NULL")).await.unwrap();
        }
    }
    (decoded, failed)
}

#[tokio::test]
async fn a_model_that_is_decoded_in_place_is_the_one_that_sea_orm_makes() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let (tx, _) = begin(&database).await;
    tx.execute_unprepared(TABLE).await.unwrap();
    tx.execute_unprepared("INSERT INTO things (id) VALUES (7)").await.unwrap();
    let columns = ["name", "small", "count", "large", "certain", "done"];
    let (decoded, failed) = compare::<Entity>(&tx, &columns).await;
    assert!(decoded > 20 && failed > 20, "{decoded} and {failed}");
    let (decoded, failed) = compare::<others::Entity>(&tx, &["weight", "bytes", "kind"]).await;
    assert!(decoded > 5 && failed > 10, "{decoded} and {failed}");
}

#[tokio::test]
async fn a_row_without_all_columns_or_with_others_is_no_model_or_the_same() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let (tx, _) = begin(&database).await;
    tx.execute_unprepared(TABLE).await.unwrap();
    tx.execute_unprepared("INSERT INTO things (id, certain) VALUES (1, 2), (3, 4)").await.unwrap();
    let both = tx.models::<Entity>(&Entity::find().into_query()).await.unwrap();
    assert_eq!(both.iter().map(|model| (model.id, model.certain)).collect::<Vec<_>>(), [(1, 2), (3, 4)]);
    let some = sea_orm::sea_query::Query::select().column(Column::Id).from(Entity).to_owned();
    assert!(tx.models::<Entity>(&some).await.is_err(), "a column is missing");
    tx.commit().await.unwrap();
    assert_eq!(database.reads().models::<Entity>(&Entity::find().into_query()).await.unwrap(), both);
    assert!(database.reads().models::<Entity>(&some).await.is_err(), "a column is missing");
}
