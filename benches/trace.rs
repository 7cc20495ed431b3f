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
use pen::trace::{Direction, Tracer};

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

criterion_group!(benches, step, record, parsing);
criterion_main!(benches);
