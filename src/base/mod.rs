//! What every part may use: addresses, operands, errors, time, what was built in.
//!
//! Uses nothing of the crate. Nothing here does I/O.

pub mod addr;
pub mod beside;
pub mod bytes;
pub mod diag;
pub mod direction;
pub mod error;
pub mod features;
pub mod keepalive;
pub mod operand;
pub mod proxy_version;
pub mod time;
