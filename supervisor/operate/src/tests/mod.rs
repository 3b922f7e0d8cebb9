//! One whole node: its durable messages, and the spans of its messages.

mod durable;
mod spans;
mod storm;
