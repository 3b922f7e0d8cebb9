//! A client's connection, below HTTP: what the server under the gateway leaves open is bounded here.
//!
//! The server times the first request of a connection and the rest between two requests, and nothing else. So every
//! stream has a [`Pulse`], on which the gate says when a request has come and when it was answered; what comes or goes
//! in between may take as long as [`Patience`] says. A client that sends its second request a byte at a time, or reads
//! its answer so, holds its connection no longer than others.
//!
//! What frames the bodies is looked at on the way ([`crate::framing`]): one that will be refused is refused at once.
//!
//! A request that cannot be parsed never reaches the gate: the server answers with a bare status and hangs up. The
//! stream puts a problem in its place ([`crate::refusal`]), and reads on for a moment while the client is still sending,
//! or the hanging up would reach it before the answer.

use std::cell::Cell;
use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use essaim::Env;
use essaim_http::BodyWatch;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::framing::Framing;
use crate::front::Front;
use crate::refusal;
use crate::server::SERVER_CLOCK_STEP;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// To send the headers of a request, from their first byte.
    head: Duration,
    /// To begin a request, or to take some more of an answer.
    idle: Duration,
    /// To hang up when it was refused.
    close: Duration,
}

/// Phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A request is with the gate, or the first one is awaited: others look at the time.
    Elsewhere,
    /// The last request was answered.
    Idle,
    /// The next request has begun to come.
    Head,
}

/// What the gate tells the stream of a connection.
pub(crate) struct Pulse {
    phase: Cell<Phase>,
    deadline: Cell<Option<Instant>>,
    patience: Patience,
    env: Env,
}

impl Pulse {
    /// A request has come, with all its headers.
    pub fn request(&self) {
        self.phase.set(Phase::Elsewhere);
        self.deadline.set(None);
    }

    /// The request has its answer, which is now sent.
    pub fn answered(&self) {
        self.turn(Phase::Idle);
    }

    fn turn(&self, phase: Phase) {
        let limit = if phase == Phase::Head { self.patience.head } else { self.patience.idle };
        self.phase.set(phase);
        self.deadline.set(Some(self.env.now() + limit));
    }
}

/// One connection.
pub(crate) struct Stream {
    io: TcpStream,
    front: Arc<Front>,
    pulse: Rc<Pulse>,
    framing: Framing,
    watch: Rc<BodyWatch>,
    timer: Pin<Box<Sleep>>,
    refusing: Option<Refusing>,
}

/// A refusal under way.
struct Refusing {
    told: Vec<u8>,
    written: usize,
    /// Set once it is written: until then the client may go on sending.
    until: Option<Instant>,
}

impl Stream {
    pub fn new(io: TcpStream, front: Arc<Front>) -> Self {
        let (settings, env, millis) = (&front.settings, front.env.clone(), Duration::from_millis);
        let close = millis(settings.client_close_timeout_ms);
        // The server itself ends what rests for `keep_alive_ms`; here is for what it does not take for a rest.
        let idle = millis(settings.keep_alive_ms) + SERVER_CLOCK_STEP + close;
        let patience = Patience { head: millis(settings.client_header_timeout_ms), idle, close };
        let timer = Box::pin(tokio::time::sleep_until(env.now() + idle));
        let pulse = Pulse { phase: Cell::new(Phase::Elsewhere), deadline: Cell::new(None), patience, env };
        let framing = Framing::new(settings.body_limit_bytes);
        Self { io, front, pulse: Rc::new(pulse), framing, watch: Rc::default(), timer, refusing: None }
    }

    /// What the gate is given to tell this stream how far requests are.
    pub fn pulse(&self) -> Rc<Pulse> {
        self.pulse.clone()
    }

    /// Where those who read bodies hear that one will be refused.
    pub fn watch(&self) -> Rc<BodyWatch> {
        self.watch.clone()
    }

    /// Fails when the client has taken too long; otherwise its task is woken when it will have.
    ///
    /// Deadlines change with every request and the timer only when it must: one that fires too early is set anew.
    fn in_time(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let Some(deadline) = self.pulse.deadline.get() else { return Ok(()) };
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.pulse.env.now() >= deadline {
                return Err(Error::new(ErrorKind::TimedOut, "the client took too long"));
            }
            self.timer.as_mut().reset(deadline);
        }
        Ok(())
    }

    /// Tells the client why it is refused, and waits until it has stopped sending.
    fn refuse(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.refusing.as_ref().is_some_and(|r| r.until.is_none()) {
            self.in_time(cx)?;
        }
        let Some(refusing) = &mut self.refusing else { return Poll::Ready(Ok(())) };
        while refusing.written < refusing.told.len() {
            let rest = &refusing.told[refusing.written..];
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => refusing.written += written,
            }
        }
        if refusing.until.is_none() {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            let until = self.pulse.env.now() + self.pulse.patience.close;
            refusing.until = Some(until);
            self.timer.as_mut().reset(until);
        }
        let mut waste = [0; 4_096];
        loop {
            if self.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut read = ReadBuf::new(&mut waste);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, into)?;
        if let Some(fault) = self.framing.read(&into.filled()[before..]) {
            self.watch.report(fault);
        }
        if read.is_ready() && into.filled().len() > before && self.pulse.phase.get() == Phase::Idle {
            self.pulse.turn(Phase::Head);
        }
        self.in_time(cx)?;
        read.map(Ok)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let sent = match refusal::bare_status(bytes) {
            Some((0, status)) if self.refusing.is_none() => {
                let told = refusal::tell(&self.front, status);
                self.refusing = Some(Refusing { told, written: 0, until: None });
                self.pulse.turn(Phase::Idle);
                bytes
            }
            Some((before, _)) => &bytes[..before],
            None => bytes,
        };
        if self.refusing.is_some() {
            // The server may say it twice while the client is waited for; nothing is to follow the refusal.
            ready!(self.refuse(cx))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.io).poll_write(cx, sent)?;
        if written.is_ready() && self.pulse.phase.get() != Phase::Elsewhere {
            self.pulse.turn(self.pulse.phase.get());
        }
        self.in_time(cx)?;
        written.map(Ok)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
