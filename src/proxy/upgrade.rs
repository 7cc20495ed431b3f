//! Upgrade in place: another process of the same program takes over, and nobody notices.
//!
//! Until the successor says that it is ready, this process goes on as if nothing were; it goes on
//! as well if that never comes. Afterwards it lets nobody in any more, serves its pairs to their
//! ends, and then leaves.

use std::time::Duration;

use super::{Ending, Proxy};
use crate::balance::legacy;
use crate::base::diag::Severity;
use crate::base::time::Moment;
use crate::net::{Net, Successor};

/// How long a successor may take until it is ready: the name service, of which a start waits for
/// five seconds, and some more.
const START_TIME: Duration = Duration::from_secs(15);

/// How far an upgrade has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Upgrade {
    /// There is none.
    #[default]
    None,
    /// The successor must be ready by then.
    Starting(Moment),
    /// The successor has the listeners; the pairs there are stay here.
    HandedOver,
}

impl Upgrade {
    /// Why the listener must stay as it is, if it must: the end of a sentence.
    pub(super) fn holds_listener(self) -> Option<&'static str> {
        match self {
            Upgrade::None => None,
            Upgrade::Starting(_) => Some("an upgrade is under way"),
            Upgrade::HandedOver => Some("another process has taken over"),
        }
    }

    /// True if another process has taken over.
    pub(super) fn has_handed_over(self) -> bool {
        matches!(self, Upgrade::HandedOver)
    }

    /// When to look at it again without an event.
    pub(super) fn next_due(self) -> Option<Moment> {
        match self {
            Upgrade::Starting(until) => Some(until),
            Upgrade::None | Upgrade::HandedOver => None,
        }
    }
}

impl<N: Net> Proxy<N> {
    /// Starts a successor.
    pub(super) fn upgrade(&mut self) {
        let sockets: Vec<&N::Listener> = self.listening.sockets().map(|arriving| &arriving.socket).collect();
        let started = match self.upgrade.holds_listener() {
            Some(why) => Err(String::from(why)),
            None if sockets.is_empty() || self.draining_since.is_some() => {
                Err(String::from("nobody is let in any more"))
            }
            None => {
                let all: Vec<&N::Listener> = sockets.into_iter().chain(self.viewers.socket()).collect();
                self.net.start_successor(&all, self.control.socket())
            }
        };
        match started {
            Ok(()) => {
                self.upgrade = Upgrade::Starting(self.now.moment + START_TIME);
                self.say(Severity::Notice, "upgrade: a new process is started");
            }
            Err(why) => self.say(Severity::Warning, &format!("no upgrade: {why}")),
        }
    }

    /// What became of the successor.
    #[cold]
    pub(super) fn successor(&mut self, outcome: Successor) {
        // At the end of this process the successor is ended, too.
        if !matches!(self.upgrade, Upgrade::Starting(_)) || self.ending.is_some() {
            return;
        }
        match outcome {
            Successor::Ready => self.hand_over(),
            Successor::Failed(why) => self.fail_upgrade(&why),
        }
    }

    /// Ends a successor that has not taken over yet, for a drain: that is about the whole service, and as long as
    /// there is a successor it would keep the listening socket open.
    pub(super) fn give_up_upgrade(&mut self) {
        if matches!(self.upgrade, Upgrade::Starting(_)) {
            self.upgrade = Upgrade::None;
            self.net.end_successor();
            self.say(Severity::Warning, "upgrade: given up, because this process is to end");
        }
    }

    fn fail_upgrade(&mut self, why: &str) {
        self.upgrade = Upgrade::None;
        self.say(Severity::Error, &format!("upgrade failed, this process goes on: the new one: {why}"));
    }

    fn hand_over(&mut self) {
        // The successor may listen somewhere else by now, and whoever waits here was let in as far
        // as it knows.
        self.accept();
        let clients = legacy::save(&self.listeners, self.now.moment);
        let sockets = self.close_listening();
        if sockets.is_empty() {
            self.net.end_successor();
            return self.fail_upgrade("nobody is let in any more");
        }
        let control = self.control.close();
        let status = self.viewers.listen(None);
        self.viewers.close_idle();
        let sockets = sockets.into_iter().map(|arriving| arriving.socket).chain(status);
        self.net.hand_over(&clients, sockets.collect(), control);
        self.upgrade = Upgrade::HandedOver;
        self.close_idlers();
        self.end_checks();
        let text = format!("upgrade: the new process has taken over; {} connections end here", self.pairs.len());
        self.say(Severity::Notice, &text);
    }

    /// True if nobody waits for anything from this process.
    fn is_done(&self) -> bool {
        self.connections() == 0 && self.control.is_quiet() && self.viewers.is_quiet()
    }

    /// Gives up a successor whose time is over, and leaves when one has taken over and nothing is
    /// left to do here.
    pub(super) fn go_on_with_upgrade(&mut self) {
        match self.upgrade {
            Upgrade::Starting(until) if until <= self.now.moment => {
                let said = self.net.end_successor();
                let said = if said.is_empty() { said } else { format!("; it said: {said}") };
                self.fail_upgrade(&format!("it was not ready after {} s{said}", START_TIME.as_secs()));
            }
            Upgrade::HandedOver if self.is_done() && self.ending.is_none() => {
                self.ending = Some(Ending::Upgrade);
            }
            Upgrade::None | Upgrade::Starting(_) | Upgrade::HandedOver => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::balance::{Common, Listeners, MAIN, Settings};
    use crate::base::addr::{ClientAddr, Endpoint, Source};
    use crate::base::operand::Services;
    use crate::base::time::Now;
    use crate::net::{Event, ListenOptions, LogTarget, Signal, Token};
    use crate::proxy::fake::Nothing;
    use crate::proxy::listener::Arriving;
    use crate::proxy::trust::Trust;
    use crate::proxy::{Nobody, Rights, Start};

    /// A world in which there is nothing but successors.
    #[derive(Debug, Default)]
    struct World {
        now: u64,
        /// Events of the next turn.
        events: Vec<Event>,
        /// What happened, in words.
        story: Vec<String>,
        /// Why there can be no successor.
        refusal: Option<&'static str>,
    }

    impl Net for World {
        /// What it is for.
        type Listener = &'static str;
        type Stream = Nothing;
        type Log = Nothing;

        fn listen(&mut self, _: &Endpoint, _: ListenOptions, _: Token) -> io::Result<&'static str> {
            Ok("moved")
        }

        fn local(&self, _: &&'static str) -> io::Result<Endpoint> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn accept(&mut self, listener: &mut &'static str) -> io::Result<(Nothing, Endpoint)> {
            self.story.push(format!("accept {listener}"));
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn connect(&mut self, _: &Endpoint, _: Option<Source>) -> io::Result<Nothing> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn is_lack(&self, _: &io::Error) -> bool {
            false
        }

        fn watch(&mut self, stream: &mut Nothing, _: Token) -> io::Result<()> {
            match *stream {}
        }

        /// Time goes on only here, and as far as it was asked to.
        fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<Now> {
            events.append(&mut self.events);
            if events.is_empty() {
                self.now += timeout.map_or(0, |timeout| timeout.as_nanos() as u64);
            }
            Ok(Now { moment: Moment::from_nanos(self.now), unix: 0 })
        }

        fn resolve(&mut self, _: usize, _: &str) {}

        fn open_log(&mut self, _: &LogTarget) -> io::Result<Nothing> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn read_commands(&mut self, _: &Path) -> io::Result<String> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn say(&mut self, _: Severity, text: &str) {
            self.story.push(String::from(text));
        }

        fn dump(&mut self, _: &[u8]) {}

        fn start_successor(
            &mut self,
            listeners: &[&&'static str],
            control: Option<&&'static str>,
        ) -> Result<(), String> {
            let listeners: Vec<&str> = listeners.iter().map(|listener| **listener).collect();
            self.story.push(format!("start {} {}", listeners.join(" "), control.copied().unwrap_or("-")));
            self.refusal.map_or(Ok(()), |why| Err(String::from(why)))
        }

        fn end_successor(&mut self) -> String {
            self.story.push(String::from("end"));
            String::from("wait")
        }

        fn hand_over(&mut self, clients: &[u8], listeners: Vec<&'static str>, control: Option<&'static str>) {
            let mut copy = Listeners::new(Common::default(), Settings::default());
            legacy::restore(&mut copy, clients, Moment::default()).unwrap();
            let count = copy.main().balancer.clients.len();
            self.story.push(format!("hand over {} {} {count}", listeners.join(" "), control.unwrap_or("-")));
        }
    }

    /// A proxy that knows one client, and has told its story so far.
    fn proxy() -> Proxy<World> {
        let mut listeners = Listeners::new(Common::default(), Settings::default());
        listeners.main_mut().balancer.admit(ClientAddr::Unix, 0, Now::default());
        listeners.main_mut().at.push(String::from("80"));
        let start = Start {
            listening: vec![Arriving::new(MAIN, "clients", String::from("80"))],
            control: Some("control"),
            control_at: String::new(),
            rights: Rights::default(),
            log: None,
            capture: None,
            pid: 1,
            services: Services::default(),
        };
        let mut proxy = Proxy::new(World::default(), listeners, start);
        story(&mut proxy, None);
        proxy
    }

    /// What happens in a turn with this event; what happens several times in a row is told once.
    fn story(proxy: &mut Proxy<World>, event: Option<Event>) -> Vec<String> {
        proxy.net().events.extend(event);
        proxy.turn(&mut Nobody).unwrap();
        let mut story = std::mem::take(&mut proxy.net().story);
        story.dedup();
        story
    }

    fn sockets(proxy: &Proxy<World>) -> Vec<&'static str> {
        proxy.listening.sockets().map(|arriving| arriving.socket).collect()
    }

    const USR2: Option<Event> = Some(Event::Signal(Signal::Upgrade));
    const READY: Option<Event> = Some(Event::Successor(Successor::Ready));
    const STARTED: [&str; 2] = ["start clients control", "upgrade: a new process is started"];

    #[test]
    fn a_successor_that_is_ready_gets_everything_and_this_process_leaves() {
        let mut proxy = proxy();
        assert_eq!(story(&mut proxy, USR2), STARTED);
        assert_eq!(proxy.ending, None);
        proxy.listening.look_everywhere();
        proxy.net().events.extend(READY);
        let told = "upgrade: the new process has taken over; 0 connections end here";
        assert_eq!(story(&mut proxy, None), ["accept clients", "hand over clients control 1", told]);
        assert_eq!(proxy.ending, Some(Ending::Upgrade));
        // Nothing that happens afterwards brings anybody in.
        proxy.listening.look_everywhere();
        assert!(!proxy.may_accept() && !proxy.control.may_accept());
        assert_eq!(story(&mut proxy, USR2), ["no upgrade: another process has taken over"]);
        assert_eq!(story(&mut proxy, READY), [""; 0]);
    }

    #[test]
    fn what_fails_is_said_and_the_next_one_may_do() {
        let mut proxy = proxy();
        proxy.net().refusal = Some("no such program");
        assert_eq!(story(&mut proxy, USR2), [STARTED[0], "no upgrade: no such program"]);
        proxy.net().refusal = None;
        assert_eq!(story(&mut proxy, READY), [""; 0], "nobody was started");
        for _ in 0..2 {
            assert_eq!(story(&mut proxy, USR2), STARTED);
            assert_eq!(story(&mut proxy, USR2), ["no upgrade: an upgrade is under way"]);
            let failed = Some(Event::Successor(Successor::Failed(String::from("it fell"))));
            assert_eq!(story(&mut proxy, failed), ["upgrade failed, this process goes on: the new one: it fell"]);
            assert_eq!(proxy.timeout(None), None, "nothing is waited for");
        }
        assert_eq!(proxy.ending, None);
    }

    #[test]
    fn a_successor_that_is_late_is_ended() {
        let mut proxy = proxy();
        assert_eq!(story(&mut proxy, USR2), STARTED);
        let begin = proxy.now.moment;
        let late = "upgrade failed, this process goes on: the new one: it was not ready after 15 s; it said: wait";
        assert_eq!(story(&mut proxy, None), ["end", late]);
        assert_eq!(proxy.now.moment.since(begin), START_TIME);
        assert_eq!(story(&mut proxy, READY), [""; 0], "that comes too late");
        assert_eq!(proxy.ending, None);
    }

    #[test]
    fn the_end_of_this_process_is_the_end_of_a_successor_that_is_not_ready() {
        let mut proxy = proxy();
        assert_eq!(story(&mut proxy, USR2), STARTED);
        proxy.net().events = [Event::Signal(Signal::Terminate), Event::Successor(Successor::Ready)].into();
        assert_eq!(proxy.run().unwrap(), Ending::Signal);
        assert_eq!(proxy.net().story, ["end"]);
    }

    #[test]
    fn a_drain_ends_a_successor_that_is_not_ready_and_comes_too_late_for_one_that_is() {
        const QUIT: Option<Event> = Some(Event::Signal(Signal::Quit));
        let drained = "nobody is let in any more; 0 connections have 300 s to finish";
        let mut proxy = proxy();
        assert_eq!(story(&mut proxy, USR2), STARTED);
        let given_up = "upgrade: given up, because this process is to end";
        let mut told = story(&mut proxy, QUIT);
        // How often a drain asks whether anybody waits is its own affair.
        told.dedup();
        assert_eq!(told, ["end", given_up, "accept clients", drained]);
        assert_eq!(proxy.ending, Some(Ending::Signal));
        assert_eq!(story(&mut proxy, READY), [""; 0], "that comes too late");
        // A successor that is ready has the listeners, and nothing ends it.
        let mut proxy = self::proxy();
        assert_eq!(story(&mut proxy, USR2), STARTED);
        proxy.net().events.extend(READY);
        let told = story(&mut proxy, QUIT);
        assert_eq!(told[1..], ["upgrade: the new process has taken over; 0 connections end here", drained]);
        assert!(told[0].starts_with("hand over clients control"), "{told:?}");
        // And one that drains starts none.
        let mut proxy = self::proxy();
        proxy.net().events.extend(QUIT);
        assert_eq!(story(&mut proxy, USR2)[2], "no upgrade: nobody is let in any more");
    }

    #[test]
    fn the_listener_stays_where_it_is_meanwhile() {
        let mut proxy = proxy();
        let listen = |proxy: &mut Proxy<World>| {
            let mut work = proxy.obey(b"listen 127.0.0.1:81", Trust::Full);
            format!("{:?}", proxy.work(&mut work, None))
        };
        assert_eq!(story(&mut proxy, USR2), STARTED);
        let said = listen(&mut proxy);
        assert!(said.contains("error: cannot listen on 127.0.0.1:81: an upgrade is under way"), "{said}");
        assert_eq!(sockets(&proxy), ["clients"]);
        story(&mut proxy, Some(Event::Successor(Successor::Failed(String::new()))));
        listen(&mut proxy);
        assert_eq!(sockets(&proxy), ["moved"]);
    }
}
