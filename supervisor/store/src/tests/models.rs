//! A model is what sea-orm makes of its row, wherever that was decoded.

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, QueryTrait};

use super::bench::{Bench, begin};
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
    weight: Option<f64>,
    bytes: Option<Vec<u8>>,
    kind: Option<Json>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Columns take any value in SQLite, whatever they were declared as.
const TABLE: &str =
    "CREATE TABLE things (id INTEGER PRIMARY KEY, name, small, count, large, certain, done, weight, bytes, kind)";

const VALUES: [&str; 12] =
    ["NULL", "0", "1", "2", "-7", "40000", "3000000000", "9223372036854775807", "1.5", "'text'", "'12'", "x'0102'"];

#[tokio::test]
async fn a_model_that_is_decoded_in_place_is_the_one_that_sea_orm_makes() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let (tx, _) = begin(&database).await;
    tx.execute_unprepared(TABLE).await.unwrap();
    tx.commit().await.unwrap();
    let (mut decoded, mut failed) = (0, 0);
    for column in ["name", "small", "count", "large", "certain", "done", "weight", "bytes", "kind"] {
        for value in VALUES {
            let (tx, _) = begin(&database).await;
            let certain = if column == "certain" { "" } else { ", certain" };
            let row = format!("INSERT INTO things (id, {column}{certain}) VALUES (7, {value}");
            let row = format!("{row}{})", if certain.is_empty() { "" } else { ", 3" });
            tx.execute_unprepared(&row).await.unwrap();
            let query = Entity::find_by_id(7).into_query();
            let here = tx.model::<Entity>(&query).await;
            let there = Entity::find_by_id(7).one(&tx).await;
            assert_eq!(format!("{here:?}"), format!("{there:?}"), "{value} in {column}");
            match here {
                Ok(model) => decoded += usize::from(model.is_some()),
                Err(_) => failed += 1,
            }
            tx.rollback().await.unwrap();
        }
    }
    assert!(decoded > 30 && failed > 30, "{decoded} and {failed}");
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
}
