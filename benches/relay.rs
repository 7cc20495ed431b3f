//! What does it cost to go through pen's event loop, over loopback and beside a direct
//! connection in the same run?
//!
//! The loop runs in a thread of its own, as do the servers; what is measured is what a client
//! sees. Loopback times wobble: compare the rows of one run.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use pen::balance::{Common, Listeners, MAIN, Server, ServerId, Settings};
use pen::base::addr::Endpoint;
use pen::base::operand::{ServerSpec, Services};
use pen::net::{ListenOptions, Net};
use pen::proxy::listener::{Arriving, listening_token};
use pen::proxy::{Proxy, Rights, Start};
use pen::sys::console::Console;
use pen::sys::net::OsNet;
use pen::sys::resolve::Resolver;
use pen::sys::signal::Signals;

/// A server that sends back whatever it gets.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let at = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
    at
}

fn echo(mut stream: TcpStream) {
    stream.set_nodelay(true).expect("TCP has this option");
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count) = stream.read(&mut bytes) {
        if count == 0 || stream.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

/// pen's loop in a thread, in front of one server.
fn pen_before(server: SocketAddr) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let signals = Signals::install().expect("signals can be caught");
        let mut net = OsNet::new(Console::stderr(), signals, Resolver::new(None)).expect("there is an event queue");
        let common = Common { conn_max: 10_000, ..Common::default() };
        let mut listeners = Listeners::new(common, Settings { pending_max: 1_000, ..Settings::default() });
        let spec = ServerSpec::parse(&server.to_string(), &Services::default()).expect("an address is a server");
        let servers = &mut listeners.main_mut().balancer.servers;
        servers.set(ServerId::Regular(0), Server::new(&spec, 0)).expect("the table has room for one");
        let any = Endpoint::inet("127.0.0.1:0".parse().expect("this is an address"));
        let options = ListenOptions { backlog: 500, private: false, shared: false, datagrams: false, foreign: false };
        let socket = net.listen(&any, options, listening_token(0)).expect("loopback has free ports");
        let Ok(Endpoint::Inet(at)) = net.local(&socket) else { unreachable!("it listens on TCP") };
        tell.send(at).expect("the bench waits");
        let start = Start {
            listening: vec![Arriving::new(MAIN, socket, at.to_string())],
            control: None,
            control_at: String::new(),
            rights: Rights::default(),
            log: None,
            capture: None,
            pid: std::process::id(),
            services: Services::default(),
        };
        Proxy::new(net, listeners, start).run().expect("the loop goes on to the end of the bench");
    });
    told.recv().expect("pen listens")
}

/// A request of `size` bytes and its answer on a kept connection.
fn request(stream: &mut TcpStream, bytes: &mut [u8]) {
    stream.write_all(bytes).expect("the connection stands");
    stream.read_exact(bytes).expect("the answer comes");
}

/// The ways to the server: straight, and through pen.
fn ways() -> [(&'static str, SocketAddr); 2] {
    let server = echo_server();
    [("direct", server), ("pen", pen_before(server))]
}

/// What does one small request cost on a connection that is kept?
fn kept_connection(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("64 bytes there and back");
    for (way, at) in ways() {
        let mut stream = TcpStream::connect(at).expect("somebody listens");
        stream.set_nodelay(true).expect("TCP has this option");
        group.bench_function(way, |bencher| bencher.iter(|| request(&mut stream, black_box(&mut [7; 64]))));
    }
    group.finish();
}

/// What does a connection cost that carries one small request?
fn short_connection(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("connect, 64 bytes there and back, close");
    for (way, at) in ways() {
        group.bench_function(way, |bencher| {
            bencher.iter(|| {
                let mut stream = TcpStream::connect(at).expect("somebody listens");
                request(&mut stream, black_box(&mut [7; 64]));
                stream.shutdown(Shutdown::Write).expect("the connection stands");
                assert_eq!(stream.read(&mut [0]).expect("the end comes"), 0);
            });
        });
    }
    group.finish();
}

/// How fast do many bytes go there and back on one connection?
fn bulk(criterion: &mut Criterion) {
    const SIZE: usize = 8 * 1024 * 1024;
    let mut group = criterion.benchmark_group("bulk, both directions at once");
    group.throughput(Throughput::Bytes(2 * SIZE as u64)).sample_size(10);
    for (way, at) in ways() {
        let mut stream = TcpStream::connect(at).expect("somebody listens");
        group.bench_function(BenchmarkId::from_parameter(way), |bencher| {
            bencher.iter(|| {
                let mut writer = stream.try_clone().expect("descriptors are to be had");
                let sent = thread::spawn(move || writer.write_all(&vec![7; SIZE]));
                let mut left = vec![0; SIZE];
                stream.read_exact(&mut left).expect("all of it comes back");
                sent.join().expect("the writer ends").expect("all of it is sent");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, kept_connection, short_connection, bulk);
criterion_main!(benches);
