//! What is counted during a soak, by all of its threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures of which the text is kept.
const TEXTS_MAX: usize = 20;

/// Between the moment that is noted for a fault and its effect.
const SLACK: Duration = Duration::from_secs(1);

/// The counters.
#[derive(Debug, Default)]
pub struct Tally {
    pub is_over: AtomicBool,
    pub connections: AtomicU64,
    pub bytes: AtomicU64,
    pub whole: AtomicU64,
    pub cut: AtomicU64,
    pub hung_up: AtomicU64,
    pub expected: AtomicU64,
    pub unexpected: AtomicU64,
    pub commands: AtomicU64,
    /// Requests of HTTP.
    pub requests: AtomicU64,
    /// Files by FTP: whole ones, and such as were cut by the client and seen as such by the server.
    pub files: AtomicU64,
    pub files_cut: AtomicU64,
    /// Datagrams.
    pub answered: AtomicU64,
    pub unanswered: AtomicU64,
    texts: Mutex<Vec<String>>,
    /// When each server was killed last.
    kills: Mutex<Vec<(u8, Instant)>>,
    /// Faults by what they were.
    faults: Mutex<Vec<(&'static str, u64)>>,
}

/// Adds to one of the counters.
pub fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::SeqCst);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Notes a fault, just before it happens.
    pub fn fault(&self, what: &'static str) {
        let mut faults = locked(&self.faults);
        match faults.iter_mut().find(|(other, _)| *other == what) {
            Some((_, count)) => *count += 1,
            None => faults.push((what, 1)),
        }
    }

    /// Notes that a server is about to be killed.
    pub fn kill(&self, server: u8) {
        self.fault("server killed");
        locked(&self.kills).push((server, Instant::now()));
    }

    /// A conversation that began then, with that server if that was known, has failed.  That is expected if the server
    /// was killed meanwhile: nobody can finish what it had begun.
    pub fn failed(&self, begun: Instant, server: Option<u8>, text: &str) {
        let concerns = |killed: &u8| server.is_none_or(|server| server == *killed);
        if locked(&self.kills).iter().any(|(killed, at)| concerns(killed) && *at + SLACK > begun) {
            return add(&self.expected, 1);
        }
        self.unexpected(format!("after {:?}, server {server:?}: {text}", begun.elapsed()));
    }

    /// Something that must never happen.
    pub fn unexpected(&self, text: String) {
        add(&self.unexpected, 1);
        let mut texts = locked(&self.texts);
        if texts.len() < TEXTS_MAX {
            texts.push(text);
        }
    }

    /// What was unexpected, as far as it was kept.
    pub fn texts(&self) -> Vec<String> {
        locked(&self.texts).clone()
    }

    /// The faults and how many of each.
    pub fn faults(&self) -> Vec<(&'static str, u64)> {
        locked(&self.faults).clone()
    }
}
