//! actix-web alone, and with sea-orm: what a handler costs that does nothing but the work itself.

use std::process::Command;

use actix_web::{App, HttpResponse, HttpServer, web};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::server::{Scratch, Server, free_port, wait_until};

/// A server that answers with one document, and inserts a row for each order.
pub struct Bare {
    _server: Server,
    pub url: String,
}

impl Bare {
    pub fn start(scratch: &Scratch, product: &Value) -> Result<Self, Error> {
        let port = free_port()?;
        let (document, database) = (scratch.path().join("product.json"), scratch.path().join("bare.db"));
        std::fs::write(&document, product.to_string())?;
        let mut command = Command::new(std::env::current_exe()?);
        let server = Server::start(command.arg("serve").arg(port.to_string()).arg(document).arg(database))?;
        let url = format!("http://127.0.0.1:{port}");
        wait_until("the bare server", || ureq::get(format!("{url}/product")).call().is_ok())?;
        Ok(Self { _server: server, url })
    }
}

#[derive(Deserialize)]
struct NewOrder {
    customer: String,
    sku: String,
    quantity: i64,
}

#[derive(Serialize)]
struct Created {
    id: u64,
}

/// Serves at a port: the document of a file, and orders into a database.
pub fn serve(words: &[String]) -> Result<(), Error> {
    let [port, document, database] = words else { return Err("serve PORT DOCUMENT DATABASE".into()) };
    let product: Value = serde_json::from_slice(&std::fs::read(document)?)?;
    actix_web::rt::System::new().block_on(async {
        let orders = open(database).await?;
        let product = web::Data::new(product);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(product.clone())
                .app_data(web::Data::new(orders.clone()))
                .route("/product", web::get().to(async |p: web::Data<Value>| HttpResponse::Ok().json(&**p)))
                .route("/orders", web::post().to(insert))
        });
        Ok(server.bind(("127.0.0.1", port.parse()?))?.run().await?)
    })
}

/// One connection: SQLite has one writer, and more would only contend for its lock.
async fn open(path: &str) -> Result<DatabaseConnection, Error> {
    let mut options = ConnectOptions::new(format!("sqlite://{path}?mode=rwc"));
    options.max_connections(1).sqlx_logging(false);
    let database = Database::connect(options).await?;
    for sql in [
        "PRAGMA journal_mode = WAL",
        // As the platform with `store.durability = "process"`, its default.
        "PRAGMA synchronous = NORMAL",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL)",
    ] {
        database.execute_unprepared(sql).await?;
    }
    Ok(database)
}

async fn insert(database: web::Data<DatabaseConnection>, order: web::Json<NewOrder>) -> HttpResponse {
    let NewOrder { customer, sku, quantity } = order.into_inner();
    let sql = "INSERT INTO orders (customer, sku, quantity) VALUES ($1, $2, $3)";
    let values = [customer.into(), sku.into(), quantity.into()];
    match database.execute_raw(Statement::from_sql_and_values(database.get_database_backend(), sql, values)).await {
        Ok(done) => HttpResponse::Created().json(Created { id: done.last_insert_id() }),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}
