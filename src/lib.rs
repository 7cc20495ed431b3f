//! pen: a load balancer for simple TCP and UDP protocols that also shows what a protocol says.
//!
//! # The map
//!
//! Bottom-up; a part uses only the parts named beside it, and `tests/tidy.rs` sees to it.
//!
//! | part | what it is | uses |
//! | --- | --- | --- |
//! | [`base`] | addresses, operands, errors, time | nothing |
//! | [`net`] | the seam: all that the event loop knows of the world | base |
//! | [`select`] | ways to choose a server, one file each | base |
//! | [`check`] | what is asked of a server to see that it serves | base |
//! | [`balance`] | servers, clients, access lists, settings: every decision | base, select, check |
//! | [`inspect`] | what may change the bytes of a pair as a protocol: ftp | base |
//! | [`trace`] | what a protocol says: dumps | base |
//! | [`logs`] | the records of the request log | base |
//! | `dns` | host names of addresses, without a socket: questions, answers, time-outs | base |
//! | [`control`] | the command language: parse, execute, report | base, check, balance |
//! | [`proxy`] | the event loop: pairs and their flows | all above |
//! | [`sys`] | the operating system behind the seam; all `unsafe` | base, net |
//! | [`daemon`] | pen put together: options, start, background, demonstration | all above |
//! | [`tools`] | the programs beside pen; the log tools are behind the feature `tools` | base, net, logs, dns, control, sys |
//!
//! `dns` is behind the feature `tools`, too, which is on by default.
//! `select`, `check`, `balance`, `trace`, `logs`, `dns` and `control` are pure: time is an argument, nothing
//! is read, written or said. `proxy` and `sys` do not know each other; `daemon` introduces them, and
//! the simulation in `tests/sim` takes the place of `sys`.
//!
//! # The life of a connection
//!
//! ```text
//! accept -- refused by the list --> the abuse server, or farewell
//!   | admitted: the client table knows it from now on
//! Searching -- a connect is begun --> Connecting -- it stands --> Relaying -- both flows ended --> gone
//!   ^   '-- no server is left --> Farewell  |
//!   '------- refused, timed out: blacklist -'
//!
//! a flow:  Open -- the sink takes less than was read --> Stuck -- it took the rest --> Open
//!          Open -- the source has ended, and the sink is told --> Ended
//! ```
//!
//! One turn of the loop: wait, dispatch the events, run the pairs that were out of budget, expire
//! timers, accept, write the log. Readiness is edge-triggered and registered once; a flag of
//! readiness is cleared by `WouldBlock` and by nothing else. Events and timers are hints: what a
//! pair is doing decides.
//!
//! # Words
//!
//! | word | means |
//! | --- | --- |
//! | listener | a named place where clients arrive: its addresses, servers, client table, access lists, settings |
//! | client | a remote address, remembered in the client table |
//! | server | a configured destination: regular, emergency or abuse |
//! | pair | a client's connection and the one made for it to a server |
//! | association | what stands for a pair where datagrams are carried: a client's address and port, and a socket that leads to its server |
//! | end | one socket of a pair, with what is known of its readiness |
//! | flow | one direction of a pair: up is client to server, down is server to client |
//! | idler | a connection to a server that is opened ahead, before there is a client for it |
//! | ring | a fixed-size buffer lent to a stuck flow by the pool |
//! | selector | one way to choose the first server |
//! | search | one client's walk through the servers, each offered at most once |
//! | place | a server's connection slot, held from the moment a connect begins |
//! | blacklist | to leave a server out for a time because it failed |
//! | inspector | what looks at the bytes of a pair as a protocol, and may change them |
//! | duty | whom an operator lets a server serve: everybody, those it had before, nobody |
//! | tracking | sending a client to the server that it had before |
//! | tracer | what prints `copy_up` and `copy_down` dumps |
//! | command, effect | a line of the control language, and what it asks of the event loop |
//! | record | one line of the request log |
//! | turn | one pass of the event loop |
//! | successor | the process that takes over in an upgrade |
//! | viewer | somebody who looks at the status port |

pub mod balance;
pub mod base;
pub mod check;
pub mod control;
pub mod daemon;
#[cfg(feature = "tools")]
pub mod dns;
pub mod inspect;
pub mod logs;
pub mod net;
pub mod proxy;
pub mod select;
pub mod sys;
pub mod tools;
pub mod trace;
