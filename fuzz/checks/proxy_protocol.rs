//! Headers of the PROXY protocol: whatever comes, a header is within it, is not there before its last byte is, and says
//! the same when it is sent on.

use pen::base::proxy_version::ProxyVersion;
use pen::inspect::proxy_protocol::{Decoded, HEADER_MAX, Transport, decode, encode};

/// Judges what becomes of this input. Its first byte tells what carries it.
pub fn check(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let transport = if first % 2 == 0 { Transport::Stream } else { Transport::Datagram };
    match decode(bytes, transport) {
        Decoded::Partial => assert!(bytes.len() < HEADER_MAX),
        Decoded::Bad(why) => {
            assert!((1..80).contains(&why.len()));
            // More does not make it good.
            let more = [bytes, &[b'x'; 40]].concat();
            assert!(matches!(decode(&more, transport), Decoded::Bad(_)));
        }
        Decoded::Header(length, route) => {
            assert!(length <= bytes.len().min(HEADER_MAX));
            for cut in 0..length {
                assert_eq!(decode(&bytes[..cut], transport), Decoded::Partial, "{cut} of {length}");
            }
            assert_eq!(decode(&bytes[..length], transport), Decoded::Header(length, route.clone()));
            let Some(route) = route else { return };
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let again = encode(version, transport, &route);
                if version == ProxyVersion::V1 && transport == Transport::Datagram {
                    continue;
                }
                let Decoded::Header(length, told) = decode(&again, transport) else { panic!("{again:?}") };
                assert_eq!(length, again.len());
                assert!(told.is_none_or(|told| told == route));
            }
        }
    }
}
