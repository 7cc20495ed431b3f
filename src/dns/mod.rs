//! Host names of addresses, without a socket: what is asked, what counts as an answer, when to ask
//! again, what is remembered. It has no opinion on lines or logs.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`name`] | names of DNS as text that may stand in a log |
//! | [`message`] | questions and answers as bytes (RFC 1035) |
//! | [`lookup`] | one address on its way to its name: aliases, and the way back |
//! | [`servers`] | which name server to ask, and how long its answers take |
//! | [`pace`] | how many lookups may be under way |
//! | [`flight`] | which question an answer belongs to: sockets and ids |
//! | [`resolver`] | all of these put together |
//! | [`book`] | every address that was seen, and what is known of it |
//! | [`store`] | the book as a file |
//! | [`hosts`] | hosts(5) |
//! | [`settings`] | resolv.conf(5), and what the programs change of it |

pub mod book;
pub mod flight;
pub mod hosts;
pub mod lookup;
pub mod message;
pub mod name;
pub mod pace;
pub mod resolver;
pub mod servers;
pub mod settings;
pub mod store;

#[cfg(test)]
mod model;
