//! The client tables as bytes, for the process that takes over from this one.
//!
//! One table for each listener, by its name: magic, count, and each as name, length and bytes.
//! Ages instead of moments, because each process has its own clock; servers by their addresses,
//! because their numbers may be others by then. What is read is checked from end to end before
//! anything of it is believed.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::clients::{CLIENTS_MAX, Remembered};
use super::{Balancer, Listeners, Server};
use crate::base::addr::ClientAddr;
use crate::base::time::Moment;
use crate::select::siphash::{Key, siphash_2_4};

/// What all the bytes begin with: what they are, and the version of their form.
const TABLES_MAGIC: &[u8; 8] = b"penclnt2";
/// What those of one table begin with.
const MAGIC: &[u8; 8] = b"penclnt1";
/// The most clients that are handed over: those that came last.
const SAVED_MAX: usize = 1 << 20;
/// Bytes of one client: age, bytes sent and received, connects, server, kind of address, address.
const CLIENT_SIZE: usize = 8 + 8 + 8 + 4 + 2 + 1 + 16;
/// For "no server".
const NO_SERVER: u16 = u16::MAX;
/// The check at the end is against accidents; whoever can write the bytes can compute it.
const CHECK_KEY: Key = Key(0, 0);

/// Why bytes are no client table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken(&'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Writes down who came to each listener.
pub fn save(listeners: &Listeners, moment: Moment) -> Vec<u8> {
    let mut bytes = TABLES_MAGIC.to_vec();
    bytes.extend(count(listeners.iter().count()).to_be_bytes());
    for (_, listener) in listeners.iter() {
        let table = save_table(&listener.balancer, moment);
        for part in [listener.name.as_bytes(), &table] {
            bytes.extend(count(part.len()).to_be_bytes());
            bytes.extend(part);
        }
    }
    bytes
}

/// Takes over who came to the listeners of another process: those that are here, too. The first
/// error is told; what is whole is taken over nevertheless.
pub fn restore(listeners: &mut Listeners, bytes: &[u8], moment: Moment) -> Result<(), Broken> {
    let mut rest = bytes;
    if take::<8>(&mut rest)? != *TABLES_MAGIC {
        return Err(Broken("it is of an unknown form"));
    }
    let mut outcome = Ok(());
    for _ in 0..u32::from_be_bytes(take(&mut rest)?) {
        let (name, table) = (take_part(&mut rest)?, take_part(&mut rest)?);
        if let Some(at) = std::str::from_utf8(name).ok().and_then(|name| listeners.find(name)) {
            let restored = restore_table(&mut listeners[at].balancer, table, moment);
            outcome = outcome.and(restored.map(drop));
        }
    }
    outcome
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Broken> {
    let length = usize::try_from(u32::from_be_bytes(take(rest)?)).unwrap_or(usize::MAX);
    rest.split_off(..length).ok_or(TOO_SHORT)
}

/// Writes down who came, the one that came least recently first.
fn save_table(balancer: &Balancer, moment: Moment) -> Vec<u8> {
    let clients: Vec<Remembered> = balancer.clients.remembered(SAVED_MAX, moment).collect();
    let servers: Vec<(u16, String)> = balancer
        .servers
        .iter()
        .filter_map(|(id, server)| Some((u16::try_from(id.index()?).ok()?, name(server))))
        .collect();
    let mut bytes = MAGIC.to_vec();
    bytes.reserve(servers.len() * 32 + clients.len() * CLIENT_SIZE + 24);
    bytes.extend(count(servers.len()).to_be_bytes());
    for (index, name) in &servers {
        bytes.extend(index.to_be_bytes());
        bytes.extend(u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
        // A name that is longer than any name can be stands for no server at all.
        bytes.extend(name.bytes().take(if name.len() > usize::from(u16::MAX) { 0 } else { usize::MAX }));
    }
    bytes.extend(count(clients.len()).to_be_bytes());
    for client in clients.iter().rev() {
        save_client(&mut bytes, client);
    }
    bytes.extend(siphash_2_4(CHECK_KEY, &bytes).to_be_bytes());
    bytes
}

fn save_client(bytes: &mut Vec<u8>, client: &Remembered) {
    let age = u64::try_from(client.age.as_nanos()).unwrap_or(u64::MAX);
    bytes.extend(age.to_be_bytes());
    bytes.extend(client.sent.to_be_bytes());
    bytes.extend(client.received.to_be_bytes());
    bytes.extend(client.connects.to_be_bytes());
    let server = client.server.and_then(|index| u16::try_from(index).ok()).unwrap_or(NO_SERVER);
    bytes.extend(server.to_be_bytes());
    let (kind, address) = match client.address {
        ClientAddr::Unix => (0, 0),
        ClientAddr::Inet(IpAddr::V4(ip)) => (4, u128::from(ip.to_bits())),
        ClientAddr::Inet(IpAddr::V6(ip)) => (6, ip.to_bits()),
    };
    bytes.push(kind);
    bytes.extend(address.to_be_bytes());
}

/// Takes over who came to another process. A client keeps its server if there is one with the same
/// address; of more clients than fit, those that came least recently are left out. On an error
/// nothing is changed. Returns how many were read.
fn restore_table(balancer: &mut Balancer, bytes: &[u8], moment: Moment) -> Result<usize, Broken> {
    let (all, check) = bytes.split_last_chunk().ok_or(Broken("it is too short"))?;
    if siphash_2_4(CHECK_KEY, all) != u64::from_be_bytes(*check) {
        return Err(Broken("its check sum is wrong"));
    }
    let mut rest = all;
    if take::<8>(&mut rest)? != *MAGIC {
        return Err(Broken("it is of an unknown form"));
    }
    let mut moves = vec![None; usize::from(NO_SERVER)];
    for _ in 0..u32::from_be_bytes(take(&mut rest)?) {
        let index = u16::from_be_bytes(take(&mut rest)?);
        let length = usize::from(u16::from_be_bytes(take(&mut rest)?));
        let text = rest.split_off(..length).ok_or(TOO_SHORT)?;
        let slot = moves.get_mut(usize::from(index)).ok_or(Broken("it has a server without a number"))?;
        *slot = find(balancer, usize::from(index), text);
    }
    let clients = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).unwrap_or(usize::MAX);
    if clients > CLIENTS_MAX || rest.len() != clients * CLIENT_SIZE {
        return Err(Broken("it has not the length that it should have"));
    }
    let clients: Vec<Remembered> =
        rest.chunks_exact(CLIENT_SIZE).map(|row| read_client(row, &moves)).collect::<Result<_, _>>()?;
    clients.iter().for_each(|client| balancer.clients.take_over(client, moment));
    Ok(clients.len())
}

const TOO_SHORT: Broken = Broken("it is too short");

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Broken> {
    let (first, others) = rest.split_first_chunk().ok_or(TOO_SHORT)?;
    *rest = others;
    Ok(*first)
}

fn read_client(mut row: &[u8], moves: &[Option<usize>]) -> Result<Remembered, Broken> {
    let row = &mut row;
    let age = Duration::from_nanos(u64::from_be_bytes(take(row)?));
    let sent = u64::from_be_bytes(take(row)?);
    let received = u64::from_be_bytes(take(row)?);
    let connects = u32::from_be_bytes(take(row)?);
    let server = moves.get(usize::from(u16::from_be_bytes(take(row)?))).copied().flatten();
    let [kind] = take(row)?;
    let bits = u128::from_be_bytes(take(row)?);
    let address = match (kind, u32::try_from(bits)) {
        (0, Ok(0)) => ClientAddr::Unix,
        (4, Ok(bits)) => ClientAddr::Inet(IpAddr::from(bits.to_be_bytes())),
        (6, _) => ClientAddr::Inet(IpAddr::from(bits.to_be_bytes())),
        _ => return Err(Broken("it has a client without an address")),
    };
    Ok(Remembered { address, age, server, connects, sent, received })
}

/// The server with this address: at its old place, or else the first.
fn find(balancer: &Balancer, index: usize, text: &[u8]) -> Option<usize> {
    let is_it = |server: &Server| name(server).as_bytes() == text;
    if balancer.servers.regular(index).is_some_and(is_it) {
        return Some(index);
    }
    let (id, _) = balancer.servers.iter().find(|(_, server)| is_it(server))?;
    id.index()
}

fn name(server: &Server) -> String {
    format!("{}:{}", server.host, server.port)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).expect("there are fewer servers and clients than that")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Common, Listener, ServerId, Settings};
    use crate::base::operand::{ServerSpec, Services};
    use crate::base::time::Now;

    fn at(seconds: u64) -> Now {
        Now { moment: Moment::default() + Duration::from_secs(seconds), unix: seconds }
    }

    fn balancer(servers: &[&str]) -> Balancer {
        let mut balancer = Balancer::new(Settings { clients_max: 4, ..Settings::default() });
        for (index, text) in (0..).zip(servers) {
            let spec = ServerSpec::parse(text, &Services::default()).unwrap();
            balancer.servers.set(ServerId::Regular(index), Server::new(&spec, 80)).unwrap();
        }
        balancer
    }

    /// A client came, and got this server.
    fn serve(balancer: &mut Balancer, client: &str, server: u32, now: Now) {
        let address = if client == "-" { ClientAddr::Unix } else { ClientAddr::Inet(client.parse().unwrap()) };
        let id = balancer.admit(address, 1, now).client;
        balancer.connected(ServerId::Regular(server), id, now);
        balancer.account(ServerId::Regular(server), id, 10 + u64::from(server), 20);
    }

    /// Who is remembered, the newest first.
    fn rows(balancer: &Balancer, now: Now) -> Vec<String> {
        let shown = |client: Remembered| {
            let Remembered { address, age, server, connects, sent, received } = client;
            format!("{address} {} {server:?} {connects} {sent} {received}", age.as_secs())
        };
        balancer.clients.remembered(99, now.moment).map(shown).collect()
    }

    fn three() -> Balancer {
        let mut old = balancer(&["192.0.2.1", "192.0.2.2:81", "/run/three"]);
        serve(&mut old, "-", 2, at(100));
        serve(&mut old, "198.51.100.7", 0, at(110));
        serve(&mut old, "2001:db8::7", 1, at(120));
        serve(&mut old, "198.51.100.7", 0, at(130));
        old.admit(ClientAddr::Inet("198.51.100.8".parse().unwrap()), 1, at(140));
        old
    }

    #[test]
    fn everything_that_was_remembered_is_there_again() {
        let old = three();
        let bytes = save_table(&old, at(150).moment);
        let mut new = balancer(&["192.0.2.1", "192.0.2.2:81", "/run/three"]);
        assert_eq!(restore_table(&mut new, &bytes, at(5_000).moment), Ok(4));
        let rows_of_new = rows(&new, at(5_010));
        assert_eq!(rows_of_new, rows(&old, at(160)));
        assert_eq!(rows_of_new[1], "198.51.100.7 30 Some(0) 2 40 20");
        new.check();
    }

    #[test]
    fn each_listener_gets_the_clients_of_the_one_with_its_name() {
        let listeners = |names: &[&str]| {
            let mut listeners = Listeners::new(Common::default(), Settings::default());
            names.iter().for_each(|name| _ = listeners.add(name).unwrap());
            for name in ["main"].iter().chain(names) {
                let key = listeners.find(name).unwrap();
                listeners[key].balancer = balancer(&["192.0.2.1", "192.0.2.2"]);
            }
            listeners
        };
        let mut old = listeners(&["a", "b", "c"]);
        for (client, name) in [("192.0.2.9", "main"), ("192.0.2.10", "a"), ("192.0.2.11", "b"), ("192.0.2.12", "c")] {
            let key = old.find(name).unwrap();
            serve(&mut old[key].balancer, client, 1, at(10));
        }
        let bytes = save(&old, at(20).moment);
        let mut new = listeners(&["c", "new", "a"]);
        assert_eq!(restore(&mut new, &bytes, at(5_000).moment), Ok(()));
        let came = |listeners: &Listeners| -> Vec<String> {
            let rows = |(_, listener): (_, &Listener)| {
                rows(&listener.balancer, at(5_000)).into_iter().map(|row| format!("{}: {row}", listener.name)).collect()
            };
            listeners.iter().flat_map(|one| -> Vec<String> { rows(one) }).collect()
        };
        let row = |text: &str| format!("{text} 10 Some(1) 1 20 11");
        assert_eq!(came(&new), ["main: 192.0.2.9", "c: 192.0.2.12", "a: 192.0.2.10"].map(row));
        // One table that is broken does not spoil the others.
        let mut broken = bytes.clone();
        let place = bytes.windows(8).rposition(|window| window == MAGIC).unwrap();
        broken[place + 9] ^= 1;
        let mut new = listeners(&["a", "c"]);
        assert_eq!(restore(&mut new, &broken, at(5_000).moment).unwrap_err().to_string(), "its check sum is wrong");
        assert_eq!(came(&new).len(), 2);
        for length in 0..bytes.len() {
            assert!(restore(&mut listeners(&["a"]), &bytes[..length], at(5_000).moment).is_err(), "{length}");
        }
        assert_eq!(
            restore(&mut new, &[b"x", &bytes[..]].concat(), at(0).moment),
            Err(Broken("it is of an unknown form"))
        );
    }

    #[test]
    fn a_client_stays_with_its_server_where_that_has_another_number() {
        let bytes = save_table(&three(), at(150).moment);
        let mut new = balancer(&["192.0.2.2:81", "192.0.2.9", "192.0.2.1"]);
        restore_table(&mut new, &bytes, at(5_000).moment).unwrap();
        let servers: Vec<Option<usize>> =
            new.clients.remembered(9, at(5_000).moment).map(|client| client.server).collect();
        assert_eq!(servers, [None, Some(2), Some(0), None]);
    }

    #[test]
    fn of_more_clients_than_fit_the_newest_stay() {
        let bytes = save_table(&three(), at(150).moment);
        let mut new = balancer(&["192.0.2.1"]);
        new.clients.resize(2).unwrap();
        restore_table(&mut new, &bytes, at(5_000).moment).unwrap();
        assert_eq!(rows(&new, at(5_000)).len(), 2);
        assert!(rows(&new, at(5_000))[1].starts_with("198.51.100.7 "));
    }

    #[test]
    fn what_is_broken_changes_nothing() {
        let good = save_table(&three(), at(150).moment);
        let signed = |bytes: &[u8]| [bytes, &siphash_2_4(CHECK_KEY, bytes).to_be_bytes()].concat();
        let body = &good[..good.len() - 8];
        assert_eq!(signed(body), good);
        let changed = |place: usize, byte: u8| {
            let mut body = body.to_vec();
            body[place] = byte;
            signed(&body)
        };
        let last_kind = body.len() - 17;
        let table: Vec<(Vec<u8>, &str)> = vec![
            (Vec::new(), "it is too short"),
            (good[1..].to_vec(), "its check sum is wrong"),
            (signed(b""), "it is too short"),
            (changed(7, b'2'), "it is of an unknown form"),
            (changed(11, 200), "it is too short"),
            (signed(&body[1 + 8..]), "it is of an unknown form"),
            (signed(&body[..body.len() - 1]), "it has not the length that it should have"),
            (changed(last_kind, 5), "it has a client without an address"),
        ];
        let mut new = balancer(&["192.0.2.1"]);
        for (bytes, why) in table {
            assert_eq!(restore_table(&mut new, &bytes, at(0).moment).unwrap_err().to_string(), why);
        }
        // No piece and no single changed byte of it makes anything panic, or leaves a trace.
        for length in 0..body.len() {
            let _ = restore_table(&mut new, &signed(&body[..length]), at(0).moment);
            assert!(new.clients.is_empty(), "{length}");
            let _ = restore_table(&mut balancer(&["192.0.2.1"]), &changed(length, !body[length]), at(0).moment);
        }
    }
}
