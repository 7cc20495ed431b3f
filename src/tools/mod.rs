//! The programs beside pen, each a function that its few lines under `bin` call.
//!
//! penctl belongs to the balancer. The log tools and what they share are behind the feature `tools`.

#[cfg(feature = "tools")]
pub mod flags;
#[cfg(feature = "tools")]
pub mod input;
#[cfg(feature = "tools")]
pub mod mergelogs;
#[cfg(feature = "tools")]
pub mod output;
pub mod penctl;
#[cfg(feature = "tools")]
pub mod penlog;
#[cfg(feature = "tools")]
pub mod penlogd;
#[cfg(feature = "tools")]
pub mod pieces;
#[cfg(feature = "tools")]
pub mod progress;
#[cfg(feature = "tools")]
pub mod resolving;
#[cfg(feature = "tools")]
pub mod resolving_options;
#[cfg(feature = "tools")]
pub mod splitwr;
#[cfg(feature = "tools")]
pub mod webresolve;
