//! The event loop: clients come, servers are found for them, bytes are carried.
//!
//! [`Proxy`] owns every socket of a client or a server and is the only one to close them. Events
//! and timers are hints; what a pair is doing decides. It knows the world by [`Net`] alone.

pub mod arrival;
mod attempts;
pub mod batch;
pub mod capture;
pub mod checks;
pub mod coalescing;
pub mod connect;
pub mod control;
pub mod drain;
pub mod effects;
pub mod ending;
mod errands;
#[cfg(test)]
mod fake;
mod faults;
mod feed;
pub mod flow;
mod foreign;
pub mod idlers;
pub mod inspection;
pub mod limits;
pub mod listen;
pub mod listener;
pub mod memory;
pub mod names;
pub mod pair;
pub mod pool;
pub mod queue;
pub mod refusal;
pub mod relay;
pub mod reload;
pub mod report;
pub mod reqlog;
pub mod ring;
mod session;
pub mod telling;
pub mod timers;
pub mod transfers;
pub mod trust;
pub mod turn;
pub mod udp;
pub mod upgrade;
pub mod viewer;
pub mod viewers;
mod watch;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use slab::Slab;

use crate::balance::{Listeners, Settings};
use crate::base::operand::Services;
use crate::base::time::{Moment, Now};
use crate::control::history::History;
use crate::control::origin::Origin;
use crate::control::recent::Recent;
use crate::inspect::Turned;
use crate::net::{Event, LogTarget, Net, Stream, Token};
use capture::Capture;
use checks::Checks;
use coalescing::Coalescing;
use control::Control;
use ending::CLOSE_REASONS;
use errands::Errands;
use faults::Faults;
pub use foreign::{Foreign, Nobody};
use idlers::Idlers;
use listener::{Arriving, Listening};
use names::Names;
use pair::{Pair, PairKey, Phase, Side};
use pool::Pool;
use queue::Queue;
use refusal::Refusing;
use reload::Reload;
use reqlog::ReqLog;
use timers::{Timer, TimerKind, Timers};
use transfers::Transfers;
use udp::Udp;
use upgrade::Upgrade;
use viewers::Viewers;
use watch::Watch;

/// The token of the control listener.
pub const CONTROL_LISTENER: Token = Token(0);
/// The first token of the control sessions.
pub const FIRST_SESSION: usize = 1;
/// The first token of the listening sockets.
pub const FIRST_LISTENING: usize = 64;
/// How many listening sockets there may be.
pub const LISTENING_MAX: usize = FIRST_PAIR - FIRST_LISTENING;
/// The first token of the pairs: two for each, the client's and the server's.
pub const FIRST_PAIR: usize = 1024;
/// The first token of the associations: one for each, the server's.
pub const FIRST_ASSOCIATION: usize = 1 << 25;
/// One more than the last token of the associations.
const ASSOCIATIONS_END: usize = 1 << 26;
/// The first token of the ports where data connections arrive; no table of pairs comes near it.
pub const FIRST_TRANSFER: usize = 1 << 26;
/// The first token of the checks: one for each.
pub const FIRST_CHECK: usize = 1 << 27;
/// The first token of the idlers; no table of pairs comes near it.
pub const FIRST_IDLER: usize = 1 << 28;
/// The token of the status port.
pub const STATUS_LISTENER: Token = Token(1 << 29);
/// The first token of those who look there.
pub const FIRST_VIEWER: usize = STATUS_LISTENER.0 + 1;
/// Tokens from here on belong to [`Foreign`] users of the same loop.
pub const FOREIGN: usize = 1 << 30;

/// Why the loop ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// A signal.
    Signal,
    /// The command `exit`.
    Command,
    /// A successor has taken over.
    Upgrade,
}

/// What a proxy starts with.
#[derive(Debug)]
pub struct Start<N: Net> {
    /// The sockets where clients arrive, each watched as [`listener::listening_token`] of its place.
    pub listening: Vec<Arriving<N>>,
    /// The socket for commands, watched as [`CONTROL_LISTENER`].
    pub control: Option<N::Listener>,
    /// The control address as it was written.
    pub control_at: String,
    /// What users of the control port may do.
    pub rights: Rights,
    /// The capture.
    pub capture: Option<Capture<N::Log>>,
    /// The request log.
    pub log: Option<(LogTarget, N::Log)>,
    /// The process id.
    pub pid: u32,
    /// Names of ports.
    pub services: Services,
}

/// What users of the control port may do with files, and what they must know.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// What pen was started with.
    pub origin: Origin,
    /// The file of commands that pen was started with.
    pub config: Option<PathBuf>,
    /// Where anybody may have files read and written, without symbolic links on the way.
    pub directories: Vec<PathBuf>,
    /// The word that those by TCP must know.
    pub token: Option<Box<[u8]>>,
}

/// The event loop and all that it owns.
#[derive(Debug)]
pub struct Proxy<N: Net> {
    net: N,
    listeners: Listeners,
    listening: Listening<N>,
    control: Control<N>,
    viewers: Viewers<N>,
    names: Names,
    pairs: Slab<Pair<N::Stream>>,
    timers: Timers,
    /// Pairs that ran out of budget, and so will get no new edge.
    runnable: VecDeque<PairKey>,
    pool: Pool<<N::Stream as Stream>::Pipe>,
    idlers: Idlers<N::Stream>,
    udp: Udp<N::Stream>,
    transfers: Transfers<N>,
    checks: Checks<N::Stream>,
    queue: Queue,
    scratch: Vec<u8>,
    /// What becomes of a piece that is inspected; kept for its memory.
    turned: Turned,
    reqlog: ReqLog<N::Log>,
    watch: Watch<N>,
    faults: Faults,
    /// Pairs in their farewell.
    leaving: usize,
    /// Pairs that wait for something that is lacking here.
    lacking: usize,
    /// A pair was closed in this turn, so that something may be there again.
    has_given_back: bool,
    now: Now,
    /// All that had happened by then was dispatched. A process that was stopped learns of it later, by
    /// as long as it was stopped: whose time came meanwhile may have spoken, and is not late yet.
    seen_until: Moment,
    /// Kept between turns for its memory.
    events: Vec<Event>,
    coalescing: Coalescing,
    errands: Errands,
    shortage: memory::Shortage,
    /// Since when nobody is let in any more.
    draining_since: Option<Moment>,
    upgrade: Upgrade,
    refusing: Refusing,
    reload: Reload,
    /// When the first turn was.
    started: Option<Now>,
    /// How connections have ended, by [`CloseReason::place`](ending::CloseReason::place).
    closed: [u64; CLOSE_REASONS.len()],
    history: History,
    recent: Recent,
    /// Somebody hears of events of connections.
    tells_all: bool,
    ending: Option<Ending>,
}

impl<N: Net> Proxy<N> {
    /// A proxy that is ready to run.
    pub fn new(net: N, listeners: Listeners, start: Start<N>) -> Proxy<N> {
        let common = &listeners.common;
        Proxy {
            listening: Listening::new(start.listening),
            reload: Reload::new(start.rights.origin.clone()),
            control: Control::new(start.control, start.control_at, start.rights, start.services, start.pid),
            viewers: Viewers::default(),
            names: Names::new(&listeners),
            pairs: Slab::new(),
            timers: Timers::default(),
            runnable: VecDeque::new(),
            pool: Pool::default(),
            idlers: Idlers::default(),
            udp: Udp::default(),
            transfers: Transfers::default(),
            checks: Checks::new(u64::from(start.pid)),
            queue: Queue::default(),
            scratch: relay::scratch(),
            turned: Turned::default(),
            reqlog: ReqLog::new(start.log),
            watch: Watch::new(common, start.capture),
            faults: Faults::default(),
            leaving: 0,
            lacking: 0,
            has_given_back: false,
            now: Now::default(),
            seen_until: Moment::default(),
            events: Vec::new(),
            coalescing: Coalescing::default(),
            errands: Errands::default(),
            shortage: memory::Shortage::default(),
            draining_since: None,
            upgrade: Upgrade::None,
            refusing: Refusing::default(),
            started: None,
            closed: [0; CLOSE_REASONS.len()],
            history: History::default(),
            recent: Recent::default(),
            tells_all: common.debug > 0,
            ending: None,
            net,
            listeners,
        }
    }

    /// The world, for those who share it.
    pub fn net(&mut self) -> &mut N {
        &mut self.net
    }

    /// The servers, clients and settings of each listener.
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Why the loop ends after this turn, if it does.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// How many pairs there are, those in their farewell included.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// Makes a pair wait for something, in place of what it waited for.
    fn arm(&mut self, key: PairKey, kind: TimerKind, after: Duration) {
        self.await_timer(key, Timer { kind, due: self.now.moment + after });
    }

    fn await_timer(&mut self, key: PairKey, timer: Timer) {
        self.pairs[key.0].timer = Some(timer);
        self.errands.come();
        self.timers.arm(key, timer);
        let pairs = &self.pairs;
        self.timers.prune(pairs.len(), |key, timer| pairs.get(key.0).is_some_and(|pair| pair.timer == Some(timer)));
    }

    /// Comes back to a pair in the next turn though no edge will tell.
    fn queue(&mut self, key: PairKey) {
        let pair = &mut self.pairs[key.0];
        if !pair.is_queued {
            pair.is_queued = true;
            self.errands.come();
            self.runnable.push_back(key);
        }
    }

    /// The settings that hold for a pair.
    #[inline]
    fn settings_of(&self, key: PairKey) -> &Settings {
        &self.listeners[self.pairs[key.0].listener].balancer.settings
    }

    /// What must hold between turns.
    pub fn check(&self) {
        let rings = |pair: &Pair<N::Stream>| match &pair.phase {
            Phase::Relaying { up, down, .. } => usize::from(up.has_ring()) + usize::from(down.has_ring()),
            Phase::Arriving { .. }
            | Phase::Queued { .. }
            | Phase::Searching { .. }
            | Phase::Connecting { .. }
            | Phase::Farewell => 0,
        };
        let pairs = || self.pairs.iter().map(|(_, pair)| pair);
        let pipes = |pair: &Pair<N::Stream>| match &pair.phase {
            Phase::Relaying { up, down, .. } => usize::from(up.has_pipe()) + usize::from(down.has_pipe()),
            Phase::Arriving { .. }
            | Phase::Queued { .. }
            | Phase::Searching { .. }
            | Phase::Connecting { .. }
            | Phase::Farewell => 0,
        };
        assert_eq!(self.pool.lent_pipes(), pairs().map(pipes).sum::<usize>(), "a pipe for each flow that waits in one");
        assert_eq!(self.pool.lent(), pairs().map(rings).sum::<usize>(), "a ring for each flow that holds bytes");
        self.pool.check(self.pairs.is_empty());
        assert_eq!(self.leaving, pairs().filter(|pair| pair.is_leaving()).count(), "pairs in their farewell");
        assert_eq!(self.lacking, pairs().filter(|pair| pair.is_lacking()).count(), "pairs that lack something");
        for pair in pairs() {
            if matches!(pair.phase, Phase::Searching { .. }) {
                let waits = pair.timer.is_some_and(|timer| timer.kind == TimerKind::Retry);
                assert!(waits, "searching between turns only for lack of something here");
            }
            if matches!(pair.phase, Phase::Arriving { .. }) {
                let waits = pair.timer.is_some_and(|timer| timer.kind == TimerKind::Arrival);
                assert!(waits, "who has not said who it is has a time to do so");
            }
        }
        self.check_idlers();
        self.check_associations();
        self.check_transfers();
        self.check_checks();
        self.check_queue();
        for (at, listener) in self.listeners.all() {
            let pairs = || pairs().filter(|pair| pair.listener == at);
            let (pairs_here, associations) = (pairs().count(), listener.associations);
            assert_eq!(listener.pairs, pairs_here + associations, "pairs of listener {}", listener.name);
            let pending = pairs().filter(|pair| pair.is_pending()).count();
            assert_eq!(listener.pending, pending, "pending pairs of listener {}", listener.name);
            let places = pairs().filter(|pair| pair.place().is_some()).count() + self.idlers.count(at) + associations;
            assert_eq!(listener.balancer.claimed(), places as u64, "places of listener {}", listener.name);
            listener.balancer.check();
        }
    }
}

/// The token of one side of a pair.
fn token(key: PairKey, side: Side) -> Token {
    Token(FIRST_PAIR + 2 * key.0 + usize::from(side == Side::Server))
}
