//! pen put together.

pub mod options;
