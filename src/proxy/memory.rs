//! Being short of memory or descriptors: nothing that grows with connections ends pen, or holds up who is there.
//!
//! What grows asks first ([`Net::has_memory`]) and does without if it must: bytes for which there
//! is no ring stay in the kernel of their source, and clients for whom there is no slot wait in the
//! listener's queue.

use std::collections::VecDeque;
use std::io;

use slab::Slab;

use super::Proxy;
use super::control::SESSIONS_MAX;
use super::ending::LEAVING_MAX;
use super::pair::Pair;
use super::pool::Pool;
use super::ring::RING_SIZE;
use super::timers::{Timers, make_room};
use super::viewers::VIEWERS_MAX;
use crate::balance::settings::Protocol;
use crate::balance::{Listener, Listeners};
use crate::control::event::OfProcess;
use crate::net::{Net, Stream};

/// Slots that the table of pairs grows by at least.
const GROWTH_MIN: usize = 64;
/// So many slots are kept when nobody is connected.
const SLOTS_KEPT: usize = 128;

/// Bytes that go with a slot: its timers and its places in queues.
const BESIDE_SLOT: usize = 256;

/// Descriptors for everything that is not a pair: control sessions, clients in their farewell,
/// and a score of others, which are the standard ones, listeners, logs and the event queue.
const RESERVE: u64 = (SESSIONS_MAX + LEAVING_MAX + 20) as u64;

/// How short of memory for rings pen is.
#[derive(Debug, Default)]
pub struct Shortage {
    /// The last ring that was asked for could not be had.
    is_short: bool,
    /// How many could not be had since the operator was told.
    times: u64,
    /// What the operator has not been told yet.
    news: Vec<News>,
}

/// What is to be told of a shortage.
#[derive(Debug)]
enum News {
    Begins,
    /// So many times a ring could not be had.
    Over(u64),
}

impl Shortage {
    /// Sees to it that the pool has a ring to lend, if there is memory for one. The operator is to
    /// be told when there is none, and again when there is.
    #[inline]
    pub fn provide<N: Net>(&mut self, pool: &mut Pool<<N::Stream as Stream>::Pipe>, net: &mut N) {
        if !pool.is_ready() {
            self.grow(pool, net);
        }
    }

    fn grow<N: Net>(&mut self, pool: &mut Pool<<N::Stream as Stream>::Pipe>, net: &mut N) {
        if net.has_memory(RING_SIZE) && pool.grow() {
            if std::mem::take(&mut self.is_short) {
                self.news.push(News::Over(std::mem::take(&mut self.times)));
            }
            return;
        }
        self.times += 1;
        if !std::mem::replace(&mut self.is_short, true) {
            self.news.push(News::Begins);
        }
    }
}

/// Raises the limit of descriptors to what the settings need, or lowers the number of pairs to what
/// fits, and returns what an operator should know then. `listening` counts the sockets where clients
/// arrive; idlers have one descriptor each.
pub fn fit_connections(net: &mut impl Net, listeners: &mut Listeners, listening: usize) -> io::Result<Option<String>> {
    let idlers: usize = listeners.iter().map(|(_, listener)| listener.balancer.settings.idlers).sum();
    let is_udp = |(_, listener): (_, &Listener)| listener.balancer.settings.protocol == Protocol::Udp;
    // A pair has two sockets, an association one.
    let sockets = 2 * u64::from(!listeners.iter().all(is_udp)) + u64::from(listeners.iter().any(is_udp));
    let common = &mut listeners.common;
    let wanted = common.conn_max;
    let viewers = if common.status_at.is_some() { VIEWERS_MAX + 1 } else { 0 };
    let reserve = RESERVE + (listening.saturating_sub(1) + idlers + viewers) as u64;
    let needed = sockets * wanted as u64 + reserve;
    // Each direction of a pair may hold a pipe at times, if there are descriptors left for it.
    let limit = net.raise_descriptors(needed, needed + 4 * wanted as u64)?;
    if limit >= needed {
        return Ok(None);
    }
    let fit = usize::try_from(limit.saturating_sub(reserve) / sockets).unwrap_or(usize::MAX).max(1);
    common.conn_max = fit;
    Ok(Some(format!("only {fit} of {wanted} connections fit into the limit of {limit} open files")))
}

impl<N: Net> Proxy<N> {
    /// Tells of what became of the memory for rings while a pair was served.
    pub(super) fn tell_shortage(&mut self) {
        for news in std::mem::take(&mut self.shortage.news) {
            self.errands.come();
            self.tell_process(match news {
                News::Begins => OfProcess::NoBuffers,
                News::Over(times) => OfProcess::BuffersAgain { times },
            });
        }
    }

    /// Nobody is connected: what was made for many is given back, so that memory is what it was
    /// before they came.
    pub(super) fn give_back_slots(&mut self) {
        if self.pairs.capacity() > SLOTS_KEPT {
            self.pairs = Slab::new();
            self.runnable = VecDeque::new();
            // Entries are hints about pairs, of which there are none.
            self.timers = Timers::default();
        }
    }

    /// Sees to it that there is a slot for one more pair, and room for all that goes with it.
    /// False if there is no memory.
    pub(super) fn has_slot(&mut self) -> bool {
        let (len, capacity) = (self.pairs.len(), self.pairs.capacity());
        if len < capacity {
            return true;
        }
        let more = capacity.max(GROWTH_MIN);
        // The old table is there until all is moved to the new one.
        let slot = size_of::<Pair<N::Stream>>() + BESIDE_SLOT;
        if !self.net.has_memory((capacity + more) * slot) {
            return false;
        }
        self.pairs.reserve(more);
        self.timers.reserve(capacity + more);
        make_room(&mut self.runnable, capacity + more);
        true
    }
}
