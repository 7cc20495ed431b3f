//! Logs whose truth is known: what mergelogs makes of them, how much memory it takes, and what the
//! mergelogs of Debian's pen 0.34.1 makes of the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::support::process::Process;
use crate::support::report;
use crate::support::scratch::Scratch;
use crate::{MERGELOGS, command};

const ORIGINAL: &str = "/usr/bin/mergelogs";

/// How logs are made.
#[derive(Clone, Copy, Debug)]
struct Story {
    requests: u64,
    /// Requests in a hundred seconds.
    pace: u64,
    /// Of a hundred requests, those for `/`; each other one is for a page of its own.
    popular: u64,
    /// Seconds that the servers' clocks are ahead.
    offsets: [i64; 2],
    /// How the servers write their zones: hours east.
    zones: [i64; 2],
    /// Milliseconds that an answer takes on average, after which the line is written: equal requests
    /// overtake each other.
    latency: u64,
    /// How many agents the clients have, of which some are common; 0: the logs have none.
    agents: u64,
}

/// Makes `pen.log`, `host1` and `host2`, and says whose each request was: its number is the size in
/// its web line.
fn generate(directory: &Scratch, story: Story) -> Vec<String> {
    let mut random = 42u64;
    let mut below = |limit: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % limit
    };
    let (mut pen, mut hosts) = (String::new(), [BTreeMap::new(), BTreeMap::new()]);
    let mut clients = Vec::new();
    let mut millis = 0;
    for number in 0..story.requests {
        millis += below(2 * 100_000 / story.pace);
        let unix = 1_010_536_070 + i64::try_from(millis / 1000).unwrap();
        let (net, number_in_net) = (below(4), below(250));
        let client = format!("10.1.{net}.{number_in_net}");
        // The same for a client each time; the lower ones are more common.
        let place = (net * 250 + number_in_net) * 7919 % 1000;
        let agent = (story.agents > 0).then(|| format!("Browser/{}", place * place * story.agents / 1_000_000));
        let host = usize::from(below(2) == 1);
        let page = if below(100) < story.popular { String::new() } else { format!("page{number}") };
        let request = format!("GET /{page} HTTP/1.1");
        writeln!(pen, "{client} {unix} 10.0.0.{} {request}", host + 1).unwrap();
        let part = (below(1 << 30) as f64 + 0.5) / (1 << 30) as f64;
        let logged = millis + (-part.ln() * story.latency as f64) as u64;
        let unix = 1_010_536_070 + i64::try_from(logged / 1000).unwrap();
        let local = unix + story.offsets[host] + story.zones[host] * 3600 - 1_010_534_400;
        // Within one day: 9 January 2002 begins at 1010534400.
        let (hour, minute, second) = (local / 3600, local / 60 % 60, local % 60);
        assert!((0..24).contains(&hour));
        let zone = story.zones[host];
        let sign = if zone < 0 { '-' } else { '+' };
        let line = format!(
            "10.9.9.9 - - [09/Jan/2002:{hour:02}:{minute:02}:{second:02} {sign}{:02}00] \"{request}\" 200 {number} \
             \"-\" \"{}\"\n",
            zone.abs(),
            agent.as_deref().unwrap_or("-")
        );
        hosts[host].insert((logged, number), line);
        clients.push(client);
    }
    directory.write("pen.log", &pen);
    for (name, lines) in ["host1", "host2"].into_iter().zip(hosts) {
        directory.write(name, &lines.into_values().collect::<String>());
    }
    clients
}

/// How many of ten thousand lines have the right client, and that each is there once.
#[track_caller]
fn right(output: &str, clients: &[String]) -> u64 {
    let mut is_there = vec![false; clients.len()];
    let mut right = 0;
    for line in output.lines() {
        let parts: Vec<&str> = line.split('"').collect();
        let number: usize = parts[2].trim().strip_prefix("200 ").unwrap().parse().unwrap();
        assert!(!std::mem::replace(&mut is_there[number], true), "twice: {line}");
        right += u64::from(line.split(' ').next() == Some(&clients[number]));
    }
    assert!(is_there.iter().all(|is_there| *is_there), "a line is lost");
    right * 10_000 / clients.len() as u64
}

#[track_caller]
fn merge(program: &str, directory: &Scratch) -> String {
    let words = ["-p", "pen.log", "10.0.0.1:host1", "10.0.0.2:host2"];
    let ended = Process::run(command(program, directory, &words));
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    ended.stdout
}

const STORY: Story =
    Story { requests: 20_000, pace: 700, popular: 20, offsets: [0, 0], zones: [0, 0], latency: 0, agents: 0 };

#[test]
fn of_twenty_thousand_requests_nearly_all_are_credited_rightly() {
    let stories = [
        STORY,
        Story { offsets: [13, -42], ..STORY },
        Story { zones: [2, 5], ..STORY },
        Story { offsets: [3600, 7200], ..STORY },
    ];
    for story in stories {
        assert_right(story, 9_900);
    }
}

#[track_caller]
fn assert_right(story: Story, least: u64) {
    let directory = Scratch::new();
    let clients = generate(&directory, story);
    let right = right(&merge(MERGELOGS, &directory), &clients);
    assert!(right >= least, "{right} of 10000 with {story:?}");
}

#[test]
fn slow_servers_need_agents_to_tell_equal_requests_apart() {
    // At this pace 0.7 requests for `/` come to each server in a second.
    let slow = Story { latency: 1_000, ..STORY };
    assert_right(slow, 9_000);
    assert_right(Story { agents: 40, ..slow }, 9_800);
    assert_right(Story { agents: 40, offsets: [13, -42], zones: [2, 5], ..slow }, 9_800);
    assert_right(Story { agents: 1_000, latency: 3_000, ..STORY }, 9_850);
    // Nothing is lost where all is plain.
    assert_right(Story { agents: 40, ..STORY }, 9_950);
    // Requests that differ are told apart whatever the agents and the servers' pace.
    assert_right(Story { popular: 0, latency: 10_000, ..STORY }, 10_000);
    assert_right(Story { popular: 0, agents: 3, latency: 10_000, ..STORY }, 10_000);
}

#[test]
fn requests_that_differ_are_all_credited_rightly_and_stay_in_order() {
    let story = Story { popular: 0, offsets: [250, -250], zones: [1, 0], ..STORY };
    let directory = Scratch::new();
    let clients = generate(&directory, story);
    let output = merge(MERGELOGS, &directory);
    assert_eq!(right(&output, &clients), 10_000);
    let minutes = |line: &str| {
        let time = line.split(['[', ']']).nth(1).unwrap();
        let zone: i64 = time[21..24].parse().unwrap();
        (time[12..14].parse::<i64>().unwrap() - zone) * 3600
            + time[15..17].parse::<i64>().unwrap() * 60
            + time[18..20].parse::<i64>().unwrap()
    };
    assert!(output.lines().map(minutes).is_sorted());
}

#[test]
fn the_original_credits_fewer() {
    let name = "mergelogs beside that of pen 0.34.1";
    if !Path::new(ORIGINAL).exists() {
        report::not_tested_here(name, "Debian's package pen is not installed");
        return;
    }
    let story = Story { requests: 2_000, pace: 2_000, ..STORY };
    let directory = Scratch::new();
    let clients = generate(&directory, story);
    let ours = merge(MERGELOGS, &directory);
    let theirs = merge(ORIGINAL, &directory);
    let (ours, theirs) = (right(&ours, &clients), right(&theirs, &clients));
    assert!(ours >= 9_900 && theirs < 9_000, "ours {ours}, theirs {theirs}");
}

#[test]
fn memory_is_bounded_by_the_window_and_not_by_the_logs() {
    let most = |requests: u64| -> u64 {
        let directory = Scratch::new();
        // At this pace a day has 60,000 requests, and the window 450.
        generate(&directory, Story { requests, pace: 75, ..STORY });
        let script = "\"$0\" -j 60 -p pen.log 10.0.0.1:host1 10.0.0.2:host2 >/dev/null & \
                      while read -r line; do case $line in VmHWM*) most=$line;; esac; done </proc/$!/status; \
                      while kill -0 $! 2>/dev/null; do \
                      while read -r line; do case $line in VmHWM*) most=$line;; esac; done </proc/$!/status; \
                      done 2>/dev/null; wait $!; echo \"$most\"";
        let mut command = Command::new("sh");
        command.current_dir(directory.path()).args(["-c", script]).arg(MERGELOGS);
        let ended = Process::run(command);
        let text = ended.stdout.trim().strip_prefix("VmHWM:").unwrap_or_else(|| panic!("{ended:?}"));
        text.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
    };
    let (few, many) = (most(5_000), most(50_000));
    assert!(many < few + 12_000, "{few} kB for 5,000 requests, {many} kB for 50,000");
}
