//! Runs one simulation, and judges it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use pen::balance::{Listeners, MAIN, Server, ServerId};
use pen::base::operand::{Host, ServerSpec, Services};
use pen::net::{ListenOptions, LogTarget, Net, Signal};
use pen::proxy::capture;
use pen::proxy::listener::{Arriving, listening_token};
use pen::proxy::{Ending, Nobody, Proxy, Rights, Start};

use super::choices::Choices;
use super::peer::{Peer, Sight};
use super::plan::{Plan, Reach, endpoint};
use super::sockets::SimNet;
use super::wire::PROXY;
use super::world::{Far, Line, World};

/// Virtual time that everything must be over in.
const TIME_MAX: Duration = Duration::from_secs(3_000);

/// How long pen may keep anything after the last client and server have gone.
const LEFT_MAX: Duration = Duration::from_secs(5);

/// The world, which outlives a failed run so that its trace can be read.
pub type Shared = Rc<RefCell<World>>;

/// A world for one run.
pub fn world(plan: Plan, choices: Choices, traced: bool) -> Shared {
    Rc::new(RefCell::new(World::new(plan, choices, traced)))
}

/// pen in a world, ready to turn.
pub fn proxy(world: &Shared) -> Proxy<SimNet> {
    let plan = world.borrow().plan.clone();
    let mut net = SimNet::new(world.clone());
    let options = ListenOptions { backlog: 500, private: false, shared: false, datagrams: false, foreign: false };
    let at = pen::base::addr::Endpoint::inet("192.0.2.1:80".parse().unwrap());
    let mut listeners = Listeners::new(plan.common, plan.settings.clone());
    let mut listening = Vec::new();
    for number in 0..plan.listeners {
        let key = if number == 0 { MAIN } else { listeners.add(&name(number)).unwrap() };
        listeners[key].balancer.settings = plan.settings.clone();
        if number > 0 {
            // Who was sent there stays.
            listeners[key].balancer.settings.routes.clear();
        }
        let socket = net.listen(&at, options, listening_token(number)).unwrap();
        listeners[key].at.push(String::from("80"));
        listening.push(Arriving::new(key, socket, String::from("80")));
    }
    for (index, server) in plan.servers.iter().enumerate() {
        let spec = ServerSpec {
            host: Host::Name(format!("server{index}")),
            port: Some(8000),
            max: server.max,
            hard: server.hard,
            weight: server.weight,
            prio: server.prio,
        };
        let mut entry = Server::new(&spec, 80);
        if server.named.is_none() {
            entry.endpoints = (0..server.reach.len()).map(|address| endpoint(index, address)).collect();
        }
        let key = listeners.find(&name(server.listener)).expect("it was added");
        // Numbers are the world's, with holes where others have theirs.
        listeners[key].balancer.servers.set(ServerId::Regular(u32::try_from(index).unwrap()), entry).unwrap();
    }
    let log = plan.has_log.then(|| {
        let target = LogTarget::File("pen.log".into());
        let log = net.open_log(&target).ok();
        log.map(|log| (target, log))
    });
    let capture = plan.capture.and_then(|spec| capture::open(&mut net, spec, false).ok());
    let start = Start {
        listening,
        control: None,
        control_at: String::new(),
        rights: Rights::default(),
        log: log.flatten(),
        capture,
        pid: 1,
        services: Services::default(),
    };
    Proxy::new(net, listeners, start)
}

/// The name of a listener.
fn name(number: usize) -> String {
    if number == 0 { String::from("main") } else { format!("listener{number}") }
}

/// Runs a world to its end, and judges it. Panics if anything is wrong.
pub fn run(world: &Shared) {
    let mut proxy = proxy(world);
    turn_until(&mut proxy, world, |_, proxy| proxy.pairs() == 0);
    let ends_early = world.borrow().plan.ends_at.is_some();
    if !ends_early {
        let mut servers = proxy.listeners().iter().flat_map(|(_, listener)| listener.balancer.servers.iter());
        assert!(servers.all(|(_, server)| server.clients() == 0), "every place at a server was given back");
        judge_health(&proxy, &world.borrow());
        judge_accounts(&proxy, &world.borrow());
        let is_left = world.borrow().is_handed_over && proxy.pairs() == 0;
        assert!(!is_left || proxy.ending().is_some(), "with a successor and nothing left to do, pen leaves");
    }
    world.borrow_mut().signals.push(Signal::Terminate);
    assert_eq!(proxy.run().unwrap(), Ending::Signal);
    assert_eq!(proxy.pairs(), 0, "nothing is left at the end");
    proxy.check();
    drop(proxy);
    finish(world);
    super::capture::judge(&world.borrow());
    if world.borrow().ftp.is_some() { super::ftp::judge(&world.borrow()) } else { judge_clients(&world.borrow()) }
}

/// Runs a world to its end, and judges it; if its clock steps, again with one that does not, which must change nothing
/// but the times in what pen writes. `again` gives the same world anew.
pub fn judge(world: &Shared, again: impl Fn() -> Shared) {
    run(world);
    if world.borrow().plan.steps.is_empty() {
        return;
    }
    let twin = again();
    twin.borrow_mut().plan.steps.clear();
    run(&twin);
    assert_same(&world.borrow(), &twin.borrow());
}

/// All that is to be seen of two worlds is the same, except for times.
fn assert_same(world: &World, twin: &World) {
    assert_eq!(without_times(&world.said), without_times(&twin.said), "what pen says does not go by the clock");
    assert_eq!(log_without_times(world), log_without_times(twin), "the log does not go by the clock");
    assert_eq!((world.now, world.calls), (twin.now, twin.calls), "nothing that pen does goes by the clock");
    assert_eq!(world.fates, twin.fates);
    let seen = |world: &World| -> Vec<_> {
        let peers = world.lines.iter().filter_map(|line| line.peer.as_ref());
        peers.map(|peer| (peer.sent, peer.received, peer.sight, peer.ended_at)).collect()
    };
    assert_eq!(seen(world), seen(twin), "no far end sees a difference");
}

/// The lines of the log without their times, of which a full disk may have cut off a part.
fn log_without_times(world: &World) -> Vec<String> {
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let masked = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.get_mut(1).filter(|word| is_number(word)).into_iter().for_each(|word| *word = "time");
        words.join(" ")
    };
    String::from_utf8_lossy(&world.log).lines().map(masked).collect()
}

/// The texts with each number of ten digits taken out: that is what times look like.
fn without_times(texts: &[String]) -> Vec<String> {
    let is_time = |piece: &str| piece.len() == 10 && piece.bytes().all(|byte| byte.is_ascii_digit());
    let masked = |text: &String| {
        let pieces = text.split_inclusive(|c: char| !c.is_ascii_digit());
        pieces
            .map(|piece| if is_time(piece.trim_end_matches(|c: char| !c.is_ascii_digit())) { "time" } else { piece })
            .collect()
    };
    texts.iter().map(masked).collect()
}

/// The world in which these bytes are the random numbers; of all worlds, two thirds have faults.
pub fn world_of_bytes(bytes: &[u8], traced: bool) -> Shared {
    let mut choices = Choices::bytes(bytes);
    let with_faults = choices.below(3) > 0;
    let plan = Plan::random(&mut choices, with_faults);
    world(plan, choices, traced)
}

/// Runs that world to its end, and judges it. Panics if anything is wrong.
pub fn judge_bytes(bytes: &[u8]) {
    let world = || world_of_bytes(bytes, false);
    judge(&world(), world);
}

/// Runs a plan that draws nothing but small delays, and gives back the world at its end.
pub fn finished(plan: Plan) -> World {
    finished_by(plan, 1)
}

/// The same with the small things drawn from a seed.
pub fn finished_by(plan: Plan, seed: u64) -> World {
    let world = world(plan, Choices::seed(seed), true);
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&world)));
    let world = Rc::into_inner(world).expect("pen has let go of the world").into_inner();
    if let Err(failure) = outcome {
        println!("{}", world.trace());
        resume_unwind(failure);
    }
    world
}

/// Turns until the world is over and `is_done` says so, or until pen ends or is to end.
pub fn turn_until(proxy: &mut Proxy<SimNet>, world: &Shared, is_done: impl Fn(&World, &Proxy<SimNet>) -> bool) {
    let begun = world.borrow().now;
    let mut over_at = None;
    loop {
        let outcome = proxy.turn(&mut Nobody);
        proxy.check();
        let world = world.borrow();
        let time = Duration::from_nanos(world.now - begun);
        if world.is_over() {
            over_at = over_at.or(Some(time));
            if is_done(&world, proxy) {
                return;
            }
        } else {
            // A client that has gone, but not without a word, may still be given a server.
            over_at = None;
        }
        if proxy.ending().is_some() || world.plan.ends_at.is_some_and(|at| time >= at) {
            return;
        }
        if let Err(error) = outcome {
            panic!("{error}, but {}", unfinished(&world, proxy.pairs()));
        }
        let limit = over_at.map_or(TIME_MAX, |over| over + LEFT_MAX);
        assert!(time < limit, "after {time:?} {}", unfinished(&world, proxy.pairs()));
        assert_turns(&world, time);
    }
}

/// Turns are for something: an event, a byte, or a timer now and then.
fn assert_turns(world: &World, time: Duration) {
    let clients = world.fates.len() as u64;
    // A pair that waits looks every 20 ms at its last bytes, or every 100 ms for a descriptor.
    let timers = clients * (2 + u64::try_from(time.as_millis()).unwrap() / 20);
    // While idlers are missing or under way pen looks after them every second.
    let servers = world.plan.servers.len() as u64;
    let timers = timers + if world.plan.settings.idlers > 0 { 2 * time.as_secs() } else { 0 };
    // So does it with checks: when one begins, and when its time is over.
    let checks = if world.plan.settings.check.is_some() { 3 * (2 + time.as_secs()) * servers } else { 0 };
    // And while somebody waits for a place.
    let looks = if world.plan.settings.queue.is_some() { 2 + time.as_secs() + clients } else { 0 };
    // And while a disk does not take what is captured, or files have their time.
    let disk = if world.plan.capture.is_some() { 5 * (2 + time.as_secs()) } else { 0 };
    let limit = 100 + checks + looks + disk + 2 * world.actions + 2 * world.progress + timers;
    assert!(world.calls.wait < limit, "{} turns for {} events", world.calls.wait, world.actions);
}

fn unfinished(world: &World, pairs: usize) -> String {
    let waiting = |id: usize| {
        let line = &world.lines[id];
        line.peer.as_ref().filter(|peer| !peer.has_ended).map(|_| format!("{:?} of line {id}", line.far))
    };
    let waiting: Vec<_> = (0..world.lines.len()).filter_map(waiting).collect();
    format!("there are {pairs} pairs, and these have not ended: {waiting:?}")
}

/// Lets the kernels and the far ends come to their end without pen.
fn finish(world: &Shared) {
    let mut world = world.borrow_mut();
    assert_eq!(world.open, 0, "no descriptor is left");
    assert_eq!(world.successor, None, "no successor is left");
    while !world.is_over() {
        assert!(world.next().is_some(), "{}", unfinished(&world, 0));
        world.step();
        let time = Duration::from_nanos(world.now - 1_000_000_000);
        assert!(time < TIME_MAX, "{}", unfinished(&world, 0));
    }
}

/// What was carried is in the servers' accounts, both ways.
fn judge_accounts(proxy: &Proxy<SimNet>, world: &World) {
    let servers = proxy.listeners().all().flat_map(|(_, listener)| listener.balancer.servers.all());
    let accounted: u64 = servers.map(|(_, server)| server.sent + server.received).sum();
    let written: u64 = world.lines.iter().map(|line| line.wire.halves[PROXY].written).sum();
    assert_eq!(accounted, written, "every byte that was carried is accounted for");
}

/// A server that never failed was never taken for failed.
fn judge_health(proxy: &Proxy<SimNet>, world: &World) {
    for (index, plan) in world.plan.servers.iter().enumerate() {
        let id = ServerId::Regular(u32::try_from(index).unwrap());
        let at = proxy.listeners().find(&name(plan.listener)).unwrap();
        let server = proxy.listeners()[at].balancer.servers.server(id).unwrap();
        let is_sound = plan.reach.iter().all(|reach| *reach == Reach::Sound);
        if is_sound {
            assert_eq!(server.failed_at, 0, "server {index} never failed");
        }
    }
}

/// What must be true of a world that has come to its end.
fn judge_clients(world: &World) {
    for client in 0..world.fates.len() {
        judge_client(world, client);
    }
}

fn judge_client(world: &World, number: usize) {
    let plan = &world.plan.clients[number];
    let fate = world.fates[number];
    if fate.is_elsewhere {
        return assert!(world.server_line(number).is_none(), "client {number} is another process's");
    }
    let client = world.client(number);
    judge_unnoticed(world, number, client);
    let Some(line) = world.server_line(number) else {
        return judge_unserved(world, number, client);
    };
    let server = line.peer.as_ref().expect("it was connected");
    let Far::Server(of, _) = line.far else { panic!("it is a server's") };
    let expected = world.plan.routed_to.unwrap_or(plan.listener);
    assert_eq!(world.plan.servers[of].listener, expected, "client {number} got a server of its listener");
    judge_breaks(world, number, line);
    for (taker, giver, who) in [(client, server, "client"), (server, client, "server of client")] {
        assert!(taker.received <= giver.sent, "{who} {number} got more than was sent");
        if taker.sight == Some(Sight::Fin) && world.plan.ends_at.is_none() && !world.plan.has_cuts {
            let said = giver.said_all;
            assert_eq!(said, Some(taker.received), "{who} {number} took a cut transfer for complete");
        }
    }
    if fate.was_hit || world.plan.ends_at.is_some() {
        return;
    }
    let dialogue = &plan.dialogue;
    assert_eq!(server.received, dialogue.up, "the server of client {number} got everything");
    assert_eq!(client.received, dialogue.down, "client {number} got everything");
    assert_eq!(client.sight, Some(Sight::Fin), "client {number} saw the end");
    // A server may close before it sees the client's end.
    assert_ne!(server.sight, Some(Sight::Reset), "the server of client {number} saw the end");
}

/// Who was reset by pen got everything that had reached pen before.
fn judge_breaks(world: &World, number: usize, server: &Line) {
    let client = &world.lines[world.fates[number].line.expect("it came")];
    for (taker, giver, who) in [(client, server, "client"), (server, client, "server of client")] {
        let peer = taker.peer.as_ref().expect("it was connected");
        if peer.sight == Some(Sight::Reset) && !taker.was_reset && world.plan.ends_at.is_none() && !world.plan.has_cuts
        {
            let arrived = giver.wire.halves[PROXY].arrived;
            assert_eq!(peer.received, arrived, "{who} {number} was reset before it had everything");
        }
    }
}

/// A client that nobody served is no client that said nothing, for servers whose connection stood before pen knew.
fn judge_unnoticed(world: &World, number: usize, client: &Peer) {
    let is_unnoticed = |line: &&Line| matches!(line.far, Far::Server(..)) && line.was_tried && !line.was_used;
    for line in world.lines.iter().filter(|line| line.client == Some(number)).filter(is_unnoticed) {
        let sight = line.peer.as_ref().and_then(|peer| peer.sight);
        let is_complete = sight != Some(Sight::Fin) || client.said_all == Some(0);
        let is_served = world.server_line(number).is_some();
        assert!(is_complete || is_served || world.plan.ends_at.is_some(), "client {number} seems to have said nothing");
    }
}

fn judge_unserved(world: &World, number: usize, client: &Peer) {
    assert_eq!(client.received, 0, "client {number} got bytes from nowhere");
    if world.fates[number].was_hit || world.plan.ends_at.is_some() {
        return;
    }
    assert!(
        !world.plan.serves_everybody_at(world.plan.clients[number].listener),
        "client {number} was not served though a server was there"
    );
    let is_eager = world.plan.clients[number].dialogue.client_reader == super::peer::Reader::Eager;
    assert!(!is_eager || client.sight == Some(Sight::Fin), "client {number} was sent away with a FIN");
}
