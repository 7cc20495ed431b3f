//! The programs beside pen, each a function that its few lines under `bin` call.

pub mod penctl;
