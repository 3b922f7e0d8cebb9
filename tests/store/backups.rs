//! What a copy of a SQLite file holds.

use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};

use crate::support::{Cluster, Scratch};

#[tokio::test]
async fn after_a_clean_end_the_main_file_of_each_database_is_whole_by_itself() {
    let mut cluster = Cluster::single().start();
    let admin = cluster.admin();
    let product = admin.product("LAMP", 450, 5);
    admin.order(&product, 1).is(201);
    let data = cluster.node("main").data();
    cluster.node("main").stop();
    let copies = Scratch::new("copies");
    for (name, question) in [
        ("users", "SELECT count(*) FROM users"),
        ("catalog", "SELECT count(*) FROM products"),
        ("orders", "SELECT count(*) FROM orders"),
        ("log", "SELECT count(*) FROM sqlite_master"),
        ("trace", "SELECT count(*) FROM records"),
    ] {
        let file = format!("{name}.sqlite3");
        let journal = data.join(format!("{file}-wal"));
        assert_eq!(std::fs::metadata(&journal).map_or(0, |m| m.len()), 0, "{}", journal.display());
        let copy = copies.join(&file);
        std::fs::copy(data.join(&file), &copy).expect("the file is there");
        let database = Database::connect(format!("sqlite://{}?mode=ro", copy.display())).await.unwrap();
        let found = database.query_one_raw(Statement::from_string(DbBackend::Sqlite, question)).await.unwrap();
        let found: i64 = found.unwrap().try_get_by_index(0).unwrap();
        assert!(found > 0, "{file}");
    }
}
