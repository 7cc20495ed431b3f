//! What goes on beyond pen's sockets: bytes travel, resets arrive, programs act, and edges come of
//! it.

use std::io::ErrorKind;
use std::time::Duration;

use pen::balance::settings::Protocol;
use pen::net::{Ready, Token};
use pen::proxy::FIRST_IDLER;
use pen::proxy::FIRST_PAIR;
use pen::proxy::listener::listening_token;

use super::ftp::Side;
use super::peer::Peer;
use super::plan::Reach;
use super::wire::{Carried, PEER, PROXY};
use super::world::{Action, Far, Stage, World};

impl World {
    /// Nobody listens any more: who was not accepted is reset.
    pub fn turn_away(&mut self, listener: usize) {
        self.queues[listener].is_open = false;
        for id in std::mem::take(&mut self.queues[listener].waiting) {
            self.hit(id);
            self.after(Duration::ZERO, Action::Reset(id, PEER));
        }
    }

    pub fn settle(&mut self, id: usize, reach: Reach) {
        let line = &mut self.lines[id];
        if line.stage != Stage::Connecting {
            return;
        }
        self.note(|_| format!("line {id}: the connect ends: {reach:?}"));
        let line = &mut self.lines[id];
        match reach {
            Reach::Sound | Reach::Late(_) => {
                line.stage = Stage::Up;
                if let Some(end) = line.transfer {
                    self.begin_data(id, end);
                    return self.stir(id);
                }
                match line.client {
                    Some(client) => self.serve(id, client),
                    None if self.choices.one_in(self.plan.odds.leaves) => {
                        let time = self.choices.millis(1, 5_000);
                        let abort = self.choices.one_in(2);
                        self.after(time, Action::Leave(id, abort));
                    }
                    None => {}
                }
                self.stir(id);
            }
            Reach::Refuses | Reach::RefusesAfter(_) => self.fail_connect(id, ErrorKind::ConnectionRefused),
            Reach::Unreachable => self.fail_connect(id, ErrorKind::HostUnreachable),
            Reach::RefusesAtOnce | Reach::NoSource | Reach::Lost | Reach::Flaky => {
                unreachable!("these never come to their end")
            }
        }
    }

    /// The program of a server begins to serve a client.
    pub fn serve(&mut self, id: usize, client: usize) {
        let plan = &self.plan.clients[client];
        let (up, down) = plan.keys(client);
        let mut peer = Peer::new(&plan.dialogue.server, plan.dialogue.server_reader, (down, up), self.now);
        if self.plan.settings.protocol == Protocol::Ftp {
            let (up, down) = plan.lines();
            peer = peer.with_lines((down, up));
        }
        peer = peer.with_lead(self.plan.leads[1].clone());
        if self.ftp.is_some() {
            return self.begin_talk(id, Side::Server, client);
        }
        if self.lines[id].has_left {
            (peer.has_ended, peer.said_all) = (true, Some(0));
        }
        self.lines[id].peer = Some(peer);
        self.tick_after(id, 0);
    }

    /// The far end of an idler leaves, if there is still no client for it.
    pub fn leave(&mut self, id: usize, abort: bool) {
        let Some(line) = self.lines.get_mut(id) else { return };
        if line.client.is_some() || line.stage != Stage::Up || line.has_left {
            return;
        }
        line.has_left = true;
        if abort {
            line.wire.reset_on_close(PEER);
        }
        line.wire.close(PEER, 0);
        self.note(|_| format!("line {id}: the server leaves, by a reset: {abort}"));
        self.follow_up(id);
    }

    pub fn fail_connect(&mut self, id: usize, why: ErrorKind) {
        self.lines[id].stage = Stage::Failed(Some(why));
        let ready = Ready { failed: true, ..self.some_ready() };
        self.tell(id, ready);
    }

    pub fn carry(&mut self, id: usize, from: usize) {
        let line = &mut self.lines[id];
        line.carry_due[from] = false;
        let grain = if self.plan.odds.short > 0 { self.choices.part(line.grain) } else { line.grain };
        let carried = line.wire.carry(from, grain);
        self.note(|_| format!("line {id}: from {}: {carried:?}", name(from)));
        match carried {
            Carried::Nothing => {}
            Carried::Bytes(_) => {
                self.touch(id, 1 - from);
                self.touch(id, from);
            }
            Carried::Fin => {
                self.touch(id, 1 - from);
            }
            // Only what the far end closed excuses anything.
            Carried::Refused if from == PROXY => self.hit(id),
            Carried::Refused => {}
        }
        self.follow_up(id);
    }

    /// Schedules what a call on one side of a line has set going.
    pub fn follow_up(&mut self, id: usize) {
        for side in [PROXY, PEER] {
            let line = &mut self.lines[id];
            let latency = line.latency;
            if std::mem::take(&mut line.wire.halves[side].sends_reset) {
                if side == PEER {
                    self.lines[id].was_reset = true;
                    self.hit(id);
                }
                self.at(self.now + latency, Action::Reset(id, 1 - side));
            }
            let line = &mut self.lines[id];
            if line.wire.may_carry(side) && !line.carry_due[side] {
                line.carry_due[side] = true;
                let time = latency / 4 + self.choices.below(latency + 1);
                self.at(self.now + time, Action::Carry(id, side));
            }
        }
    }

    pub fn reset(&mut self, id: usize, side: usize) {
        if !self.lines[id].wire.reset(side) {
            return;
        }
        self.note(|_| format!("line {id}: a reset arrives at {}", name(side)));
        if side == PEER {
            return self.tick_after(id, 0);
        }
        self.hit(id);
        let ready = Ready { failed: true, ..self.some_ready() };
        if let Some(watch) = &mut self.lines[id].watch {
            // The edge of the failure is the last one.
            watch.read_armed = false;
            watch.write_armed = false;
            self.tell(id, ready);
        }
    }

    pub fn cut(&mut self, client: usize, at_server: bool) {
        let Some(line) = (match at_server {
            false => self.fates[client].line,
            true => (0..self.lines.len()).rev().find(|line| {
                let line = &self.lines[*line];
                line.client == Some(client) && line.far != Far::Client && line.stage == Stage::Up
            }),
        }) else {
            return;
        };
        self.note(|_| format!("line {line} of client {client} is cut"));
        self.lines[line].was_reset = true;
        self.reset(line, PROXY);
        self.reset(line, PEER);
        self.fates[client].was_hit = true;
    }

    /// Notes that something befell the pair of a line.
    pub fn hit(&mut self, id: usize) {
        if let Some(client) = self.lines[id].client {
            self.fates[client].was_hit = true;
        }
    }

    pub fn tick(&mut self, id: usize) {
        let line = &mut self.lines[id];
        if line.next_tick.is_none_or(|at| at > self.now) {
            return;
        }
        line.next_tick = None;
        if line.talker.is_some() {
            return self.talk(id);
        }
        let Some(mut peer) = line.peer.take() else { return };
        let wake = peer.act(&mut line.wire, &mut self.choices, self.now);
        self.note(|_| {
            let Peer { sent, received, sight, has_ended, .. } = &peer;
            format!("line {id}: far end: sent {sent}, received {received}, {sight:?}, ended {has_ended}")
        });
        let has_ended = peer.has_ended;
        self.lines[id].peer = Some(peer);
        if let Some(end) = self.lines[id].transfer
            && has_ended
        {
            self.data_ended(end);
        }
        if let Some(wake) = wake {
            self.tick_after(id, wake - self.now);
        }
        self.follow_up(id);
    }

    /// Lets the far end have a look, at the latest after so many nanoseconds.
    pub fn tick_after(&mut self, id: usize, nanos: u64) {
        let at = self.now + nanos;
        let line = &mut self.lines[id];
        if line.next_tick.is_none_or(|due| due > at) {
            line.next_tick = Some(at);
            self.at(at, Action::Tick(id));
        }
    }

    /// Something changed for one side of a line.
    pub fn touch(&mut self, id: usize, side: usize) {
        if side == PROXY {
            if let Some(watch) = &mut self.lines[id].watch {
                watch.read_armed |= self.plan.odds.tells_all;
            }
            return self.stir(id);
        }
        let most = if self.choices.one_in(16) { 5_000_000 } else { 100_000 };
        let nanos = self.choices.below(most);
        self.tick_after(id, nanos);
    }

    /// Gives the edges that pen is owed.
    pub fn stir(&mut self, id: usize) {
        let line = &mut self.lines[id];
        let (Stage::Up, Some(watch)) = (line.stage, &mut line.watch) else { return };
        let half = &line.wire.halves[PROXY];
        let mut ready = Ready::default();
        if watch.read_armed && half.is_readable() {
            watch.read_armed = false;
            ready.readable = true;
            if half.fin_came && !self.plan.odds.tells_all && !self.choices.one_in(3) {
                ready.read_closed = true;
                ready.readable = !self.choices.one_in(3);
            }
        }
        if watch.write_armed && half.is_writable(3) {
            watch.write_armed = false;
            ready.writable = true;
        }
        if ready != Ready::default() {
            self.tell(id, ready);
        }
    }

    pub fn stir_listener(&mut self, listener: usize) {
        let queue = &mut self.queues[listener];
        if queue.is_armed && !queue.waiting.is_empty() {
            queue.is_armed = false;
            queue.has_edge = true;
        }
    }

    /// Adds to the edge that a line will bring.
    pub fn tell(&mut self, id: usize, ready: Ready) {
        let Some(watch) = &mut self.lines[id].watch else { return };
        let pending = &mut watch.pending;
        pending.readable |= ready.readable;
        pending.writable |= ready.writable;
        pending.read_closed |= ready.read_closed;
        pending.failed |= ready.failed;
        if !self.edges.contains(&id) {
            self.edges.push(id);
        }
    }

    /// Readiness that may be true or not.
    pub fn some_ready(&mut self) -> Ready {
        let bits = self.choices.below(8);
        let read_closed = bits & 4 > 0 && !self.plan.odds.tells_all;
        Ready { readable: bits & 1 > 0, writable: bits & 2 > 0, read_closed, urgent: false, failed: false }
    }

    pub fn stray(&mut self) {
        let mut ready = self.some_ready();
        ready.failed = self.choices.one_in(4);
        let pairs = 2 * (self.plan.clients.len() + 1);
        let (listeners, idlers) = (self.queues.len(), self.plan.settings.idlers);
        let number = usize::try_from(self.choices.below((pairs + listeners + idlers) as u64)).unwrap();
        let token = match number.checked_sub(listeners) {
            None => listening_token(number),
            Some(number) if number >= pairs => Token(FIRST_IDLER + number - pairs),
            Some(number) => Token(FIRST_PAIR + number),
        };
        self.note(|_| format!("stray edge for {token:?}: {ready:?}"));
        self.strays.push((token, ready));
    }

    /// An edge will come after a `WouldBlock` that told nothing true.
    pub fn owe(&mut self, id: usize) {
        let time = self.choices.micros(1, 2_000);
        self.after(time, Action::Owed(id));
    }
}

fn name(side: usize) -> &'static str {
    if side == PROXY { "pen" } else { "far end" }
}
