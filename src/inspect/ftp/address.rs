//! The addresses in FTP commands and replies: read leniently from servers, strictly from clients.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Why the argument of EPRT is of no use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EprtError {
    /// It is not of the form that RFC 2428 section 2 asks for.
    Syntax,
    /// A network protocol that is neither IPv4 (1) nor IPv6 (2).
    Family,
}

/// Reads the argument of PORT: `192,0,2,1,19,137` (RFC 959 section 4.1.2).
pub fn read_port(argument: &[u8]) -> Option<SocketAddrV4> {
    let numbers = argument.trim_ascii().split(|byte| *byte == b',');
    let mut fields = [0; 6];
    let mut count = 0;
    for number in numbers {
        *fields.get_mut(count)? = u8::try_from(number_of(number.trim_ascii())?).ok()?;
        count += 1;
    }
    (count == fields.len()).then(|| from_fields(fields))
}

/// Reads the argument of EPRT: `|1|192.0.2.1|5001|` or `|2|2001:db8::1|5001|` (RFC 2428
/// section 2), with any delimiter of the characters 33 to 126.
pub fn read_eprt(argument: &[u8]) -> Result<SocketAddr, EprtError> {
    let argument = argument.trim_ascii();
    let (&delimiter, rest) = argument.split_first().ok_or(EprtError::Syntax)?;
    if !(33..=126).contains(&delimiter) {
        return Err(EprtError::Syntax);
    }
    let fields: Vec<&[u8]> = rest.splitn(5, |byte| *byte == delimiter).collect();
    let [family, address, port, b""] = fields[..] else { return Err(EprtError::Syntax) };
    let family = number_of(family).ok_or(EprtError::Syntax)?;
    let address = std::str::from_utf8(address).map_err(|_| EprtError::Syntax)?;
    let port = number_of(port).ok_or(EprtError::Syntax)?;
    let ip = match family {
        1 => address.parse::<Ipv4Addr>().map(IpAddr::V4),
        2 => address.parse::<Ipv6Addr>().map(IpAddr::V6),
        _ => return Err(EprtError::Family),
    };
    Ok(SocketAddr::new(ip.map_err(|_| EprtError::Syntax)?, port))
}

/// Finds the address in the text of a 227 reply: six numbers with commas between them, wherever
/// they stand (RFC 1123 section 4.1.2.6).
pub fn find_passive(text: &[u8]) -> Option<SocketAddrV4> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b',' || *byte == b' ';
    text.split(|byte| !is_part(byte)).find_map(|run| {
        let numbers: Vec<&[u8]> = run.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
        // Numbers of the text around may stand before the first or after the last one.
        numbers.windows(6).find_map(|six| {
            let mut fields = [0; 6];
            for (place, (field, number)) in fields.iter_mut().zip(six).enumerate() {
                let mut words = number.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
                let word = if place == 0 { words.next_back() } else { words.next() };
                *field = u8::try_from(number_of(word?)?).ok()?;
            }
            Some(from_fields(fields))
        })
    })
}

/// Finds the port in the text of a 229 reply: `(|||6446|)`, with any delimiter (RFC 2428
/// section 3).
pub fn find_extended(text: &[u8]) -> Option<u16> {
    let open = text.iter().rposition(|byte| *byte == b'(')?;
    let inner = &text[open + 1..];
    let (&delimiter, rest) = inner.split_first()?;
    if !(33..=126).contains(&delimiter) || delimiter.is_ascii_digit() {
        return None;
    }
    // Servers that name the family and the address as well are understood.
    let mut fields = rest.split(|byte| *byte == delimiter).skip(2);
    let port = number_of(fields.next()?)?;
    fields.next()?;
    (port != 0).then_some(port)
}

/// The address as PORT and a 227 reply have it.
pub fn six_numbers(address: SocketAddrV4) -> String {
    let [a, b, c, d] = address.ip().octets();
    let [high, low] = address.port().to_be_bytes();
    format!("{a},{b},{c},{d},{high},{low}")
}

/// The address as EPRT has it.
pub fn extended(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => format!("|1|{}|{}|", v4.ip(), v4.port()),
        SocketAddr::V6(v6) => format!("|2|{}|{}|", SocketAddrV6::ip(&v6), v6.port()),
    }
}

fn from_fields([a, b, c, d, high, low]: [u8; 6]) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))
}

/// A number of one to five digits, without a sign.
fn number_of(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_of_port_is_six_numbers_and_nothing_else() {
        let good = [
            ("192,0,2,1,19,137", "192.0.2.1:5001"),
            (" 0,0,0,0,0,0 ", "0.0.0.0:0"),
            ("255,255,255,255,255,255", "255.255.255.255:65535"),
            ("10, 0, 0, 1, 4, 1", "10.0.0.1:1025"),
        ];
        for (text, address) in good {
            assert_eq!(read_port(text.as_bytes()), Some(address.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            ",,,,,",
            "1,2,3,4,5",
            "1,2,3,4,5,6,7",
            "256,0,0,1,4,1",
            "1,2,3,4,5,-6",
            "1,2,3,4,5,+6",
            "a,0,0,1,4,1",
            "1 2,0,0,1,4,1",
        ] {
            assert_eq!(read_port(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_argument_of_eprt_names_its_family() {
        let good = [
            ("|1|192.0.2.1|5001|", "192.0.2.1:5001"),
            ("|2|2001:db8::1|5001|", "[2001:db8::1]:5001"),
            ("!1!192.0.2.1!65535!", "192.0.2.1:65535"),
            (" |1|192.0.2.1|0| ", "192.0.2.1:0"),
        ];
        for (text, address) in good {
            assert_eq!(read_eprt(text.as_bytes()), Ok(address.parse().unwrap()), "{text}");
        }
        for text in
            ["", "|", "|1|192.0.2.1|5001", "|1|192.0.2.1|5001||", "|2|192.0.2.1|1|", "|1|::1|1|", "|1|192.0.2.1|65536|"]
        {
            assert_eq!(read_eprt(text.as_bytes()), Err(EprtError::Syntax), "{text}");
        }
        assert_eq!(read_eprt(b"|3|192.0.2.1|5001|"), Err(EprtError::Family));
        assert_eq!(read_eprt(b"|1|192.0.2.1|5001|").map(extended).unwrap(), "|1|192.0.2.1|5001|");
        assert_eq!(read_eprt(b"|2|::1|7|").map(extended).unwrap(), "|2|::1|7|");
    }

    #[test]
    fn the_address_of_a_227_reply_is_found_wherever_it_stands() {
        let good = [
            "Entering Passive Mode (192,0,2,1,19,137)",
            "Entering Passive Mode (192,0,2,1,19,137).",
            "Entering Passive Mode. 192,0,2,1,19,137",
            "=192,0,2,1,19,137",
            "192,0,2,1,19,137",
            "Mode 2 of 3: 192,0,2,1,19,137 is yours",
            "ok 192, 0, 2, 1, 19, 137",
        ];
        for text in good {
            assert_eq!(find_passive(text.as_bytes()), Some("192.0.2.1:5001".parse().unwrap()), "{text}");
        }
        for text in ["", "Entering Passive Mode", "(192,0,2,1,19)", "(192,0,2,1,19,256)", "(192.0.2.1.19.137)"] {
            assert_eq!(find_passive(text.as_bytes()), None, "{text}");
        }
        assert_eq!(six_numbers("192.0.2.1:5001".parse().unwrap()), "192,0,2,1,19,137");
    }

    #[test]
    fn the_port_of_a_229_reply_is_found_within_its_delimiters() {
        for text in [
            "Entering Extended Passive Mode (|||6446|)",
            "Extended Passive Mode OK (|||6446|).",
            "(!!!6446!)",
            "(mode) (|1|192.0.2.1|6446|)",
        ] {
            assert_eq!(find_extended(text.as_bytes()), Some(6446), "{text}");
        }
        for text in ["", "()", "(||6446|)", "(|||65536|)", "(|||0|)", "(|||6446", "|||6446|", "(1116446 1)"] {
            assert_eq!(find_extended(text.as_bytes()), None, "{text}");
        }
    }
}
