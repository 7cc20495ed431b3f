//! What a successor inherits of clients: no bytes make it panic, what is refused leaves no trace, and what is taken is
//! there again when it is written down anew.

use pen::balance::clients::Remembered;
use pen::balance::legacy::{restore, save};
use pen::balance::listeners::MAIN_NAME;
use pen::balance::{Common, Listeners, Server, ServerId, Settings};
use pen::base::operand::{ServerSpec, Services};
use pen::base::time::Moment;
use pen::select::siphash::{Key, siphash_2_4};

/// More than fit, so that some are left out.
const CLIENTS_MAX: usize = 8;

/// The first byte tells whether the rest is taken as it is, as the table of the first listener, or as one that gets the
/// check sum that any writer can compute.
pub fn check(input: &[u8]) {
    let Some((first, body)) = input.split_first() else { return };
    match first % 4 {
        0 => judge(&framed(body)),
        2 => judge(body),
        _ => judge(&framed(&[body, &siphash_2_4(Key(0, 0), body).to_be_bytes()].concat())),
    }
}

/// What is handed over if this is the table of the first listener, and there is no other.
fn framed(table: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| u32::try_from(part.len()).expect("an input is short").to_be_bytes();
    let name = MAIN_NAME.as_bytes();
    [b"penclnt2", &1_u32.to_be_bytes()[..], &length(name), name, &length(table), table].concat()
}

fn judge(bytes: &[u8]) {
    let mut listeners = empty();
    let begin = Moment::from_nanos(u64::MAX / 4);
    match restore(&mut listeners, bytes, begin) {
        Err(why) => {
            let said = why.to_string();
            assert!(!said.is_empty() && !said.chars().any(char::is_control), "{said:?}");
        }
        Ok(()) => {
            let rows = remembered(&listeners, begin);
            let servers = listeners.main().balancer.servers.len();
            assert!(rows.len() <= CLIENTS_MAX);
            assert!(rows.iter().all(|row| row.server.is_none_or(|index| index < servers)), "{rows:?}");
            let mut again = empty();
            assert_eq!(restore(&mut again, &save(&listeners, begin), begin), Ok(()));
            assert_eq!(remembered(&again, begin), rows);
            again.main().balancer.check();
        }
    }
    listeners.main().balancer.check();
}

fn empty() -> Listeners {
    let settings = Settings { clients_max: CLIENTS_MAX, ..Settings::default() };
    let mut listeners = Listeners::new(Common::default(), settings);
    for (index, text) in (0..).zip(["192.0.2.1", "192.0.2.2:81", "/run/three"]) {
        let spec = ServerSpec::parse(text, &Services::default()).expect("it is sound");
        let servers = &mut listeners.main_mut().balancer.servers;
        servers.set(ServerId::Regular(index), Server::new(&spec, 80)).expect("there is room");
    }
    listeners
}

fn remembered(listeners: &Listeners, moment: Moment) -> Vec<Remembered> {
    listeners.main().balancer.clients.remembered(CLIENTS_MAX, moment).collect()
}
