//! Access lists: who may use pen, a server, or the control port.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::canonical;
use super::servers::is_name;
use crate::base::addr::ClientAddr;
use crate::base::bytes::escaped;

/// How many lists have numbers, from 0.
pub const ACLS: usize = 10;

/// How many lists have names.
pub const NAMED_MAX: usize = 1_000;

/// What a list is called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ListName {
    /// One of those that are always there, 0 to 9.
    Number(u8),
    /// One that somebody has named.
    Name(Box<str>),
}

impl fmt::Display for ListName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListName::Number(number) => number.fmt(f),
            ListName::Name(name) => f.write_str(name),
        }
    }
}

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
pub enum Subnet {
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
    pub net: Subnet,
}

/// Why an entry or the number of a list is wrong. Reads as a sentence that names the word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AclError {
    /// Neither a number from 0 to 9 nor a name.
    NoSuchList(String),
    /// A name that no list has.
    UnknownList(String),
    /// One name more than there may be.
    TooManyLists,
    /// A list that is what a file has: it and the file.
    FromFile(String, PathBuf),
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
            AclError::NoSuchList(word) => write!(f, "'{word}' is not an access list, 0 to {} or a name", ACLS - 1),
            AclError::UnknownList(word) => write!(f, "there is no access list '{word}'"),
            AclError::TooManyLists => write!(f, "there are {NAMED_MAX} access lists with names already"),
            AclError::FromFile(word, path) => write!(f, "access list {word} is what {} has", path.display()),
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

/// Parses what a list is called.
pub fn parse_list(word: &str) -> Result<ListName, AclError> {
    match word.parse() {
        Ok(list) if word.len() == 1 => Ok(ListName::Number(list)),
        _ if is_name(word) => Ok(ListName::Name(word.into())),
        _ => Err(AclError::NoSuchList(shown(word))),
    }
}

/// A word from outside as an error may show it: printable and short.
fn shown(word: &str) -> String {
    escaped(word).take(80).collect()
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
        Ok(Entry { action, net: Subnet::parse(address, mask)? })
    }

    /// The same with the bits that do not count cleared, and IPv4-mapped IPv6 as IPv4.
    fn canonical(self) -> Entry {
        let net = match self.net {
            Subnet::V4(ip, mask) => Subnet::v4(ip, mask),
            Subnet::V6(ip, len) => Subnet::v6(ip, len),
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
            Subnet::V4(ip, mask) => write!(f, "{action} {ip} {mask}"),
            Subnet::V6(ip, len) => write!(f, "{action} {ip}/{len}"),
        }
    }
}

impl Subnet {
    /// IPv4 clients whose address is `ip` in all bits that the mask has.
    pub fn v4(ip: Ipv4Addr, mask: Ipv4Addr) -> Subnet {
        Subnet::V4(ip & mask, mask)
    }

    /// IPv6 clients whose address begins with the first `len` bits of `ip`; at most 128 count. A
    /// prefix within the IPv4-mapped addresses stands for IPv4 clients.
    pub fn v6(ip: Ipv6Addr, len: u8) -> Subnet {
        let len = len.min(128);
        match ip.to_ipv4_mapped() {
            Some(ip) if len >= 96 => Subnet::v4(ip, v4_mask(len - 96)),
            _ => Subnet::V6(ip & v6_mask(len), len),
        }
    }

    /// Parses an address with or without a length, or an IPv4 address and its mask.
    pub fn parse(text: &str, mask: Option<&str>) -> Result<Subnet, AclError> {
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
            (IpAddr::V4(ip), None) => Ok(Subnet::v4(ip, v4_mask(len_up_to(32)?))),
            (IpAddr::V4(ip), Some(mask)) if len.is_none() => {
                Ok(Subnet::v4(ip, mask.parse().map_err(|_| AclError::BadMask(shown(mask)))?))
            }
            (IpAddr::V6(ip), None) => Ok(Subnet::v6(ip, len_up_to(128)?)),
            (_, Some(mask)) => Err(AclError::TooManyWords(shown(mask))),
        }
    }

    /// Whether it has this address.
    pub(super) fn matches(self, ip: IpAddr) -> bool {
        match (self, ip) {
            (Subnet::V4(net, mask), IpAddr::V4(ip)) => ip & mask == net,
            (Subnet::V6(net, len), IpAddr::V6(ip)) => ip & v6_mask(len) == net,
            (Subnet::V4(..), IpAddr::V6(_)) | (Subnet::V6(..), IpAddr::V4(_)) => false,
        }
    }
}

pub(super) fn v4_mask(len: u8) -> Ipv4Addr {
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
#[derive(Clone, Debug)]
pub struct Acls {
    /// Those with numbers, then those with names in the order in which they were named.
    lists: Vec<List>,
    names: Vec<Box<str>>,
}

impl Default for Acls {
    fn default() -> Acls {
        Acls { lists: vec![List::default(); ACLS], names: Vec::new() }
    }
}

impl Acls {
    /// The index of the list that is called so; those with numbers have these.
    pub fn find(&self, list: &ListName) -> Result<usize, AclError> {
        match list {
            ListName::Number(number) => Ok(usize::from(*number)),
            ListName::Name(name) => match self.names.iter().position(|known| known == name) {
                Some(place) => Ok(ACLS + place),
                None => Err(AclError::UnknownList(shown(name))),
            },
        }
    }

    /// The index of the list that is called so; a name that is new gets one.
    pub fn find_or_name(&mut self, list: &ListName) -> Result<usize, AclError> {
        match (self.find(list), list) {
            (Err(AclError::UnknownList(_)), ListName::Name(_)) if self.names.len() >= NAMED_MAX => {
                Err(AclError::TooManyLists)
            }
            (Err(AclError::UnknownList(_)), ListName::Name(name)) => {
                self.names.push(name.clone());
                self.lists.push(List::default());
                Ok(self.lists.len() - 1)
            }
            (found, _) => found,
        }
    }

    /// What the list of an index is called.
    pub fn name(&self, list: usize) -> ListName {
        match list.checked_sub(ACLS).and_then(|place| self.names.get(place)) {
            Some(name) => ListName::Name(name.clone()),
            None => ListName::Number(u8::try_from(list).unwrap_or(u8::MAX)),
        }
    }

    /// The indexes of all lists.
    pub fn indexes(&self) -> std::ops::Range<usize> {
        0..self.lists.len()
    }

    /// Makes a list what a file has.
    pub fn load(&mut self, list: usize, file: &Path, entries: &[Entry]) -> Result<(), AclError> {
        let list = self.list_mut(list)?;
        *list = List { file: Some(file.to_path_buf()), ..List::default() };
        entries.iter().for_each(|entry| list.push(entry.canonical()));
        Ok(())
    }

    /// The file whose entries a list has.
    pub fn file(&self, list: usize) -> Option<&Path> {
        self.lists.get(list)?.file.as_deref()
    }

    /// Appends an entry to a list. One that has the entries of a file takes no others.
    pub fn add(&mut self, list: usize, entry: Entry) -> Result<(), AclError> {
        if let Some(file) = self.file(list) {
            return Err(AclError::FromFile(self.name(list).to_string(), file.to_path_buf()));
        }
        self.list_mut(list)?.push(entry.canonical());
        Ok(())
    }

    /// Empties a list.
    pub fn clear(&mut self, list: usize) -> Result<(), AclError> {
        *self.list_mut(list)? = List::default();
        Ok(())
    }

    /// The entries of a list, in the order in which they count.
    pub fn entries(&self, list: usize) -> &[Entry] {
        self.lists.get(list).map_or(&[], |list| &list.entries)
    }

    /// Whether a list lets a client pass. A list that does not exist lets nobody pass.
    pub fn check(&self, list: usize, from: ClientAddr) -> bool {
        let Some(list) = self.lists.get(list) else { return false };
        let ClientAddr::Inet(ip) = canonical(from) else { return true };
        match list.first_match(ip) {
            Some(entry) => entry.action == Action::Permit,
            None => list.entries.last().is_none_or(|last| last.action == Action::Deny),
        }
    }

    fn list_mut(&mut self, list: usize) -> Result<&mut List, AclError> {
        self.lists.get_mut(list).ok_or_else(|| AclError::NoSuchList(list.to_string()))
    }
}

/// One list: its entries in order, and the same by mask, so that a long list costs no more than
/// one look-up for each mask that occurs in it.
#[derive(Clone, Debug, Default)]
struct List {
    entries: Vec<Entry>,
    masks: Vec<Mask>,
    /// Where they come from, if that is a file.
    file: Option<PathBuf>,
}

/// The entries of one family that have the same mask.
#[derive(Clone, Debug)]
struct Mask {
    is_v6: bool,
    bits: u128,
    /// Index of the first entry for each address.
    first: BTreeMap<u128, usize>,
}

/// With more masks than these, which takes masks that are no prefixes, a scan is as good.
const MASKS_MAX: usize = 33 + 129;

/// A list as short as this is scanned faster.
const SHORT: usize = 16;

impl List {
    fn push(&mut self, entry: Entry) {
        let index = self.entries.len();
        self.entries.push(entry);
        let (is_v6, bits, net) = match entry.net {
            Subnet::V4(ip, mask) => (false, mask.to_bits().into(), ip.to_bits().into()),
            Subnet::V6(ip, len) => (true, v6_mask(len).to_bits(), ip.to_bits()),
        };
        let known = self.masks.iter().position(|mask| mask.is_v6 == is_v6 && mask.bits == bits);
        let at = known.unwrap_or(self.masks.len());
        if at <= MASKS_MAX {
            if at == self.masks.len() {
                self.masks.push(Mask { is_v6, bits, first: BTreeMap::new() });
            }
            self.masks[at].first.entry(net).or_insert(index);
        }
    }

    fn first_match(&self, ip: IpAddr) -> Option<&Entry> {
        if self.entries.len() <= SHORT || self.masks.len() > MASKS_MAX {
            return self.entries.iter().find(|entry| entry.net.matches(ip));
        }
        let (is_v6, bits) = match ip {
            IpAddr::V4(ip) => (false, ip.to_bits().into()),
            IpAddr::V6(ip) => (true, ip.to_bits()),
        };
        let masks = self.masks.iter().filter(|mask| mask.is_v6 == is_v6);
        let first = masks.filter_map(|mask| mask.first.get(&(bits & mask.bits))).min()?;
        self.entries.get(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::testing::Random;

    fn client(text: &str) -> ClientAddr {
        ClientAddr::Inet(text.parse().unwrap())
    }

    fn entry(text: &str) -> Result<Entry, AclError> {
        Entry::parse(&text.split(' ').collect::<Vec<_>>())
    }

    fn acls(entries: &[&str]) -> Acls {
        let mut acls = Acls::default();
        entries.iter().for_each(|text| acls.add(3, entry(text).unwrap()).unwrap());
        acls
    }

    #[test]
    fn every_form_of_entry_is_understood() {
        let table = [
            ("permit 192.0.2.1", "permit 192.0.2.1 255.255.255.255"),
            ("deny 10.0.0.0 255.0.0.0", "deny 10.0.0.0 255.0.0.0"),
            ("permit 10.1.2.3/8", "permit 10.0.0.0 255.0.0.0"),
            ("permit 10.1.2.3/0", "permit 0.0.0.0 0.0.0.0"),
            ("permit 10.1.2.3 255.0.255.0", "permit 10.0.2.0 255.0.255.0"),
            ("permit 2001:db8::1", "permit 2001:db8::1/128"),
            ("deny 2001:db8::1/32", "deny 2001:db8::/32"),
            ("deny ::1/0", "deny ::/0"),
            ("permit ::ffff:192.0.2.1", "permit 192.0.2.1 255.255.255.255"),
            ("permit ::ffff:192.0.2.1/120", "permit 192.0.2.0 255.255.255.0"),
        ];
        for (text, canonical) in table {
            assert_eq!(acls(&[text]).entries(3)[0].to_string(), canonical, "{text}");
            assert_eq!(entry(canonical), entry(text), "{text}");
        }
    }

    #[test]
    fn b14_bad_entries_and_lists_are_refused_and_name_the_word() {
        let table = [
            ("allow 192.0.2.1", "'allow' is neither permit nor deny"),
            ("permit", "no address after permit or deny"),
            ("permit host1", "'host1' is not an address"),
            ("permit 192.0.2.1 255", "'255' is not an IPv4 mask"),
            ("permit 192.0.2.1/33", "'33' is not the length of a prefix"),
            ("permit 192.0.2.1/+8", "'+8' is not the length of a prefix"),
            ("permit ::1/129", "'129' is not the length of a prefix"),
            ("permit ::1/", "'' is not the length of a prefix"),
            ("permit ::1 64", "'64' is one word too many"),
            ("permit 192.0.2.1/8 255.0.0.0", "'255.0.0.0' is one word too many"),
            ("permit 192.0.2.1 255.0.0.0 x", "'x' is one word too many"),
            ("permit country SE", "access lists by country are not supported"),
        ];
        for (text, message) in table {
            assert_eq!(entry(text).unwrap_err().to_string(), message, "{text}");
        }
        for word in ["10", "-1", "+1", "01", "", "x:y", "99999999999999999999"] {
            assert_eq!(parse_list(word), Err(AclError::NoSuchList(String::from(word))));
        }
        assert_eq!(parse_list("9"), Ok(ListName::Number(9)));
        assert_eq!(parse_list("office"), Ok(ListName::Name("office".into())));
        let mut acls = Acls::default();
        assert!(acls.add(10, entry("permit ::1").unwrap()).is_err());
        assert!(acls.clear(10).is_err());
        assert!(acls.entries(10).is_empty());
        assert!(!acls.check(10, client("192.0.2.1")));
    }

    #[test]
    fn a_list_with_a_name_is_there_once_somebody_says_it() {
        let mut acls = Acls::default();
        let office = ListName::Name("office".into());
        assert_eq!(acls.find(&office).unwrap_err().to_string(), "there is no access list 'office'");
        let index = acls.find_or_name(&office).unwrap();
        assert_eq!((index, acls.find_or_name(&office)), (ACLS, Ok(ACLS)));
        acls.add(index, entry("permit 10.0.0.0/8").unwrap()).unwrap();
        assert!(acls.check(index, client("10.1.1.1")) && !acls.check(index, client("11.1.1.1")));
        assert_eq!((acls.name(index), acls.name(3)), (office, ListName::Number(3)));
        for n in 1..NAMED_MAX {
            acls.find_or_name(&ListName::Name(format!("l{n}").into())).unwrap();
        }
        assert_eq!(acls.find_or_name(&ListName::Name("more".into())), Err(AclError::TooManyLists));
        assert_eq!(acls.indexes().len(), ACLS + NAMED_MAX);
    }

    #[test]
    fn a_list_has_the_entries_of_its_file_and_no_others() {
        let mut acls = acls(&["deny 10.0.0.1"]);
        let entries = [entry("permit 10.1.2.3/8").unwrap()];
        acls.load(3, Path::new("/etc/office"), &entries).unwrap();
        assert_eq!(acls.entries(3).len(), 1);
        assert!(!acls.check(3, client("11.0.0.1")));
        let error = acls.add(3, entries[0]).unwrap_err();
        assert_eq!(error.to_string(), "access list 3 is what /etc/office has");
        acls.clear(3).unwrap();
        assert_eq!(acls.file(3), None);
        acls.add(3, entries[0]).unwrap();
    }

    #[test]
    fn the_first_match_decides_and_else_the_opposite_of_the_last_entry() {
        let table: [(&[&str], &str, bool); 9] = [
            (&[], "192.0.2.1", true),
            (&["permit 192.0.2.1"], "192.0.2.1", true),
            (&["permit 192.0.2.1"], "192.0.2.2", false),
            (&["deny 192.0.2.1"], "192.0.2.2", true),
            (&["deny 192.0.2.1", "permit 192.0.2.0/24"], "192.0.2.1", false),
            (&["permit 192.0.2.0/24", "deny 192.0.2.1"], "192.0.2.1", true),
            (&["permit 192.0.2.0/24", "deny 192.0.2.1"], "198.51.100.1", true),
            (&["permit 0.0.0.0/0"], "::1", false),
            (&["permit ::/0"], "192.0.2.1", false),
        ];
        for (entries, from, may) in table {
            assert_eq!(acls(entries).check(3, client(from)), may, "{entries:?} {from}");
        }
    }

    #[test]
    fn b14_host_bits_under_the_mask_do_not_count() {
        let acls = acls(&["deny 10.1.2.3 255.0.0.0", "deny 2001:db8::1/32"]);
        for (from, may) in [("10.9.9.9", false), ("11.1.2.3", true), ("2001:db8:7::", false), ("2001:db9::1", true)] {
            assert_eq!(acls.check(3, client(from)), may, "{from}");
        }
    }

    #[test]
    fn an_ipv4_mapped_client_is_checked_as_ipv4_and_a_unix_client_always_passes() {
        let acls = acls(&["deny 192.0.2.0/24", "permit ::ffff:0:0/96"]);
        assert!(!acls.check(3, client("::ffff:192.0.2.1")));
        assert!(acls.check(3, client("::ffff:198.51.100.1")));
        assert!(!acls.check(3, client("2001:db8::1")));
        assert!(acls.check(3, ClientAddr::Unix));
    }

    /// The twin: addresses as strings of binary digits, looked at one by one.
    fn naive(entries: &[(bool, String, String)], ip: &str) -> bool {
        for (permit, net, mask) in entries {
            let same = net.len() == ip.len()
                && net.bytes().zip(mask.bytes()).zip(ip.bytes()).all(|((net, mask), ip)| mask == b'0' || net == ip);
            if same {
                return *permit;
            }
        }
        entries.last().is_none_or(|(permit, ..)| !permit)
    }

    #[test]
    fn every_check_is_that_of_the_naive_twin() {
        let mut random = Random::new(3);
        // Few bits that differ, so that entries match often.
        let v4 = |random: &mut Random| 0x0a00_0000_u32 | (random.next() & 0x8181_0181) as u32;
        let v6 = |random: &mut Random| 0x2001_0db8_u128 << 96 | u128::from(random.next() & 0x8000_0001_0000_0081);
        for round in 0..1_000 {
            let (mut acls, mut twin) = (Acls::default(), Vec::new());
            let length = [8, 40, 400][random.below(3) as usize];
            for _ in 0..random.below(length) {
                let permit = random.one_in(2);
                let action = if permit { Action::Permit } else { Action::Deny };
                let (net, row) = if random.one_in(2) {
                    let (ip, mask) = (v4(&mut random), random.next() as u32 | random.next() as u32);
                    (Subnet::V4(ip.into(), mask.into()), (permit, format!("{ip:032b}"), format!("{mask:032b}")))
                } else {
                    let (ip, len) = (v6(&mut random), random.below(129) as usize);
                    let mask = "1".repeat(len) + &"0".repeat(128 - len);
                    (Subnet::V6(ip.into(), len as u8), (permit, format!("{ip:0128b}"), mask))
                };
                acls.add(9, Entry { action, net }).unwrap();
                twin.push(row);
            }
            for _ in 0..20 {
                let (four, six) = (v4(&mut random), v6(&mut random));
                let from = ClientAddr::Inet(Ipv4Addr::from(four).into());
                assert_eq!(acls.check(9, from), naive(&twin, &format!("{four:032b}")), "{round} {from} {acls:?}");
                let from = ClientAddr::Inet(Ipv6Addr::from(six).into());
                assert_eq!(acls.check(9, from), naive(&twin, &format!("{six:0128b}")), "{round} {from} {acls:?}");
            }
        }
    }
}
