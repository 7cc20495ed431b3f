//! The built pen and real faults, a file for each kind: of the network, of servers and clients, of disks, pipes and
//! clocks.  A test that disturbs packets or mounts something runs in namespaces of its own, which end with it.

#[allow(unused_imports, reason = "every test program uses another part of it")]
mod support;

#[path = "faults/alone.rs"]
mod alone;
#[cfg(feature = "tools")]
#[path = "webresolve/bind.rs"]
mod bind;
#[path = "faults/blackhole.rs"]
mod blackhole;
#[path = "faults/clock.rs"]
mod clock;
#[path = "faults/descriptors.rs"]
mod descriptors;
#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/distance.rs"]
mod distance;
#[path = "faults/fifo.rs"]
mod fifo;
#[path = "faults/lack.rs"]
mod lack;
#[path = "faults/loss.rs"]
mod loss;
#[path = "faults/memory.rs"]
mod memory;
#[cfg(feature = "tools")]
#[path = "faults/names.rs"]
mod names;
#[path = "faults/packets.rs"]
mod packets;
#[path = "faults/penlogd.rs"]
mod penlogd;
#[path = "faults/ports.rs"]
mod ports;
#[path = "faults/reset.rs"]
mod reset;
#[path = "faults/silence.rs"]
mod silence;
#[path = "faults/slow.rs"]
mod slow;
#[path = "faults/stderr.rs"]
mod stderr;
#[path = "faults/stopped.rs"]
mod stopped;
#[path = "faults/syslog.rs"]
mod syslog;
#[path = "faults/transfer.rs"]
mod transfer;
#[path = "faults/unreachable.rs"]
mod unreachable;
