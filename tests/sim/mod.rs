//! The simulated world, its inhabitants, and its judge.

pub mod calls;
pub mod capture;
#[cfg(test)]
mod checks;
pub mod choices;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod costs;
pub mod datagrams;
pub mod dialogue;
#[cfg(test)]
mod directed;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod faulty;
pub mod ftp;
#[cfg(test)]
mod ftp_worlds;
#[cfg(test)]
mod idlers;
#[cfg(test)]
mod inspected;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod memory;
pub mod network;
pub mod peer;
pub mod pipes;
pub mod plan;
#[cfg(test)]
mod queue;
pub mod run;
pub mod sockets;
pub mod successor;
#[cfg(test)]
mod upgrade;
pub mod wire;
pub mod world;
