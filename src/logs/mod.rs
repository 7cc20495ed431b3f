//! The logs: pen's own request log, and what is done with it afterwards.
//!
//! Text in and text out; who opens, writes and rotates the files is elsewhere.

#[cfg(feature = "tools")]
pub mod matching;
pub mod record;
mod request;
#[cfg(feature = "tools")]
pub mod weblog;
