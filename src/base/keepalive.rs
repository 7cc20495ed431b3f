//! How a TCP connection finds out that its peer has gone without a word.

/// The longest time in seconds between probes, and before the first: what Linux takes (tcp(7)).
pub const SECONDS_MAX: u16 = 32_767;
/// The most probes without an answer (tcp(7)).
pub const COUNT_MAX: u8 = 127;

/// Keep-alive probes (RFC 9293 section 3.8.4). What is `None` is left to the system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keepalive {
    /// Seconds of silence before the first probe.
    pub idle: Option<u16>,
    /// Seconds between probes.
    pub interval: Option<u16>,
    /// Probes without an answer that end the connection.
    pub count: Option<u8>,
}
