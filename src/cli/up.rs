//! `essaim up`: every node of a topology as a child process of this one.
//!
//! A child drains when its stdin closes. So it is stopped, and so it notices that this process is gone, even killed: no
//! child is left behind. Each child has a process group of its own, so that Ctrl-C on the terminal reaches this process
//! alone and is passed on once.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use essaim::exit::{self, Fatal};
use essaim::{Backoff, Env, Roster, run as run_here};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::secret::MadeSecret;
use super::signals::Signals;
use super::{Global, UpArgs, print};
use crate::logging;
use crate::serve::{are_connected, wrong};

/// A child that lived this long has not failed in a row with the one before it.
const STEADY: Duration = Duration::from_secs(60);

/// The colours of the nodes' names: those that can be told apart on dark and on light ground.
const COLOURS: [u8; 6] = [36, 35, 33, 32, 34, 31];

/// What the children are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Run,
    Drain,
    Kill,
}

/// Starts the nodes and keeps them until a signal comes or one of them cannot run.
pub fn run(roster: &Roster, global: &Global, up: &UpArgs) -> Result<(), Fatal> {
    let Some(topology) = up.topology.clone().or_else(|| global.config.clone()) else {
        return Err(Fatal::new(exit::USAGE, "which topology? Name a file: essaim up config/split.toml"));
    };
    let names = global.layers(roster, Some(&topology), None)?.nodes();
    if names.is_empty() {
        let file = topology.display();
        return Err(Fatal::new(exit::CONFIG, format!("{file} describes no nodes: add tables such as [nodes.front]")));
    }
    // Errors of the configuration are reported once and here, not by every child.
    let mut backoff = Backoff { first: Duration::ZERO, most: Duration::ZERO };
    let mut settings = Vec::with_capacity(names.len());
    for name in &names {
        let config = global.layers(roster, Some(&topology), Some(name))?.resolve().map_err(wrong)?;
        are_connected(names.len(), &config)?;
        let s = &config.settings.supervision;
        backoff.first = Duration::from_millis(s.backoff_first_ms);
        backoff.most = Duration::from_millis(s.backoff_most_ms);
        settings.push(config.settings);
    }
    let secret = MadeSecret::of(&settings)?;
    let program = std::env::current_exe()
        .map_err(|e| Fatal::new(exit::GIVEN_UP, format!("this program cannot find itself to start its nodes: {e}")))?;
    run_here(async {
        let signals = Signals::listen(false)?;
        keep_all(Plan { program, topology, arguments: global.arguments(), secret, backoff }, names, signals).await
    })
}

/// What the children have in common.
struct Plan {
    program: PathBuf,
    topology: PathBuf,
    arguments: Vec<String>,
    secret: Option<MadeSecret>,
    backoff: Backoff,
}

async fn keep_all(plan: Plan, names: Vec<String>, mut signals: Signals) -> Result<(), Fatal> {
    let (orders, _) = watch::channel(Order::Run);
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let (plan, env, colours) = (Arc::new(plan), Env::system(), logging::colours());
    let me = Voice::new("up", width, None);
    me.say(&format!("starting {} nodes of {}: {}", names.len(), plan.topology.display(), names.join(", ")));
    if let Some(secret) = &plan.secret {
        me.say(&secret.said());
    }
    let mut keepers = JoinSet::new();
    for (index, name) in names.into_iter().enumerate() {
        let colour = colours.then(|| COLOURS[index % COLOURS.len()]);
        let keeper = Keeper {
            voice: Voice::new(&name, width, colour),
            name,
            plan: plan.clone(),
            orders: orders.subscribe(),
            env: env.clone(),
            colours,
        };
        keepers.spawn_local(keeper.keep());
    }
    let mut ended = Ok(());
    loop {
        tokio::select! {
            signal = signals.next() => {
                let second = *orders.borrow() != Order::Run;
                orders.send_replace(if second { Order::Kill } else { Order::Drain });
                if second {
                    me.say(&format!("{signal} again: killing every node"));
                    ended = Err(Fatal::new(exit::SECOND_SIGNAL, "ended at once by a second signal"));
                } else {
                    me.say(&format!("{signal}: every node drains; once more ends them at once"));
                }
            }
            kept = keepers.join_next() => match kept {
                None => return ended,
                Some(Ok(Ok(Outcome::AsOrdered))) => {}
                // The others go on; that one of them ended by itself is told in the end.
                Some(Ok(Ok(Outcome::Ended(fatal)))) => ended = ended.and(Err(fatal)),
                Some(Ok(Err(fatal))) => {
                    me.say("stopping every node");
                    orders.send_if_modified(|o| *o == Order::Run && { *o = Order::Drain; true });
                    ended = ended.and(Err(fatal));
                }
                Some(Err(panic)) => {
                    orders.send_if_modified(|o| *o == Order::Run && { *o = Order::Drain; true });
                    ended = ended.and(Err(Fatal::new(exit::GIVEN_UP, format!("a node's keeper ended: {panic}"))));
                }
            },
        }
    }
}

/// Keeps one node running.
struct Keeper {
    name: String,
    plan: Arc<Plan>,
    voice: Voice,
    orders: watch::Receiver<Order>,
    env: Env,
    colours: bool,
}

impl Keeper {
    async fn keep(mut self) -> Result<Outcome, Fatal> {
        let mut starts = 0_u32;
        let mut failures = 0_u32;
        while *self.orders.borrow() == Order::Run {
            starts += 1;
            let began = self.env.now();
            let code = self.live().await?;
            let what = code.map_or_else(|| "a signal".to_string(), |code| format!("code {code}"));
            let order = *self.orders.borrow();
            match order {
                Order::Run => {}
                Order::Drain if code != Some(0) => {
                    return Ok(self.ended(code, &format!("drained and ended with {what}")));
                }
                Order::Drain | Order::Kill => break,
            }
            match judge(code, starts) {
                Verdict::Done => {
                    self.voice.say(&format!("ended with {what}; it is not started again"));
                    return Ok(self.ended(code, &format!("ended with {what}")));
                }
                Verdict::StopAll(code) => {
                    let reason = format!("node `{}` cannot run (exit code {code}); it says why above", self.name);
                    return Err(Fatal::new(code, reason));
                }
                Verdict::Again => {
                    failures = if began.elapsed() >= STEADY { 1 } else { failures.saturating_add(1) };
                    let delay = self.plan.backoff.delay(failures, &self.env);
                    self.voice.say(&format!("ended with {what}; starting again in {} ms", delay.as_millis()));
                    tokio::select! {
                        () = tokio::time::sleep(delay) => {}
                        _ = self.orders.wait_for(|o| *o != Order::Run) => {}
                    }
                }
            }
        }
        Ok(Outcome::AsOrdered)
    }

    /// The outcome of a node that has ended for good with this code.
    fn ended(&self, code: Option<i32>, how: &str) -> Outcome {
        match code {
            Some(0) => Outcome::AsOrdered,
            code => {
                let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::GIVEN_UP);
                Outcome::Ended(Fatal::new(code, format!("node `{}` {how}; it says why above", self.name)))
            }
        }
    }

    /// One life of the node; its exit code, or `None` if a signal ended it.
    async fn live(&mut self) -> Result<Option<i32>, Fatal> {
        let mut child = self.start()?;
        let mut stdin = child.stdin.take();
        // These tasks end with the output of the child, or when this process cannot write any more.
        #[allow(clippy::disallowed_methods)]
        let voices = [
            child.stdout.take().map(|out| tokio::task::spawn_local(pass_on(out, self.voice.clone()))),
            child.stderr.take().map(|err| tokio::task::spawn_local(pass_on(err, self.voice.clone()))),
        ];
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                order = self.orders.changed() => match (order, *self.orders.borrow_and_update()) {
                    (Ok(()), Order::Run) => {}
                    (Ok(()), Order::Drain) | (Err(_), _) => stdin = None,
                    (Ok(()), Order::Kill) => drop(child.start_kill()),
                },
            }
        };
        drop(stdin);
        for voice in voices.into_iter().flatten() {
            let _ = voice.await;
        }
        status.map(|s| s.code()).map_err(|e| self.lost(&e))
    }

    fn start(&self) -> Result<Child, Fatal> {
        let mut command = Command::new(&self.plan.program);
        let node = [OsString::from("node"), OsString::from(&self.name), "--until-stdin-closes".into()];
        command.args(node).arg("--config").arg(&self.plan.topology).args(&self.plan.arguments);
        if let Some(secret) = &self.plan.secret {
            command.args(secret.arguments());
        }
        if self.colours {
            command.env("CLICOLOR_FORCE", "1");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true).spawn().map_err(|e| self.lost(&e))
    }

    fn lost(&self, error: &std::io::Error) -> Fatal {
        Fatal::new(exit::GIVEN_UP, format!("the process of node `{}` cannot be kept: {error}", self.name))
    }
}

/// How the life of a node ended, all its starts included.
enum Outcome {
    /// As it should.
    AsOrdered,
    /// With a code of its own, which becomes that of this process.
    Ended(Fatal),
}

/// What the end of a child means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It ended as it should, or another process has its name now.
    Done,
    /// It crashed.
    Again,
    /// Trying again would end the same way.
    StopAll(u8),
}

fn judge(code: Option<i32>, starts: u32) -> Verdict {
    let Some(code) = code.and_then(|c| u8::try_from(c).ok()) else { return Verdict::Again };
    match code {
        0 | exit::SUPERSEDED => Verdict::Done,
        exit::USAGE | exit::CONFIG => Verdict::StopAll(code),
        // At the first start an operator is watching and can mend it; later the cause may end by itself.
        exit::TAKEN | exit::DATA_DIR | exit::BRIDGE | exit::ADDRESS_IN_USE if starts == 1 => Verdict::StopAll(code),
        _ => Verdict::Again,
    }
}

/// Writes lines with a name before them.
#[derive(Clone)]
struct Voice(Arc<str>);

impl Voice {
    fn new(name: &str, width: usize, colour: Option<u8>) -> Self {
        Self(match colour {
            Some(colour) => format!("\x1b[{colour}m{name:<width$} |\x1b[0m ").into(),
            None => format!("{name:<width$} | ").into(),
        })
    }

    fn say(&self, line: &str) {
        print::line(&format!("{}{line}", self.0));
    }
}

async fn pass_on(output: impl AsyncRead + Unpin, voice: Voice) {
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        voice.say(&String::from_utf8_lossy(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_started_again_and_a_mistake_is_not() {
        assert_eq!(judge(None, 1), Verdict::Again, "killed by a signal");
        assert_eq!(judge(Some(101), 1), Verdict::Again, "a panic in main");
        assert_eq!(judge(Some(70), 3), Verdict::Again, "a capability was given up");
        assert_eq!(judge(Some(79), 1), Verdict::Again, "a task panicked");
        assert_eq!(judge(Some(0), 1), Verdict::Done);
        assert_eq!(judge(Some(71), 2), Verdict::Done);
        assert_eq!(judge(Some(77), 1), Verdict::Again, "it lost its place while it ran");
        assert_eq!(judge(Some(78), 5), Verdict::StopAll(78));
    }

    #[test]
    fn what_only_somebody_watching_can_mend_stops_all_at_the_first_start_alone() {
        for code in [72, 73, 75, 76] {
            assert_eq!(judge(Some(code.into()), 1), Verdict::StopAll(code));
            assert_eq!(judge(Some(code.into()), 2), Verdict::Again);
        }
    }
}
