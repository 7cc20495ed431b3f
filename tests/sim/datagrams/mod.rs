//! The event loop where datagrams are carried: a world of its own, with loss, reordering, servers that are not there or
//! say nothing, and whatever a machine may lack; its plan, and its judge.
//!
//! `SEED=17 cargo test --test sim datagrams` runs one seed again.

mod net;
#[cfg(test)]
mod scenarios;
mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use pen::balance::acl::Subnet;
use pen::balance::settings::Protocol;
use pen::balance::trusted::Trusted;
use pen::balance::{Common, Listeners, MAIN, Server, ServerId, Settings};
use pen::base::addr::Endpoint;
use pen::base::operand::{ServerSpec, Services};
use pen::base::proxy_version::ProxyVersion;
use pen::net::{ListenOptions, Net, Signal};
use pen::proxy::listener::{Arriving, Transport, listening_token};
use pen::proxy::{Ending, Nobody, Proxy, Rights, Start};

use super::choices::Choices;
use net::UdpNet;
use world::World;

/// Virtual time in which everything must be over.
const TIME_MAX: Duration = Duration::from_secs(1_000);

/// What a server does with a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Answers it as often as is expected.
    Sound,
    /// Is not there: the question comes back as an error.
    Absent,
    /// Is not there, and the very call fails.
    Unreachable,
    /// Says nothing.
    Silent,
    /// One of the above each time.
    Flaky,
}

/// A client: when it asks, and how many bytes.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    pub listener: usize,
    pub asks: Vec<(Duration, usize)>,
}

/// One simulation.
#[derive(Clone, Debug)]
pub struct Plan {
    pub common: Common,
    pub settings: Settings,
    pub listeners: usize,
    /// Of which listener each server is, how many places it has, and what it does.
    pub servers: Vec<(usize, u32, Manner)>,
    pub clients: Vec<ClientPlan>,
    /// One datagram of so many is lost; 0 for none.
    pub loss: u64,
    /// A call would block, is interrupted, or an edge tells of nothing: once in so many times.
    pub odd: u64,
    /// Something is lacking for a call, or for memory, once in so many times.
    pub lack: u64,
    /// Descriptors that there are for associations.
    pub descriptors: usize,
    /// Microseconds that a datagram travels, from and to.
    pub latency: (u64, u64),
    /// Signals for pen.
    pub signals: Vec<(Duration, Signal)>,
    /// pen is told to end then.
    pub ends_at: Option<Duration>,
}

impl Plan {
    /// Sound servers on a sound network, and clients that ask so often, at the same time.
    pub fn plain(servers: usize, clients: usize, asks: usize) -> Plan {
        let mut settings = Settings { protocol: Protocol::Udp, ..Settings::default() };
        settings.udp_responses = Some(1);
        let asks = (0..asks).map(|number| (Duration::from_millis(100 * number as u64), 20)).collect();
        Plan {
            common: Common::default(),
            settings,
            listeners: 1,
            servers: vec![(0, 0, Manner::Sound); servers],
            clients: vec![ClientPlan { listener: 0, asks }; clients],
            loss: 0,
            odd: 0,
            lack: 0,
            descriptors: usize::MAX,
            latency: (100, 100),
            signals: Vec::new(),
            ends_at: None,
        }
    }

    /// Anything. Without faults all servers are sound and nothing is lost.
    pub fn random(choices: &mut Choices, with_faults: bool) -> Plan {
        let count = |choices: &mut Choices, low, high| usize::try_from(choices.between(low, high)).unwrap();
        let (servers, clients) = (count(choices, 1, 4), count(choices, 1, 8));
        let mut plan = Plan::plain(servers, clients, 0);
        plan.listeners = count(choices, 1, 2);
        for client in &mut plan.clients {
            client.listener = usize::try_from(choices.below(plan.listeners as u64)).unwrap();
            let mut at = choices.micros(0, 500_000);
            for _ in 0..choices.between(1, 12) {
                client.asks.push((at, *choices.pick(&[9, 20, 600, 4_096, 5_000, 65_000])));
                at += *choices.pick(&[Duration::ZERO, Duration::from_micros(50), Duration::from_millis(300)]);
                at += choices.micros(0, 1_000);
            }
        }
        let settings = &mut plan.settings;
        settings.udp_requests = *choices.pick(&[0, 1, 1, 2]);
        settings.udp_responses = *choices.pick(&[None, Some(0), Some(1), Some(1), Some(3)]);
        settings.udp_timeout = *choices.pick(&[Duration::from_secs(180), Duration::from_secs(8)]);
        settings.connect_timeout = choices.millis(1_000, 2_000);
        settings.blacklist = *choices.pick(&[Duration::from_secs(30), Duration::ZERO, Duration::from_millis(500)]);
        settings.modes.roundrobin = choices.one_in(2);
        settings.modes.hash = choices.one_in(4);
        plan.common.debug = *choices.pick(&[0, 0, 1, 2]);
        plan.odd = *choices.pick(&[0, 3, 10]);
        plan.latency = (*choices.pick(&[0, 100]), *choices.pick(&[100, 5_000, 100_000]));
        for server in &mut plan.servers {
            server.0 = usize::try_from(choices.below(plan.listeners as u64)).unwrap();
        }
        if choices.one_in(6) {
            plan.signals.push((choices.millis(0, 3_000), Signal::Hangup));
            plan.signals.push((choices.millis(0, 3_000), Signal::Statistics));
        }
        if with_faults {
            plan.draw_faults(choices);
        }
        plan.settings.proxy_protocol = *choices.pick(&[None, None, Some(ProxyVersion::V2)]);
        plan.settings.proxy_accept = *choices.pick(&[None, None, Some(proxies())]);
        plan
    }

    fn draw_faults(&mut self, choices: &mut Choices) {
        use Manner::{Absent, Flaky, Silent, Sound, Unreachable};
        for server in &mut self.servers {
            server.2 = *choices.pick(&[Sound, Sound, Absent, Silent, Flaky, Unreachable]);
            if choices.one_in(5) {
                server.1 = u32::try_from(choices.between(1, 3)).unwrap();
            }
        }
        self.settings.modes.stubborn = choices.one_in(8);
        self.common.conn_max = *choices.pick(&[500, 500, 3, 1]);
        self.loss = *choices.pick(&[0, 0, 5, 20]);
        self.lack = *choices.pick(&[0, 0, 0, 6]);
        self.descriptors = *choices.pick(&[usize::MAX, usize::MAX, 1, 3]);
        if choices.one_in(6) {
            self.signals.push((choices.millis(0, 3_000), Signal::Quit));
        }
        if choices.one_in(6) {
            self.ends_at = Some(choices.millis(0, 3_000));
        }
    }

    /// True if each question of this listener's clients must have its answers.
    fn answers_all_at(&self, listener: usize) -> bool {
        let own = || self.servers.iter().filter(|server| server.0 == listener);
        let expects = self.settings.udp_responses.is_some_and(|count| count > 0);
        let moves = self.settings.udp_requests == 1 && !self.settings.modes.stubborn;
        // Of those that are not there no further questions may be under way when it turns out.
        let is_known = |manner: Manner| match manner {
            Manner::Sound => true,
            Manner::Absent | Manner::Unreachable => moves,
            Manner::Silent => moves && expects,
            Manner::Flaky => false,
        };
        let is_small = || self.clients.iter().flat_map(|client| &client.asks).all(|(_, length)| *length <= 4_096);
        let all_sound = own().all(|server| server.2 == Manner::Sound);
        self.loss == 0
            && self.lack == 0
            && self.odd == 0
            && self.descriptors == usize::MAX
            && self.common.conn_max == 500
            && self.ends_at.is_none()
            && self.signals.iter().all(|(_, signal)| *signal != Signal::Quit)
            && own().all(|server| server.1 == 0 && is_known(server.2))
            && own().any(|server| server.2 == Manner::Sound)
            && (all_sound || is_small())
    }
}

/// Those who are proxies if there are any: all.
pub fn proxies() -> Trusted {
    Trusted::Net(Subnet::parse("10.0.0.0/8", None).unwrap())
}

type Shared = Rc<RefCell<World>>;

/// A world for one run.
pub fn world(plan: Plan, choices: Choices, traced: bool) -> Shared {
    Rc::new(RefCell::new(World::new(plan, choices, traced)))
}

/// pen in a world, ready to turn.
fn proxy(world: &Shared) -> Proxy<UdpNet> {
    let plan = world.borrow().plan.clone();
    let mut net = UdpNet::new(Rc::clone(world));
    let options = ListenOptions { backlog: 500, private: false, shared: false, datagrams: true, foreign: false };
    let at = Endpoint::inet("0.0.0.0:53".parse().unwrap());
    let mut listeners = Listeners::new(plan.common, plan.settings.clone());
    let mut listening = Vec::new();
    for number in 0..plan.listeners {
        let key = if number == 0 { MAIN } else { listeners.add(&format!("l{number}")).unwrap() };
        listeners[key].balancer.settings = plan.settings.clone();
        let socket = net.listen(&at, options, listening_token(number)).unwrap();
        listeners[key].at.push(String::from("53"));
        listening.push(Arriving::new(key, socket, String::from("53")).carrying(Transport::Udp));
        for (index, server) in (0..).zip(&plan.servers).filter(|(_, server)| server.0 == number) {
            let text = format!("{}:{}", world::address(index).ip(), world::address(index).port());
            let mut entry = Server::new(&ServerSpec::parse(&text, &Services::default()).unwrap(), 53);
            entry.max = server.1;
            let id = ServerId::Regular(u32::try_from(index).unwrap());
            listeners[key].balancer.servers.set(id, entry).unwrap();
        }
    }
    let start = Start {
        listening,
        control: None,
        control_at: String::new(),
        rights: Rights::default(),
        log: None,
        capture: None,
        pid: 1,
        services: Services::default(),
    };
    Proxy::new(net, listeners, start)
}

/// Runs a world to its end, and judges it. Panics if anything is wrong.
pub fn run(world: &Shared) {
    let mut proxy = proxy(world);
    let (most, listeners) = (world.borrow().plan.common.conn_max, world.borrow().plan.listeners);
    loop {
        let outcome = proxy.turn(&mut Nobody);
        proxy.check();
        assert!(proxy.associations() <= most, "there are no more than there may be");
        let world = world.borrow();
        assert_eq!(world.open(), proxy.associations(), "each has one socket");
        let time = Duration::from_nanos(world.now - world::START);
        let is_over = world.is_over() && proxy.associations() == 0;
        if is_over || proxy.ending().is_some() || world.plan.ends_at.is_some_and(|at| time >= at) {
            break;
        }
        outcome.unwrap_or_else(|error| panic!("{error}, but {} are left", proxy.associations()));
        assert!(time < TIME_MAX, "after {time:?} {} are left", proxy.associations());
        world.assert_turns();
    }
    if world.borrow().plan.ends_at.is_none() {
        for (_, listener) in proxy.listeners().all() {
            assert_eq!((listener.balancer.claimed(), listener.pairs), (0, 0), "every place was given back");
        }
        judge_health(&proxy, &world.borrow());
    }
    world.borrow_mut().signals.push(Signal::Terminate);
    let ending = proxy.run().unwrap();
    assert_eq!(ending, Ending::Signal);
    drop(proxy);
    let mut world = world.borrow_mut();
    assert_eq!((world.open(), world.listening), (0, 0), "no descriptor is left of {listeners}");
    world.finish();
    judge_answers(&world);
}

/// A server that is sound was never taken for failed, unless its answers were lost or late.
fn judge_health(proxy: &Proxy<UdpNet>, world: &World) {
    let plan = &world.plan;
    let is_quick = plan.loss == 0 && plan.odd == 0 && plan.descriptors == usize::MAX && plan.lack == 0;
    for (_, listener) in proxy.listeners().all() {
        for (id, server) in listener.balancer.servers.all() {
            let manner = plan.servers[id.index().unwrap()].2;
            assert!(manner != Manner::Sound || !is_quick || server.failed_at == 0, "server {id} never failed");
        }
    }
}

/// Where nothing stood in the way, each client has all its answers.
fn judge_answers(world: &World) {
    let expected = u64::from(world.plan.settings.udp_responses.unwrap_or(1));
    for (number, client) in world.plan.clients.iter().enumerate() {
        let asked = client.asks.len() as u64;
        let answers = &world.answers[number];
        assert!(answers.iter().sum::<u64>() <= asked * expected.max(1) * world.plan.servers.len() as u64);
        if world.plan.answers_all_at(client.listener) {
            let all = vec![expected; client.asks.len()];
            assert_eq!(*answers, all, "client {number} has all its answers, and none twice");
        }
    }
}

/// The world in which these bytes are the random numbers.
pub fn world_of_bytes(bytes: &[u8], traced: bool) -> Shared {
    let mut choices = Choices::bytes(bytes);
    let with_faults = choices.below(3) > 0;
    let plan = Plan::random(&mut choices, with_faults);
    world(plan, choices, traced)
}

/// Runs that world to its end, and judges it. Panics if anything is wrong.
#[allow(dead_code, reason = "for the fuzzer")]
pub fn judge_bytes(bytes: &[u8]) {
    run(&world_of_bytes(bytes, false));
}

/// Runs a world, and shows its trace if it fails; `again` makes it anew with one.
pub fn judge(name: &str, again: impl Fn(bool) -> Shared) {
    let Err(failure) = catch_unwind(AssertUnwindSafe(|| run(&again(false)))) else { return };
    let world = again(true);
    let _ = catch_unwind(AssertUnwindSafe(|| run(&world)));
    println!("{}\n{name} fails", world.borrow().trace());
    resume_unwind(failure);
}
