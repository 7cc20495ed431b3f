//! The control language: what an operator can ask of pen, on its command line, in a file of
//! commands and through the control port.
//!
//! Pure: `command` reads lines by the rows of `table`, `config` whole files, `execute` applies a command to a
//! [`Balancer`](crate::balance::Balancer) and says what the event loop must do besides, `status`
//! has the texts of reports, and `overview` what programs read of them. One parser and one executor serve all three ways in.

mod checks;
pub mod command;
pub mod config;
mod effect;
pub mod event;
pub mod execute;
mod ftp;
pub mod history;
pub mod http;
pub mod json;
pub mod line;
mod live;
mod numbers;
pub mod origin;
pub mod origins;
pub mod overview;
pub mod page;
mod parse;
mod paths;
pub mod prometheus;
mod read;
pub mod recent;
pub mod scope;
pub mod served;
mod servers;
mod snapshot;
pub mod status;
pub mod subscription;
pub mod table;
pub mod token;
pub mod tracing;
mod watching;
mod words;
pub mod written;

pub use crate::balance::listeners::MAIN_NAME;
pub use words::{CommandError, LINE_MAX};
