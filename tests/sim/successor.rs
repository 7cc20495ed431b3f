//! Successors in the simulated world. One that takes over serves whoever is in the queue, or comes later, out of pen's
//! sight.

use std::time::Duration;

use pen::balance::{Common, Listeners, Settings, legacy};
use pen::base::time::Moment;
use pen::net::Successor;

use super::choices::Choices;
use super::world::{Action, World};

/// What becomes of a successor that was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fortune {
    /// It is ready after this time.
    TakesOver(Duration),
    /// It is ready after this time, and listens somewhere else, so that the old listener closes for good.
    MovesAway(Duration),
    /// It ends after this time, without having been ready.
    Fails(Duration),
    /// It is never ready.
    Hangs,
    /// It cannot be started.
    IsRefused,
}

impl Fortune {
    /// Any.
    pub fn random(choices: &mut Choices) -> Fortune {
        let time = choices.millis(0, 1_000);
        let takes = Fortune::TakesOver(time);
        let moves = Fortune::MovesAway(time);
        *choices.pick(&[takes, takes, moves, Fortune::Fails(time), Fortune::Hangs, Fortune::IsRefused])
    }
}

impl World {
    pub fn start_successor(&mut self) -> Result<(), String> {
        assert_eq!(self.successor, None, "there is one successor at a time");
        assert!(
            self.queues.iter().all(|queue| queue.is_open) && !self.is_handed_over,
            "there is something to hand over"
        );
        let (time, is_ready) = match self.plan.fortune {
            Fortune::TakesOver(time) | Fortune::MovesAway(time) => (Some(time), true),
            Fortune::Fails(time) => (Some(time), false),
            Fortune::Hangs => (None, false),
            Fortune::IsRefused => return Err(String::from("there is no such program")),
        };
        self.progress += 1;
        self.successors += 1;
        self.successor = Some(self.successors);
        if let Some(time) = time {
            self.after(time, Action::Mature(self.successors, is_ready));
        }
        Ok(())
    }

    pub fn mature(&mut self, number: u64, is_ready: bool) {
        if self.successor != Some(number) {
            return;
        }
        if is_ready {
            self.news.push(Successor::Ready);
        } else {
            self.successor = None;
            self.news.push(Successor::Failed(String::from("it fell")));
        }
    }

    /// The successor takes over; the listeners are still to be closed here.
    pub fn hand_over(&mut self, clients: &[u8]) {
        assert!(self.successor.take().is_some(), "it is handed over to somebody");
        let mut copy = Listeners::new(Common::default(), Settings::default());
        legacy::restore(&mut copy, clients, Moment::from_nanos(self.now)).expect("it can be read");
        self.is_handed_over = true;
        self.note(|_| String::from("a successor takes over"));
    }

    /// Whoever waits is served by the successor, or by nobody if that listens somewhere else.
    pub fn serve_elsewhere(&mut self) {
        if matches!(self.plan.fortune, Fortune::MovesAway(_)) {
            let count: usize = self.queues.iter().map(|queue| queue.waiting.len()).sum();
            self.note(|_| format!("{count} wait in vain"));
            return (0..self.queues.len()).for_each(|listener| self.turn_away(listener));
        }
        for id in self.queues.iter_mut().flat_map(|queue| std::mem::take(&mut queue.waiting)).collect::<Vec<_>>() {
            let client = self.lines[id].client.expect("clients wait in the queue");
            self.fates[client].is_elsewhere = true;
            self.lines[id].peer = None;
        }
    }
}
