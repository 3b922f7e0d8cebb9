//! The platform as a whole: real processes, a real Redis, a real PostgreSQL, and the rules that the source must keep.
//!
//! One binary, so that it links once and its tests share one PostgreSQL server. Every test has ports, directories and
//! processes of its own; nothing it started outlives it, however it ends.
//!
//! # Layout
//!
//! - [`support`]: servers, processes and clients that tests start and wait for.
//! - [`errors`]: each way an ask can fail, in one process and across Redis.
//! - [`golden`]: bytes that other nodes rely on.
//! - [`structure`]: what the source itself must look like.

mod errors;
mod golden;
mod structure;
mod support;
