//! The words of the commands about FTP: where data connections arrive, what address clients are told
//! for them, and whether they may encrypt.

use std::net::IpAddr;

use super::command::{Command, FtpChange};
use super::words::{Problem, Words};

/// The lowest port where data connections may arrive: those below are for services.
const FTP_PORT_MIN: u16 = 1024;

pub(super) fn ports(words: &mut Words<'_>) -> Result<Command, Problem> {
    let Some(word) = words.next() else { return Ok(Command::Ftp(FtpChange::Ports(None))) };
    let (low, high) = word.split_once('-').unwrap_or((word, word));
    match (low.parse(), high.parse()) {
        (Ok(low), Ok(high)) if low >= FTP_PORT_MIN && low <= high => {
            Ok(Command::Ftp(FtpChange::Ports(Some(Some((low, high))))))
        }
        _ => Err(Problem::NotOneOf(String::from(word), "a range of ports from 1024 to 65535")),
    }
}

pub(super) fn address(words: &mut Words<'_>) -> Result<Command, Problem> {
    let Some(word) = words.next() else { return Ok(Command::Ftp(FtpChange::Address(None))) };
    let ip: IpAddr = word.parse().map_err(|_| Problem::NotAnAddress(String::from(word)))?;
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(Problem::NotOneOf(String::from(word), "an address that clients can connect to"));
    }
    Ok(Command::Ftp(FtpChange::Address(Some(Some(ip)))))
}

pub(super) fn auth(words: &mut Words<'_>) -> Result<Command, Problem> {
    let auth = match words.next() {
        None => None,
        Some("on") => Some(true),
        Some("off") => Some(false),
        Some(other) => return Err(Problem::NotOneOf(String::from(other), "on or off")),
    };
    Ok(Command::Ftp(FtpChange::Auth(auth)))
}
