//! Ports for data connections, opened as an inspector asks for them.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::super::FIRST_TRANSFER;
use super::super::pair::{PairKey, Side};
use super::{OF_ONE_MAX, PORT_TIME, Port, Transfers};
use crate::balance::settings::FtpSettings;
use crate::base::addr::{Endpoint, Source};
use crate::base::time::Moment;
use crate::inspect::ftp::TransferPorts;
use crate::net::{ListenOptions, Net, Token};

/// Opens ports for one control connection.
pub(in crate::proxy) struct Opening<'a, N: Net> {
    pub(in crate::proxy) net: &'a mut N,
    pub(in crate::proxy) transfers: &'a mut Transfers<N>,
    pub(in crate::proxy) settings: &'a FtpSettings,
    pub(in crate::proxy) control: PairKey,
    /// The address of the client, and the one that it connected to.
    pub(in crate::proxy) client: [Option<IpAddr>; 2],
    /// The address of the server, and the one that pen connected from.
    pub(in crate::proxy) server: [Option<IpAddr>; 2],
    /// That one is the client's.
    pub(in crate::proxy) is_foreign: bool,
    pub(in crate::proxy) now: Moment,
    /// How many ports and data connections there may be.
    pub(in crate::proxy) most: usize,
}

impl<N: Net> Opening<'_, N> {
    fn open(&mut self, side: Side, to: SocketAddr) -> Option<SocketAddr> {
        self.close();
        let all = self.transfers.ports() + self.transfers.count();
        if all >= self.most || self.transfers.of(self.control).count() >= OF_ONE_MAX {
            return None;
        }
        // Servers compare the address with that of the control connection, and so do clients.
        let there = self.server[1].map(|ip| Source { ip, is_foreign: self.is_foreign });
        let here = self.client[1].map(Source::own);
        let (from, at, by) = match side {
            Side::Client => (self.client[0], here, there),
            Side::Server => (self.server[0], there, here),
        };
        let (from, at) = (from?, at?);
        let number = self.transfers.ports.vacant_key();
        let socket = self.listen(at, Token(FIRST_TRANSFER + number))?;
        let at = at.ip;
        let Ok(Endpoint::Inet(local)) = self.net.local(&socket) else { return None };
        let due = self.now + PORT_TIME;
        let port = Port { socket, control: self.control, side, from, to, by, due, is_ready: false };
        self.transfers.ports.insert(port);
        self.transfers.queue.push_back((due, number));
        self.transfers.open.insert(self.control.0, number);
        let told = self.settings.address.filter(|told| side == Side::Client && told.is_ipv4() == at.is_ipv4());
        Some(SocketAddr::new(told.unwrap_or(at), local.port()))
    }

    /// Listens on a port of the range, or on any.
    fn listen(&mut self, at: Source, token: Token) -> Option<N::Listener> {
        let options = ListenOptions { foreign: at.is_foreign, ..ListenOptions::ONE_PEER };
        let (low, high) = self.settings.ports.unwrap_or((0, 0));
        let count = u32::from(high - low) + 1;
        let first = u32::from(self.transfers.last.clamp(low, high) - low) + 1;
        for step in 0..count {
            let port = low + u16::try_from((first + step) % count).expect("it is within the range");
            match self.net.listen_once(&Endpoint::inet(SocketAddr::new(at.ip, port)), options, token) {
                Ok(socket) => {
                    self.transfers.last = port;
                    return Some(socket);
                }
                // Others listen there.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(_) => return None,
            }
        }
        None
    }
}

impl<N: Net> TransferPorts for Opening<'_, N> {
    fn for_server(&mut self, client: SocketAddr) -> Option<SocketAddr> {
        self.open(Side::Server, client)
    }

    fn for_client(&mut self, server: SocketAddr) -> Option<SocketAddr> {
        self.open(Side::Client, server)
    }

    fn close(&mut self) {
        if let Some(number) = self.transfers.open.of(self.control.0).copied() {
            self.transfers.close_port(number);
        }
    }
}
