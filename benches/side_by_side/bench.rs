//! What all comparisons need: the server, the balancers that stand in front of it, and where they run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::calls::Counter;
use super::peers::{self, Kind, Task};
use super::process::Process;

/// The machine and what takes part.
#[derive(Debug)]
pub struct Bench {
    /// Who takes part, with its program.
    pub peers: Vec<(Kind, PathBuf)>,
    pub server: SocketAddr,
    pub rounds: usize,
    pub is_quick: bool,
    pub counter: Option<Counter>,
    /// For files.
    pub dir: PathBuf,
    /// The processor of the balancers; generator and servers have the others.
    pub cpu: String,
    /// Further words for this pen's command line.
    pub pen_options: Vec<String>,
    /// The next port to listen on. Each balancer gets one of its own.
    pub next_port: u16,
    /// What went wrong: a comparison in which anything did is not to be trusted.
    pub failures: std::cell::RefCell<Vec<String>>,
}

/// A balancer that runs, or the server itself.
#[derive(Debug)]
pub struct Standing {
    pub kind: Kind,
    pub at: SocketAddr,
    pub process: Option<Process>,
    /// Why it takes no further part.
    pub failure: Option<String>,
}

impl Standing {
    pub fn name(&self) -> String {
        self.kind.name().into()
    }

    pub fn cpu(&self) -> u64 {
        self.process.as_ref().map_or(0, Process::cpu)
    }

    pub fn settle(&self) {
        if let Some(process) = &self.process {
            process.settle();
        }
    }
}

impl Bench {
    /// A balancer in front of `server`, which may not be ready yet.
    pub fn begin(
        &mut self,
        (kind, program): &(Kind, PathBuf),
        connections: usize,
        is_bulk: bool,
        server: SocketAddr,
    ) -> io::Result<Standing> {
        if *kind == Kind::Direct {
            return Ok(Standing { kind: *kind, at: server, process: None, failure: None });
        }
        let listen = SocketAddr::from(([127, 0, 0, 1], self.next_port));
        self.next_port += 1;
        let task = Task { listen, server, connections, is_bulk, pen_options: self.pen_options.clone() };
        let process = peers::start(*kind, program, &task, &self.cpu, &self.dir)?;
        Ok(Standing { kind: *kind, at: listen, process: Some(process), failure: None })
    }

    /// One balancer, ready.
    pub fn start(&mut self, peer: &(Kind, PathBuf), connections: usize, is_bulk: bool) -> io::Result<Standing> {
        let server = self.server;
        let mut standing = self.begin(peer, connections, is_bulk, server)?;
        self.wait_for(&mut standing);
        Ok(standing)
    }

    /// Waits until it is ready; one that never is takes no part.
    pub fn wait_for(&self, standing: &mut Standing) {
        let Some(process) = &mut standing.process else { return };
        if let Err(error) = process.wait_for(standing.at) {
            self.fail(standing, &error);
        }
        standing.settle();
    }

    /// A process that never sleeps, on the balancers' processor.
    pub fn occupy(&self) -> io::Result<Process> {
        let words = [std::env::current_exe()?.display().to_string(), String::from("spin")];
        let mut process = Process::start(&words, &self.cpu, self.dir.join("spin"))?;
        process.wait_for_word("spinning")?;
        Ok(process)
    }

    /// All of them, ready.
    pub fn start_all(&mut self, connections: usize, is_bulk: bool) -> io::Result<Vec<Standing>> {
        self.peers.clone().iter().map(|peer| self.start(peer, connections, is_bulk)).collect()
    }

    /// Does something with a balancer that takes part; one that fails takes no further part.
    pub fn attempt<T>(&self, standing: &mut Standing, work: impl FnOnce(&mut Standing) -> io::Result<T>) -> Option<T> {
        if standing.failure.is_some() {
            return None;
        }
        match work(standing) {
            Ok(done) => Some(done),
            Err(error) => {
                self.fail(standing, &error);
                None
            }
        }
    }

    fn fail(&self, standing: &mut Standing, error: &io::Error) {
        let said = standing.process.as_ref().map(Process::said).filter(|said| !said.is_empty());
        self.failures.borrow_mut().push(format!(
            "{}: {error}{}",
            standing.name(),
            said.map_or(String::new(), |said| format!("; it said: {said}"))
        ));
        standing.failure = Some(error.to_string());
    }
}
