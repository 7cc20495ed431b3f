//! The built pen in networks that these tests make: servers that see the clients' own addresses, and two pens that share
//! one.  Needs root.

#[allow(unused_imports, reason = "every test program uses another part of it")]
mod support;

#[path = "routed/transparent.rs"]
mod transparent;
#[path = "routed/vrrp.rs"]
mod vrrp;
