//! What is watched of pairs while somebody watches: dumps, what is said in words, captures.
//!
//! Nothing of it is there, and nothing is asked but whether it is, when nobody does.

use super::Proxy;
use super::capture::{self, Capture, Found, addresses, nanos, time_of};
use super::control::Control;
use super::ending::CloseReason;
use super::pair::{self, PairKey, Phase};
use crate::balance::settings::{CaptureSpec, Common};
use crate::base::addr::Endpoint;
use crate::base::beside::Beside;
use crate::base::diag::{DumpForm, Severity};
use crate::base::direction::Direction;
use crate::base::time::{Moment, Now};
use crate::control::subscription::Topic;
use crate::control::tracing::About;
use crate::net::Net;
use crate::trace::segments::{Sender, Side};
use crate::trace::{Conversation, Protocol, Tracer};

/// Who watches, and what is known of the pairs that are watched.
#[derive(Debug)]
pub(super) struct Watch<N: Net> {
    tracer: Tracer,
    shows_secrets: bool,
    pairs: Beside<Watched>,
    capture: Option<Capture<N::Log>>,
    /// Anybody watches.
    is_on: bool,
    /// Somebody at the control port is told what passes.
    has_traces: bool,
    /// A chunk without its secrets; kept for its memory, as the next.
    veiled: Vec<u8>,
    lines: Vec<u8>,
}

/// A pair, and a direction of it.
type Place = (PairKey, Direction);

/// Bytes of a dump at most that is sent to those who trace: a long chunk comes in several.
const DUMP_PART: usize = 8 * 1024;

/// A pair that is watched.
#[derive(Debug)]
struct Watched {
    about: About,
    /// Its addresses, as people read them.
    client: String,
    server: String,
    conversation: Conversation,
    /// What goes on where an inspector looks at it, for its secrets.
    sent: Conversation,
}

/// The side where bytes come in that go in this direction.
fn source(direction: Direction) -> Side {
    match direction {
        Direction::Up => Side::Client,
        Direction::Down => Side::Server,
    }
}

impl<N: Net> Watch<N> {
    /// Nobody watches yet but as the level says.
    pub fn new(common: &Common, capture: Option<Capture<N::Log>>) -> Watch<N> {
        let tracer = Tracer::new(common.debug, common.dump_form);
        let is_on = tracer.is_dumping() || capture.is_some();
        Watch {
            tracer,
            shows_secrets: common.shows_secrets,
            pairs: Beside::default(),
            capture,
            is_on,
            has_traces: false,
            veiled: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// True if bytes are watched. Whoever relays asks this first.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// True if what happens is written to a capture.
    pub fn is_capturing(&self) -> bool {
        self.capture.is_some()
    }

    /// True if bytes are to be dumped.
    pub fn is_dumping(&self) -> bool {
        self.tracer.is_dumping()
    }

    /// Dumps a datagram, which stands for itself.
    pub fn datagram(&mut self, net: &mut N, direction: Direction, number: usize, bytes: &[u8]) {
        self.veiled.clear();
        self.veiled.extend_from_slice(bytes);
        self.lines.clear();
        Conversation::new(None, true).take(direction, &mut self.veiled, &mut self.lines, self.shows_secrets);
        net.dump(self.tracer.dump(direction, number, &self.veiled));
    }

    /// Takes over what was set.
    pub fn follow(&mut self, level: u32, form: DumpForm, shows_secrets: bool) {
        self.tracer.set_level(level);
        self.tracer.set_form(form);
        self.shows_secrets = shows_secrets;
        self.settle();
    }

    /// Somebody is told what passes from now on, or nobody is.
    pub fn trace(&mut self, has_traces: bool) {
        if self.has_traces != has_traces {
            self.has_traces = has_traces;
            self.settle();
        }
    }

    /// Whether anybody watches; if not, nothing is kept.
    fn settle(&mut self) {
        self.is_on = self.tracer.is_dumping() || self.has_traces || self.capture.is_some();
        if !self.is_on {
            (self.pairs, self.veiled, self.lines) = (Beside::default(), Vec::new(), Vec::new());
        }
    }

    /// When to look at the capture again without an event.
    pub fn next_due(&self, now: Moment) -> Option<Moment> {
        self.capture.as_ref()?.next_due(now)
    }

    /// Bytes came, and go on as they are.
    #[cold]
    pub fn passed(&mut self, net: &mut N, control: &mut Control<N>, now: Now, at: Place, chunk: &[u8]) {
        self.came(net, control, now, at, chunk);
        let (key, direction) = at;
        self.record(net, now, |capture, at, veiled| {
            let side = source(direction.other());
            capture.recorder.send(&mut capture.unit, at, key.0, side, Sender::Pen, veiled);
        });
    }

    /// Bytes came.
    #[cold]
    pub fn came(&mut self, net: &mut N, control: &mut Control<N>, now: Now, at: Place, chunk: &[u8]) {
        let (key, direction) = at;
        let Some(watched) = self.pairs.of_mut(key.0) else { return };
        self.veiled.clear();
        self.veiled.extend_from_slice(chunk);
        self.lines.clear();
        if self.has_traces || self.tracer.is_dumping() || !self.shows_secrets {
            watched.conversation.take(direction, &mut self.veiled, &mut self.lines, self.shows_secrets);
        }
        if self.tracer.is_decoding() {
            let Watched { client, server, .. } = watched;
            let (time, way) = (time_of(net, now), direction.word());
            let head = format!("{time}: connection {} {way}, client {client}, server {server}\n", key.0);
            net.dump(self.tracer.dump_decoded(&head, &self.lines, direction, key.0, &self.veiled));
        } else if self.tracer.is_dumping() {
            net.dump(self.tracer.dump(direction, key.0, &self.veiled));
        }
        if self.has_traces {
            self.tell_chunk(net, control, now, at);
        }
        self.record(net, now, |capture, at, veiled| {
            capture.recorder.send(&mut capture.unit, at, key.0, source(direction), Sender::Peer, veiled);
        });
    }

    /// Bytes go on that an inspector has looked at, and may have changed; the dump tells so.
    #[cold]
    pub fn went(&mut self, net: &mut N, now: Now, at: (PairKey, Direction), bytes: &[u8], is_changed: bool) {
        let (key, direction) = at;
        if bytes.is_empty() {
            return;
        }
        let Some(watched) = self.pairs.of_mut(key.0) else { return };
        self.veiled.clear();
        self.veiled.extend_from_slice(bytes);
        self.lines.clear();
        watched.sent.take(direction, &mut self.veiled, &mut self.lines, self.shows_secrets);
        if is_changed && self.tracer.is_dumping() {
            net.dump(self.tracer.dump_changed(direction, key.0, &self.veiled));
        }
        self.record(net, now, |capture, at, veiled| {
            let side = source(direction.other());
            capture.recorder.send(&mut capture.unit, at, key.0, side, Sender::Pen, veiled);
        });
    }

    /// Tells those who trace what a chunk says.
    fn tell_chunk(&mut self, net: &N, control: &mut Control<N>, now: Now, (key, direction): Place) {
        let Some(watched) = self.pairs.of(key.0) else { return };
        let protocol = watched.conversation.protocol().map(Protocol::name);
        let wants = |topic: &Topic| matches!(topic, Topic::Trace(trace) if trace.wants(&watched.about, protocol));
        if !control.topics().any(wants) {
            return;
        }
        let (from, to) = match direction {
            Direction::Up => (&watched.client, &watched.server),
            Direction::Down => (&watched.server, &watched.client),
        };
        let head = format!("{} {} {from} > {to}", time_of(net, now), key.0);
        for line in self.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line.trim_ascii_start());
            control.offer(wants, format!("{head} {line}\n").as_bytes(), now);
        }
        if protocol.is_none() {
            control.offer(wants, format!("{head} {} bytes\n", self.veiled.len()).as_bytes(), now);
        }
        let wants_dump = |topic: &Topic| wants(topic) && matches!(topic, Topic::Trace(trace) if trace.dumps);
        if control.topics().any(wants_dump) {
            for part in self.veiled.chunks(DUMP_PART) {
                control.offer(wants_dump, self.tracer.dump(direction, key.0, part), now);
            }
        }
    }

    /// Tells those who trace that a connection has begun or ended.
    fn tell_event(&self, net: &N, control: &mut Control<N>, now: Now, key: PairKey, what: &str) {
        let Some(watched) = self.pairs.of(key.0).filter(|_| self.has_traces) else { return };
        let protocol = watched.conversation.protocol().map(Protocol::name);
        let wants = |topic: &Topic| matches!(topic, Topic::Trace(trace) if trace.wants(&watched.about, protocol));
        control.offer(wants, format!("{} {} {what}\n", time_of(net, now), key.0).as_bytes(), now);
    }

    /// Writes down what happened, if there is a capture.
    pub fn record(&mut self, net: &mut N, now: Now, what: impl FnOnce(&mut Capture<N::Log>, u64, &[u8])) {
        let Some(capture) = &mut self.capture else { return };
        what(capture, nanos(net, now), &self.veiled);
        capture.take(net, now.moment);
    }

    /// Ends a capture, if there is one, and goes on with another, if there is one. What is to be said of the old one.
    pub fn use_capture(&mut self, capture: Option<Capture<N::Log>>) -> Option<String> {
        let old = std::mem::replace(&mut self.capture, capture);
        self.settle();
        let mut old = old?;
        let mut lost = 0;
        for found in old.write_all() {
            lost += if let Found::Working(count) = found { count } else { 0 };
        }
        let (name, lost) = (old.spec().path.display(), lost + old.lost());
        (lost > 0).then(|| format!("the capture {name} did not take all; packets lost: {lost}"))
    }
}

impl<N: Net> Proxy<N> {
    /// A pair is relayed while somebody watches: takes note of what is to be known of it.
    #[cold]
    pub(super) fn watch_pair(&mut self, key: PairKey) {
        if self.watch.pairs.contains(key.0) {
            return;
        }
        let pair = &self.pairs[key.0];
        let Phase::Relaying { server, place, up, down } = &pair.phase else { return };
        let is_fresh = pair.sent() == (0, 0) && up.held() + down.held() == 0;
        let (client_side, server_side) = (addresses(&pair.client.stream), addresses(&server.stream));
        let listener = &self.listeners[pair.listener];
        let server_name = listener.balancer.servers.server(place.id).and_then(|server| server.name.clone());
        let about = About {
            connection: key.0,
            client: pair.search.from(),
            server: place.id,
            server_name,
            listener: listener.name.clone(),
        };
        let port = pair.to.as_ref().and_then(Endpoint::port);
        let watched = Watched {
            about,
            client: client_side.as_ref().map_or_else(|| pair.search.from().to_string(), |(peer, _)| peer.to_string()),
            server: pair.to.as_ref().map_or_else(String::new, Endpoint::to_string),
            conversation: Conversation::new(port, is_fresh),
            sent: Conversation::new(port, is_fresh),
        };
        let how = if is_fresh { "connected" } else { "goes on" };
        let begins = format!("{} > {} {how}", watched.client, watched.server);
        self.watch.pairs.insert(key.0, watched);
        self.watch.tell_event(&self.net, &mut self.control, self.now, key, &begins);
        for (side, addresses) in [(Side::Client, client_side), (Side::Server, server_side)] {
            self.watch.record(&mut self.net, self.now, |capture, at, _| {
                if !capture.recorder.knows(key.0, side) {
                    capture.recorder.open(&mut capture.unit, at, key.0, side, addresses.as_ref(), false);
                }
            });
        }
    }

    /// Takes note of ends and breaks that have come to light.
    #[cold]
    pub(super) fn watch_ends(&mut self, key: PairKey) {
        if !self.watch.is_capturing() {
            return;
        }
        let pair = &self.pairs[key.0];
        let Phase::Relaying { server, up, down, .. } = &pair.phase else { return };
        // What was given up has not ended. A reset comes behind all that was received before it.
        let is_whole = !pair.is_broken();
        let ends = [
            (Side::Client, pair.client.is_broken && up.has_ended(), is_whole && up.has_ended()),
            (Side::Server, server.is_broken && down.has_ended(), is_whole && down.has_ended()),
        ];
        self.watch.record(&mut self.net, self.now, |capture, at, _| {
            let (recorder, out) = (&mut capture.recorder, &mut capture.unit);
            for (side, is_broken, has_ended) in ends {
                let other = if side == Side::Client { Side::Server } else { Side::Client };
                if is_broken {
                    recorder.reset(out, at, key.0, side, Sender::Peer);
                } else if has_ended {
                    recorder.end(out, at, key.0, side, Sender::Peer);
                    recorder.end(out, at, key.0, other, Sender::Pen);
                }
            }
        });
    }

    /// A pair is about to go, and both of its connections with it.
    pub(super) fn watch_close(&mut self, key: PairKey, why: CloseReason, is_reset: bool) {
        let (up, down) = self.pairs[key.0].sent();
        let text = format!("closed, {}; {up} bytes up, {down} down", why.words());
        self.watch.tell_event(&self.net, &mut self.control, self.now, key, &text);
        if !self.watch.is_on() {
            return;
        }
        let one = &mut self.pairs[key.0];
        let ends = [pair::Side::Client, pair::Side::Server];
        let is_broken = ends.map(|side| one.end_mut(side).is_some_and(|end| end.is_broken));
        self.watch.record(&mut self.net, self.now, |capture, at, _| {
            for (side, is_broken) in [Side::Client, Side::Server].into_iter().zip(is_broken) {
                if is_broken {
                    capture.recorder.reset(&mut capture.unit, at, key.0, side, Sender::Peer);
                }
                if is_reset {
                    capture.recorder.reset(&mut capture.unit, at, key.0, side, Sender::Pen);
                } else {
                    capture.recorder.end(&mut capture.unit, at, key.0, side, Sender::Pen);
                }
            }
        });
    }

    /// A pair is no more.
    pub(super) fn unwatch(&mut self, key: PairKey) {
        if !self.watch.is_on() {
            return;
        }
        self.watch.pairs.remove(key.0);
        self.watch.record(&mut self.net, self.now, |capture, at, _| {
            capture.recorder.end(&mut capture.unit, at, key.0, Side::Client, Sender::Pen);
            capture.recorder.forget(key.0);
        });
    }

    /// Writes what was captured in this turn.
    pub(super) fn flush_capture(&mut self) {
        let Some(capture) = &mut self.watch.capture else { return };
        capture.tick(self.now.moment);
        capture.expire(&mut self.net, self.now.moment);
        let found = capture.write_all();
        let (text, over) = (capture.spec().path.display().to_string(), capture.over().map(String::from));
        for found in found {
            match found {
                Found::Failing(why) => {
                    let text = format!("cannot write the capture {text}: {why}; packets are lost until that is mended");
                    self.say(Severity::Error, &text);
                }
                Found::Working(lost) => {
                    self.say(Severity::Notice, &format!("the capture {text} is written again; packets lost: {lost}"));
                }
            }
        }
        if let Some(why) = over {
            self.say(Severity::Notice, &format!("the capture {text} is over: {why}"));
            self.move_capture(None);
        }
    }

    /// Opens a capture that is not used yet.
    pub(super) fn prepare_capture(&mut self, spec: Option<CaptureSpec>) -> Result<Option<Capture<N::Log>>, String> {
        spec.map(|spec| capture::open(&mut self.net, spec, false)).transpose()
    }

    /// Captures into this from now on, or not at all.
    pub(super) fn move_capture(&mut self, capture: Option<Capture<N::Log>>) {
        self.listeners.common.capture = capture.as_ref().map(|capture| capture.spec().clone());
        if let Some(text) = self.watch.use_capture(capture) {
            self.say(Severity::Warning, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tracing;
    use crate::trace::protocol::PROTOCOLS;

    #[test]
    fn the_command_knows_the_protocols_that_are_decoded() {
        assert_eq!(PROTOCOLS.map(Protocol::name), tracing::PROTOCOLS);
    }
}
