//! The logs: pen's own request log, and what is done with it afterwards.
//!
//! Text in and text out; who opens, writes and rotates the files is elsewhere.

pub mod record;
mod request;
