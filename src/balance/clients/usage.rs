//! Beside the table proper: who counts as one client, what each has at the moment, and what another
//! process remembered.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::{Client, ClientId, Clients, NO_SERVER, Remembered};
use crate::balance::canonical;
use crate::balance::limits::{Over, Usage};
use crate::balance::settings::Settings;
use crate::base::addr::ClientAddr;
use crate::base::time::Moment;

impl Clients {
    /// Tells IPv6 clients apart by so many bits of their address, from now on; 128 are all.
    pub fn tell_apart_by(&mut self, ipv6: u8) {
        self.ipv6 = ipv6.min(128);
    }

    /// A client's address as it is remembered.
    pub(super) fn key_of(&self, address: ClientAddr) -> ClientAddr {
        match canonical(address) {
            ClientAddr::Inet(IpAddr::V6(ip)) if self.ipv6 < 128 => ClientAddr::Inet(IpAddr::V6(prefix(ip, self.ipv6))),
            address => address,
        }
    }

    /// Counts what each client has from now on, or no longer.
    pub fn count_usage(&mut self, counts: bool) {
        if counts != self.usage.is_some() {
            self.usage = counts.then(|| vec![Usage::default(); self.entries.len()]);
        }
    }

    /// Counts the connections that there are anew: `open` names the client of each.
    pub fn recount(&mut self, open: impl Iterator<Item = ClientId>) {
        self.usage.iter_mut().flatten().for_each(Usage::forget_open);
        for id in open {
            if let Some(usage) = self.usage_mut(id) {
                usage.note_open();
            }
        }
    }

    /// A connection of a client begins; the limit that this is beyond, if one is.
    pub fn begin(&mut self, id: ClientId, settings: &Settings, moment: Moment) -> Option<Over> {
        self.usage_mut(id)?.begin(settings, moment)
    }

    /// A connection of a client is over, refused or not.
    pub fn end(&mut self, id: ClientId) {
        if let Some(usage) = self.usage_mut(id) {
            usage.end();
        }
    }

    fn usage_mut(&mut self, id: ClientId) -> Option<&mut Usage> {
        self.client(id)?;
        self.usage.as_mut()?.get_mut(id.slot())
    }

    /// The clients that came within a time, in the order of their slots.
    pub fn recent(&self, within: Duration, moment: Moment) -> impl Iterator<Item = (ClientId, &Client)> {
        self.iter().filter(move |(_, client)| moment.since(client.seen) <= within)
    }

    /// At most `count` clients, the one that came last first.
    pub fn remembered(&self, count: usize, moment: Moment) -> impl Iterator<Item = Remembered> {
        self.by_use().take(count).map(move |slot| {
            let entry = &self.entries[slot as usize];
            Remembered {
                address: entry.address,
                age: moment.since(entry.seen),
                server: entry.server(),
                connects: entry.connects,
                sent: entry.sent,
                received: entry.received,
            }
        })
    }

    /// Remembers a client as another process did. From now on it is the one that came last.
    pub fn take_over(&mut self, client: &Remembered, moment: Moment) {
        let id = self.admit(client.address, moment, Duration::ZERO);
        let entry = &mut self.entries[id.slot()];
        let age = u64::try_from(client.age.as_nanos()).unwrap_or(u64::MAX);
        entry.seen = Moment::from_nanos(moment.as_nanos().saturating_sub(age));
        entry.server = client.server.and_then(|index| u16::try_from(index).ok()).unwrap_or(NO_SERVER);
        entry.connects = client.connects;
        entry.sent = client.sent;
        entry.received = client.received;
    }
}

/// The first bits of an IPv6 address.
fn prefix(ip: Ipv6Addr, len: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(ip.to_bits() & u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0))
}
