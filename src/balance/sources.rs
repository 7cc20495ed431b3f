//! From which local address servers are connected to.

use super::settings::Protocol;
use super::{Balancer, ServerId};
use crate::base::addr::{ClientAddr, Endpoint, Source};
use crate::base::operand::Host;
use crate::base::proxy_version::ProxyVersion;

impl Balancer {
    /// Whether a server sees the clients' own addresses.
    pub fn is_transparent(&self, id: ServerId) -> bool {
        let server = self.servers.server(id);
        server.and_then(|server| server.transparent).unwrap_or(self.settings.transparent)
    }

    /// The local address for a connection to a server that is nobody's yet.
    pub fn own_source(&self, id: ServerId) -> Option<Source> {
        let server = self.servers.server(id);
        let ip = server.and_then(|server| server.source).unwrap_or(self.settings.source);
        ip.map(Source::own)
    }

    /// The same for an idler; `None` if there can be none, as nobody knows whose address it will be.
    pub fn idle_source(&self, id: ServerId) -> Option<Option<Source>> {
        (!self.is_transparent(id)).then(|| self.own_source(id))
    }

    /// The local address for a connection to a server, there, for a client: the client's own if that
    /// is wanted, and of the same family.
    pub fn source_for(&self, id: ServerId, to: &Endpoint, client: ClientAddr) -> Option<Source> {
        match (to, client) {
            (Endpoint::Inet(to), ClientAddr::Inet(ip)) if to.is_ipv4() == ip.is_ipv4() && self.is_transparent(id) => {
                Some(Source { ip, is_foreign: true })
            }
            _ => self.own_source(id),
        }
    }

    /// What a setting asks for that cannot be done, if any does.
    pub fn contradiction(&self) -> Option<String> {
        if self.settings.protocol != Protocol::Udp {
            return None;
        }
        const WHY: &str = "proxy_protocol v1 has no datagrams: for protocol udp it is v2";
        if self.settings.fault.is_some() {
            return Some(String::from("fault is for connections, and protocol udp has none"));
        }
        if let Some((id, _)) = self.servers.all().find(|(_, server)| matches!(server.host, Host::Unix(_))) {
            return Some(format!("server {id}: a Unix socket has no UDP"));
        }
        if self.settings.proxy_protocol == Some(ProxyVersion::V1) {
            return Some(String::from(WHY));
        }
        let mut servers = self.servers.all();
        let server = servers.find(|(_, server)| server.proxy_protocol == Some(Some(ProxyVersion::V1)));
        server.map(|(id, _)| format!("server {id}: {WHY}"))
    }

    /// True if any server sees the clients' own addresses.
    pub fn is_transparent_anywhere(&self) -> bool {
        self.settings.transparent || self.servers.all().any(|(_, server)| server.transparent == Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::settings::Fault;
    use crate::balance::{Server, Settings};
    use crate::base::operand::{ServerSpec, Services};

    #[test]
    fn datagrams_have_no_unix_sockets_no_faults_and_no_lines_of_text_before_them() {
        let mut balancer = Balancer::new(Settings::default());
        let set = |balancer: &mut Balancer, operand: &str| {
            let spec = ServerSpec::parse(operand, &Services::default()).unwrap();
            balancer.servers.set(ServerId::Regular(0), Server::new(&spec, 0)).unwrap();
        };
        set(&mut balancer, "/run/x");
        balancer.settings.fault = Some(Fault::Blackhole);
        balancer.settings.proxy_protocol = Some(ProxyVersion::V1);
        assert_eq!(balancer.contradiction(), None);
        balancer.settings.protocol = Protocol::Udp;
        let why = balancer.contradiction().unwrap();
        assert_eq!(why, "fault is for connections, and protocol udp has none");
        balancer.settings.fault = None;
        assert_eq!(balancer.contradiction().unwrap(), "server 0: a Unix socket has no UDP");
        set(&mut balancer, "192.0.2.1:53");
        assert!(balancer.contradiction().unwrap().starts_with("proxy_protocol v1"));
        balancer.settings.proxy_protocol = Some(ProxyVersion::V2);
        assert_eq!(balancer.contradiction(), None);
    }

    #[test]
    fn a_server_has_its_own_source_or_the_listener_s_or_sees_the_client() {
        let mut balancer = Balancer::new(Settings::default());
        let spec = ServerSpec::parse("192.0.2.1:80", &Services::default()).unwrap();
        let id = ServerId::Regular(0);
        balancer.servers.set(id, Server::new(&spec, 0)).unwrap();
        let to = Endpoint::inet("192.0.2.1:80".parse().unwrap());
        let client = |text: &str| ClientAddr::Inet(text.parse().unwrap());
        let own = |text: &str| Some(Source { ip: text.parse().unwrap(), is_foreign: false });
        let v4 = client("198.51.100.7");
        assert_eq!(balancer.source_for(id, &to, v4), None);
        balancer.settings.source = Some("192.0.2.9".parse().unwrap());
        assert_eq!(balancer.source_for(id, &to, v4), own("192.0.2.9"));
        balancer.servers.server_mut(id).unwrap().source = Some(Some("192.0.2.8".parse().unwrap()));
        assert_eq!(balancer.source_for(id, &to, v4), own("192.0.2.8"));
        balancer.settings.transparent = true;
        let foreign = Some(Source { ip: "198.51.100.7".parse().unwrap(), is_foreign: true });
        assert_eq!(balancer.source_for(id, &to, v4), foreign);
        // Where that cannot be, it is pen's.
        assert_eq!(balancer.source_for(id, &to, client("2001:db8::1")), own("192.0.2.8"));
        assert_eq!(balancer.source_for(id, &to, ClientAddr::Unix), own("192.0.2.8"));
        assert_eq!(balancer.source_for(id, &Endpoint::Unix("/s".into()), v4), own("192.0.2.8"));
        let mut server = balancer.servers.server_mut(id).unwrap();
        (server.transparent, server.source) = (Some(false), Some(None));
        drop(server);
        assert_eq!(balancer.source_for(id, &to, v4), None);
    }
}
