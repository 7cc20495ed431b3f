//! The client table: who was here, which server each had, and how much each has moved.
//!
//! A flat array of entries, found by a hash of the address and linked in the order of use; look-up
//! and leaving of the least recently used client cost the same with a million clients as with ten.
//! The hash is keyed at random, so that nobody can choose addresses that collide; the key changes
//! nothing that can be seen, because slots are given out in the order of arrival.

use std::collections::TryReserveError;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::limits::Usage;
use crate::base::addr::ClientAddr;
use crate::base::time::Moment;
use crate::select::siphash::{Key, siphash_1_3};

mod usage;

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

/// What is remembered of a client, without its place in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remembered {
    /// Who it is.
    pub address: ClientAddr,
    /// How long ago it came or was connected last.
    pub age: Duration,
    /// The index of the regular server that it had last.
    pub server: Option<usize>,
    /// How often it came.
    pub connects: u32,
    /// Bytes sent to it.
    pub sent: u64,
    /// Bytes received from it.
    pub received: u64,
}

/// The client table.
#[derive(Clone, Debug)]
pub struct Clients {
    entries: Vec<Client>,
    /// What each of them has at the moment, in the order of the entries; `None` if nobody asks.
    usage: Option<Vec<Usage>>,
    /// The bits of an IPv6 address that tell clients apart.
    ipv6: u8,
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
        Clients::with_key(max, key).expect("there is memory at the start")
    }

    fn with_key(max: usize, key: Key) -> Result<Clients, TryReserveError> {
        let max = max.clamp(1, CLIENTS_MAX);
        let mut entries = Vec::new();
        // If this fails, the table still grows as clients come.
        let _ = entries.try_reserve_exact(max);
        let mut room: Vec<u32> = Vec::new();
        room.try_reserve_exact(max.next_power_of_two())?;
        // The same room again, in which the kernel has put zeros, and only where it is used. Nobody
        // else asks meanwhile.
        drop(std::hint::black_box(room));
        let buckets = vec![0; max.next_power_of_two()];
        Ok(Clients {
            entries,
            usage: None,
            ipv6: 128,
            buckets,
            max,
            newest: NOBODY,
            oldest: NOBODY,
            generation: NonZeroU32::MIN,
            key,
        })
    }

    /// Notes that a client came. If the table is full, the one that came least recently leaves.
    /// A client that was away for as long as `tracking` has no server any more; zero is for ever.
    pub fn admit(&mut self, address: ClientAddr, moment: Moment, tracking: Duration) -> ClientId {
        let address = self.key_of(address);
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
        let address = self.key_of(address);
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
    ///
    /// Fails, and changes nothing, if there is no memory for so many.
    pub fn resize(&mut self, max: usize) -> Result<(), TryReserveError> {
        let mut table = Clients::with_key(max, self.key)?;
        table.ipv6 = self.ipv6;
        table.count_usage(self.usage.is_some());
        table.entries.try_reserve(self.entries.len().min(table.max))?;
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
            // The names of those that move are void, and so is what is counted by them.
            if let (Some(usage), Some(before)) = (&mut table.usage, &self.usage) {
                usage.push(if moved { Usage::default() } else { before[slot] });
            }
        }
        table.relink(self.by_use().map(|slot| new_slots[slot as usize]).filter(|slot| *slot != NOBODY));
        *self = table;
        Ok(())
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

    /// Sees to it that there is room for one more; without memory for it the table is full.
    fn has_room(&mut self) -> bool {
        let has_usage = self.usage.as_mut().is_none_or(|usage| usage.try_reserve(1).is_ok());
        self.entries.is_empty() || (has_usage && self.entries.try_reserve(1).is_ok())
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
        let slot = if self.entries.len() < self.max && self.has_room() {
            self.entries.push(entry);
            if let Some(usage) = &mut self.usage {
                usage.push(Usage::default());
            }
            self.entries.len() as u32 - 1
        } else {
            let slot = self.oldest;
            self.detach(slot);
            self.leave_bucket(slot);
            let old = self.entries[slot as usize].generation;
            entry.generation = old.checked_add(1).unwrap_or(NonZeroU32::MIN);
            self.entries[slot as usize] = entry;
            if let Some(usage) = &mut self.usage {
                usage[slot as usize] = Usage::default();
            }
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

#[cfg(test)]
mod tests {
    use super::super::limits::Over;
    use super::super::settings::Settings;
    use super::*;
    use crate::select::testing::Random;

    const FOR_EVER: Duration = Duration::ZERO;

    fn address(n: u64) -> ClientAddr {
        match n % 3 {
            _ if n == 0 => ClientAddr::Unix,
            1 => ClientAddr::Inet(IpAddr::from((n as u32).to_be_bytes())),
            _ => ClientAddr::Inet(IpAddr::from((0x2001_0db8 << 96 | u128::from(n)).to_be_bytes())),
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::default() + Duration::from_secs(seconds)
    }

    fn names(clients: &Clients) -> Vec<String> {
        clients.iter().map(|(_, client)| client.address().to_string()).collect()
    }

    impl Clients {
        /// Panics unless slots, buckets and order of use tell the same story.
        fn check(&self) {
            assert!(self.len() <= self.max && self.buckets.len().is_power_of_two());
            let by_use: Vec<u32> = self.by_use().collect();
            assert_eq!(by_use.len(), self.len(), "everybody is in the order of use");
            assert_eq!(self.oldest, by_use.last().copied().unwrap_or(NOBODY));
            for pair in by_use.windows(2) {
                assert_eq!(self.entries[pair[1] as usize].newer, pair[0]);
            }
            for (slot, entry) in self.entries.iter().enumerate() {
                let found = self.find(entry.address).expect("everybody is in a bucket");
                assert_eq!(found, ClientId { slot: slot as u32, generation: entry.generation });
            }
        }
    }

    /// What can be seen of a client; the last are its connects, and bytes sent and received.
    type Row = (ClientAddr, Moment, Option<usize>, (u32, u64, u64));

    /// The twin: a list of clients, searched from end to end.
    #[derive(Default)]
    struct Twin {
        slots: Vec<TwinClient>,
        max: usize,
        arrivals: u64,
    }

    struct TwinClient {
        address: ClientAddr,
        /// Number of its first arrival, and of its latest.
        first: u64,
        latest: u64,
        seen: Moment,
        server: Option<usize>,
        counts: (u32, u64, u64),
    }

    impl Twin {
        fn admit(&mut self, address: ClientAddr, moment: Moment, tracking: Duration) -> u64 {
            self.arrivals += 1;
            let arrival = self.arrivals;
            let known = self.slots.iter().position(|client| client.address == address);
            let slot = known.unwrap_or_else(|| {
                let first = arrival;
                let new = TwinClient { address, first, latest: 0, seen: moment, server: None, counts: (0, 0, 0) };
                if self.slots.len() < self.max {
                    self.slots.push(new);
                    return self.slots.len() - 1;
                }
                let oldest = (0..self.slots.len()).min_by_key(|slot| self.slots[*slot].latest).unwrap();
                self.slots[oldest] = new;
                oldest
            });
            let client = &mut self.slots[slot];
            if tracking > FOR_EVER && moment.since(client.seen) >= tracking {
                client.server = None;
            }
            client.latest = arrival;
            client.seen = moment;
            client.counts.0 += 1;
            client.first
        }

        fn resize(&mut self, max: usize) {
            self.max = max;
            while self.slots.len() > max {
                let oldest = (0..self.slots.len()).min_by_key(|slot| self.slots[*slot].latest).unwrap();
                self.slots.remove(oldest);
            }
        }

        fn rows(&self) -> Vec<Row> {
            self.slots.iter().map(|client| (client.address, client.seen, client.server, client.counts)).collect()
        }
    }

    fn rows(clients: &Clients) -> Vec<Row> {
        let row = |client: &Client| {
            (client.address, client.seen, client.server(), (client.connects, client.sent, client.received))
        };
        clients.iter().map(|(_, client)| row(client)).collect()
    }

    /// Runs both for a while. Names are kept with the first arrival of whom they were given for;
    /// the flag says that the name may have become void because its client moved.
    fn run_beside_the_twin(seed: u64) {
        let mut random = Random::new(seed);
        let max = 1 + random.below(40) as usize;
        let (mut clients, mut twin) = (Clients::new(max), Twin { max, ..Twin::default() });
        let mut names: Vec<(ClientId, u64, bool)> = Vec::new();
        let mut now = 1_000;
        for _ in 0..600 {
            now += random.below(4);
            let tracking = Duration::from_secs(random.below(3) * 20);
            match random.below(60) {
                0 => {
                    let max = 1 + random.below(40) as usize;
                    let shrinks = max < clients.len();
                    clients.resize(max).unwrap();
                    twin.resize(max);
                    names.iter_mut().for_each(|name| name.2 |= shrinks);
                }
                1..=30 => {
                    let address = address(random.below(60));
                    let id = clients.admit(address, at(now), tracking);
                    names.push((id, twin.admit(address, at(now), tracking), false));
                }
                choice if !names.is_empty() => {
                    let (id, first, may_be_void) = names[random.below(names.len() as u64) as usize];
                    let known = twin.slots.iter_mut().find(|client| client.first == first);
                    let Some(client) = clients.client(id) else {
                        assert!(known.is_none() || may_be_void, "seed {seed}: {id:?} was lost");
                        continue;
                    };
                    let known = known.unwrap_or_else(|| panic!("seed {seed}: {id:?} means somebody else"));
                    assert_eq!(client.address, known.address, "seed {seed}");
                    if choice < 45 {
                        clients.remember(id, first as usize, at(now));
                        (known.server, known.seen) = (Some(first as usize), at(now));
                    } else {
                        clients.account(id, first, 1);
                        known.counts.1 += first;
                        known.counts.2 += 1;
                    }
                }
                _ => {}
            }
            clients.check();
            assert_eq!(rows(&clients), twin.rows(), "seed {seed}");
        }
    }

    #[test]
    fn ipv6_clients_of_one_network_may_count_as_one() {
        let inet = |text: &str| ClientAddr::Inet(text.parse().unwrap());
        let mut clients = Clients::new(10);
        clients.tell_apart_by(64);
        let now = Moment::default();
        let first = clients.admit(inet("2001:db8:0:1::7"), now, Duration::ZERO);
        assert_eq!(clients.admit(inet("2001:db8:0:1:ffff::"), now, Duration::ZERO), first);
        assert_ne!(clients.admit(inet("2001:db8:0:2::7"), now, Duration::ZERO), first);
        assert_eq!(clients.find(inet("2001:db8:0:1::9")), Some(first));
        assert_eq!(clients.client(first).unwrap().address(), inet("2001:db8:0:1::"));
        let v4 = clients.admit(inet("192.0.2.1"), now, Duration::ZERO);
        assert_ne!(clients.admit(inet("::ffff:192.0.2.2"), now, Duration::ZERO), v4, "IPv4 is told apart as ever");
        clients.tell_apart_by(0);
        assert_eq!(clients.find(inet("2001:db8:0:1::9")), None, "what was remembered before is another client");
    }

    #[test]
    fn usage_is_counted_for_whom_it_belongs_to_and_can_be_counted_anew() {
        let settings = Settings { client_max: 1, ..Settings::default() };
        let client = |n: u8| ClientAddr::Inet([10, 0, 0, n].into());
        let (now, mut clients) = (Moment::default(), Clients::new(2));
        let uncounted = clients.admit(client(1), now, Duration::ZERO);
        assert_eq!((0..5).filter_map(|_| clients.begin(uncounted, &settings, now)).count(), 0, "nobody asks");
        clients.count_usage(true);
        clients.recount([uncounted].into_iter());
        assert_eq!(clients.begin(uncounted, &settings, now), Some(Over::Connections));
        let second = clients.admit(client(2), now, Duration::ZERO);
        assert_eq!(clients.begin(second, &settings, now), None);
        let third = clients.admit(client(3), now, Duration::ZERO);
        assert_eq!(third.slot(), uncounted.slot());
        clients.end(uncounted);
        assert_eq!(clients.begin(third, &settings, now), None, "a new client in an old slot begins with nothing");
        clients.end(uncounted);
        assert_eq!(clients.begin(third, &settings, now), Some(Over::Connections));
        clients.resize(1).unwrap();
        assert_eq!(clients.begin(third, &settings, now), Some(Over::Connections), "it stays where it was");
    }

    #[test]
    fn the_table_behaves_as_its_naive_twin() {
        (0..60).for_each(run_beside_the_twin);
    }

    #[test]
    fn the_client_that_came_least_recently_leaves() {
        let mut clients = Clients::new(2);
        for n in [1, 2, 1, 3] {
            clients.admit(address(n), at(n), FOR_EVER);
        }
        assert_eq!(names(&clients), ["0.0.0.1", address(3).to_string().as_str()]);
        assert!(clients.find(address(2)).is_none());
    }

    #[test]
    fn b11_ipv6_clients_are_told_apart() {
        let mut clients = Clients::new(10);
        let texts = ["2001:db8::1", "2001:db8::2", "2002::1", "::1", "0.0.0.1", "127.0.0.1"];
        let ids = texts.map(|text| clients.admit(ClientAddr::Inet(text.parse().unwrap()), at(1), FOR_EVER));
        ids.iter().enumerate().for_each(|(server, id)| clients.remember(*id, server, at(1)));
        assert_eq!(names(&clients), texts);
        for (server, id) in ids.iter().enumerate() {
            assert_eq!(clients.client(*id).unwrap().server(), Some(server));
        }
        let mapped = clients.admit(ClientAddr::Inet("::ffff:127.0.0.1".parse().unwrap()), at(2), FOR_EVER);
        assert_eq!(mapped, ids[5], "an IPv4-mapped client is the IPv4 client");
    }

    #[test]
    fn b12_a_reused_slot_is_not_mixed_up() {
        let mut clients = Clients::new(1);
        let first = clients.admit(address(1), at(1), FOR_EVER);
        let second = clients.admit(address(2), at(2), FOR_EVER);
        assert_eq!(first.slot(), second.slot());
        clients.account(first, 100, 100);
        clients.remember(first, 7, at(3));
        assert!(clients.client(first).is_none());
        let second = clients.client(second).unwrap();
        assert_eq!((second.sent(), second.received(), second.server()), (0, 0, None));
    }

    #[test]
    fn b13_tracking_expires_the_client_itself() {
        let second = Duration::from_secs(1);
        let nano = Duration::from_nanos(1);
        for (away, server) in [(second - nano, Some(4)), (second, None), (second * 9, None)] {
            let mut clients = Clients::new(10);
            let id = clients.admit(address(1), at(5), second);
            clients.remember(id, 4, at(6));
            assert_eq!(clients.admit(address(1), at(6) + away, second), id);
            assert_eq!(clients.client(id).unwrap().server(), server, "after {away:?}");
        }
    }

    #[test]
    fn recent_clients_come_in_the_order_of_slots() {
        let mut clients = Clients::new(3);
        for (n, seconds) in [(1, 10), (4, 20), (7, 30), (1, 40)] {
            clients.admit(address(n), at(seconds), FOR_EVER);
        }
        let recent = |seconds| {
            let within = Duration::from_secs(seconds);
            clients.recent(within, at(40)).map(|(id, client)| (id.slot(), client.connects())).collect::<Vec<_>>()
        };
        assert_eq!(recent(0), [(0, 2)]);
        assert_eq!(recent(10), [(0, 2), (2, 1)]);
        assert_eq!(recent(9_999), [(0, 2), (1, 1), (2, 1)]);
    }

    #[test]
    fn b4_an_absurd_size_is_brought_within_bounds() {
        let mut clients = Clients::new(0);
        assert_eq!(clients.max(), 1);
        clients.resize(usize::MAX).unwrap();
        assert_eq!(clients.max(), CLIENTS_MAX);
        clients.admit(address(1), at(1), FOR_EVER);
        assert_eq!(clients.len(), 1);
    }

    #[test]
    fn a_hundred_thousand_neighbours_stay_close_to_their_buckets() {
        let mut clients = Clients::with_key(100_000, Key(1, 2)).unwrap();
        (0..100_000).for_each(|n| _ = clients.admit(address(n), at(n), FOR_EVER));
        let mut longest = 0;
        for bucket in &clients.buckets {
            let step = |link: u32| (link != 0).then_some(link);
            let chain = std::iter::successors(step(*bucket), |link| step(clients.entries[*link as usize - 1].chain));
            longest = longest.max(chain.count());
        }
        assert!(longest <= 12, "a bucket has {longest} clients");
    }
}
