//! One process of a cluster: started, ended and asked by tests.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use super::cluster::{BINARY, READY, clean};
use super::{Api, Clock, Process, Scratch, Signal, essaim, eventually, free_port};

/// One process of a cluster.
pub struct ClusterNode {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) address: String,
    pub(super) admin_port: u16,
    pub(super) gateway_port: Option<u16>,
    pub(super) console_port: Option<u16>,
    pub(super) namespace: Option<String>,
    pub(super) process: Option<Process>,
    /// More variables of its environment.
    pub(super) environment: Vec<(String, String)>,
    pub(super) data: Scratch,
    /// Where its next process dies: a variable of that process's environment, which `crash.rs` of the runtime reads.
    pub(super) planned: Option<(&'static str, String)>,
    /// The wall clock of its processes, if it is not the machine's.
    pub(super) clock: Option<Arc<Clock>>,
}

impl ClusterNode {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A client of its gateway.
    #[track_caller]
    pub fn api(&self) -> Api {
        Api::at(self.gateway_port.unwrap_or_else(|| panic!("`{}` hosts no gateway", self.name)))
    }

    /// A client of its console, as its pages are.
    #[track_caller]
    pub fn console(&self) -> Api {
        let port = self.console_port.unwrap_or_else(|| panic!("`{}` hosts no console", self.name));
        Api::at(port).with("x-essaim-console", "1")
    }

    /// A client of its admin listener.
    pub fn admin(&self) -> Api {
        Api::of(&self.address, self.admin_port)
    }

    /// Where its databases are.
    pub fn data(&self) -> PathBuf {
        self.data.path().to_path_buf()
    }

    /// The process, which is running or has ended.
    #[track_caller]
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap_or_else(|| panic!("`{}` was never started", self.name))
    }

    pub fn signal(&mut self, signal: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(signal);
        }
    }

    /// Ends it at once, as kill -9 does.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// The node keeps its sockets and answers nothing.
    pub fn pause(&mut self) {
        self.signal(Signal::Stop);
    }

    /// The node goes on.
    pub fn resume(&mut self) {
        self.signal(Signal::Continue);
    }

    /// Ends it in order and asserts that it exits with 0.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::Term);
        assert_eq!(self.exit_code(), Some(0), "the exit code of `{}`", self.name);
    }

    /// Waits until it has ended; its exit code, or `None` if a signal ended it.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        self.process().exit_code()
    }

    /// Has its audit take nothing from now on: a directory stands where the file was.
    pub fn spoil_audit(&self) {
        let file = self.data().join(format!("{}.audit.sqlite3", self.name));
        std::fs::remove_file(&file).expect("it has an audit");
        std::fs::create_dir(&file).expect("a directory");
    }

    /// Sets a key from its next start on.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.arguments.extend(["--set".to_string(), format!("{key}={}", value.to_string())]);
    }

    /// Has its next process die at that point, a fail point of the runtime's `crash.rs`: `apply.after-commit@3`.
    pub fn crash_at(&mut self, point: &str) {
        self.planned = Some(("ESSAIM_CRASH_AT", point.into()));
    }

    /// Has a task of its next process panic at that point, once: `task.relay@3`.
    pub fn panic_at(&mut self, point: &str) {
        self.planned = Some(("ESSAIM_PANIC_AT", point.into()));
    }

    /// Has a handler of its next process block its thread at that point, once: `apply.before-commit@3`.
    pub fn block_at(&mut self, point: &str) {
        self.planned = Some(("ESSAIM_BLOCK_AT", point.into()));
    }

    /// Starts it (again), with the same name, ports and data; does not wait.
    pub fn start(&mut self) {
        let mut command = match &self.namespace {
            None => essaim(),
            Some(namespace) => {
                let mut inside = Command::new("ip");
                inside.args(["netns", "exec", namespace, BINARY]);
                clean(inside)
            }
        };
        if let Some((variable, point)) = self.planned.take() {
            command.env(variable, point);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(clock) = &self.clock {
            clock.rule(&mut command);
        }
        self.process = Some(Process::start(&self.name, command.args(&self.arguments)));
    }

    /// Another process under the same name, with a port and a data directory of its own; not started yet. For nodes
    /// without a gateway.
    pub fn twin(&self) -> Self {
        let (admin_port, data) = (free_port(), Scratch::new(&self.name));
        let listen = |port: u16| format!("node.admin_listen={}:{port}", self.address);
        let (old_listen, old_data) = (listen(self.admin_port), self.data.path().display().to_string());
        let own = |argument: &String| match argument {
            a if *a == old_listen => listen(admin_port),
            a if *a == old_data => data.path().display().to_string(),
            a => a.clone(),
        };
        let arguments = self.arguments.iter().map(own).collect();
        let (name, address, namespace) = (self.name.clone(), self.address.clone(), self.namespace.clone());
        Self {
            name,
            arguments,
            address,
            admin_port,
            data,
            namespace,
            process: None,
            environment: self.environment.clone(),
            planned: None,
            clock: self.clock.clone(),
            ..*self
        }
    }

    /// Another process under the same name, at the same addresses, with the same data directory or one of its own; not started yet. It must
    /// not outlive this one.
    pub fn successor(&self, has_same_data: bool) -> Self {
        let data = Scratch::new(&self.name);
        let (old, new) = (self.data.path().display().to_string(), data.path().display().to_string());
        let own = |argument: &String| if !has_same_data && *argument == old { new.clone() } else { argument.clone() };
        Self {
            name: self.name.clone(),
            arguments: self.arguments.iter().map(own).collect(),
            address: self.address.clone(),
            data,
            namespace: self.namespace.clone(),
            process: None,
            environment: self.environment.clone(),
            planned: None,
            clock: self.clock.clone(),
            ..*self
        }
    }

    /// Its epoch, as it says at its admin listener.
    #[track_caller]
    pub fn epoch(&self) -> u64 {
        self.admin().get("/status").is(200)["epoch"].as_u64().expect("a node on a bridge has an epoch")
    }

    /// The port of its gateway.
    pub fn gateway_port(&self) -> Option<u16> {
        self.gateway_port
    }

    /// Whether it was started and has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Starts it again and waits until it is ready.
    #[track_caller]
    pub fn restart(&mut self) {
        self.start();
        self.wait_until_ready();
    }

    /// Waits until all that it hosts is up and, for a gateway, all that it routes to.
    ///
    /// # Panics
    /// If it ends first.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        let (gateway, name) = (self.gateway_port.map(Api::at), self.name.clone());
        let process = self.process();
        process.wait_for_line(READY);
        if let Some(gateway) = gateway {
            let ready = |answer: super::Answer| (answer.status == 200).then_some(());
            eventually(&format!("the gateway of `{name}` to be ready"), || {
                assert!(process.is_running(), "`{name}` ended");
                ready(gateway.try_send("GET", "/readyz", None).ok()?)
            });
        }
    }
}
