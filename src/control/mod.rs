//! The control language: what an operator can ask of pen, on its command line, in a file of
//! commands and through the control port.
//!
//! Pure: `command` reads lines, `config` whole files, `execute` applies a command to a
//! [`Balancer`](crate::balance::Balancer) and says what the event loop must do besides, `status`
//! has the texts of reports. One parser and one executor serve all three ways in.

pub mod command;
pub mod config;
pub mod execute;
mod read;
pub mod status;
mod words;

pub use words::{CommandError, LINE_MAX};
