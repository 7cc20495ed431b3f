//! Whose agent is whose: what tells clients apart that ask for the same page at the same time.
//!
//! Web servers log what a browser calls itself. A client has the same one nearly always, and the
//! requests about which there is little doubt show which. Many clients have a common one, so what
//! it says is weighed: a rare agent that fits says much, a common one little, one that was never
//! seen with the client speaks against it.

use std::collections::HashMap;
use std::net::IpAddr;

use super::folding::Folding;
use crate::base::addr::ClientAddr;

/// So many clients are remembered at least; twice as many at most.
const CLIENTS: usize = 32_768;
/// Agents of one client; more are behind a gateway.
const AGENTS: usize = 4;
/// What was seen of a client is halved beyond so many requests: people change their browsers.
const MEMORY: f32 = 32.0;
/// What speaks for the agents of all before anything is known of a client, in requests.
const PRIOR: f32 = 0.5;
/// Places for counts of how common an agent is: those that share one count as more common.
const PLACES: usize = 4096;
/// No evidence is stronger, in thousandths of a nat.
const MOST: i32 = 5_000;

/// What is known of clients and agents. Agents are numbers, as `weblog::agent` has them.
#[derive(Debug)]
pub(super) struct Agents {
    /// When the young ones are many they become the old ones, and the old ones are forgotten.
    young: Generation,
    old: Generation,
    counts: Vec<u32>,
    total: u32,
}

/// Clients that were seen at about the same time.
#[derive(Default, Debug)]
struct Generation {
    profiles: HashMap<u64, Profile, Folding>,
}

/// The agents of one client.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Profile {
    total: f32,
    /// The number of the agent, and in how many requests it was seen.
    seen: [(u32, f32); AGENTS],
}

/// An agent, and how common it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agent {
    number: u32,
    /// One in so many requests has it.
    rarity: f32,
}

impl Default for Agents {
    fn default() -> Agents {
        Agents { young: Generation::default(), old: Generation::default(), counts: vec![0; PLACES], total: 0 }
    }
}

impl Agents {
    /// A request was logged with this agent.
    pub(super) fn count(&mut self, agent: u32) {
        if self.total == u32::MAX / 2 {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total /= 2;
        }
        self.counts[agent as usize % PLACES] += 1;
        self.total += 1;
    }

    /// The agent as it is compared.
    pub(super) fn agent(&self, number: u32) -> Agent {
        let count = self.counts[number as usize % PLACES].max(1);
        Agent { number, rarity: self.total.max(1) as f32 / count as f32 }
    }

    /// This client is likely to have sent a request with this agent: certainly with a weight of 1.
    pub(super) fn learn(&mut self, client: ClientAddr, agent: u32, weight: f32) {
        let key = key(client);
        if let Some(profile) = self.young.profiles.get_mut(&key) {
            return profile.learn(agent, weight);
        }
        let mut profile = self.profile(client);
        profile.learn(agent, weight);
        if self.young.profiles.len() >= CLIENTS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.profiles.insert(key, profile);
    }

    /// What is known of a client.
    pub(super) fn profile(&self, client: ClientAddr) -> Profile {
        let key = key(client);
        let found = [&self.young, &self.old].into_iter().find_map(|generation| generation.profiles.get(&key));
        found.copied().unwrap_or_default()
    }
}

impl Profile {
    fn learn(&mut self, agent: u32, weight: f32) {
        if self.total + weight > MEMORY {
            self.total /= 2.0;
            self.seen.iter_mut().for_each(|seen| seen.1 /= 2.0);
        }
        self.total += weight;
        match self.seen.iter_mut().find(|seen| seen.0 == agent) {
            Some(seen) => seen.1 += weight,
            None => {
                // The rarest gives way.
                let rarest = self.seen.iter_mut().min_by(|one, other| one.1.total_cmp(&other.1));
                *rarest.expect("a profile has places") = (agent, weight);
            }
        }
    }

    /// How much it speaks for this client that a request has this agent: the logarithm of the
    /// odds, in thousandths of a nat. Nothing, if nothing is known of the client.
    pub(super) fn evidence(&self, agent: Agent) -> i32 {
        if self.total == 0.0 {
            return 0;
        }
        let seen = self.seen.iter().find(|seen| seen.0 == agent.number).map_or(0.0, |seen| seen.1);
        let odds = (seen * agent.rarity + PRIOR) / (self.total + PRIOR);
        logarithm(odds).clamp(-MOST, MOST)
    }
}

/// The natural logarithm in thousandths, to 60 or so, which is close enough for evidence and much
/// quicker than `ln`: the bits of a floating-point number are its logarithm with a straight line
/// between the powers of two.
fn logarithm(number: f32) -> i32 {
    const ONE: i64 = 0x3f80_0000;
    // Half of what the line is below the logarithm at most.
    const MIDDLE: i64 = 361_007;
    // The logarithm of 2 in thousandths, times 2 to the 13th, over 2 to the 36th.
    (((i64::from(number.to_bits()) - ONE + MIDDLE) * 5_678_261) >> 36) as i32
}

/// A number for a client. That two have the same does no harm but to the evidence about them.
fn key(client: ClientAddr) -> u64 {
    match client {
        ClientAddr::Unix => u64::MAX,
        ClientAddr::Inet(IpAddr::V4(ip)) => u64::from(ip.to_bits()),
        ClientAddr::Inet(IpAddr::V6(ip)) => {
            let bits = ip.to_bits();
            ((bits >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ bits as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> ClientAddr {
        ClientAddr::Inet(IpAddr::V4(number.into()))
    }

    #[test]
    fn logarithms_are_close_enough() {
        for number in [1e-4, 0.01, 0.3, 0.5, 0.99, 1.0, 1.5, 2.0, 7.0, 1000.0, 123_456.0] {
            let exact = (f64::from(number).ln() * 1000.0) as i32;
            assert!((logarithm(number) - exact).abs() <= 60, "{number}: {} {exact}", logarithm(number));
        }
    }

    #[test]
    fn a_rare_agent_says_more_than_a_common_one_and_a_strange_one_speaks_against() {
        let mut agents = Agents::default();
        (0..900).for_each(|_| agents.count(1));
        (0..100).for_each(|_| agents.count(2));
        assert_eq!(agents.profile(client(7)).evidence(agents.agent(2)), 0, "of an unknown client nothing is known");
        agents.learn(client(7), 1, 1.0);
        agents.learn(client(8), 2, 1.0);
        let evidence = |number, agent| agents.profile(client(number)).evidence(agents.agent(agent));
        assert!(evidence(8, 2) > 1000 && evidence(8, 2) > 5 * evidence(7, 1), "{} {}", evidence(8, 2), evidence(7, 1));
        assert!((0..300).contains(&evidence(7, 1)));
        assert!(evidence(7, 2) < -900 && evidence(8, 1) < -900);
    }

    #[test]
    fn the_more_was_seen_the_more_it_says() {
        let mut agents = Agents::default();
        (0..4).for_each(|agent| (0..250).for_each(|_| agents.count(agent)));
        let mut last = (0, 0);
        for _ in 0..30 {
            agents.learn(client(1), 3, 1.0);
            let profile = agents.profile(client(1));
            let now = (profile.evidence(agents.agent(3)), profile.evidence(agents.agent(2)));
            assert!(now.0 >= last.0 && now.1 <= last.1, "{now:?} after {last:?}");
            last = now;
        }
        // What a client has changed to counts soon.
        for _ in 0..40 {
            agents.learn(client(1), 2, 1.0);
        }
        let profile = agents.profile(client(1));
        assert!(profile.evidence(agents.agent(2)) > profile.evidence(agents.agent(3)) + 500);
    }

    #[test]
    fn clients_and_agents_that_are_remembered_are_bounded() {
        let mut agents = Agents::default();
        for number in 0..200_000 {
            agents.count(number);
            agents.learn(client(number), number, 1.0);
            // One that comes again and again is not forgotten.
            agents.learn(client(0), 5, 1.0);
        }
        assert!(agents.young.profiles.len() + agents.old.profiles.len() <= 2 * CLIENTS);
        assert!(agents.profile(client(0)).total > 1.0 && agents.profile(client(199_999)).total == 1.0);
        assert_eq!(agents.profile(client(1)).total, 0.0);
        // A gateway has many.
        for agent in 0..100 {
            agents.learn(ClientAddr::Unix, agent, 0.5);
        }
        let profile = agents.profile(ClientAddr::Unix);
        assert!(profile.total <= MEMORY && profile.seen.iter().all(|seen| seen.1 > 0.0));
    }
}
