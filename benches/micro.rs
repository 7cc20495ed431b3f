//! What do the decisions cost: choosing a server, finding a client, checking a list, holding bytes back, reading a head?
//!
//! `cargo bench --bench micro` runs all; a word after `--` runs those whose name contains it.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pen::balance::acl::{Acls, Action, Entry, Subnet};
use pen::balance::{Balancer, Clients, Modes, Server, ServerId, Settings};
use pen::base::addr::ClientAddr;
use pen::base::operand::{ServerSpec, Services};
use pen::base::time::{Moment, Now};
use pen::inspect::http::forwarded::Sender;
use pen::inspect::http::head::{Request, end_of_head};
use pen::proxy::ring::{RING_SIZE, Ring};

/// The 32-bit numbers in an order that jumps about: multiplication by an odd number is one to one.
fn client(n: u32) -> ClientAddr {
    ClientAddr::Inet(IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b1))))
}

fn balancer(servers: u32, modes: Modes, weighted: bool) -> Balancer {
    let mut balancer = Balancer::new(Settings { modes, ..Settings::default() });
    for index in 0..servers {
        let weight = if weighted { 1 + index % 7 } else { 0 };
        let spec = ServerSpec::parse(&format!("192.0.2.1:80:0:0:{weight}:{index}"), &Services::default());
        let server = Server::new(&spec.expect("the operand is well formed"), 80);
        balancer.servers.set(ServerId::Regular(index), server).expect("there are few servers");
    }
    balancer
}

/// How long does it take to choose a server for one client, by each selector? Where all are busy, nobody is
/// the choice before all have been looked at; where half are down, those have the fewest connections.
fn selection(criterion: &mut Criterion) {
    let off = Modes { roundrobin: true, ..Modes::default() };
    let table = [
        ("tracked", Modes::default(), false, false),
        ("roundrobin", off, false, false),
        ("hash", Modes { hash: true, ..Modes::default() }, false, false),
        ("hash of unequal weights", Modes { hash: true, ..Modes::default() }, true, false),
        ("weight", Modes { weight: true, ..off }, true, false),
        ("weight, all busy", Modes { weight: true, ..off }, true, true),
        ("prio", Modes { prio: true, ..off }, false, false),
        ("least", Modes { least: true, ..off }, false, false),
        ("least, all busy", Modes { least: true, ..off }, false, true),
        ("least, half down", Modes { least: true, ..off }, false, true),
        ("two choices", Modes { p2c: true, ..off }, false, false),
        ("stubborn", Modes { stubborn: true, least: true, ..off }, false, true),
    ];
    let mut group = criterion.benchmark_group("selection");
    for (name, modes, weighted, busy) in table {
        for servers in [2, 10, 1_000] {
            let mut balancer = balancer(servers, modes, weighted);
            for index in 0..if busy { servers } else { 0 } {
                let id = ServerId::Regular(index);
                if name.ends_with("half down") && index % 2 == 1 {
                    let mut server = balancer.servers.server_mut(id).expect("it was just put there");
                    server.blacklisted_until = Some(Moment::from_nanos(u64::MAX));
                } else {
                    (0..1 + index % 5).for_each(|_| balancer.claim(id));
                }
            }
            let mut n = 0_u32;
            group.bench_function(BenchmarkId::new(name, servers), |bencher| {
                bencher.iter(|| {
                    n = n.wrapping_add(1);
                    let mut admission = balancer.admit(client(n % 1_024), 1_024, Now::default());
                    let id = balancer.next_server(&mut admission.search, Now::default()).expect("all are there");
                    balancer.connected(id, admission.client, Now::default());
                    balancer.release(id);
                    id
                });
            });
        }
    }
    group.finish();
}

/// Does finding a client, or driving one out for another, cost the same in a large table as in a
/// small one?
fn client_table(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client table");
    for max in [2_048_u32, 1_000_000] {
        let mut clients = Clients::new(max as usize);
        let mut n = 0;
        let mut admit = |n: u32| clients.admit(client(n), Moment::from_nanos(u64::from(n)), Duration::ZERO);
        (0..max).for_each(|n| _ = admit(n));
        group.bench_function(BenchmarkId::new("known client", max), |bencher| {
            bencher.iter(|| {
                n = (n + 7_919) % max;
                admit(black_box(n))
            });
        });
        let mut n = max;
        group.bench_function(BenchmarkId::new("new client drives one out", max), |bencher| {
            bencher.iter(|| {
                n = n.wrapping_add(1);
                admit(black_box(n))
            });
        });
    }
    group.finish();
}

/// How long does a client wait for an access list of which no entry matches it?
fn access_list(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access list");
    for entries in [10_u32, 10_000] {
        let mut acls = Acls::default();
        for n in 0..entries {
            let net = Subnet::v4(Ipv4Addr::from_bits(0x0a00_0000 + n), Ipv4Addr::BROADCAST);
            acls.add(0, Entry { action: Action::Deny, net }).expect("list 0 exists");
        }
        let from = ClientAddr::Inet(IpAddr::from([192, 0, 2, 1]));
        group.bench_function(BenchmarkId::new("no entry matches", entries), |bencher| {
            bencher.iter(|| acls.check(0, black_box(from)));
        });
    }
    group.finish();
}

/// What does it cost to hold bytes back in a ring, and to take them out again?
fn ring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    let mut ring = Ring::new().expect("there is memory");
    for size in [64, 1_448, RING_SIZE] {
        let bytes = vec![7; size];
        group.bench_function(BenchmarkId::new("push, consume", size), |bencher| {
            bencher.iter(|| {
                ring.push(black_box(&bytes));
                while !ring.is_empty() {
                    let count = black_box(ring.front()).len();
                    ring.consume(count);
                }
            });
        });
    }
    group.finish();
}

/// What does it cost to read the head of a request, and to tell the server in it whom it is from?
fn http_head(criterion: &mut Criterion) {
    let long = format!("Cookie: {}\r\nAccept-Language: en\r\n", "k=v; ".repeat(100));
    let mut group = criterion.benchmark_group("http head");
    for (size, more) in [("short", ""), ("usual", long.as_str())] {
        let head = format!("GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: bench\r\n{more}\r\n");
        let head = head.as_bytes();
        group.bench_function(BenchmarkId::new("end", size), |bencher| {
            bencher.iter(|| end_of_head(black_box(head), 0).expect("it is whole"));
        });
        group.bench_function(BenchmarkId::new("read", size), |bencher| {
            bencher.iter(|| Request::parse(black_box(head)).expect("it is well formed"));
        });
        let sender = Sender { client: client(7), is_trusted: false };
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("write with the sender", size), |bencher| {
            bencher.iter(|| {
                out.clear();
                sender.write_head(black_box(head), &mut out);
                out.len()
            });
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1))
}

criterion_group! { name = micro; config = short(); targets = selection, client_table, access_list, ring, http_head }
criterion_main!(micro);
