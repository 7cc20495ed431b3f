//! What a successor inherits of clients: no bytes make it panic, what is refused leaves no trace, and what is taken is
//! there again when it is written down anew.

use pen::balance::clients::Remembered;
use pen::balance::legacy::{restore, save};
use pen::balance::{Balancer, Server, ServerId, Settings};
use pen::base::operand::{ServerSpec, Services};
use pen::base::time::Moment;
use pen::select::siphash::{Key, siphash_2_4};

/// More than fit, so that some are left out.
const CLIENTS_MAX: usize = 8;

/// The first byte tells whether the rest is taken as it is, or gets the check sum that any writer can compute.
pub fn check(input: &[u8]) {
    let Some((first, body)) = input.split_first() else { return };
    if first % 2 == 0 {
        return judge(body);
    }
    judge(&[body, &siphash_2_4(Key(0, 0), body).to_be_bytes()].concat());
}

fn judge(bytes: &[u8]) {
    let mut balancer = empty();
    let begin = Moment::from_nanos(u64::MAX / 4);
    match restore(&mut balancer, bytes, begin) {
        Err(why) => {
            let said = why.to_string();
            assert!(!said.is_empty() && !said.chars().any(char::is_control), "{said:?}");
            assert!(balancer.clients.is_empty(), "{said}, but some were taken");
        }
        Ok(count) => {
            assert!(balancer.clients.len() <= count.min(CLIENTS_MAX));
            let servers = balancer.servers.len();
            let rows = remembered(&balancer, begin);
            assert!(rows.iter().all(|row| row.server.is_none_or(|index| index < servers)), "{rows:?}");
            let mut again = empty();
            assert_eq!(restore(&mut again, &save(&balancer, begin), begin), Ok(rows.len()));
            assert_eq!(remembered(&again, begin), rows);
            again.check();
        }
    }
    balancer.check();
}

fn empty() -> Balancer {
    let mut balancer = Balancer::new(Settings { clients_max: CLIENTS_MAX, ..Settings::default() });
    for (index, text) in (0..).zip(["192.0.2.1", "192.0.2.2:81", "/run/three"]) {
        let spec = ServerSpec::parse(text, &Services::default()).expect("it is sound");
        balancer.servers.set(ServerId::Regular(index), Server::new(&spec, 80)).expect("there is room");
    }
    balancer
}

fn remembered(balancer: &Balancer, moment: Moment) -> Vec<Remembered> {
    balancer.clients.remembered(CLIENTS_MAX, moment).collect()
}
