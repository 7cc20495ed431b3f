//! What does watching cost: nothing when it is off, how much when it is on, and a log record?
//!
//! A step of the relay is stood in for by the copy of one chunk. `step/bare` has no tracer at
//! all and `step/off` asks one that is off: the two must not differ by more than their noise.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use pen::base::addr::ClientAddr;
use pen::base::diag::DumpForm;
use pen::logs::record::{parse, write_records};
use pen::trace::recorder::Recorder;
use pen::trace::segments::{Sender, Side};
use pen::trace::{Conversation, Direction, Tracer};

const SIZES: [usize; 3] = [64, 1448, 65_536];

fn text(size: usize) -> Vec<u8> {
    b"GET /index.html HTTP/1.1\r\nHost: www.example.org\r\n".iter().copied().cycle().take(size).collect()
}

/// One step without a tracer.
#[inline(never)]
fn bare(_: &mut Tracer, from: &[u8], to: &mut [u8]) -> usize {
    to.copy_from_slice(from);
    0
}

/// One step as the relay has it.
#[inline(never)]
fn traced(tracer: &mut Tracer, from: &[u8], to: &mut [u8]) -> usize {
    let shown = if tracer.is_dumping() { black_box(tracer.dump(Direction::Up, 0, from)).len() } else { 0 };
    to.copy_from_slice(from);
    shown
}

type Step = fn(&mut Tracer, &[u8], &mut [u8]) -> usize;

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    for size in SIZES {
        let text = text(size);
        let mut binary = text.clone();
        binary[size - 1] = 0;
        let mut to = vec![0; size];
        group.throughput(Throughput::Bytes(size as u64));
        let cases: [(&str, Step, u32, &[u8]); 4] = [
            ("bare", bare, 0, &text),
            ("off", traced, 0, &text),
            ("text", traced, 2, &text),
            ("columns", traced, 2, &binary),
        ];
        for (name, step, level, bytes) in cases {
            let mut tracer = Tracer::new(level, DumpForm::Auto);
            let step = black_box(step);
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| step(black_box(&mut tracer), black_box(bytes), black_box(&mut to)));
            });
        }
    }
    group.finish();
}

/// What does a chunk cost that is told in words, and one that is captured on both sides? `words` has a command in every
/// eight bytes, which is the most that there can be; `unknown` is of no protocol; `veil` is what each chunk costs that
/// goes to a capture without its secrets, before it is a packet, which is `capture`.
fn watched(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("watched");
    for size in SIZES {
        let commands: Vec<u8> = b"NOOP x\r\n".iter().copied().cycle().take(size).collect();
        let noise: Vec<u8> = (0..size).map(|place| (place * 7 % 251) as u8).collect();
        group.throughput(Throughput::Bytes(size as u64));
        let cases: [(&str, u16, &[u8], bool); 3] =
            [("words", 21, &commands, true), ("unknown", 4242, &noise, true), ("veil", 4242, &noise, false)];
        for (name, port, bytes, is_shown) in cases {
            let mut conversation = Conversation::new(Some(port), true);
            let mut tracer = Tracer::new(3, DumpForm::Auto);
            let (mut chunk, mut lines) = (Vec::new(), Vec::new());
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    chunk.clear();
                    lines.clear();
                    chunk.extend_from_slice(black_box(bytes));
                    conversation.take(Direction::Up, &mut chunk, &mut lines, false);
                    let head = "12:00:00.000: connection 0 up, client 192.0.2.7:4000, server 10.0.0.1:21\n";
                    let shown = is_shown.then(|| tracer.dump_decoded(head, &lines, Direction::Up, 0, &chunk).len());
                    black_box(shown)
                });
            });
        }
        let mut recorder = Recorder::default();
        let mut out = Vec::new();
        for side in [Side::Client, Side::Server] {
            recorder.open(&mut out, 0, 0, side, None, true);
        }
        group.bench_function(BenchmarkId::new("capture", size), |bencher| {
            bencher.iter(|| {
                out.clear();
                recorder.send(&mut out, 1, 0, Side::Client, Sender::Peer, black_box(&noise));
                recorder.send(&mut out, 1, 0, Side::Server, Sender::Pen, black_box(&noise));
                black_box(out.len())
            });
        });
    }
    group.finish();
}

fn record(criterion: &mut Criterion) {
    let client = ClientAddr::Inet(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
    let server = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let request = b"GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nAccept: */*\r\n\r\n";
    let cases: [(&str, Vec<u8>); 3] =
        [("request", request.to_vec()), ("pipelined", request.repeat(16)), ("upload", vec![b'x'; 65_536])];
    let mut group = criterion.benchmark_group("record");
    let mut out = Vec::new();
    for (name, chunk) in cases {
        group.throughput(Throughput::Bytes(chunk.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                write_records(
                    &mut out,
                    black_box(client),
                    black_box(1_795_369_321),
                    black_box(&server),
                    black_box(&chunk),
                )
            });
        });
    }
    group.finish();
}

/// How long does it take to read a record back?
fn parsing(criterion: &mut Criterion) {
    let line = b"192.0.2.7 1795369321 10.0.0.1 GET /index.html HTTP/1.1";
    assert!(parse(line).is_some(), "this is a record");
    criterion.bench_function("record/parse", |bencher| bencher.iter(|| parse(black_box(line))));
}

criterion_group!(benches, step, watched, record, parsing);
criterion_main!(benches);
