//! Message records of real nodes: what operators read of them at the command line.

mod trace;
mod why;
