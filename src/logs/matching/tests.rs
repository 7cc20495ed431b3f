//! Generated logs with known truth, and a naive matcher beside the real one.

use super::*;

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % limit.unsigned_abs()).unwrap()
    }
}

/// A request as both sides know it, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Request {
    key: u64,
    server: usize,
    client: usize,
    agent: Option<u32>,
    seen: Option<i64>,
    logged: Option<i64>,
}

/// How logs are made.
#[derive(Clone, Copy, Debug)]
struct Story {
    /// Milliseconds between requests, on average.
    pace: i64,
    /// Of a hundred requests, those for the same page.
    popular: i64,
    /// Different other pages; 0: each request is for another.
    pages: i64,
    /// Milliseconds that a server takes at most, and on average beyond that: exponentially distributed.
    slow: i64,
    tail: i64,
    /// How many clients there are; 0: one for each request.
    clients: i64,
    /// How many agents they have, of which the first is the most common; 0: the log has none.
    agents: i64,
    /// How far each server's clock is ahead, in milliseconds.
    offsets: [i64; 2],
    /// How many milliseconds the clocks gain in a second.
    drift: i64,
    /// Of a thousand requests, those that pen, and those that the server did not log.
    missing: [i64; 2],
}

const PLAIN: Story = Story {
    pace: 100,
    popular: 20,
    pages: 0,
    slow: 40,
    tail: 0,
    clients: 0,
    agents: 0,
    offsets: [0, 0],
    drift: 0,
    missing: [0, 0],
};

const START: i64 = 1_010_536_070_000;

fn client(number: usize) -> ClientAddr {
    ClientAddr::Inet(std::net::Ipv4Addr::from(u32::try_from(number).unwrap()).into())
}

/// A client's agent: the same each time, a seventh of the clients has the most common one.
fn agent_of(client: usize, agents: i64) -> u32 {
    let mut random = Random(client as u64);
    random.below(1000);
    let (one, other) = (random.below(agents), random.below(agents));
    u32::try_from(one * other / agents).unwrap()
}

fn requests(story: Story, count: usize, seed: u64) -> Vec<Request> {
    let mut random = Random(seed);
    let mut at = START;
    let mut requests = Vec::new();
    for number in 0..count {
        at += random.below(2 * story.pace);
        let server = usize::try_from(random.below(2)).unwrap();
        let page = match (random.below(100) < story.popular, story.pages) {
            (true, _) => 1,
            (false, 0) => 2 + u64::try_from(number).unwrap(),
            (false, pages) => 2 + random.below(pages).unsigned_abs(),
        };
        let mut is_missing = |side: usize| random.below(1000) < story.missing[side];
        let (seen, logged) = (!is_missing(0), !is_missing(1));
        let clock = story.offsets[server] + (at - START) / 1000 * story.drift;
        let part = (random.below(1 << 30) as f64 + 0.5) / (1 << 30) as f64;
        let late = random.below(story.slow + 1) + (-part.ln() * story.tail as f64) as i64;
        let client = if story.clients == 0 { number } else { usize::try_from(random.below(story.clients)).unwrap() };
        let agent = (story.agents > 0).then(|| agent_of(client, story.agents));
        requests.push(Request {
            client,
            agent,
            key: page * 2 + server as u64,
            server,
            seen: seen.then_some(at),
            logged: logged.then_some(at + late + clock),
        });
    }
    requests
}

/// Whole seconds, as logs have them, with each second's requests spread over it.
fn spread(times: &mut [i64]) {
    let mut start = 0;
    while start < times.len() {
        let second = times[start].div_euclid(1000);
        let end = start + times[start..].iter().take_while(|time| time.div_euclid(1000) == second).count();
        let count = i64::try_from(end - start).unwrap();
        for (place, time) in (0..).zip(&mut times[start..end]) {
            *time = second * 1000 + (2 * place + 1) * 500 / count;
        }
        start = end;
    }
}

/// Surveys and matches as mergelogs does: for each request that was logged, its number and the
/// client that was found.
fn run(requests: &[Request], jitter: i64) -> Vec<(usize, Option<ClientAddr>)> {
    let mut matcher = Matcher::new(jitter, &[0, 1]);
    let mut pens: Vec<(i64, usize)> =
        requests.iter().enumerate().filter_map(|(number, request)| Some((request.seen?, number))).collect();
    pens.sort_unstable();
    let mut times: Vec<i64> = pens.iter().map(|pen| pen.0).collect();
    spread(&mut times);
    pens.iter_mut().zip(&times).for_each(|(pen, time)| pen.0 = *time);

    let mut logs: Vec<Vec<(i64, usize)>> = Vec::new();
    for server in 0..2 {
        let of_server = requests.iter().enumerate().filter(|(_, request)| request.server == server);
        let mut log: Vec<(i64, usize)> = of_server.filter_map(|(number, one)| Some((one.logged?, number))).collect();
        log.sort_unstable();
        let mut times: Vec<i64> = log.iter().map(|web| web.0).collect();
        spread(&mut times);
        log.iter_mut().zip(&times).for_each(|(web, time)| web.0 = *time);
        let mut surveys = (Survey::default(), Survey::default());
        let of_server = pens.iter().filter(|pen| requests[pen.1].server == server);
        of_server.for_each(|pen| surveys.0.add(requests[pen.1].key, pen.0));
        log.iter().for_each(|web| surveys.1.add(requests[web.1].key, web.0));
        matcher.set_offset(server, surveys.0.offset_of(&surveys.1, jitter).map_or(0, |found| found.offset));
        logs.push(log);
    }
    let mut webs: Vec<(i64, usize)> = logs.concat();
    webs.sort_by_key(|web| web.0 - matcher.offset(requests[web.1].server));

    let mut seen = pens.into_iter().peekable();
    let mut held: VecDeque<(usize, WebId)> = VecDeque::new();
    let mut found = Vec::new();
    for (time, number) in webs {
        let Request { server, key, agent, .. } = requests[number];
        let now = time - matcher.offset(server);
        while let Some((at, number)) = seen.next_if(|pen| pen.0 <= now + 5_000) {
            matcher.pen(requests[number].key, requests[number].server, at, client(requests[number].client));
        }
        held.push_back((number, matcher.web(key, server, time, agent)));
        while held.front().is_some_and(|(_, id)| matcher.time_of(*id) + jitter < now) {
            let (number, id) = held.pop_front().unwrap();
            let read = matcher.time_of(id) + jitter;
            found.push((number, matcher.decide(id, read)));
        }
        matcher.forget(now - 3 * jitter);
    }
    seen.for_each(|(at, number)| matcher.pen(requests[number].key, requests[number].server, at, client(number)));
    found.extend(held.into_iter().map(|(number, id)| (number, matcher.decide(id, i64::MAX))));
    assert!(matcher.webs.is_empty(), "what is decided is gone");
    matcher.forgotten = i64::MIN;
    matcher.forget(i64::MAX);
    assert!(matcher.queues.is_empty() && matcher.queue_of.is_empty(), "what is forgotten is gone");
    found
}

/// How many of a thousand logged requests got their own client, or none if pen did not see them.
fn right(requests: &[Request], found: &[(usize, Option<ClientAddr>)]) -> usize {
    let truth = |number: usize| requests[number].seen.map(|_| client(requests[number].client));
    found.iter().filter(|(number, client)| *client == truth(*number)).count() * 1000 / found.len()
}

#[test]
fn requests_that_differ_are_all_credited_rightly_whatever_the_clocks() {
    let stories = [
        Story { popular: 0, ..PLAIN },
        Story { popular: 0, offsets: [4_000, -9_000], ..PLAIN },
        Story { popular: 0, offsets: [3_600_000, -18_000_000], slow: 5_000, ..PLAIN },
        Story { popular: 0, drift: 3, offsets: [100_000, -200_000], ..PLAIN },
        Story { popular: 0, missing: [100, 100], pace: 1_000, ..PLAIN },
    ];
    for story in stories {
        for seed in 0..3 {
            let requests = requests(story, 3_000, seed);
            let found = run(&requests, 600_000);
            let truth = |number: usize| requests[number].seen.map(|_| client(requests[number].client));
            let wrong: Vec<_> = found.iter().filter(|(number, client)| *client != truth(*number)).collect();
            assert!(wrong.is_empty(), "{story:?}: {wrong:?}");
            assert_eq!(found.len(), requests.iter().filter(|request| request.logged.is_some()).count());
        }
    }
}

#[test]
fn of_twenty_thousand_requests_with_a_popular_page_nearly_all_are_credited_rightly() {
    let stories = [
        (PLAIN, 985),
        (Story { pages: 300, ..PLAIN }, 985),
        (Story { offsets: [2_500, -3_600_000], ..PLAIN }, 985),
        (Story { drift: 2, offsets: [-45_000, 8_000], ..PLAIN }, 985),
        (Story { missing: [10, 10], ..PLAIN }, 970),
        (Story { pace: 20, slow: 5, ..PLAIN }, 970),
        (Story { pace: 500, slow: 400, ..PLAIN }, 970),
    ];
    for (story, least) in stories {
        let requests = requests(story, 20_000, 11);
        let found = run(&requests, 600_000);
        let right = right(&requests, &found);
        assert!(right >= least, "{story:?}: {right} of a thousand");
    }
}

/// How many equal requests wait for their answers at a time, on average, is what makes it hard: 1 with
/// a pace of 100 and a second of latency for the popular page of two servers, 3 with a pace of 30.
/// Times alone cannot tell which of them is answered; where the log has agents, these do.
#[test]
fn equal_requests_that_overtake_each_other_are_told_apart_by_their_agents() {
    let slow = |pace, slow, tail, agents| Story { pace, slow, tail, agents, clients: 200, ..PLAIN };
    let stories = [
        // In order, without agents.
        (slow(100, 400, 0, 0), 970),
        (slow(100, 0, 1_000, 0), 885),
        (slow(30, 0, 1_000, 0), 825),
        // All have the same one, so it says nothing.
        (slow(100, 0, 1_000, 1), 885),
        // A few that are common, many, and one for each client.
        (slow(100, 0, 1_000, 8), 940),
        (slow(100, 400, 0, 40), 990),
        (slow(100, 0, 1_000, 40), 980),
        (slow(30, 2_000, 0, 40), 960),
        (slow(30, 0, 1_000, 1_000), 990),
        (Story { clients: 2_000, ..slow(30, 400, 0, 40) }, 985),
        (Story { offsets: [2_500, -3_600_000], missing: [10, 10], ..slow(100, 0, 1_000, 40) }, 970),
        // Every page is popular.
        (Story { pages: 300, ..slow(100, 10_000, 0, 40) }, 935),
        (Story { pages: 300, ..slow(100, 0, 1_000, 1_000) }, 985),
    ];
    for (story, least) in stories {
        let requests = requests(story, 20_000, 11);
        let right = right(&requests, &run(&requests, 600_000));
        assert!(right >= least, "{story:?}: {right} of a thousand");
    }
}

#[test]
fn nobody_is_credited_twice_nor_with_what_is_not_theirs() {
    let mut random = Random(5);
    for round in 0..300 {
        let story = Story {
            tail: 0,
            clients: 0,
            agents: [0, 3][round / 81 % 2],
            pace: [1, 50, 3_000][round % 3],
            popular: random.below(101),
            pages: [0, 1, 5][round / 3 % 3],
            slow: [0, 900, 30_000][round / 9 % 3],
            offsets: [random.below(20_000) - 10_000, 0],
            drift: random.below(3),
            missing: [random.below(500), random.below(500)],
        };
        let jitter = [0, 2_000, 60_000][round / 27 % 3];
        let requests = requests(story, 200, round as u64);
        let mut credited = vec![false; requests.len()];
        for (number, found) in run(&requests, jitter) {
            let Some(ClientAddr::Inet(std::net::IpAddr::V4(found))) = found else { continue };
            let seen = usize::try_from(u32::from(found)).unwrap();
            assert!(!std::mem::replace(&mut credited[seen], true), "{story:?}: {seen} is credited twice");
            let (one, other) = (requests[number], requests[seen]);
            assert_eq!((one.key, one.server), (other.key, other.server), "{story:?}");
        }
    }
}

/// The naive matcher for one clock and requests far apart: the nearest one that is left.
fn naive(requests: &[Request], jitter: i64) -> Vec<(usize, Option<ClientAddr>)> {
    let mut left: Vec<usize> = (0..requests.len()).filter(|number| requests[*number].seen.is_some()).collect();
    let mut found = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        let Some(logged) = request.logged else { continue };
        let distance = |other: usize| (requests[other].seen.unwrap() - logged).abs();
        let fits = |other: &usize| requests[*other].key == request.key && distance(*other) <= jitter;
        let nearest = left.iter().copied().filter(fits).min_by_key(|other| distance(*other));
        left.retain(|other| Some(*other) != nearest);
        found.push((number, nearest.map(|pen| client(requests[pen].client))));
    }
    found
}

#[test]
fn the_naive_matcher_agrees_where_requests_are_far_apart() {
    for seed in 0..20 {
        let story = Story { pace: 60_000, popular: 30, pages: 3, slow: 3_000, missing: [0, 0], ..PLAIN };
        let mut requests = requests(story, 300, seed);
        // Equal requests are never nearer than the servers are slow.
        requests.dedup_by(|later, one| later.seen.unwrap() - one.seen.unwrap() < 10_000);
        let naive = naive(&requests, 600_000);
        let mut found = run(&requests, 600_000);
        found.sort_by_key(|one| one.0);
        assert_eq!(found, naive, "{seed}");
    }
}
