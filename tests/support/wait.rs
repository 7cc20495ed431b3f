//! Bounded waiting for a condition.  Nothing here waits for a fixed time.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything that ought to happen at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `found` until it has an answer, at most for `time`.
pub fn within<T>(time: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + time;
    loop {
        if let Some(answer) = found() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        // Only so that the question is not asked a million times a second.
        thread::park_timeout(Duration::from_millis(3));
    }
}

/// Asks `found` until it has an answer; panics with `what` when it has none within [`PATIENCE`].
#[track_caller]
pub fn until<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    match within(PATIENCE, found) {
        Some(answer) => answer,
        None => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Waits until `condition` holds; panics with `what` when it does not within [`PATIENCE`].
#[track_caller]
pub fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}
