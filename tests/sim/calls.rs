//! Every call of pen's to the seam, with every liberty that it allows.
//!
//! Whoever breaks the caller's side of the contract is told so by a panic: a socket that is
//! watched twice or not at all, one that is used before it is connected.

use std::io::{self, ErrorKind};
use std::time::Duration;

use pen::base::addr::Endpoint;
use pen::base::time::Moment;
use pen::net::{Event, Ready, Token};
use pen::proxy::FIRST_CHECK;
use pen::proxy::FIRST_PAIR;
use pen::proxy::listener::listening_token;
use pen::proxy::ring::RING_SIZE;

use super::plan::{Lack, Reach};
use super::wire::PROXY;
use super::world::{Action, Far, Line, Stage, Watch, World};

/// Calls in one turn; no scenario has a tenth of it.
const CALLS_MAX: u32 = 200_000;

/// Nanoseconds in which others have the processor in one turn, all together.
const TURN_MAX: u64 = 20_000_000;

impl World {
    pub fn close(&mut self, id: usize) {
        self.note(|_| format!("pen closes line {id}"));
        self.open -= 1;
        self.progress += 1;
        self.edges.retain(|edge| *edge != id);
        let line = &mut self.lines[id];
        line.watch = None;
        line.is_open = false;
        match line.stage {
            Stage::Connecting => line.stage = Stage::Abandoned,
            Stage::Failed(_) | Stage::Abandoned => {}
            Stage::Up => {
                let unsent = line.wire.halves[PROXY].unsent();
                let kept = usize::try_from(self.choices.below(unsent as u64 + 1)).unwrap();
                self.lines[id].wire.close(PROXY, kept);
                self.follow_up(id);
            }
        }
    }

    /// Before a call: now and then other things happen first, or an error interrupts it for no reason.
    pub fn interruption(&mut self) -> io::Result<()> {
        self.count_call();
        self.preempt();
        let odds = self.odds().interrupted;
        if !self.choices.one_in(odds) {
            return Ok(());
        }
        // The world is to blame, not the loop.
        self.progress += 1;
        Err(ErrorKind::Interrupted.into())
    }

    /// Others have the processor within a turn, now and then: what pen finds is news to it.
    pub fn preempt(&mut self) {
        if self.choices.one_in(self.plan.odds.preempted) {
            let left = (self.turn_began + TURN_MAX).saturating_sub(self.now);
            let until = self.now + self.choices.below(left + 1);
            self.sleep_until(until);
        }
    }

    fn count_call(&mut self) {
        self.calls_in_turn += 1;
        assert!(self.calls_in_turn < CALLS_MAX, "a turn has an end");
    }

    pub fn assert_usable(&self, id: usize) {
        let line = &self.lines[id];
        assert!(line.watch.is_some(), "a socket is watched before it is used");
        assert_eq!(line.stage, Stage::Up, "a socket is connected before it is used");
        assert!(line.far == Far::Client || line.was_used, "only `connected` tells that a socket is connected");
    }

    pub fn read(&mut self, id: usize, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls.read += 1;
        self.assert_usable(id);
        self.interruption()?;
        let odds = self.odds();
        let promised = self.lines[id].promised;
        if promised == 0 && self.choices.one_in(odds.would_block) {
            return Err(self.block_reads(id));
        }
        let most = buffer.len().min(self.lines[id].wire.halves[PROXY].readable_bytes().max(1));
        let is_short = self.choices.one_in(odds.short) && !odds.tells_all;
        let most = if is_short { self.choices.part(most) } else { most };
        let outcome = self.lines[id].wire.read(PROXY, &mut buffer[..most]);
        self.note(|_| format!("pen reads line {id}: {outcome:?}"));
        if let Ok(count) = outcome {
            self.lines[id].promised = promised.saturating_sub(count);
        }
        self.finish_call(id, &outcome, |watch| watch.read_armed = true);
        outcome
    }

    pub fn peek(&mut self, id: usize, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls.peek += 1;
        self.assert_usable(id);
        self.interruption()?;
        let odds = self.odds();
        if self.choices.one_in(odds.would_block) {
            return Err(self.block_reads(id));
        }
        let most = if self.choices.one_in(odds.short) { self.choices.part(buffer.len()) } else { buffer.len() };
        let outcome = self.lines[id].wire.peek(PROXY, &mut buffer[..most]);
        self.note(|_| format!("pen looks at line {id}: {outcome:?}"));
        match outcome {
            // To look moves nothing.
            Ok(count) if count > 0 => self.lines[id].promised = count,
            Ok(_) | Err(_) => self.finish_call(id, &outcome, |watch| watch.read_armed = true),
        }
        outcome
    }

    /// A read would block, though it need not; an edge will come.
    pub fn block_reads(&mut self, id: usize) -> io::Error {
        self.lines[id].watch.as_mut().expect("it is watched").read_armed = true;
        self.owe(id);
        ErrorKind::WouldBlock.into()
    }

    pub fn write(&mut self, id: usize, bytes: &[u8], is_last: bool) -> io::Result<usize> {
        self.calls.write += 1;
        self.calls.write_last += u64::from(is_last);
        self.assert_usable(id);
        assert!(!self.lines[id].wire.halves[PROXY].fin_wanted, "nothing is written after the end was told");
        self.interruption()?;
        let odds = self.odds();
        if self.choices.one_in(odds.would_block) {
            self.lines[id].watch.as_mut().unwrap().write_armed = true;
            self.owe(id);
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = if self.choices.one_in(odds.short) { self.choices.part(bytes.len()) } else { bytes.len() };
        let wire = &mut self.lines[id].wire;
        let part = &bytes[..most];
        let outcome = if is_last { wire.write_last(PROXY, part) } else { wire.write(PROXY, part) };
        self.note(|_| format!("pen writes {} to line {id}: {outcome:?}", bytes.len()));
        self.finish_call(id, &outcome, |watch| watch.write_armed = true);
        outcome
    }

    pub fn finish_call(&mut self, id: usize, outcome: &io::Result<usize>, arm: impl Fn(&mut Watch)) {
        match outcome {
            Err(error) if error.kind() == ErrorKind::WouldBlock => arm(self.lines[id].watch.as_mut().unwrap()),
            Ok(_) | Err(_) => self.progress += 1,
        }
        self.follow_up(id);
    }

    pub fn connected(&mut self, id: usize) -> io::Result<bool> {
        self.calls.connected += 1;
        self.preempt();
        let line = &mut self.lines[id];
        let (outcome, stage) = match line.stage {
            Stage::Connecting => (Ok(false), Stage::Connecting),
            Stage::Up => match line.wire.halves[PROXY].take_error() {
                Some(kind) => {
                    // It stood, and was reset before pen looked: it is a connection all the same.
                    line.was_used = true;
                    (Err(kind.into()), Stage::Up)
                }
                None => (Ok(!line.wire.halves[PROXY].is_reset), Stage::Up),
            },
            Stage::Failed(why) => (why.map_or(Ok(false), |kind| Err(kind.into())), Stage::Failed(None)),
            Stage::Abandoned => unreachable!("a stream that pen holds is not abandoned"),
        };
        line.stage = stage;
        line.was_used |= matches!(outcome, Ok(true));
        self.progress += u64::from(!matches!(outcome, Ok(false)));
        self.note(|_| format!("pen asks whether line {id} is connected: {outcome:?}"));
        outcome
    }

    pub fn accept(&mut self, listener: usize) -> io::Result<(usize, Endpoint)> {
        self.calls.accept += 1;
        self.interruption()?;
        // The kernel looks for a descriptor before it looks for a client.
        if let Some(lack) = self.lacking().filter(|lack| *lack != Lack::Ports) {
            return Err(lack.error());
        }
        let odds = self.odds().would_block;
        if self.choices.one_in(odds) {
            self.queues[listener].is_armed = true;
            let time = self.choices.micros(1, 2_000);
            self.after(time, Action::OwedClient(listener));
            return Err(ErrorKind::WouldBlock.into());
        }
        let Some(id) = self.queues[listener].waiting.pop_front() else {
            self.queues[listener].is_armed = true;
            return Err(ErrorKind::WouldBlock.into());
        };
        self.progress += 1;
        if self.lines[id].wire.halves[PROXY].is_reset && self.choices.one_in(2) {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.count_open();
        self.lines[id].is_open = true;
        let client = self.lines[id].client.unwrap();
        Ok((id, self.plan.clients[client].from.clone()))
    }

    pub fn connect(&mut self, to: &Endpoint) -> io::Result<usize> {
        self.calls.connect += 1;
        self.count_call();
        if let Some(outcome) = self.connect_data(to) {
            return outcome;
        }
        let (server, address) = self.find(to);
        if let Some(lack) = self.lacking() {
            self.note(|_| format!("pen cannot connect to server {server}: {lack:?}"));
            return Err(lack.error());
        }
        let plan = &self.plan.servers[server];
        let open =
            self.lines.iter().filter(|line| matches!(line.far, Far::Server(at, _) if at == server && line.is_open));
        let limit = if plan.max == 0 { usize::MAX } else { plan.max.max(plan.hard) as usize };
        assert!(open.count() < limit, "the limit of server {server} holds");
        let reach = plan.reach[address].resolve(&mut self.choices);
        self.note(|world| format!("pen connects to server {server}.{address}: {reach:?}, line {}", world.lines.len()));
        self.progress += 1;
        let time = match reach {
            Reach::RefusesAtOnce => return Err(ErrorKind::ConnectionRefused.into()),
            Reach::NoSource => return Err(io::Error::new(ErrorKind::AddrNotAvailable, "its source is not here")),
            Reach::Late(time) | Reach::RefusesAfter(time) => Some(time),
            Reach::Lost => None,
            Reach::Flaky => unreachable!("it was decided"),
            Reach::Sound | Reach::Refuses | Reach::Unreachable => Some(self.choices.micros(10, 30_000)),
        };
        let id = self.add_line(Far::Server(server, address), Stage::Connecting, None);
        self.count_open();
        if let Some(time) = time {
            self.after(time, Action::Settle(id, reach));
        }
        Ok(id)
    }

    pub fn watch(&mut self, id: usize, token: Token) -> io::Result<()> {
        self.calls.watch += 1;
        assert!(self.lines[id].watch.is_none(), "a socket is watched once");
        let is_taken = |watch: &Watch| watch.token == token;
        assert!(!self.lines.iter().any(|line| line.watch.as_ref().is_some_and(is_taken)), "{token:?} is watched twice");
        let number = token.0.checked_sub(FIRST_PAIR).expect("a pair's token");
        if self.lines[id].far == Far::Data {
            assert!(token.0 < FIRST_CHECK, "data connections are pairs");
        } else if token.0 >= FIRST_CHECK {
            assert_ne!(self.lines[id].far, Far::Client, "only servers are connected to without a client");
        } else if self.lines[id].far == Far::Client {
            assert_eq!(number % 2, 0, "clients have the first token of their pair");
            self.owners.insert(number / 2, self.lines[id].client.unwrap());
        } else {
            assert_eq!(number % 2, 1, "servers have the second token of their pair");
            self.lines[id].client = Some(self.owners[&(number / 2)]);
        }
        if self.choices.one_in(self.plan.odds.unwatchable) {
            if self.lines[id].far == Far::Client {
                self.hit(id);
            }
            return Err(Lack::Memory.error());
        }
        self.progress += 1;
        if self.lines[id].client.is_some() {
            self.assert_not_tried(id);
        }
        self.note(|_| format!("pen watches line {id} as {token:?}"));
        let watch = Watch { token, read_armed: true, write_armed: true, pending: Ready::default() };
        self.lines[id].watch = Some(watch);
        if self.lines[id].wire.halves[PROXY].is_reset {
            self.tell(id, Ready { failed: true, ..Ready::default() });
        }
        self.stir(id);
        Ok(())
    }

    /// An idler gets its client.
    pub fn rewatch(&mut self, id: usize, token: Token) -> io::Result<()> {
        self.calls.rewatch += 1;
        self.assert_usable(id);
        if self.lines[id].far == Far::Data {
            return self.turn_around(id, token);
        }
        assert_eq!(self.lines[id].client, None, "an idler is for nobody before");
        let number = token.0.checked_sub(FIRST_PAIR).expect("a pair's token");
        assert_eq!(number % 2, 1, "servers have the second token of their pair");
        if self.choices.one_in(self.plan.odds.unwatchable) {
            return Err(Lack::Memory.error());
        }
        self.progress += 1;
        let client = self.owners[&(number / 2)];
        self.lines[id].client = Some(client);
        self.assert_not_tried(id);
        self.note(|_| format!("pen takes the idler on line {id} for {token:?}"));
        let half = &self.lines[id].wire.halves[PROXY];
        let is_dead = half.fin_came || half.is_reset;
        // Where a look may say that there is nothing, nobody can tell.
        assert!(!is_dead || self.plan.odds.would_block > 0, "a client gets no idler that has ended");
        if self.lines[id].has_left {
            self.hit(id);
        }
        let watch = self.lines[id].watch.as_mut().expect("it was watched as an idler");
        (watch.token, watch.read_armed, watch.write_armed) = (token, true, true);
        self.serve(id, client);
        self.stir(id);
        Ok(())
    }

    /// The ends of a data connection are the other way round.
    fn turn_around(&mut self, id: usize, token: Token) -> io::Result<()> {
        if self.choices.one_in(self.plan.odds.unwatchable) {
            return Err(Lack::Memory.error());
        }
        self.progress += 1;
        let watch = self.lines[id].watch.as_mut().expect("it was watched as the other end");
        (watch.token, watch.read_armed, watch.write_armed) = (token, true, true);
        self.stir(id);
        Ok(())
    }

    /// Each address is offered to a client once.
    fn assert_not_tried(&mut self, id: usize) {
        self.lines[id].was_tried = true;
        let line = &self.lines[id];
        let is_same = |other: &&Line| other.was_tried && other.client == line.client && other.far == line.far;
        assert_eq!(self.lines.iter().filter(is_same).count(), 1, "{:?} is tried once for a client", line.far);
    }

    pub fn resolve(&mut self, request: usize, name: &str) {
        self.calls.resolve += 1;
        self.progress += 1;
        let number = name.strip_prefix("server").expect("pen asks for names of its servers only");
        let server: usize = number.parse().expect("they are numbered");
        let (is_answered, time) = match &mut self.plan.servers[server].named {
            Some((unanswered, time)) => {
                let is_answered = *unanswered == 0;
                *unanswered = unanswered.saturating_sub(1);
                (is_answered, *time)
            }
            None => {
                assert!(self.has_hung_up, "pen asks for a name that has an address at HUP only");
                // What is known counts until there is an answer, and if there is none.
                (self.choices.one_in(2), self.choices.millis(0, 3_000))
            }
        };
        self.note(|_| format!("pen asks for {name}, request {request}"));
        self.after(time, Action::Answer(request, server, is_answered));
    }

    /// Waits as `Net::wait` does; an error if nothing would ever happen again.
    pub fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        self.calls.wait += 1;
        let gathered = std::mem::take(&mut self.gathered);
        assert!(
            gathered.is_zero() || timeout.is_none_or(|timeout| timeout > gathered),
            "pen dallies though there is something to do"
        );
        self.assert_nothing_kept();
        self.calls_in_turn = 0;
        // What pen did took some time too.
        self.now += self.choices.below(self.plan.odds.work + 1);
        let deadline = timeout.map(|time| Moment::from_nanos(self.now) + time).map(Moment::as_nanos);
        let outcome = self.wait_until(events, deadline);
        self.turn_began = self.now;
        outcome
    }

    /// pen lets more come.
    pub fn gather(&mut self, time: Duration) {
        self.calls.gather += 1;
        self.gathered = time;
        assert!((1..1_000_000_000).contains(&time.as_nanos()), "{time:?}");
        self.sleep_until(self.now + u64::from(time.subsec_nanos()));
    }

    fn wait_until(&mut self, events: &mut Vec<Event>, deadline: Option<u64>) -> io::Result<()> {
        let lazy = self.odds().lazy;
        loop {
            if self.has_edges() && self.choices.one_in(lazy) {
                self.sleep_on();
            }
            self.collect(events);
            if !events.is_empty() || self.choices.one_in(self.plan.odds.interrupted) {
                return Ok(());
            }
            match (self.next(), deadline) {
                (Some(next), None) if next != u64::MAX => self.step(),
                (Some(next), Some(deadline)) if next <= deadline => self.step(),
                (_, Some(deadline)) => {
                    self.now = self.now.max(deadline);
                    return Ok(());
                }
                (_, None) => return Err(io::Error::other("nothing will ever happen again")),
            }
        }
    }

    /// Without memory for a ring pen takes nothing away from a line that it cannot give to another.
    fn assert_nothing_kept(&self) {
        if self.plan.memory >= RING_SIZE || self.plan.pipes > 0 {
            return;
        }
        for number in 0..self.fates.len() {
            let (Some(client), Some(server)) = (self.fates[number].line, self.server_line(number)) else { continue };
            let client = &self.lines[client];
            for (from, to) in [(client, server), (server, client)] {
                if !to.wire.halves[PROXY].is_reset && from.is_open {
                    let (taken, given) = (from.wire.halves[PROXY].taken(), to.wire.halves[PROXY].written);
                    assert_eq!(taken, given, "client {number}: nothing is kept without memory for it");
                }
            }
        }
    }

    fn has_edges(&self) -> bool {
        self.queues.iter().any(|queue| queue.has_edge) || !self.edges.is_empty() || self.has_port_edges()
    }

    /// pen is stopped, if it is to be by now: what happens meanwhile is in no wait yet.
    pub fn stop_pen(&mut self) {
        let since = self.since_start();
        if self.plan.stops.first().is_some_and(|(at, _)| *at <= since) {
            let (_, time) = self.plan.stops.remove(0);
            self.sleep_until(self.now + u64::try_from(time.as_nanos()).unwrap());
        }
    }

    /// pen has something to do, but other programs have the processor for a while.
    fn sleep_on(&mut self) {
        let until = self.now + self.choices.below(60_000_000);
        self.sleep_until(until);
    }

    fn sleep_until(&mut self, until: u64) {
        while self.next().is_some_and(|next| next <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Hands over the edges: in some order, some of them later, some in two pieces.
    pub fn collect(&mut self, events: &mut Vec<Event>) {
        let odds = self.odds();
        let mut edges = std::mem::take(&mut self.edges);
        self.choices.shuffle(&mut edges);
        for (at, id) in edges.into_iter().enumerate() {
            if at > 0 && self.choices.one_in(odds.late_edge) {
                self.edges.push(id);
                continue;
            }
            let spurious = if self.choices.one_in(odds.spurious) { self.choices.below(16) } else { 0 };
            let watch = self.lines[id].watch.as_mut().expect("only what is watched has edges");
            let mut ready = std::mem::take(&mut watch.pending);
            let token = watch.token;
            let half = &self.lines[id].wire.halves[PROXY];
            if odds.tells_all {
                // What is there when the edge is told (epoll(7)), whatever made it.
                ready.readable &= half.is_readable();
                ready.read_closed = half.fin_came || half.is_reset;
            }
            ready.urgent = half.is_urgent();
            ready.readable |= spurious & 1 > 0;
            ready.writable |= spurious & 2 > 0;
            ready.read_closed |= spurious & 4 > 0 && !odds.tells_all;
            ready.failed |= spurious & 8 > 0;
            if self.choices.one_in(odds.split) {
                let second = Ready { writable: ready.writable, failed: ready.failed, ..Ready::default() };
                events.push(Event::Ready { token, ready: second });
                ready = Ready { writable: false, failed: false, ..ready };
            }
            events.push(Event::Ready { token, ready });
            self.note(|_| format!("edge on line {id}: {ready:?}"));
        }
        for (listener, queue) in self.queues.iter_mut().enumerate() {
            if std::mem::take(&mut queue.has_edge) {
                let ready = Ready { readable: true, ..Ready::default() };
                events.push(Event::Ready { token: listening_token(listener), ready });
            }
        }
        self.collect_ports(events);
        events.extend(self.strays.drain(..).map(|(token, ready)| Event::Ready { token, ready }));
        let answers = self.answers.drain(..);
        events.extend(answers.map(|(request, answer)| Event::Resolved { request, answer }));
        events.extend(self.signals.drain(..).map(Event::Signal));
        events.extend(self.news.drain(..).map(Event::Successor));
    }
}
