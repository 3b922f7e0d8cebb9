//! How long the platform takes to be ready, and what it keeps in memory then.

use std::time::{Duration, Instant};

use crate::Error;
use crate::requests::Platform;
use crate::server::{Scratch, Server};

/// Milliseconds to ready at the first start or `again`; or mebibytes of resident `memory` a while later.
pub fn run(what: &str) -> Result<f64, Error> {
    let scratch = Scratch::new()?;
    if what != "first" {
        drop(Platform::start(&scratch)?);
    }
    let began = Instant::now();
    let platform = Platform::start(&scratch)?;
    let ready_ms = began.elapsed().as_secs_f64() * 1e3;
    if what != "memory" {
        return Ok(ready_ms);
    }
    std::thread::sleep(Duration::from_secs(2));
    resident_mib(platform.server())
}

fn resident_mib(server: &Server) -> Result<f64, Error> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).ok_or("the kernel tells no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}
