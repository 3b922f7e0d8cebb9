//! Message records of real nodes: what operators read of them at the command line, and what receivers of traces are sent.

mod authority;
mod broadcast;
mod export;
mod follow;
mod logs;
mod outages;
mod receiver;
mod store;
mod top;
mod trace;
mod why;
