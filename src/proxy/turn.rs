//! One pass of the event loop, and who is called for what.
//!
//! The order within a turn is decided here and nowhere else: what happened comes before the
//! timers, so that nobody is called late for what was only not looked at.

use std::io;
use std::time::Duration;

use super::ending::CloseReason;
use super::pair::{PairKey, Phase, Side};
use super::timers::TimerKind;
use super::{
    ASSOCIATIONS_END, Ending, FIRST_ASSOCIATION, FIRST_CHECK, FIRST_IDLER, FIRST_LISTENING, FIRST_PAIR, FIRST_TRANSFER,
    FOREIGN, Foreign, Nobody, Proxy, STATUS_LISTENER,
};
use crate::base::time::Moment;
use crate::net::{Event, Net, Ready, Signal, Token};

impl<N: Net> Proxy<N> {
    /// Turns until a signal or a command ends it; then every pair is closed.
    pub fn run(&mut self) -> io::Result<Ending> {
        self.run_with(&mut Nobody)
    }

    /// As [`Proxy::run`], with somebody else in the same loop.
    pub fn run_with(&mut self, foreign: &mut impl Foreign<N>) -> io::Result<Ending> {
        let mut has_started = false;
        loop {
            self.turn(foreign)?;
            if !std::mem::replace(&mut has_started, true) && self.pairs.is_empty() {
                // Nobody has come yet, and what was needed for the start is not needed any more.
                self.net.rest();
            }
            if let Some(ending) = self.ending {
                self.net.end_successor();
                self.viewers.close_all();
                self.close_all();
                self.end_associations();
                self.end_checks();
                self.close_idlers();
                self.close_sessions();
                return Ok(ending);
            }
        }
    }

    /// One pass: wait, then do all there is to do now.
    pub fn turn(&mut self, foreign: &mut impl Foreign<N>) -> io::Result<()> {
        let mut events = self.wait(foreign.next_due())?;
        self.coalescing.begin(events.len(), self.now.moment);
        for event in events.drain(..) {
            match event {
                Event::Ready { token, ready } if token.0 >= FOREIGN => {
                    foreign.event(&mut self.net, token, ready, self.now);
                }
                event => self.event(event),
            }
        }
        self.events = events;
        if foreign.next_due().is_some_and(|due| due <= self.now.moment) {
            foreign.tick(&mut self.net, self.now);
        }
        if self.errands.are_there(self.now.moment) {
            self.go_on_and_expire();
            self.serve();
        }
        if cfg!(debug_assertions) {
            self.check();
        }
        Ok(())
    }

    /// Waits for events, until somebody else is due at the latest.
    fn wait(&mut self, foreign_due: Option<Moment>) -> io::Result<Vec<Event>> {
        let timeout = self.timeout(foreign_due);
        self.let_more_come(timeout);
        let mut events = std::mem::take(&mut self.events);
        let before = self.now.moment;
        self.now = self.net.wait(&mut events, timeout)?;
        // Without an event the time was up; with one, what happened since is in the next wait.
        let waited = timeout.filter(|_| events.is_empty()).unwrap_or_default();
        self.seen_until = (before + waited).min(self.now.moment);
        self.note_history();
        Ok(events)
    }

    /// Where much comes, lets more of it come.
    fn let_more_come(&mut self, timeout: Option<Duration>) {
        let time = self.listeners.common.coalesce;
        if self.coalescing.is_worth_while() && timeout.is_none_or(|timeout| timeout > time) && !time.is_zero() {
            self.net.gather(time);
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Ready { token: Token(number), ready } if (FIRST_PAIR..FIRST_ASSOCIATION).contains(&number) => {
                let number = number - FIRST_PAIR;
                let side = if number.is_multiple_of(2) { Side::Client } else { Side::Server };
                self.drive(PairKey(number / 2), side, ready);
            }
            event => {
                self.errands.come();
                self.other_event(event);
            }
        }
    }

    fn other_event(&mut self, event: Event) {
        match event {
            Event::Ready { token, ready } => self.dispatch(token, ready),
            Event::Signal(signal) => self.signal(signal),
            Event::Resolved { request, answer } => self.resolved(request, answer),
            Event::Successor(outcome) => self.successor(outcome),
        }
    }

    fn go_on_and_expire(&mut self) {
        self.run_runnable();
        self.run_associations();
        self.expire();
        self.expire_associations();
        self.expire_faults();
    }

    fn serve(&mut self) {
        self.expire_sessions();
        self.accept_sessions();
        self.serve_viewers();
        self.ask_names();
        self.serve_lacking();
        self.serve_queue();
        self.accept();
        self.receive_datagrams();
        self.tend_transfers();
        self.tend_checks();
        self.tend_idlers();
        self.end_if_drained();
        self.go_on_with_upgrade();
        self.send_answers();
        self.flush_log();
        self.flush_capture();
        self.send_feeds();
    }

    fn dispatch(&mut self, token: Token, ready: Ready) {
        match token {
            token if token.0 >= STATUS_LISTENER.0 => self.viewer_event(token),
            Token(number) if (FIRST_CHECK..FIRST_IDLER).contains(&number) => {
                self.check_event(number - FIRST_CHECK, ready);
            }
            Token(number) if number >= FIRST_IDLER => self.idler_event(number - FIRST_IDLER, ready),
            Token(number) if number >= FIRST_TRANSFER => self.transfers.edge(number - FIRST_TRANSFER),
            Token(number) if (FIRST_ASSOCIATION..ASSOCIATIONS_END).contains(&number) => {
                self.read_answers(number - FIRST_ASSOCIATION);
            }
            Token(number) if number >= FIRST_LISTENING => self.listening.edge(token),
            Token(_) => self.control_event(token),
        }
    }

    /// Does what an edge on one side of a pair makes possible.
    fn drive(&mut self, key: PairKey, side: Side, ready: Ready) {
        self.coalescing.heard(key.0);
        let Some(pair) = self.pairs.get_mut(key.0) else { return };
        if !matches!(pair.phase, Phase::Relaying { .. }) {
            self.errands.come();
        }
        let is_connecting = matches!(pair.phase, Phase::Connecting { .. });
        if is_connecting && side == Side::Server {
            return self.finish_connect(key, ready);
        }
        let Some(end) = pair.end_mut(side) else { return };
        end.edge(ready);
        match pair.phase {
            Phase::Arriving { .. } if !pair.client.is_broken => self.look_again(key),
            Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Searching { .. } | Phase::Connecting { .. } => {
                if pair.client.is_broken {
                    self.close(key, CloseReason::ClientGone);
                }
            }
            Phase::Relaying { .. } => self.relay(key),
            Phase::Farewell => self.see_off(key),
        }
    }

    fn run_runnable(&mut self) {
        // Those that run out again queue behind; they have their turn in the next one.
        for _ in 0..self.runnable.len() {
            let Some(key) = self.runnable.pop_front() else { return };
            let Some(pair) = self.pairs.get_mut(key.0) else { continue };
            if std::mem::take(&mut pair.is_queued) {
                match pair.phase {
                    Phase::Relaying { .. } => self.relay(key),
                    Phase::Farewell => self.see_off(key),
                    Phase::Arriving { .. }
                    | Phase::Queued { .. }
                    | Phase::Searching { .. }
                    | Phase::Connecting { .. } => {}
                }
            }
        }
    }

    fn expire(&mut self) {
        while let Some((key, timer)) = self.timers.pop_due(self.seen_until) {
            let Some(pair) = self.pairs.get_mut(key.0) else { continue };
            if pair.timer != Some(timer) {
                continue;
            }
            pair.timer = None;
            match timer.kind {
                TimerKind::Connect => self.connect_timed_out(key),
                TimerKind::Arrival => self.look_again(key),
                TimerKind::Retry => self.retry(key),
                TimerKind::Idle | TimerKind::HalfClosed | TimerKind::Stuck => self.limit_reached(key),
                TimerKind::Farewell => self.farewell_is_over(key),
            }
        }
    }

    #[cold]
    pub(super) fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Terminate => self.ending = Some(Ending::Signal),
            Signal::Quit => self.drain(),
            Signal::Hangup => self.hang_up(),
            Signal::Statistics => self.say_statistics(),
            Signal::Upgrade => self.upgrade(),
        }
    }
}
