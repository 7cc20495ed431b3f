//! Which version of the PROXY protocol is spoken.

/// A version of the PROXY protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyVersion {
    /// A line of text; Unix sockets have no name in it.
    V1,
    /// Binary.
    V2,
}

impl ProxyVersion {
    /// All there are, by the words for them.
    pub const ALL: [(&'static str, ProxyVersion); 2] = [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            ProxyVersion::V1 => "v1",
            ProxyVersion::V2 => "v2",
        }
    }
}
