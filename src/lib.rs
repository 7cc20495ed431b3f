//! pen: a load balancer for simple TCP protocols that also shows what a protocol says.
//!
//! This text is replaced by the map of the crate as the parts come in.

pub mod balance;
pub mod base;
pub mod control;
pub mod daemon;
pub mod logs;
pub mod net;
pub mod proxy;
pub mod select;
pub mod sys;
pub mod tools;
pub mod trace;
