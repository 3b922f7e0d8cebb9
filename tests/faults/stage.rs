//! Setup and final checks of the tests of faults.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    ADMIN_EMAIL, ADMIN_PASSWORD, Answer, Api, Cluster, ClusterBuilder, ClusterNode, Load, Postgres, Product, Redis,
    Told, eventually,
};

/// The pieces in stock before anybody has ordered.
const STOCK: u64 = 100_000;
/// How many customers there are.
const CUSTOMERS: usize = 16;

/// A lease that does not take long to wait for, and is long enough for a busy machine.
pub const LEASE: Duration = Duration::from_secs(3);

/// These nodes, with that lease.
pub fn short_lease(cluster: ClusterBuilder) -> ClusterBuilder {
    cluster.set("members.heartbeat_ms", 300).set("members.lease_ms", LEASE.as_millis())
}

/// Nodes over a Redis, and a product that customers want.
pub struct Stage {
    pub redis: Redis,
    pub cluster: Cluster,
    /// Logged in as the one customer, whose many hands the load is.
    pub customer: Api,
    pub product: Product,
    token: String,
}

impl Stage {
    /// The nodes of `config/replicated.toml` without those, whose data is in PostgreSQL.
    pub fn replicated(absent: &[&str], more: impl FnOnce(ClusterBuilder) -> ClusterBuilder) -> Self {
        // Messages in the log must survive a server that a test kills.
        let (redis, database) = (Redis::durable(), Postgres::shared().database());
        let cluster = Cluster::of("config/replicated.toml").over(&redis).on(&database);
        Self::of(redis, more(absent.iter().fold(cluster, |c, node| c.without(node))))
    }

    /// Those nodes, once they are ready.
    pub fn of(redis: Redis, cluster: ClusterBuilder) -> Self {
        // No rate limit: the tests are about faults, not about too many customers.
        let cluster = cluster.set("gateway.rate_limit_per_second", 0).start();
        let token = cluster.api().login(ADMIN_EMAIL, ADMIN_PASSWORD)["access_token"].as_str().map(String::from);
        let token = token.expect("a token is a text");
        let customer = cluster.api().bearing(&token);
        let product = Product { id: customer.product("TEA", 450, STOCK), price_cents: 450 };
        let mut stage = Self { redis, cluster, customer, product, token };
        // Only once every gateway sees every host do all of them take part.
        stage.all_hear_all();
        stage
    }

    /// Customers at work at every gateway that runs, once some have been served.
    pub fn load(&mut self) -> Load {
        let ports: Vec<_> = self.cluster.running().filter_map(|n| n.gateway_port()).collect();
        let load = Load::start(CUSTOMERS, &ports, &self.token, &self.product);
        load.served_more(30, 15);
        load
    }

    /// Waits until every running node has heard every other one since this call, as ready and under its own epoch. All are asked at
    /// once: each answer has reports of all nodes in it.
    #[track_caller]
    pub fn all_hear_all(&mut self) {
        let admins: Vec<_> = self.cluster.running().map(|node| node.admin()).collect();
        let begun = Instant::now();
        eventually("all nodes to hear each other", || {
            let asked_ms = begun.elapsed().as_millis() as u64;
            let statuses = thread::scope(|scope| {
                let asked: Vec<_> = admins.iter().map(|admin| scope.spawn(|| admin.get("/status").is(200))).collect();
                asked.into_iter().map(|asked| asked.join().expect("it answers")).collect::<Vec<_>>()
            });
            let hears = |status: &Answer, other: &Answer| {
                let (name, epoch) =
                    (other["node"].as_str().expect("a name"), other["epoch"].as_u64().expect("an epoch"));
                status["node"] == name || heard(status, name, epoch, asked_ms)
            };
            statuses.iter().all(|status| statuses.iter().all(|other| hears(status, other))).then_some(())
        });
    }

    /// The running nodes and their epochs.
    pub fn epochs(&mut self) -> Vec<(String, u64)> {
        self.cluster.running().map(|n| (n.name().to_string(), n.epoch())).collect()
    }

    /// Asserts that each gateway and each host can ask and answer each other: all customers of each gateway alone are
    /// served, though their orders go to each host in turn.
    #[track_caller]
    pub fn nobody_is_deaf(&mut self) {
        self.all_hear_all();
        let ports: Vec<_> = self.cluster.running().filter_map(|n| n.gateway_port()).collect();
        for port in ports {
            let load = Load::start(CUSTOMERS, &[port], &self.token, &self.product);
            load.served_more(20, 40);
            load.stop().all_was_served();
        }
    }

    /// Ends a node at once and waits until Redis has seen it too.
    #[track_caller]
    pub fn kill(&mut self, node: &str) {
        kill(self.cluster.node(node), &self.redis);
    }

    /// Asserts that all that the customers were told is true.
    #[track_caller]
    pub fn is_as_told(&self, told: &Told) {
        told.is_what_happened(&self.customer, &self.product, STOCK);
    }
}

/// Whether a node's status tells that it has heard that member within so many milliseconds, and that it takes asks.
fn heard(status: &Answer, name: &str, epoch: u64, within_ms: u64) -> bool {
    let members = status["members"].as_array().expect("members are a list");
    members.iter().any(|m| {
        let mut capabilities = m["capabilities"].as_object().into_iter().flat_map(|all| all.values());
        m["node"] == name
            && m["epoch"] == epoch
            && m["state"] == "ready"
            && m["heard_ms_ago"].as_u64().is_some_and(|ms| ms <= within_ms)
            && capabilities.all(|c| c["running"] == true)
    })
}

/// Asserts that every node hears the other nodes of its cluster, under their epochs, and nobody else.
#[track_caller]
pub fn hears_only_its_own(cluster: &mut Cluster) {
    let all: BTreeSet<_> = cluster.running().map(|n| (n.name().to_string(), n.epoch())).collect();
    for node in cluster.running() {
        let (name, admin) = (node.name().to_string(), node.admin());
        let others = all.iter().filter(|(other, _)| *other != name).cloned().collect::<BTreeSet<_>>();
        let heard = || {
            let status = admin.get("/status").is(200);
            let members = status["members"].as_array().expect("members are a list").iter();
            let member =
                |m: &Value| (m["node"].as_str().unwrap_or_default().to_string(), m["epoch"].as_u64().unwrap_or(0));
            members.map(member).collect::<BTreeSet<_>>()
        };
        eventually(&format!("`{name}` to hear its own cluster and no other"), || (heard() == others).then_some(()));
    }
}

/// Ends a node at once and waits until Redis has seen it too.
#[track_caller]
pub fn kill(node: &mut ClusterNode, redis: &Redis) {
    node.kill();
    let inbox = format!(":inbox:{}:", node.name());
    eventually("redis to see the end", || (!redis.channels().iter().any(|c| c.contains(&inbox))).then_some(()));
}

/// Waits until the products can be listed.
#[track_caller]
pub fn wait_until_served(api: &Api) {
    let served = |answer: Answer| (answer.status == 200).then_some(());
    eventually("the products to be served", || served(api.try_send("GET", "/products", None).ok()?));
}
