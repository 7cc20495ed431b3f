//! Pairs that are looked into: one scenario each. What no inspector has a reason to change must arrive
//! as it was sent, however it is cut, held back and made to wait.

use std::time::Duration;

use pen::balance::settings::Protocol;

use super::dialogue::Dialogue;
use super::peer::Step::{Abort, End, Rest, Send};
use super::peer::{Reader, Sight};
use super::plan::{Buffers, Plan};
use super::run::{finished, finished_by};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn plan(dialogues: &[Dialogue]) -> Plan {
    let mut plan = Plan::plain(2, dialogues);
    plan.settings.protocol = Protocol::Ftp;
    plan
}

#[test]
fn every_byte_passes_whatever_the_buffers_and_the_memory() {
    for (buffers, memory) in [(Buffers::Plain, usize::MAX), (Buffers::Tiny, usize::MAX), (Buffers::Tiny, 60_000)] {
        let slow = Reader::Slow(1_000, 10 * MS);
        let mut plan = plan(&[
            Dialogue::exchange(5, 2_000, 20_000),
            Dialogue::upload(100_000, 50_000, 100 * MS).read_by(slow, slow),
            Dialogue::download(50_000, 100_000, 100 * MS).read_by(slow, slow),
            Dialogue::flood(100_000, 100_000),
            Dialogue::urgent(3, 500, 500),
            Dialogue::echo(60_000),
        ]);
        plan.odds.buffers = buffers;
        plan.memory = memory;
        // Pipes would be used if anything went by unseen.
        plan.pipes = 100;
        let world = finished(plan);
        assert_eq!(world.calls.splice, 0);
        assert_eq!(world.calls.peek, 0, "what is looked into is read");
    }
}

#[test]
fn a_line_that_is_held_back_follows_when_its_sender_ends_or_breaks() {
    // Neither side ever ends a line.
    let polite = Dialogue::flood(5_000, 7_000);
    let rude = Dialogue::rude(0, 3_000, &[End], &[Send(3_000), Rest(SECOND), Abort]);
    for seed in 0..8 {
        let mut plan = plan(&[polite.clone(), rude.clone()]);
        plan.odds.buffers = Buffers::Tiny;
        let world = finished_by(plan, seed);
        assert_eq!((world.client(1).received, world.client(1).sight), (3_000, Some(Sight::Reset)));
    }
}
