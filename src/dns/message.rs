//! Questions and answers as bytes (RFC 1035 section 4).
//!
//! An answer is taken only if it is one to this very question. Whatever else is in it is bounded,
//! and may be wrong: a message that cannot be read is a refusal, never a panic.

use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message::RecordSection;
use domain::base::wire::ParseError;
use domain::base::{Message, MessageBuilder, ToName};
use domain::rdata::{A, Aaaa, Cname, Ptr, Soa};

use super::name::{Name, host_name};

/// How many aliases of one message are followed.
pub const ALIASES_MAX: usize = 8;

/// How long it holds that there is nothing, if the answer does not say (RFC 2308 section 5): seconds.
const NOTHING_TTL: u32 = 300;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The names of an address.
    Names,
    /// The IPv4 addresses of a name.
    V4,
    /// The IPv6 addresses of a name.
    V6,
}

impl Kind {
    fn rtype(self) -> Rtype {
        match self {
            Kind::Names => Rtype::PTR,
            Kind::V4 => Rtype::A,
            Kind::V6 => Rtype::AAAA,
        }
    }
}

/// One question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The name that is asked about.
    pub name: Name,
    /// What is asked for.
    pub kind: Kind,
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Host names, sorted, without those that are not fit for a log; how many these were.
    Names(Vec<String>, usize),
    /// The addresses of a name.
    Addresses(Vec<IpAddr>),
    /// Another name has what is asked for, and the message ends there.
    Alias(Name),
    /// There is nothing of the kind.
    Nothing,
    /// It did not fit: ask over TCP.
    Truncated,
    /// The server failed, refused, knows only who might know, or sent what cannot be read.
    Refused,
}

impl Question {
    /// What names does this address have? (RFC 1035 section 3.5, RFC 3596 section 2.5)
    pub fn names_of(address: IpAddr) -> Question {
        let mut name = Name::reverse_from_addr(address).expect("a vector has room for a reverse name");
        name.make_canonical();
        Question { name, kind: Kind::Names }
    }

    /// Which addresses of `family` does this host name have? `None` if it is no name of DNS.
    pub fn addresses_of(host: &str, family: IpAddr) -> Option<Question> {
        let kind = if family.is_ipv4() { Kind::V4 } else { Kind::V6 };
        Name::vec_from_str(host).ok().map(|name| Question { name, kind })
    }

    /// The question as a message with this id; recursion is desired.
    pub fn message(&self, id: u16) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(id);
        builder.header_mut().set_rd(true);
        let mut builder = builder.question();
        builder.push((&self.name, self.kind.rtype(), Class::IN)).expect("a vector has room for a question");
        builder.finish()
    }

    /// Reads an answer, and for how many seconds it holds. `None` if it is not one to this question
    /// with this id: then somebody else sent it, and the true one may still come.
    pub fn read_answer(&self, id: u16, bytes: &[u8]) -> Option<(Reply, u32)> {
        let message = Message::from_slice(bytes).ok()?;
        let header = message.header();
        if header.id() != id || !header.qr() || header.opcode() != Opcode::QUERY || !self.is_asked_in(message) {
            return None;
        }
        if header.tc() {
            return Some((Reply::Truncated, 0));
        }
        Some(self.read(message).unwrap_or((Reply::Refused, 0)))
    }

    /// Servers that could not read the question need not repeat it (RFC 1035 section 4.1.1).
    fn is_asked_in(&self, message: &Message<[u8]>) -> bool {
        if message.header_counts().qdcount() == 0 {
            return !matches!(message.header().rcode(), Rcode::NOERROR | Rcode::NXDOMAIN);
        }
        message.sole_question().is_ok_and(|question| {
            question.qtype() == self.kind.rtype()
                && question.qclass() == Class::IN
                && question.qname().name_eq(&self.name)
        })
    }

    fn read(&self, message: &Message<[u8]>) -> Result<(Reply, u32), ParseError> {
        let header = message.header();
        if !matches!(header.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN) {
            return Ok((Reply::Refused, 0));
        }
        let answer = message.answer()?;
        let (name, mut ttl) = follow(&self.name, answer)?;
        let found = match self.kind {
            Kind::Names => names(&name, answer, &mut ttl)?,
            Kind::V4 | Kind::V6 => addresses(&name, self.kind, answer, &mut ttl)?,
        };
        if let Some(reply) = found {
            return Ok((reply, ttl));
        }
        if header.rcode() == Rcode::NOERROR && name != self.name {
            return Ok((Reply::Alias(name), ttl));
        }
        if header.rcode() == Rcode::NOERROR && !header.aa() && !header.ra() {
            // It neither knows nor asks others: a server that the zone should not be delegated to.
            return Ok((Reply::Refused, 0));
        }
        Ok((Reply::Nothing, ttl.min(negative_ttl(message)?)))
    }
}

/// Where the aliases of the answer lead from this name, and the shortest time that they hold.
fn follow(from: &Name, answer: RecordSection<'_, [u8]>) -> Result<(Name, u32), ParseError> {
    let mut name = from.clone();
    let mut ttl = u32::MAX;
    for _ in 0..ALIASES_MAX {
        let mut next = None;
        for record in answer.limit_to_in::<Cname<_>>() {
            let record = record?;
            if record.owner().name_eq(&name) {
                ttl = ttl.min(record.ttl().as_secs());
                next = Some(record.data().cname().to_vec());
                break;
            }
        }
        match next {
            Some(next) => name = next,
            None => break,
        }
    }
    Ok((name, ttl))
}

fn names(owner: &Name, answer: RecordSection<'_, [u8]>, ttl: &mut u32) -> Result<Option<Reply>, ParseError> {
    let (mut names, mut unfit) = (Vec::new(), 0);
    for record in answer.limit_to_in::<Ptr<_>>() {
        let record = record?;
        if !record.owner().name_eq(owner) {
            continue;
        }
        *ttl = (*ttl).min(record.ttl().as_secs());
        match host_name(record.data().ptrdname()) {
            Some(name) => names.push(name),
            None => unfit += 1,
        }
    }
    // Servers give the names in any order; the same address is to have the same name each time.
    names.sort_unstable();
    names.dedup();
    Ok((!names.is_empty() || unfit > 0).then_some(Reply::Names(names, unfit)))
}

fn addresses(
    owner: &Name,
    kind: Kind,
    answer: RecordSection<'_, [u8]>,
    ttl: &mut u32,
) -> Result<Option<Reply>, ParseError> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for record in answer {
        let record = record?;
        if record.class() != Class::IN || record.rtype() != kind.rtype() || !record.owner().name_eq(owner) {
            continue;
        }
        let address = match kind {
            Kind::V6 => record.to_record::<Aaaa>()?.map(|record| IpAddr::V6(record.data().addr())),
            Kind::V4 | Kind::Names => record.to_record::<A>()?.map(|record| IpAddr::V4(record.data().addr())),
        };
        *ttl = (*ttl).min(record.ttl().as_secs());
        addresses.extend(address);
    }
    Ok((!addresses.is_empty()).then_some(Reply::Addresses(addresses)))
}

/// How long it holds that there is nothing (RFC 2308 section 3).
fn negative_ttl(message: &Message<[u8]>) -> Result<u32, ParseError> {
    if let Some(record) = message.authority()?.limit_to_in::<Soa<_>>().next() {
        let record = record?;
        return Ok(record.ttl().as_secs().min(record.data().minimum().as_secs()));
    }
    Ok(NOTHING_TTL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u16 = 0x1234;

    fn question() -> Question {
        Question::names_of(IpAddr::from([192, 0, 2, 7]))
    }

    /// Owner (empty for the name that is asked about), type, class, and bytes.
    type Parts<'a> = (&'a [u8], u16, u16, &'a [u8]);

    /// An answer to the question: its flags, and its records.
    fn answer(flags: u16, records: &[Parts<'_>]) -> Vec<u8> {
        let mut bytes = question().message(ID);
        bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        bytes[7] = u8::try_from(records.len()).unwrap();
        for (owner, rtype, class, content) in records {
            bytes.extend_from_slice(if owner.is_empty() { b"\xc0\x0c" } else { owner });
            bytes.extend_from_slice(&rtype.to_be_bytes());
            bytes.extend_from_slice(&class.to_be_bytes());
            bytes.extend_from_slice(&[0, 0, 1, 0]);
            bytes.extend_from_slice(&u16::try_from(content.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(content);
        }
        bytes
    }

    /// Flags of an answer with recursion, and of one by who is in charge.
    const RECURSIVE: u16 = 0x8180;
    const AUTHORITATIVE: u16 = 0x8400;
    const PTR: u16 = 12;

    #[test]
    fn an_answer_says_what_it_says() {
        let a: &[u8] = b"\x01a\x04test\x00";
        let names = |names: &[&str], unfit| Reply::Names(names.iter().map(|name| (*name).into()).collect(), unfit);
        let alias = |name: &str| Reply::Alias(Name::vec_from_str(name).unwrap());
        let table: [(u16, &[Parts<'_>], Reply); 18] = [
            (RECURSIVE, &[(b"", PTR, 1, a)], names(&["a.test"], 0)),
            (RECURSIVE, &[(b"", PTR, 1, b"\x01B\x00"), (b"", PTR, 1, a), (b"", PTR, 1, a)], names(&["a.test", "b"], 0)),
            (RECURSIVE, &[(b"", PTR, 1, b"\x03a\nb\x00"), (b"", PTR, 1, a)], names(&["a.test"], 1)),
            (RECURSIVE, &[(b"", PTR, 1, b"\x00")], names(&[], 1)),
            // Records of others, of another class, of another type.
            (RECURSIVE, &[(a, PTR, 1, a), (b"", PTR, 3, a), (b"", 16, 1, b"\x01x")], Reply::Nothing),
            // Aliases, in any order, in circles.
            (RECURSIVE, &[(b"", 5, 1, a), (a, PTR, 1, b"\x01b\x00")], names(&["b"], 0)),
            (RECURSIVE, &[(a, PTR, 1, b"\x01b\x00"), (b"", 5, 1, a)], names(&["b"], 0)),
            (AUTHORITATIVE, &[(b"", 5, 1, a)], alias("a.test")),
            (AUTHORITATIVE, &[(b"", 5, 1, a), (a, 5, 1, b"\x01b\x00"), (b"\x01b\x00", 5, 1, a)], alias("b")),
            (AUTHORITATIVE | 3, &[(b"", 5, 1, a)], Reply::Nothing),
            (RECURSIVE | 3, &[], Reply::Nothing),
            (RECURSIVE, &[], Reply::Nothing),
            (AUTHORITATIVE, &[], Reply::Nothing),
            // It is not in charge, and asks nobody: lame.
            (0x8100, &[], Reply::Refused),
            (RECURSIVE | 2, &[], Reply::Refused),
            (RECURSIVE | 5, &[(b"", PTR, 1, a)], Reply::Refused),
            (RECURSIVE | 0x200, &[(b"", PTR, 1, a)], Reply::Truncated),
            // A name that leads to itself.
            (RECURSIVE, &[(b"", PTR, 1, b"\xc0\x36")], Reply::Refused),
        ];
        for (flags, records, expected) in table {
            let found = question().read_answer(ID, &answer(flags, records));
            assert_eq!(found.map(|(reply, _)| reply), Some(expected), "{flags:x} {records:?}");
        }
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        let good = answer(RECURSIVE, &[(b"", PTR, 1, b"\x01a\x00")]);
        assert!(question().read_answer(ID, &good).is_some());
        assert!(question().read_answer(ID + 1, &good).is_none());
        let end = question().message(ID).len();
        let spoilt = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            question().read_answer(ID, &bytes)
        };
        // It is a question; it is an update; the name, the type, the class; none and two questions.
        for (at, byte) in [(2, 0x01), (2, 0xa8), (13, b'8'), (end - 3, 1), (end - 1, 3), (5, 0), (5, 2)] {
            assert_eq!(spoilt(at, byte), None, "byte {at}");
        }
        // Small and large letters are the same (RFC 4343).
        assert_eq!(spoilt(23, b'I').map(|(_, ttl)| ttl), Some(256));
        // Who cannot read a question need not repeat it.
        let refused = [&ID.to_be_bytes()[..], &[0x80, 0x81], &[0; 8]].concat();
        assert_eq!(question().read_answer(ID, &refused), Some((Reply::Refused, 0)));
    }

    #[test]
    fn what_is_cut_off_is_a_refusal() {
        let whole = answer(RECURSIVE, &[(b"", PTR, 1, b"\x01a\x00"), (b"", PTR, 1, b"\x01b\x04test\x00")]);
        let head = question().message(ID).len();
        for length in 0..whole.len() {
            let found = question().read_answer(ID, &whole[..length]);
            assert_eq!(found, (length >= head).then_some((Reply::Refused, 0)), "{length}");
        }
    }

    #[test]
    fn what_is_not_there_is_remembered_as_long_as_its_zone_says() {
        let soa = b"\x00\x00\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x64";
        let mut bytes = answer(RECURSIVE | 3, &[(b"\x00", 6, 1, soa)]);
        bytes.swap(7, 9);
        assert_eq!(question().read_answer(ID, &bytes), Some((Reply::Nothing, 100)));
        assert_eq!(question().read_answer(ID, &answer(RECURSIVE | 3, &[])), Some((Reply::Nothing, NOTHING_TTL)));
    }
}
