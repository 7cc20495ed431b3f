//! Associations as an operator sees them: in the row with connections, behind them.

use super::super::Proxy;
use super::association::Association;
use super::ending::End;
use super::number_of;
use crate::balance::{ClientId, ListenerKey, MAIN};
use crate::control::command::ASSOCIATIONS_FROM;
use crate::control::status::{ConnectionStatus, State};
use crate::net::{Net, Stream};

impl<N: Net> Proxy<N> {
    /// All of them, as reports show them.
    pub(in crate::proxy) fn association_statuses(&self) -> impl Iterator<Item = ConnectionStatus> {
        self.udp.all.iter().map(|(key, one)| self.status_of_association(key, one))
    }

    /// The one that an operator calls by this number.
    pub(in crate::proxy) fn association_status(&self, number: usize) -> Option<ConnectionStatus> {
        let key = number.checked_sub(ASSOCIATIONS_FROM)?;
        self.udp.all.get(key).map(|one| self.status_of_association(key, one))
    }

    fn status_of_association(&self, key: usize, one: &Association<N::Stream>) -> ConnectionStatus {
        let listener = &self.listeners[one.listener];
        let remembered = one.client_id.filter(|id| listener.balancer.clients.client(*id).is_some());
        ConnectionStatus {
            number: number_of(key),
            listener: (one.listener != MAIN).then(|| listener.name.clone()),
            state: State::Connected { server_ended: false, client_ended: false },
            // Its datagrams come in where those of all others do.
            down_fd: -1,
            up_fd: one.stream.descriptor(),
            pending_down: 0,
            pending_up: 0,
            client: remembered.map(|id| id.slot()),
            server: Some(one.server.id),
        }
    }

    /// Ends the one that an operator calls by this number; false if there is none.
    pub(in crate::proxy) fn close_association(&mut self, number: usize) -> bool {
        let key = number.checked_sub(ASSOCIATIONS_FROM).filter(|key| self.udp.all.contains(*key));
        key.is_some_and(|key| {
            self.end_association(key, End::Operator);
            true
        })
    }

    /// The number of the one whose socket has this descriptor.
    pub(in crate::proxy) fn association_with(&self, descriptor: i32) -> Option<usize> {
        let mut all = self.udp.all.iter();
        all.find(|(_, one)| one.stream.descriptor() == descriptor).map(|(key, _)| number_of(key))
    }

    /// The clients of the associations of a listener.
    pub(in crate::proxy) fn clients_of_associations(&self, at: ListenerKey) -> Vec<ClientId> {
        let own = self.udp.all.iter().filter(|(_, one)| one.listener == at);
        own.filter_map(|(_, one)| one.client_id).collect()
    }
}
