//! The gateway in front of stub routes, over real connections.

mod drain;
mod edge;
mod http;
mod jwt;
mod login;
mod problems;
mod stage;
