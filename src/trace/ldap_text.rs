//! LDAP messages in words (RFC 4511).

use std::io::Write;

use super::ber::{Element, Elements};
use super::ldap_filter::{write_filter, write_quoted};
use super::told::VEIL;

/// Attributes of an entry or a search that are named.
const NAMES_MAX: usize = 20;

/// The name of an operation by its tag.
pub fn name(tag: u8) -> Option<&'static str> {
    Some(match tag {
        0x60 => "BindRequest",
        0x61 => "BindResponse",
        0x42 => "UnbindRequest",
        0x63 => "SearchRequest",
        0x64 => "SearchResultEntry",
        0x65 => "SearchResultDone",
        0x73 => "SearchResultReference",
        0x66 => "ModifyRequest",
        0x67 => "ModifyResponse",
        0x68 => "AddRequest",
        0x69 => "AddResponse",
        0x4a => "DelRequest",
        0x6b => "DelResponse",
        0x6c => "ModifyDNRequest",
        0x6d => "ModifyDNResponse",
        0x6e => "CompareRequest",
        0x6f => "CompareResponse",
        0x50 => "AbandonRequest",
        0x77 => "ExtendedRequest",
        0x78 => "ExtendedResponse",
        0x79 => "IntermediateResponse",
        _ => return None,
    })
}

/// The operation of a message, of which the end may be missing.
pub fn operation(message: &[u8]) -> Option<Element<'_>> {
    Elements(message).next()?.elements().nth(1)
}

/// A message in words.
pub fn message(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let id = Elements(message).next().and_then(|all| all.elements().next()).and_then(|id| id.number());
    let (Some(id), Some(operation)) = (id, operation(message)) else { return b"a message without a number".to_vec() };
    let Some(name) = name(operation.tag) else {
        return format!("{id} operation {:#04x}", operation.tag).into_bytes();
    };
    write!(out, "{id} {name}").expect("writing to memory does not fail");
    match operation.tag {
        0x60 => write_bind(&mut out, &operation),
        0x63 => write_search(&mut out, &operation),
        0x64 => write_entry(&mut out, &operation),
        0x66 => write_modify(&mut out, &operation),
        0x68 => write_entry(&mut out, &operation),
        0x4a => write_word(&mut out, operation.content),
        0x6c | 0x6e => write_names(&mut out, &operation),
        0x50 => write_number(&mut out, &operation),
        0x73 => operation.elements().take(NAMES_MAX).for_each(|uri| write_word(&mut out, uri.content)),
        0x77 => write_extended(&mut out, &operation),
        0x61 | 0x65 | 0x67 | 0x69 | 0x6b | 0x6d | 0x6f | 0x78 => write_result(&mut out, &operation),
        _ => {}
    }
    out
}

fn write_word(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b' ');
    write_quoted(out, text);
}

fn write_number(out: &mut Vec<u8>, element: &Element<'_>) {
    let number = element.number().unwrap_or(-1);
    write!(out, " {number}").expect("writing to memory does not fail");
}

/// `version 3, dn "cn=admin", simple ***`
fn write_bind(out: &mut Vec<u8>, operation: &Element<'_>) {
    let mut parts = operation.elements();
    if let Some(version) = parts.next() {
        out.extend_from_slice(b" version");
        write_number(out, &version);
    }
    if let Some(dn) = parts.next() {
        out.extend_from_slice(b", dn");
        write_word(out, dn.content);
    }
    match parts.next() {
        Some(password) if password.tag == 0x80 && password.length == 0 => {
            out.extend_from_slice(b", simple, without a password");
        }
        Some(password) if password.tag == 0x80 => {
            out.extend_from_slice(b", simple");
            write_secret(out, password.content);
        }
        Some(sasl) if sasl.tag == 0xa3 => {
            let mut parts = sasl.elements();
            out.extend_from_slice(b", SASL ");
            out.extend_from_slice(parts.next().map_or(&b""[..], |mechanism| mechanism.content));
            if let Some(credentials) = parts.next() {
                write_secret(out, credentials.content);
            }
        }
        Some(_) | None => {}
    }
}

/// How long what is veiled is the dump tells.
fn write_secret(out: &mut Vec<u8>, content: &[u8]) {
    if content.iter().all(|byte| *byte == VEIL) {
        out.extend_from_slice(&[b' ', VEIL, VEIL, VEIL]);
    } else {
        write_word(out, content);
    }
}

/// `base "dc=example", sub, filter (cn=*), attributes cn mail`
fn write_search(out: &mut Vec<u8>, operation: &Element<'_>) {
    let parts: Vec<Element<'_>> = operation.elements().take(8).collect();
    let number = |place: usize| parts.get(place).and_then(Element::number);
    out.extend_from_slice(b" base");
    write_word(out, parts.first().map_or(&b""[..], |base| base.content));
    let scope = match number(1) {
        Some(0) => "base",
        Some(1) => "one",
        Some(2) => "sub",
        Some(3) => "children",
        _ => "?",
    };
    write!(out, ", scope {scope}").expect("writing to memory does not fail");
    for (place, what) in [(3, "at most"), (4, "seconds")] {
        if let Some(limit @ 1..) = number(place) {
            write!(out, ", {what} {limit}").expect("writing to memory does not fail");
        }
    }
    if number(5).is_some_and(|types_only| types_only != 0) {
        out.extend_from_slice(b", types only");
    }
    if let Some(filter) = parts.get(6) {
        out.extend_from_slice(b", filter ");
        write_filter(out, filter);
    }
    if let Some(list) = parts.get(7).filter(|list| list.length > 0) {
        out.extend_from_slice(b", attributes");
        for (count, name) in list.elements().enumerate() {
            if count == NAMES_MAX {
                out.extend_from_slice(b" ...");
                break;
            }
            out.push(b' ');
            out.extend_from_slice(name.content);
        }
    }
}

/// `"cn=Bob", attributes cn (1), mail (2)`
fn write_entry(out: &mut Vec<u8>, operation: &Element<'_>) {
    let mut parts = operation.elements();
    write_word(out, parts.next().map_or(&b""[..], |dn| dn.content));
    let Some(list) = parts.next().filter(|list| list.length > 0) else { return };
    out.extend_from_slice(b", attributes");
    for (count, attribute) in list.elements().enumerate() {
        if count == NAMES_MAX {
            out.extend_from_slice(b", ...");
            break;
        }
        out.extend_from_slice(if count == 0 { b" " } else { b", " });
        write_attribute(out, &attribute);
    }
    if list.content.len() < list.length {
        out.extend_from_slice(b", ...");
    }
}

/// Its name, and how many values it has.
fn write_attribute(out: &mut Vec<u8>, attribute: &Element<'_>) {
    let mut parts = attribute.elements();
    out.extend_from_slice(parts.next().map_or(&b"?"[..], |name| name.content));
    let values = parts.next().map_or(0, |values| values.elements().count());
    write!(out, " ({values})").expect("writing to memory does not fail");
}

/// `"cn=Bob", add mail (1), replace cn (1)`
fn write_modify(out: &mut Vec<u8>, operation: &Element<'_>) {
    let mut parts = operation.elements();
    write_word(out, parts.next().map_or(&b""[..], |dn| dn.content));
    for change in parts.next().iter().flat_map(Element::elements).take(NAMES_MAX) {
        let mut parts = change.elements();
        let what = match parts.next().and_then(|what| what.number()) {
            Some(0) => ", add ",
            Some(1) => ", delete ",
            Some(2) => ", replace ",
            Some(3) => ", increment ",
            _ => ", ? ",
        };
        out.extend_from_slice(what.as_bytes());
        if let Some(attribute) = parts.next() {
            write_attribute(out, &attribute);
        }
    }
}

/// The names that a rename or a comparison is about.
fn write_names(out: &mut Vec<u8>, operation: &Element<'_>) {
    for part in operation.elements().take(4) {
        match part.tag {
            0x04 | 0x80 => write_word(out, part.content),
            0x30 => write_word(out, part.elements().next().map_or(&b""[..], |name| name.content)),
            _ => {}
        }
    }
}

fn write_extended(out: &mut Vec<u8>, operation: &Element<'_>) {
    let Some(name) = operation.elements().next() else { return };
    out.push(b' ');
    out.extend_from_slice(name.content);
    let known = match name.content {
        b"1.3.6.1.4.1.1466.20037" => " (StartTLS)",
        b"1.3.6.1.4.1.4203.1.11.1" => " (change a password)",
        b"1.3.6.1.4.1.4203.1.11.3" => " (who am I)",
        b"1.3.6.1.1.8" => " (cancel)",
        _ => "",
    };
    out.extend_from_slice(known.as_bytes());
}

/// `success (0)`, with what is said besides.
fn write_result(out: &mut Vec<u8>, operation: &Element<'_>) {
    let mut parts = operation.elements();
    let Some(code) = parts.next().and_then(|code| code.number()) else { return };
    write!(out, " {} ({code})", result_name(code)).expect("writing to memory does not fail");
    for (part, what) in parts.take(2).zip([", matched", ", says"]) {
        if part.length > 0 {
            out.extend_from_slice(what.as_bytes());
            write_word(out, part.content);
        }
    }
}

/// The name of a result code (RFC 4511 section 4.1.9, RFC 3909, RFC 4533).
fn result_name(code: i64) -> &'static str {
    match code {
        0 => "success",
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        5 => "compareFalse",
        6 => "compareTrue",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        14 => "saslBindInProgress",
        16 => "noSuchAttribute",
        17 => "undefinedAttributeType",
        18 => "inappropriateMatching",
        19 => "constraintViolation",
        20 => "attributeOrValueExists",
        21 => "invalidAttributeSyntax",
        32 => "noSuchObject",
        33 => "aliasProblem",
        34 => "invalidDNSyntax",
        36 => "aliasDereferencingProblem",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        54 => "loopDetect",
        64 => "namingViolation",
        65 => "objectClassViolation",
        66 => "notAllowedOnNonLeaf",
        67 => "notAllowedOnRDN",
        68 => "entryAlreadyExists",
        69 => "objectClassModsProhibited",
        71 => "affectsMultipleDSAs",
        80 => "other",
        118 => "canceled",
        119 => "noSuchOperation",
        120 => "tooLate",
        121 => "cannotCancel",
        4096 => "syncRefreshRequired",
        _ => "result",
    }
}
