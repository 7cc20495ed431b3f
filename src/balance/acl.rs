//! Access lists: who may use pen, a server, or the control port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::canonical;
use crate::base::addr::ClientAddr;

/// How many lists there are; they are numbered from 0.
pub const ACLS: usize = 10;

/// What an entry says of the clients that match it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// They may.
    Permit,
    /// They may not.
    Deny,
}

/// The clients that an entry matches. Held without the bits that do not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Net {
    /// IPv4 clients (IPv4-mapped ones too): address and mask.
    V4(Ipv4Addr, Ipv4Addr),
    /// IPv6 clients: address and the length of the prefix, 0 to 128.
    V6(Ipv6Addr, u8),
}

/// One entry of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it says.
    pub action: Action,
    /// Of whom.
    pub net: Net,
}

/// Why an entry or the number of a list is wrong. Reads as a sentence that names the word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AclError {
    /// Not a number from 0 to 9.
    NoSuchList(String),
    /// Neither `permit` nor `deny`.
    BadAction(String),
    /// No address follows.
    NoAddress,
    /// Not an address.
    BadAddress(String),
    /// Not a mask for this sort of address.
    BadMask(String),
    /// Not the length of a prefix.
    BadLength(String),
    /// `country` is not supported.
    Country,
    /// More words than there are.
    TooManyWords(String),
}

impl fmt::Display for AclError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AclError::NoSuchList(word) => write!(f, "'{word}' is not an access list, 0 to {}", ACLS - 1),
            AclError::BadAction(word) => write!(f, "'{word}' is neither permit nor deny"),
            AclError::NoAddress => f.write_str("no address after permit or deny"),
            AclError::BadAddress(word) => write!(f, "'{word}' is not an address"),
            AclError::BadMask(word) => write!(f, "'{word}' is not an IPv4 mask"),
            AclError::BadLength(word) => write!(f, "'{word}' is not the length of a prefix"),
            AclError::Country => f.write_str("access lists by country are not supported"),
            AclError::TooManyWords(word) => write!(f, "'{word}' is one word too many"),
        }
    }
}

impl std::error::Error for AclError {}

/// Parses the number of a list.
pub fn parse_list(word: &str) -> Result<usize, AclError> {
    match word.parse() {
        Ok(list) if list < ACLS && word.len() == 1 => Ok(list),
        _ => Err(AclError::NoSuchList(shown(word))),
    }
}

/// A word from outside as an error may show it: printable and short.
fn shown(word: &str) -> String {
    word.chars().flat_map(char::escape_default).take(80).collect()
}

impl Entry {
    /// Parses what follows the number of the list: `permit|deny IPV4[/len] [mask]` or
    /// `permit|deny IPV6[/len]`.
    pub fn parse(words: &[&str]) -> Result<Entry, AclError> {
        let (action, words) = words.split_first().ok_or_else(|| AclError::BadAction(String::new()))?;
        let action = match *action {
            "permit" => Action::Permit,
            "deny" => Action::Deny,
            word => return Err(AclError::BadAction(shown(word))),
        };
        let (address, mask) = match words {
            [] => return Err(AclError::NoAddress),
            ["country", ..] => return Err(AclError::Country),
            [address] => (*address, None),
            [address, mask] => (*address, Some(*mask)),
            [_, _, word, ..] => return Err(AclError::TooManyWords(shown(word))),
        };
        Ok(Entry { action, net: Net::parse(address, mask)? })
    }

    /// The same with the bits that do not count cleared, and IPv4-mapped IPv6 as IPv4.
    fn canonical(self) -> Entry {
        let net = match self.net {
            Net::V4(ip, mask) => Net::v4(ip, mask),
            Net::V6(ip, len) => Net::v6(ip, len),
        };
        Entry { net, ..self }
    }
}

impl fmt::Display for Entry {
    /// As [`Entry::parse`] takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Permit => "permit",
            Action::Deny => "deny",
        };
        match self.net {
            Net::V4(ip, mask) => write!(f, "{action} {ip} {mask}"),
            Net::V6(ip, len) => write!(f, "{action} {ip}/{len}"),
        }
    }
}

impl Net {
    /// IPv4 clients whose address is `ip` in all bits that the mask has.
    pub fn v4(ip: Ipv4Addr, mask: Ipv4Addr) -> Net {
        Net::V4(ip & mask, mask)
    }

    /// IPv6 clients whose address begins with the first `len` bits of `ip`; at most 128 count. A
    /// prefix within the IPv4-mapped addresses stands for IPv4 clients.
    pub fn v6(ip: Ipv6Addr, len: u8) -> Net {
        let len = len.min(128);
        match ip.to_ipv4_mapped() {
            Some(ip) if len >= 96 => Net::v4(ip, v4_mask(len - 96)),
            _ => Net::V6(ip & v6_mask(len), len),
        }
    }

    fn parse(text: &str, mask: Option<&str>) -> Result<Net, AclError> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| AclError::BadAddress(shown(address)))?;
        let len_up_to = |most: u8| match len {
            None => Ok(most),
            Some(word) => {
                let digits = word.bytes().all(|byte| byte.is_ascii_digit());
                let len = word.parse().ok().filter(|len| *len <= most && digits);
                len.ok_or_else(|| AclError::BadLength(shown(word)))
            }
        };
        match (ip, mask) {
            (IpAddr::V4(ip), None) => Ok(Net::v4(ip, v4_mask(len_up_to(32)?))),
            (IpAddr::V4(ip), Some(mask)) if len.is_none() => {
                Ok(Net::v4(ip, mask.parse().map_err(|_| AclError::BadMask(shown(mask)))?))
            }
            (IpAddr::V6(ip), None) => Ok(Net::v6(ip, len_up_to(128)?)),
            (_, Some(mask)) => Err(AclError::TooManyWords(shown(mask))),
        }
    }

    fn matches(self, ip: IpAddr) -> bool {
        match (self, ip) {
            (Net::V4(net, mask), IpAddr::V4(ip)) => ip & mask == net,
            (Net::V6(net, len), IpAddr::V6(ip)) => ip & v6_mask(len) == net,
            (Net::V4(..), IpAddr::V6(_)) | (Net::V6(..), IpAddr::V4(_)) => false,
        }
    }
}

fn v4_mask(len: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0))
}

fn v6_mask(len: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0))
}

/// The access lists.
///
/// The first entry that matches a client decides. If none does, the opposite of the last entry
/// holds; an empty list permits everybody. Clients by a Unix socket are always permitted: lists
/// are about addresses.
#[derive(Clone, Debug, Default)]
pub struct Acls {
    lists: [Vec<Entry>; ACLS],
}

impl Acls {
    /// Appends an entry to a list, 0 to 9.
    pub fn add(&mut self, list: usize, entry: Entry) -> Result<(), AclError> {
        self.list_mut(list)?.push(entry.canonical());
        Ok(())
    }

    /// Empties a list, 0 to 9.
    pub fn clear(&mut self, list: usize) -> Result<(), AclError> {
        self.list_mut(list)?.clear();
        Ok(())
    }

    /// The entries of a list, in the order in which they count.
    pub fn entries(&self, list: usize) -> &[Entry] {
        self.lists.get(list).map_or(&[], Vec::as_slice)
    }

    /// Whether a list lets a client pass. A list that does not exist lets nobody pass.
    pub fn check(&self, list: usize, from: ClientAddr) -> bool {
        let Some(entries) = self.lists.get(list) else { return false };
        let ClientAddr::Inet(ip) = canonical(from) else { return true };
        match entries.iter().find(|entry| entry.net.matches(ip)) {
            Some(entry) => entry.action == Action::Permit,
            None => entries.last().is_none_or(|last| last.action == Action::Deny),
        }
    }

    fn list_mut(&mut self, list: usize) -> Result<&mut Vec<Entry>, AclError> {
        self.lists.get_mut(list).ok_or_else(|| AclError::NoSuchList(list.to_string()))
    }
}
