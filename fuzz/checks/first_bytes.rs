//! The first bytes of a client: what they are is certain at some byte, and the same from then on.

use pen::inspect::first_bytes::{LOOK_MAX, Spoken, look};

/// Judges what becomes of this input. Its first byte tells whether the host is wanted.
pub fn check(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let whole_head = first % 2 == 0;
    let all = look(bytes, whole_head);
    assert!(all.is_some() || bytes.len() < LOOK_MAX);
    if let Some(Spoken::Tls(hello)) = &all {
        assert!(hello.server_name.as_ref().is_none_or(|name| (1..=255).contains(&name.len())));
    }
    let mut known = None;
    for count in (0..bytes.len().min(600)).chain([bytes.len()]) {
        let now = look(&bytes[..count], whole_head);
        assert!(known.is_none() || known == now, "{count}: {now:?} after {known:?}");
        known = now;
    }
    assert_eq!(known, all);
}
