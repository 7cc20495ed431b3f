//! The built pen on loopback addresses, one file for each subject.
//!
//! `PEN_UNDER_TEST=/usr/bin/pen cargo test --test pen` shows what another pen makes of them.

#[allow(unused_imports, reason = "every test program uses another part of it")]
mod support;

#[path = "pen/activation.rs"]
mod activation;
#[path = "pen/again.rs"]
mod again;
#[path = "pen/background.rs"]
mod background;
#[path = "webresolve/bind.rs"]
mod bind;
#[path = "pen/browser.rs"]
mod browser;
#[path = "pen/calls.rs"]
mod calls;
#[path = "pen/checks.rs"]
mod checks;
#[path = "pen/config_file.rs"]
mod config_file;
#[path = "pen/control.rs"]
mod control;
#[path = "pen/demo.rs"]
mod demo;
#[path = "pen/drain.rs"]
mod drain;
#[path = "pen/events.rs"]
mod events;
#[path = "pen/fault.rs"]
mod fault;
#[path = "pen/footprint.rs"]
mod footprint;
#[path = "pen/ftp.rs"]
mod ftp;
#[path = "pen/http.rs"]
mod http;
#[path = "pen/idlers.rs"]
mod idlers;
#[path = "pen/leak.rs"]
mod leak;
#[path = "pen/limits.rs"]
mod limits;
#[path = "pen/listeners.rs"]
mod listeners;
#[path = "pen/log.rs"]
mod log;
#[path = "pen/names.rs"]
mod names;
#[path = "pen/penctl.rs"]
mod penctl;
#[path = "pen/privileges.rs"]
mod privileges;
#[path = "pen/process.rs"]
mod process;
#[path = "pen/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "pen/relay.rs"]
mod relay;
#[path = "pen/reload.rs"]
mod reload;
#[path = "pen/reuseport.rs"]
mod reuseport;
#[path = "pen/rights.rs"]
mod rights;
#[path = "pen/routing.rs"]
mod routing;
#[path = "pen/select.rs"]
mod select;
#[path = "pen/service.rs"]
mod service;
#[path = "pen/start.rs"]
mod start;
#[path = "pen/status.rs"]
mod status;
#[path = "pen/trace.rs"]
mod trace;
#[path = "pen/udp.rs"]
mod udp;
#[path = "pen/udp_servers.rs"]
mod udp_servers;
#[path = "pen/udp_told.rs"]
mod udp_told;
#[path = "pen/upgrade.rs"]
mod upgrade;
#[path = "pen/viewers.rs"]
mod viewers;
#[path = "pen/watch.rs"]
mod watch;
