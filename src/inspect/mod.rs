//! Inspectors: what looks at the bytes of a pair as a protocol, and may change them.
//!
//! They are pure: bytes and answers go in, bytes and questions come out. Whatever they keep of a
//! stream is bounded, whoever sends it.

pub mod ftp;
pub mod http;
