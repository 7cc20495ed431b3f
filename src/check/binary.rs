//! Protocols of bytes: LDAP, DNS, MySQL.

use super::lines::Outcome;

/// An anonymous bind of version 3, message 1 (RFC 4511 section 4.2).
pub const LDAP_BIND: [u8; 14] = [0x30, 0x0c, 0x02, 0x01, 0x01, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00];

/// An unbind, message 2 (RFC 4511 section 4.3).
const LDAP_UNBIND: [u8; 7] = [0x30, 0x05, 0x02, 0x01, 0x02, 0x42, 0x00];

/// Results of a bind that a server gives which serves, though not everybody: success, another way of
/// authentication is needed, inappropriate or invalid credentials, unwilling to perform it.
const LDAP_ALIVE: [u8; 5] = [0, 8, 48, 49, 53];

/// An element of BER: its tag, its content, and what follows; `None` while it is not complete.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // Nobody sends more than 64 KiB here.
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let digits = rest.get(..count)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), &rest[count..])
        }
        _ => return None,
    };
    Some((*tag, rest.get(..length)?, &rest[length..]))
}

/// The answer to a bind. After an unbind the server ends the connection.
pub fn ldap(heard: &[u8]) -> Outcome {
    let strange = || Outcome::Bad(String::from("it does not answer as LDAP"), Vec::new());
    if heard.first().is_some_and(|tag| *tag != 0x30) {
        return strange();
    }
    let Some((_, message, _)) = element(heard) else { return Outcome::More };
    let result = element(message).and_then(|(_, _, rest)| element(rest));
    let Some((0x61, response, _)) = result else { return strange() };
    match element(response) {
        Some((0x0a, [code], _)) if LDAP_ALIVE.contains(code) => Outcome::Good(LDAP_UNBIND.into()),
        Some((0x0a, [code], _)) => Outcome::Bad(format!("it answers a bind with result {code}"), LDAP_UNBIND.into()),
        Some(_) | None => strange(),
    }
}

/// A question for the IPv4 address of a name (RFC 1035 section 4.1).
pub fn dns_question(name: &str, id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    // Recursion is desired; one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        bytes.push(u8::try_from(label.len()).expect("it is at most 63"));
        bytes.extend(label);
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// What was heard behind the id of the question. That a name does not exist is an answer, too.
pub fn dns(heard: &[u8]) -> Outcome {
    let (id, answer) = heard.split_at(2);
    if answer.len() < 12 || answer[..2] != *id || answer[2] & 0x80 == 0 {
        return Outcome::More;
    }
    match answer[3] & 0x0f {
        0 | 3 => Outcome::Good(Vec::new()),
        code => Outcome::Bad(format!("it answers with code {code}"), Vec::new()),
    }
}

/// The end of a conversation with MySQL.
const COM_QUIT: [u8; 5] = [1, 0, 0, 0, 1];

/// What a client can do: long passwords, protocol 4.1, secure connections, plugins.
const CAPABILITIES: u32 = 0x0008_8201;

/// The greeting, and then the answer to the handshake. A server that knows no such user is there, too:
/// it counts that as a failure of this user, but not as an error of the connection. It forgets nothing
/// else: ended before the handshake is complete, a connection counts against this host until the server
/// blocks it.
pub fn mysql(heard: &mut Vec<u8>, user: &str) -> Outcome {
    let Some((length, rest)) = heard.split_first_chunk::<4>() else { return Outcome::More };
    let (number, length) = (length[3], u32::from_le_bytes([length[0], length[1], length[2], 0]) as usize);
    let Some(packet) = rest.get(..length) else { return Outcome::More };
    let first = packet.first().copied();
    match (number, first) {
        (0, Some(10)) => {
            heard.drain(..4 + length);
            Outcome::Say(mysql_response(user))
        }
        (_, Some(0xff)) => {
            let code = packet.get(1..3).map_or(0, |code| u16::from_le_bytes([code[0], code[1]]));
            // Access denied, in its three forms.
            if number > 0 && matches!(code, 1045 | 1044 | 1698) {
                return Outcome::Good(Vec::new());
            }
            Outcome::Bad(format!("it answers with error {code}"), Vec::new())
        }
        (2.., Some(0)) => Outcome::Good(COM_QUIT.into()),
        // It wants another way to authenticate, in which an empty password is an empty answer.
        (2.., Some(0xfe)) => {
            let answer = vec![0, 0, 0, number + 1];
            heard.drain(..4 + length);
            Outcome::Say(answer)
        }
        _ => Outcome::Bad(String::from("it does not answer as MySQL"), Vec::new()),
    }
}

fn mysql_response(user: &str) -> Vec<u8> {
    let mut packet = CAPABILITIES.to_le_bytes().to_vec();
    // The longest packet, UTF-8, and 23 bytes for later use.
    packet.extend((1_u32 << 24).to_le_bytes());
    packet.push(33);
    packet.extend([0; 23]);
    packet.extend(user.as_bytes());
    // The end of the name, and no password.
    packet.extend([0, 0]);
    packet.extend(b"mysql_native_password\0");
    let length = u32::try_from(packet.len()).unwrap_or(0).to_le_bytes();
    let mut bytes = vec![length[0], length[1], length[2], 1];
    bytes.extend(packet);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_is_answered_by_success_or_by_somebody_who_is_choosy() {
        let answer = |code: u8| vec![0x30, 0x0c, 2, 1, 1, 0x61, 7, 0x0a, 1, code, 4, 0, 4, 0];
        for code in LDAP_ALIVE {
            assert_eq!(ldap(&answer(code)), Outcome::Good(LDAP_UNBIND.into()));
        }
        assert_eq!(
            ldap(&answer(51)),
            Outcome::Bad(String::from("it answers a bind with result 51"), LDAP_UNBIND.into())
        );
        let long =
            [&[0x30, 0x84, 0, 0, 0, 0x10, 2, 1, 1, 0x61, 0x84, 0, 0, 0, 7][..], &[0x0a, 1, 0, 4, 0, 4, 0]].concat();
        assert!(matches!(ldap(&long), Outcome::Good(_)), "a length in five bytes, as Active Directory has it");
        for length in 0..long.len() {
            assert_eq!(ldap(&long[..length]), Outcome::More);
        }
        assert!(matches!(ldap(b"220 hello"), Outcome::Bad(..)));
    }

    #[test]
    fn a_question_has_its_answer_by_its_number() {
        let question = dns_question("www.example.test.", 0x0102);
        assert_eq!(question[..12], [1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(question[12..], *b"\x03www\x07example\x04test\x00\x00\x01\x00\x01");
        let heard =
            |id: [u8; 2], flags: u8, code: u8| [&[1, 2][..], &id, &[flags, code, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(dns(&heard([1, 2], 0x84, 0)), Outcome::Good(Vec::new()));
        assert_eq!(dns(&heard([1, 2], 0x84, 3)), Outcome::Good(Vec::new()));
        assert_eq!(dns(&heard([1, 2], 0x84, 5)), Outcome::Bad(String::from("it answers with code 5"), Vec::new()));
        assert_eq!(dns(&heard([9, 2], 0x84, 0)), Outcome::More);
        assert_eq!(dns(&heard([1, 2], 0x04, 0)), Outcome::More);
    }

    #[test]
    fn mysql_is_left_after_a_whole_handshake() {
        let packet = |number: u8, bytes: &[u8]| [&[bytes.len() as u8, 0, 0, number][..], bytes].concat();
        let mut heard = packet(0, b"\x0a10.11.0-MariaDB\0and more");
        let Outcome::Say(response) = mysql(&mut heard, "check") else { panic!("a handshake") };
        assert_eq!((response[0] as usize, response[3]), (response.len() - 4, 1));
        assert!(response[36..].starts_with(b"check\0\0mysql_native_password\0") && heard.is_empty());
        assert_eq!(mysql(&mut packet(2, b"\0\0\0"), "check"), Outcome::Good(COM_QUIT.into()));
        assert_eq!(mysql(&mut packet(2, b"\xff\x15\x04#28000no"), "check"), Outcome::Good(Vec::new()));
        assert_eq!(mysql(&mut packet(2, b"\xfemysql_native_password\0"), "check"), Outcome::Say(vec![0, 0, 0, 3]));
        let blocked = mysql(&mut packet(0, b"\xff\x69\x04Host is blocked"), "check");
        assert_eq!(blocked, Outcome::Bad(String::from("it answers with error 1129"), Vec::new()));
        assert!(matches!(mysql(&mut packet(0, b"junk"), "check"), Outcome::Bad(..)));
        assert_eq!(mysql(&mut vec![200, 0, 0, 0, 10], "check"), Outcome::More);
    }
}
