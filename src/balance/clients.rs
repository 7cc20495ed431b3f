//! The client table: who was here, which server each had, and how much each has moved.
//!
//! A flat array of entries, found by a hash of the address and linked in the order of use; look-up
//! and leaving of the least recently used client cost the same with a million clients as with ten.
//! The hash is keyed at random, so that nobody can choose addresses that collide; the key changes
//! nothing that can be seen, because slots are given out in the order of arrival.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::canonical;
use crate::base::addr::ClientAddr;
use crate::base::time::Moment;
use crate::select::siphash::{Key, siphash_1_3};

/// How many clients can be remembered at most.
pub const CLIENTS_MAX: usize = 1 << 24;

/// Names a client for as long as it is in the table. If its slot is given to another client, the
/// name is void, and never means the other one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientId {
    slot: u32,
    generation: NonZeroU32,
}

const _: () = assert!(size_of::<Option<ClientId>>() == 8);

impl ClientId {
    /// The client's place in the table.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// A remembered client.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    sent: u64,
    received: u64,
    seen: Moment,
    connects: u32,
    generation: NonZeroU32,
    /// Neighbours in the order of use.
    newer: u32,
    older: u32,
    /// The next entry of the same bucket.
    chain: u32,
    server: u16,
    address: ClientAddr,
}

/// A cache line.
const _: () = assert!(size_of::<Client>() <= 64);

const NOBODY: u32 = u32::MAX;
const NO_SERVER: u16 = u16::MAX;

impl Client {
    /// Who it is.
    pub fn address(&self) -> ClientAddr {
        self.address
    }

    /// The index of the regular server that it had last.
    pub fn server(&self) -> Option<usize> {
        (self.server != NO_SERVER).then_some(usize::from(self.server))
    }

    /// How often it came.
    pub fn connects(&self) -> u32 {
        self.connects
    }

    /// When it came or was connected last.
    pub fn seen(&self) -> Moment {
        self.seen
    }

    /// Bytes sent to the client.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes received from the client.
    pub fn received(&self) -> u64 {
        self.received
    }
}

/// The client table.
#[derive(Clone, Debug)]
pub struct Clients {
    entries: Vec<Client>,
    /// First entry of each bucket plus one, 0 for none; a power of two of them.
    buckets: Vec<u32>,
    max: usize,
    newest: u32,
    oldest: u32,
    /// What slots begin with that were not used before.
    generation: NonZeroU32,
    key: Key,
}

impl Clients {
    /// A table for `max` clients, within 1 to [`CLIENTS_MAX`]. Memory is used only as clients come.
    pub fn new(max: usize) -> Clients {
        let random = RandomState::new();
        let key = Key(random.hash_one(0), random.hash_one(1));
        Clients::with_key(max, key)
    }

    fn with_key(max: usize, key: Key) -> Clients {
        let max = max.clamp(1, CLIENTS_MAX);
        let mut entries = Vec::new();
        // If this fails, the table still grows as clients come.
        let _ = entries.try_reserve_exact(max);
        let buckets = vec![0; max.next_power_of_two()];
        Clients { entries, buckets, max, newest: NOBODY, oldest: NOBODY, generation: NonZeroU32::MIN, key }
    }

    /// Notes that a client came. If the table is full, the one that came least recently leaves.
    /// A client that was away for as long as `tracking` has no server any more; zero is for ever.
    pub fn admit(&mut self, address: ClientAddr, moment: Moment, tracking: Duration) -> ClientId {
        let address = canonical(address);
        let bucket = self.bucket(address);
        let slot = match self.find_in(bucket, address) {
            Some(slot) => {
                self.detach(slot);
                slot
            }
            None => self.take_slot(bucket, address),
        };
        self.attach_newest(slot);
        let entry = &mut self.entries[slot as usize];
        if !tracking.is_zero() && moment.since(entry.seen) >= tracking {
            entry.server = NO_SERVER;
        }
        entry.seen = moment;
        entry.connects = entry.connects.saturating_add(1);
        ClientId { slot, generation: entry.generation }
    }

    /// The client of this name, unless it has left.
    pub fn client(&self, id: ClientId) -> Option<&Client> {
        self.entries.get(id.slot()).filter(|entry| entry.generation == id.generation)
    }

    fn client_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.entries.get_mut(id.slot()).filter(|entry| entry.generation == id.generation)
    }

    /// The client of this address.
    pub fn find(&self, address: ClientAddr) -> Option<ClientId> {
        let address = canonical(address);
        let slot = self.find_in(self.bucket(address), address)?;
        Some(ClientId { slot, generation: self.entries[slot as usize].generation })
    }

    /// Remembers the index of the regular server that a client has from this moment on.
    pub fn remember(&mut self, id: ClientId, server: usize, moment: Moment) {
        if let Some(entry) = self.client_mut(id) {
            entry.server = u16::try_from(server).unwrap_or(NO_SERVER);
            entry.seen = moment;
        }
    }

    /// Adds to the bytes sent to and received from a client, if it has not left.
    pub fn account(&mut self, id: ClientId, sent: u64, received: u64) {
        if let Some(entry) = self.client_mut(id) {
            entry.sent = entry.sent.saturating_add(sent);
            entry.received = entry.received.saturating_add(received);
        }
    }

    /// The clients that came within a time, in the order of their slots.
    pub fn recent(&self, within: Duration, moment: Moment) -> impl Iterator<Item = (ClientId, &Client)> {
        self.iter().filter(move |(_, client)| moment.since(client.seen) <= within)
    }

    /// All clients in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        let slots = 0..self.len() as u32;
        slots.zip(&self.entries).map(|(slot, entry)| (ClientId { slot, generation: entry.generation }, entry))
    }

    /// How many clients are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many clients can be remembered.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Makes room for `max` clients, within 1 to [`CLIENTS_MAX`]. If there are more, those that
    /// came least recently leave, the others close ranks, and the names of those that move are void.
    pub fn resize(&mut self, max: usize) {
        let mut table = Clients::with_key(max, self.key);
        let newest_generation = self.entries.iter().map(|entry| entry.generation).max();
        table.generation = self.generation.max(newest_generation.unwrap_or(self.generation));
        let mut stays = vec![false; self.entries.len()];
        self.by_use().take(table.max).for_each(|slot| stays[slot as usize] = true);
        if self.entries.len() > table.max {
            table.generation = table.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        }
        let mut new_slots = vec![NOBODY; self.entries.len()];
        for (slot, entry) in self.entries.iter().enumerate().filter(|(slot, _)| stays[*slot]) {
            new_slots[slot] = table.entries.len() as u32;
            let moved = table.entries.len() != slot;
            let generation = if moved { table.generation } else { entry.generation };
            table.entries.push(Client { generation, ..*entry });
        }
        table.relink(self.by_use().map(|slot| new_slots[slot as usize]).filter(|slot| *slot != NOBODY));
        *self = table;
    }

    /// Rebuilds buckets and order from the slots, the most recently used first.
    fn relink(&mut self, by_use: impl Iterator<Item = u32>) {
        for slot in 0..self.entries.len() as u32 {
            let bucket = self.bucket(self.entries[slot as usize].address);
            self.enter_bucket(bucket, slot);
        }
        let mut newer = NOBODY;
        for slot in by_use {
            let entry = &mut self.entries[slot as usize];
            (entry.newer, entry.older) = (newer, NOBODY);
            match newer {
                NOBODY => self.newest = slot,
                newer => self.entries[newer as usize].older = slot,
            }
            newer = slot;
        }
        self.oldest = newer;
    }

    fn by_use(&self) -> impl Iterator<Item = u32> {
        let step = |slot: u32| (slot != NOBODY).then_some(slot);
        std::iter::successors(step(self.newest), move |slot| step(self.entries[*slot as usize].older))
    }

    fn bucket(&self, address: ClientAddr) -> usize {
        let hash = match address {
            ClientAddr::Inet(IpAddr::V4(ip)) => siphash_1_3(self.key, &ip.octets()),
            ClientAddr::Inet(IpAddr::V6(ip)) => siphash_1_3(self.key, &ip.octets()),
            ClientAddr::Unix => siphash_1_3(self.key, &[]),
        };
        hash as usize & (self.buckets.len() - 1)
    }

    fn find_in(&self, bucket: usize, address: ClientAddr) -> Option<u32> {
        let mut link = self.buckets[bucket];
        while link != 0 {
            let entry = &self.entries[link as usize - 1];
            if entry.address == address {
                return Some(link - 1);
            }
            link = entry.chain;
        }
        None
    }

    /// A slot for a new client: one not used so far, or that of the least recently used client.
    fn take_slot(&mut self, bucket: usize, address: ClientAddr) -> u32 {
        let mut entry = Client {
            sent: 0,
            received: 0,
            seen: Moment::default(),
            connects: 0,
            generation: self.generation,
            newer: NOBODY,
            older: NOBODY,
            chain: 0,
            server: NO_SERVER,
            address,
        };
        let slot = if self.entries.len() < self.max {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            let slot = self.oldest;
            self.detach(slot);
            self.leave_bucket(slot);
            let old = self.entries[slot as usize].generation;
            entry.generation = old.checked_add(1).unwrap_or(NonZeroU32::MIN);
            self.entries[slot as usize] = entry;
            slot
        };
        self.enter_bucket(bucket, slot);
        slot
    }

    fn enter_bucket(&mut self, bucket: usize, slot: u32) {
        self.entries[slot as usize].chain = self.buckets[bucket];
        self.buckets[bucket] = slot + 1;
    }

    fn leave_bucket(&mut self, slot: u32) {
        let entry = self.entries[slot as usize];
        let bucket = self.bucket(entry.address);
        if self.buckets[bucket] == slot + 1 {
            self.buckets[bucket] = entry.chain;
            return;
        }
        let mut link = self.buckets[bucket] as usize - 1;
        while self.entries[link].chain != slot + 1 {
            link = self.entries[link].chain as usize - 1;
        }
        self.entries[link].chain = entry.chain;
    }

    fn detach(&mut self, slot: u32) {
        let Client { newer, older, .. } = self.entries[slot as usize];
        match newer {
            NOBODY => self.newest = older,
            newer => self.entries[newer as usize].older = older,
        }
        match older {
            NOBODY => self.oldest = newer,
            older => self.entries[older as usize].newer = newer,
        }
    }

    fn attach_newest(&mut self, slot: u32) {
        let older = self.newest;
        let entry = &mut self.entries[slot as usize];
        (entry.newer, entry.older) = (NOBODY, older);
        match older {
            NOBODY => self.oldest = slot,
            older => self.entries[older as usize].newer = slot,
        }
        self.newest = slot;
    }
}
