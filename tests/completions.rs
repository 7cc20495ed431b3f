//! The completions of shells are made from the tables that the programs read, and work in the shells.
//!
//! `BLESS=1 cargo test --test completions` writes the files in `contrib/completions` anew.

#[allow(unused_imports, reason = "every test program uses another part of it")]
mod support;

#[path = "completions/files.rs"]
mod files;
#[path = "completions/shells.rs"]
mod shells;
