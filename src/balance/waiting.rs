//! Whether it is of use to wait for a place at a server.

use super::{Balancer, Choice};
use crate::base::time::Moment;
use crate::select::Search;

impl Balancer {
    /// True if a regular server could serve this client at this moment that was not tried for it.
    pub fn has_server_for(&self, search: &Search, moment: Moment) -> bool {
        self.is_there(search, moment, true)
    }

    /// True if one could that has no place for it now.
    pub fn awaits_place(&self, search: &Search, moment: Moment) -> bool {
        self.is_there(search, moment, false)
    }

    fn is_there(&self, search: &Search, moment: Moment, with_place: bool) -> bool {
        let view = self.view(search, moment, Choice::Available);
        (0..self.servers.len()).any(|index| {
            let comes_back = search.tracked() == Some(index);
            let server = self.servers.regular(index).filter(|_| !search.has_tried(index));
            let is_it = |server: &super::Server| {
                view.could_serve(server, comes_back) && server.has_place(comes_back) == with_place
            };
            server.is_some_and(is_it)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Duty, ServerId, Settings};
    use super::*;
    use crate::balance::Server;
    use crate::base::addr::ClientAddr;
    use crate::base::operand::{ServerSpec, Services};
    use crate::base::time::Now;

    #[test]
    fn it_is_of_use_only_where_nothing_but_a_place_is_missing() {
        let now = Now::default();
        let mut balancer = Balancer::new(Settings::default());
        for (index, text) in (0..).zip(["192.0.2.1:80:1", "192.0.2.2:80:1"]) {
            let spec = ServerSpec::parse(text, &Services::default()).unwrap();
            balancer.servers.set(ServerId::Regular(index), Server::new(&spec, 80)).unwrap();
        }
        let take = |balancer: &mut Balancer| {
            let from = ClientAddr::Inet([10, 0, 0, 1].into());
            let mut admission = balancer.admit(from, 1, now);
            (balancer.next_server(&mut admission.search, now), admission.search)
        };
        let search = {
            let from = ClientAddr::Inet([10, 0, 0, 9].into());
            balancer.admit(from, 1, now).search
        };
        let is = |balancer: &Balancer| {
            (balancer.has_server_for(&search, now.moment), balancer.awaits_place(&search, now.moment))
        };
        assert_eq!(is(&balancer), (true, false));
        take(&mut balancer);
        assert_eq!(is(&balancer), (true, true));
        take(&mut balancer);
        assert_eq!(is(&balancer), (false, true));
        let until = Some(now.moment + Duration::from_secs(9));
        balancer.servers.server_mut(ServerId::Regular(0)).unwrap().blacklist(until, now.moment);
        assert_eq!(is(&balancer), (false, true));
        balancer.servers.server_mut(ServerId::Regular(1)).unwrap().set_duty(Duty::Disabled, now.moment);
        assert_eq!(is(&balancer), (false, false), "one has failed, and the other is to serve nobody");
        balancer.release(ServerId::Regular(0));
        assert_eq!(is(&balancer), (false, false));
    }
}
