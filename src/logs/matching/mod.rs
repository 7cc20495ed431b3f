//! Who sent the requests that web servers log: each request that pen saw is one logged request.
//!
//! Requests are told apart by server and text. Where several are equal, order and time decide, and
//! what the clients call themselves: see `align`, `agents` and `crossing`. How far the servers' clocks are off and how late they log comes from the
//! requests that are not equal to any other: see `clock` and `likelihood`.
//!
//! Times are milliseconds since 1970; whoever calls knows how much of the logs was read, and
//! says what may be forgotten.

mod agents;
mod align;
mod clock;
mod crossing;
mod folding;
mod likelihood;
mod survey;

use std::collections::{HashMap, VecDeque};

use slab::Slab;

pub use survey::{Estimate, Survey};

use self::agents::Agents;
use self::align::{Aligner, Evidence, SKIP_PEN, Sides, skip_web};
use self::clock::Clock;
use self::crossing::exchange;
use self::folding::Folding;
use self::likelihood::Likelihood;
use crate::base::addr::ClientAddr;

/// How many logged requests are aligned at once, and how many of them only for the sake of those before,
/// which are then settled.
const ROWS: usize = 64;
const AHEAD: usize = 32;
/// How many of pen's requests they are aligned with.
const COLUMNS: usize = 512;
/// So many equal requests within so many milliseconds tell about the clock.
const FEW: usize = 4;
const NEAR: i64 = 30_000;
/// What comes within less than so many milliseconds is no rate.
const SPAN: i64 = 10_000;
/// Empty queues that are kept for the next requests.
const SPARE_MAX: usize = 4096;

/// Pairs what pen saw with what was logged.
#[derive(Debug)]
pub struct Matcher {
    /// Partners are never farther apart, in milliseconds.
    jitter: i64,
    /// All times are of one clock: none is followed.
    are_one_clock: bool,
    /// By number of the log: its clock, and its server.
    clocks: Vec<(Clock, usize)>,
    /// By number of the server.
    likelihoods: Vec<Likelihood>,
    queue_of: HashMap<u64, usize, Folding>,
    queues: Slab<Queue>,
    spare: Vec<Queue>,
    webs: Slab<Web>,
    /// What pen saw before this time is forgotten.
    forgotten: i64,
    aligner: Aligner,
    agents: Agents,
    evidence: Evidence,
}

/// A logged request that [`Matcher::web`] was told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WebId(usize);

#[derive(Debug)]
struct Web {
    queue: usize,
    /// The time by pen's clock.
    at: i64,
    agent: Option<u32>,
    partner: Partner,
}

#[derive(Debug)]
enum Partner {
    Unsettled,
    Client(ClientAddr),
    Nobody,
}

/// Equal requests of one server, both sides in order of time; none of them has a partner yet.
#[derive(Debug, Default)]
struct Queue {
    key: u64,
    server: usize,
    pens: VecDeque<Pen>,
    webs: VecDeque<(i64, WebId)>,
}

#[derive(Clone, Copy, Debug)]
struct Pen {
    at: i64,
    client: ClientAddr,
}

impl Matcher {
    /// For web logs of these servers, by their numbers. Partners are at most `jitter`
    /// milliseconds apart.
    pub fn new(jitter: i64, servers: &[usize]) -> Matcher {
        let count = servers.iter().max().map_or(0, |most| most + 1);
        Matcher {
            jitter,
            are_one_clock: false,
            clocks: servers.iter().map(|server| (Clock::default(), *server)).collect(),
            likelihoods: (0..count).map(|_| Likelihood::new()).collect(),
            queue_of: HashMap::default(),
            queues: Slab::new(),
            spare: Vec::new(),
            webs: Slab::new(),
            forgotten: i64::MIN,
            aligner: Aligner::default(),
            agents: Agents::default(),
            evidence: Evidence::default(),
        }
    }

    /// For times that are all of one clock.
    pub fn with_one_clock(jitter: i64) -> Matcher {
        Matcher { are_one_clock: true, ..Matcher::new(jitter, &[0]) }
    }

    /// Sets a log's clock: so many milliseconds ahead of pen's.
    pub fn set_offset(&mut self, log: usize, offset: i64) {
        self.clocks[log].0.offset = offset;
    }

    /// How far a log's clock is ahead of pen's, in milliseconds.
    pub fn offset(&self, log: usize) -> i64 {
        self.clocks[log].0.offset
    }

    /// pen saw a request: the number that `weblog::key` gives it, when, and whose it was.
    pub fn pen(&mut self, key: u64, server: usize, at: i64, client: ClientAddr) {
        let queue = self.queue(key, server);
        let pens = &mut self.queues[queue].pens;
        let later = pens.iter().rev().take_while(|pen| pen.at > at).count();
        pens.insert(pens.len() - later, Pen { at, client });
    }

    /// A request was logged, at a time by its server's clock, with an agent as `weblog::agent` has
    /// it.
    pub fn web(&mut self, key: u64, log: usize, at: i64, agent: Option<u32>) -> WebId {
        let server = self.clocks[log].1;
        let queue = self.queue(key, server);
        let clock = &mut self.clocks[log].0;
        let corrected = clock.correct(at);
        if !self.are_one_clock {
            for pen in self.queues[queue].partners_near(corrected, self.jitter.min(NEAR), self.jitter) {
                clock.sample(at - pen.at);
            }
        }
        if let Some(agent) = agent {
            self.agents.count(agent);
            let reach = self.reach(queue);
            let near = self.queues[queue].partners_near(corrected, reach, reach);
            let weight = 1.0 / near.clone().count() as f32;
            near.for_each(|pen| self.agents.learn(pen.client, agent, weight));
        }
        let id = WebId(self.webs.insert(Web { queue, at: corrected, agent, partner: Partner::Unsettled }));
        let webs = &mut self.queues[queue].webs;
        let later = webs.iter().rev().take_while(|web| web.0 > corrected).count();
        webs.insert(webs.len() - later, (corrected, id));
        id
    }

    /// When a logged request was made, by pen's clock.
    pub fn time_of(&self, id: WebId) -> i64 {
        self.webs[id.0].at
    }

    /// Whose request it was, if pen saw it; the id is then spent. All that pen saw and that was
    /// logged up to `read`, by pen's clock, must be known.
    pub fn decide(&mut self, id: WebId, read: i64) -> Option<ClientAddr> {
        while matches!(self.webs[id.0].partner, Partner::Unsettled) {
            let Web { queue, at, .. } = self.webs[id.0];
            if self.queues[queue].webs.len() == 1 {
                self.settle_one(queue);
            } else {
                self.settle_some(queue, at, read);
            }
            self.give_back(queue);
        }
        match self.webs.remove(id.0).partner {
            Partner::Client(client) => Some(client),
            Partner::Nobody | Partner::Unsettled => None,
        }
    }

    /// The only one of its kind: the nearest is its partner.
    fn settle_one(&mut self, at: usize) {
        let queue = &mut self.queues[at];
        let Some((time, id)) = queue.webs.pop_front() else { return };
        let likelihood = &mut self.likelihoods[queue.server];
        let nearest = nearest(&queue.pens, time, self.jitter, |_| false, likelihood);
        if let (Some(pen), 1) = (nearest, queue.pens.len()) {
            likelihood.learn(time - queue.pens[pen].at);
        }
        let pen = nearest.and_then(|pen| queue.pens.remove(pen));
        self.webs[id.0].partner = pen.map_or(Partner::Nobody, |pen| Partner::Client(pen.client));
    }

    /// Several equal requests: at least the first of them gets its partner or none, and those
    /// up to `due`, or about which all is known, unless they are many.
    fn settle_some(&mut self, at: usize, due: i64, read: i64) {
        let reach = self.reach(at);
        let due = due.max(read.saturating_sub(2 * reach));
        let queue = &mut self.queues[at];
        let likelihood = &mut self.likelihoods[queue.server];
        let webs: Vec<i64> = queue.webs.iter().take(ROWS).map(|web| web.0).collect();
        let (Some(&first), Some(&last)) = (webs.first(), webs.last()) else { return };
        let start = queue.pens.partition_point(|pen| pen.at < first - reach);
        let end = queue.pens.partition_point(|pen| pen.at <= last + reach).min(start + COLUMNS);
        let pens: Vec<i64> = queue.pens.range(start..end).map(|pen| pen.at).collect();
        let skip_web = skip_web(queue.per_second(self.jitter));
        let many = queue.webs.len() > ROWS;
        let known = if many { last } else { read }.saturating_sub(reach);
        let agents = queue.webs.iter().take(ROWS).map(|web| self.webs[web.1.0].agent);
        self.evidence.begin(
            queue.pens.range(start..end).map(|pen| self.agents.profile(pen.client)),
            agents.map(|agent| Some(self.agents.agent(agent?))),
        );
        let evidence = &self.evidence;
        let sides = Sides { pens: &pens, webs: &webs, evidence, likelihood, reach, skip_web, known };
        let mut partners = self.aligner.align(&sides);
        exchange(&sides, &mut partners);
        let settled = if many { ROWS - AHEAD } else { webs.partition_point(|web| *web <= due).max(1) };
        let near = (2 * reach).max(NEAR).min(self.jitter);
        let alone: Vec<i64> = webs[..settled].iter().filter_map(|web| queue.alone(*web, near)).collect();
        let mut used: Vec<usize> = partners.iter().flatten().map(|pen| start + pen).collect();
        let mut spent = Vec::new();
        for (web, partner) in partners.iter().enumerate().take(settled) {
            let (time, id) = queue.webs[web];
            // Much later than usual: believed if it is likelier than two that are missing.
            let partner = partner.map(|pen| start + pen).or_else(|| {
                let is_used = |pen: usize| used.contains(&pen);
                let pen = nearest(&queue.pens, time, self.jitter, is_used, likelihood)?;
                let cost = likelihood.cost(time - queue.pens[pen].at);
                used.push(pen);
                (cost <= SKIP_PEN.saturating_add(skip_web)).then_some(pen)
            });
            spent.extend(partner);
            self.webs[id.0].partner = partner.map_or(Partner::Nobody, |pen| Partner::Client(queue.pens[pen].client));
        }
        alone.into_iter().for_each(|residual| likelihood.learn(residual));
        queue.webs.drain(..settled);
        spent.sort_unstable();
        for pen in spent.into_iter().rev() {
            queue.pens.remove(pen);
        }
    }

    /// How far partners usually are apart at most.
    fn reach(&self, queue: usize) -> i64 {
        self.likelihoods[self.queues[queue].server].reach().min(self.jitter)
    }

    /// Forgets what pen saw before this time, if nobody was its partner: now, or when enough has
    /// come together.
    pub fn forget(&mut self, before: i64) {
        if before < self.forgotten.saturating_add(self.jitter) {
            return;
        }
        self.forgotten = before;
        for at in 0..self.queues.capacity() {
            let Some(queue) = self.queues.get_mut(at) else { continue };
            while queue.pens.front().is_some_and(|pen| pen.at < before) {
                queue.pens.pop_front();
            }
            self.give_back(at);
        }
    }

    /// Forgets such a request that pen saw, up to this time, if it has no partner.
    pub fn forget_one(&mut self, key: u64, until: i64) {
        let Some(queue) = self.queue_of.get(&key).copied() else { return };
        if self.queues[queue].pens.front().is_some_and(|pen| pen.at <= until) {
            self.queues[queue].pens.pop_front();
            self.give_back(queue);
        }
    }

    /// The queue for these requests.
    fn queue(&mut self, key: u64, server: usize) -> usize {
        if let Some(queue) = self.queue_of.get(&key) {
            return *queue;
        }
        let mut queue = self.spare.pop().unwrap_or_default();
        (queue.key, queue.server) = (key, server);
        let at = self.queues.insert(queue);
        self.queue_of.insert(key, at);
        at
    }

    /// Gives a queue back if it has become empty.
    fn give_back(&mut self, at: usize) {
        let queue = &self.queues[at];
        if queue.pens.is_empty() && queue.webs.is_empty() {
            let queue = self.queues.remove(at);
            self.queue_of.remove(&queue.key);
            if self.spare.len() < SPARE_MAX {
                self.spare.push(queue);
            }
        }
    }
}

impl Queue {
    /// What may have been logged at this time, if it is little enough to say something: a few that
    /// are near, or the only one there is, which may be farther away.
    fn partners_near(&self, time: i64, near: i64, only: i64) -> impl Iterator<Item = &Pen> + Clone {
        let near = if self.pens.len() == 1 { only } else { near };
        // pen's log is read ahead by the whole window: the later ones, which are many, are not looked at.
        let end = self.pens.partition_point(|pen| pen.at <= time.saturating_add(near));
        let nearest = self.pens.range(..end).rev().take(FEW + 1);
        let count = nearest.clone().take_while(|pen| pen.at >= time.saturating_sub(near)).count();
        nearest.take(if count <= FEW { count } else { 0 })
    }

    /// How much later than pen saw it a request was logged at this time, if there is no other one
    /// so near that it could be.
    fn alone(&self, time: i64, near: i64) -> Option<i64> {
        let pen = only(&self.pens, |pen| pen.at, time, near)?;
        only(&self.webs, |web| web.0, pen.at, near).map(|web| web.0 - pen.at)
    }

    /// How often such a request is logged.
    fn per_second(&self, jitter: i64) -> f64 {
        let first = self.webs.front().map_or(0, |web| web.0);
        let last = self.webs.back().map_or(0, |web| web.0);
        let span = (last - first).max(SPAN) as f64 / 1000.0;
        let seldom = 1000.0 / jitter.clamp(1000, 1_000_000) as f64 / 2.0;
        (self.webs.len() as f64 / span).max(seldom)
    }
}

/// What is near to a time, if it is one only.
fn only<T>(all: &VecDeque<T>, at: impl Fn(&T) -> i64, time: i64, near: i64) -> Option<&T> {
    let start = all.partition_point(|one| at(one) < time - near);
    let first = all.get(start).filter(|one| at(one) <= time + near)?;
    all.get(start + 1).is_none_or(|next| at(next) > time + near).then_some(first)
}

/// The likeliest of those within `jitter`, not counting some.
fn nearest(
    pens: &VecDeque<Pen>,
    time: i64,
    jitter: i64,
    is_used: impl Fn(usize) -> bool,
    likelihood: &Likelihood,
) -> Option<usize> {
    let middle = pens.partition_point(|pen| pen.at <= time);
    let before = (0..middle).rev().find(|pen| !is_used(*pen));
    let after = (middle..pens.len()).find(|pen| !is_used(*pen));
    let residual = |pen: &usize| time - pens[*pen].at;
    let found = [before, after].into_iter().flatten().filter(|pen| residual(pen).abs() <= jitter);
    found.min_by_key(|pen| (likelihood.cost(residual(pen)), residual(pen).abs()))
}

#[cfg(test)]
mod tests;
