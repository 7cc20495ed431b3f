//! Whether to let more come before the next wait, as network cards do with interrupts (ethtool(8), rx-usecs).
//!
//! Who is quicker than its peers sleeps after each little thing, and is woken for the next: sleeping, waking and
//! being woken is most of what it does then, here and at its peers. Some microseconds of patience save that, where more
//! is known to come.
//!
//! It is known of a crowd: of late there were events of many pairs, several in each turn. With fewer pairs it would be
//! wrong, since soon all of them would wait for pen, and nobody would have anything to do. And it is known of bulk,
//! if for some mebibytes nothing else came, and little of it comes at once.

use std::time::Duration;

use crate::base::time::Moment;

/// One event of the running mean.
const ONE: u32 = 256;

/// Events of a turn, as the mean of late, that make a crowd.
const CROWD: u32 = 4 * ONE;

/// Events that are none.
const FEW: usize = (CROWD / ONE) as usize;

/// Pairs that make a crowd: more than half of them have something to do while the others wait.
const PAIRS: u32 = 48;

/// Events among which these pairs are counted.
const WINDOW: u32 = 256;

/// Events in one turn that are many: a wait for as many costs each of them nothing.
const MANY: usize = 24;

/// Bytes after which it is known that nothing but bulk comes.
const BULK: usize = 4 * 1024 * 1024;

/// Bytes of a read that are a part of bulk; fewer may be a request.
const PART: usize = 16 * 1024;

/// Bytes that one move brings, as the mean of a turn, that are enough at once: with more on the way
/// they would leave the processor's caches.
const ENOUGH: usize = 128 * 1024;

/// A time without a turn after which nothing is known any more if few come then.
const QUIET: Duration = Duration::from_millis(10);

/// What of late is known by.
#[derive(Debug, Default)]
pub struct Coalescing {
    /// When there was the last turn with an event.
    last: Moment,
    /// Running mean of the events of a turn.
    crowd: u32,
    /// Bytes since something else than bulk came.
    bulk: usize,
    pairs: Pairs,
    turn: Turn,
}

/// How many pairs have events. They are told apart by a part of their keys, which suffices to tell few from many.
#[derive(Debug, Default)]
struct Pairs {
    seen: [u64; 16],
    /// Of this window so far.
    events: u32,
    /// Pairs in the window before.
    before: u32,
}

impl Pairs {
    fn heard(&mut self, key: usize) {
        self.seen[key / 64 % 16] |= 1 << (key % 64);
        self.events += 1;
        if self.events == WINDOW {
            let before = self.seen.iter().map(|keys| keys.count_ones()).sum();
            *self = Pairs { before, ..Pairs::default() };
        }
    }
}

/// What one turn has brought.
#[derive(Debug, Default)]
struct Turn {
    events: usize,
    /// Times that bytes were moved unread, and how many bytes.
    moves: usize,
    moved: usize,
}

impl Coalescing {
    /// A turn has this many events.
    pub fn begin(&mut self, events: usize, now: Moment) {
        if events > 0 {
            if now.since(self.last) > QUIET && events < FEW {
                *self = Coalescing::default();
            }
            self.last = now;
        }
        self.turn.events = events;
    }

    /// An event is of the pair with this key.
    pub fn heard(&mut self, key: usize) {
        self.pairs.heard(key);
    }

    /// So many bytes were moved at once, without being read.
    pub fn moved(&mut self, bytes: usize) {
        self.turn.moves += 1;
        self.turn.moved += bytes;
        self.bulk = self.bulk.saturating_add(bytes);
    }

    /// So many bytes were read at once; none say nothing.
    pub fn read(&mut self, bytes: usize) {
        self.bulk = if (1..PART).contains(&bytes) { 0 } else { self.bulk.saturating_add(bytes) };
    }

    /// The turn is over; whether to let more come, if there is time for that.
    pub fn is_worth_while(&mut self) -> bool {
        let Turn { events, moves, moved } = std::mem::take(&mut self.turn);
        let of_turn = u32::try_from(events.min(256)).unwrap_or(256) * ONE;
        self.crowd = self.crowd - self.crowd / 8 + of_turn / 8;
        if moves > 0 && moved >= moves * ENOUGH {
            return false;
        }
        let is_crowd = self.crowd >= CROWD && self.pairs.before >= PAIRS && events < MANY;
        is_crowd || (moves > 0 && self.bulk >= BULK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a turn brings: events, bytes of each read, and of each move.
    type Brings<'a> = (usize, &'a [usize], &'a [usize]);

    /// Has these turns in turn, with events of so many pairs; after how many of them more is let come.
    fn let_come_of(pairs: usize, coalescing: &mut Coalescing, turns: usize, brings: &[Brings]) -> usize {
        let mut keys = (0..pairs).cycle();
        let mut one = |(events, reads, moves): &Brings| {
            coalescing.begin(*events, NOW);
            keys.by_ref().take(*events).for_each(|key| coalescing.heard(key));
            reads.iter().for_each(|bytes| coalescing.read(*bytes));
            moves.iter().for_each(|bytes| coalescing.moved(*bytes));
            coalescing.is_worth_while()
        };
        brings.iter().cycle().take(turns).filter(|brings| one(brings)).count()
    }

    /// The same with a hundred.
    fn let_come(coalescing: &mut Coalescing, turns: usize, brings: &[Brings]) -> usize {
        let_come_of(100, coalescing, turns, brings)
    }

    const NOW: Moment = Moment::from_nanos(1_000_000_000);
    const LITTLE: usize = 65_536;
    const REQUEST: Brings = (1, &[64], &[]);
    const PIECE: Brings = (1, &[], &[LITTLE]);
    const NOTHING: Brings = (0, &[], &[]);
    /// Somebody can be written to, and there is nothing to write.
    const EDGE: Brings = (1, &[], &[]);
    const SEVERAL: Brings = (8, &[64; 8], &[]);

    #[test]
    fn who_comes_alone_never_waits() {
        for brings in
            [&[REQUEST][..], &[REQUEST, EDGE], &[NOTHING, REQUEST], &[(3, &[64; 3], &[])], &[EDGE], &[NOTHING]]
        {
            assert_eq!(let_come(&mut Coalescing::default(), 1_000, brings), 0, "{brings:?}");
        }
    }

    #[test]
    fn more_of_a_crowd_is_let_come_soon_and_as_long_as_it_is_one() {
        let mut coalescing = Coalescing::default();
        assert_eq!(let_come(&mut coalescing, 31, &[SEVERAL]), 0, "it may be none");
        assert_eq!(let_come(&mut coalescing, 100, &[SEVERAL]), 100);
        assert_eq!(
            let_come(&mut coalescing, 100, &[(6, &[64; 6], &[]), (3, &[64; 3], &[])]),
            100,
            "as the mean has it"
        );
        assert!(let_come(&mut coalescing, 100, &[REQUEST]) < 8, "the crowd is gone");
        assert_eq!(let_come(&mut coalescing, 100, &[(MANY, &[64; MANY], &[])]), 0, "so many are enough");
        assert_eq!(let_come(&mut coalescing, 100, &[(256, &[64; 256], &[])]), 0);
        // However many there were, they are soon forgotten.
        assert!(let_come(&mut coalescing, 100, &[REQUEST]) < 40);
    }

    #[test]
    fn few_pairs_are_no_crowd_however_busy_they_are() {
        for (pairs, expected) in [(1, 0), (16, 0), (PAIRS as usize - 1, 0), (PAIRS as usize, 900), (1_000_000, 900)] {
            let mut coalescing = Coalescing::default();
            let_come_of(pairs, &mut coalescing, 100, &[SEVERAL]);
            assert_eq!(let_come_of(pairs, &mut coalescing, 900, &[SEVERAL]), expected, "{pairs}");
        }
        // Those that rest do not count.
        let mut coalescing = Coalescing::default();
        let_come_of(100, &mut coalescing, 100, &[SEVERAL]);
        assert!(let_come_of(10, &mut coalescing, 100, &[SEVERAL]) < 65, "two windows of 32 turns");
    }

    #[test]
    fn more_of_bulk_is_let_come_when_nothing_else_has_come_and_it_comes_in_small_pieces() {
        let mut coalescing = Coalescing::default();
        assert_eq!(let_come(&mut coalescing, BULK / LITTLE - 1, &[PIECE]), 0, "a page is no bulk");
        assert_eq!(let_come_of(1, &mut coalescing, 100, &[PIECE]), 100);
        assert_eq!(let_come(&mut coalescing, 100, &[PIECE, EDGE]), 50, "edges tell nothing");
        assert_eq!(let_come(&mut coalescing, 100, &[(1, &[], &[ENOUGH])]), 0, "so much is enough");
        assert_eq!(let_come(&mut coalescing, 100, &[(2, &[], &[ENOUGH, ENOUGH - 1])]), 100, "as the mean has it");
        assert_eq!(let_come(&mut coalescing, 100, &[(1, &[PART], &[]), PIECE]), 50, "some of it may be read");
        assert_eq!(
            let_come(&mut coalescing, 100, &[(1, &[0], &[]), PIECE]),
            50,
            "a read that brings nothing tells nothing"
        );
        assert_eq!(let_come(&mut coalescing, 1, &[REQUEST]), 0, "a request among it does not wait");
        assert_eq!(let_come(&mut coalescing, BULK / LITTLE - 1, &[PIECE]), 0, "nor do those who may follow");
        assert_eq!(let_come(&mut coalescing, 100, &[PIECE]), 100);
    }

    #[test]
    fn what_was_known_is_forgotten_when_it_has_been_quiet() {
        for brings in [SEVERAL, PIECE] {
            let mut coalescing = Coalescing::default();
            let_come(&mut coalescing, 500, &[brings]);
            for (nanos, expected) in [(10_000_000, 1), (20_000_001, 0)] {
                coalescing.begin(0, NOW);
                coalescing.begin(1, NOW + Duration::from_nanos(nanos));
                coalescing.moved(LITTLE);
                assert_eq!(usize::from(coalescing.is_worth_while()), expected, "{brings:?} {nanos}");
            }
        }
        // It is pen that was busy elsewhere.
        let mut coalescing = Coalescing::default();
        let_come(&mut coalescing, 500, &[SEVERAL]);
        for turn in 1..10 {
            coalescing.begin(8, NOW + turn * QUIET * 2);
            assert!(coalescing.is_worth_while());
        }
    }

    #[test]
    fn pages_are_no_bulk() {
        let mebibyte = [&[REQUEST][..], &[PIECE; 16]].concat();
        assert_eq!(let_come(&mut Coalescing::default(), 10_000, &mebibyte), 0);
    }

    #[test]
    fn many_small_moves_in_one_turn_are_a_crowd_and_large_ones_are_not() {
        let mut coalescing = Coalescing::default();
        let moves = [LITTLE; 8];
        assert!(let_come(&mut coalescing, 200, &[(8, &[], &moves)]) > 160);
        let moves = [2 * ENOUGH; 8];
        assert_eq!(let_come(&mut coalescing, 100, &[(8, &[], &moves)]), 0);
    }
}
