//! Equal requests of one server: which of those that pen saw is which of those that were logged.
//!
//! Both are in order, and order is kept; each may be missing on the other side. Of all ways to
//! pair them, this finds the likeliest, as sequences are aligned elsewhere: a table with a row
//! for each logged request and a column for each that pen saw.

use std::ops::Range;

use super::agents::{Agent, Profile};
use super::likelihood::Likelihood;

/// What it costs when pen saw a request that was not logged: one in fifty, in thousandths of a nat.
pub(super) const SKIP_PEN: i32 = 3_912;

/// More than any way to pair requests costs, and far from overflow.
const NEVER: i32 = i32::MAX / 4;

/// What a request costs that was logged without pen having seen it: one in fifty, and as many
/// ways to place it as there are requests of this kind in a second.
pub(super) fn skip_web(per_second: f64) -> i32 {
    (-1000.0 * (0.02 * per_second).ln()) as i32
}

/// The two sides: times in milliseconds and in order, and what is known beside them.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    /// What pen saw.
    pub(super) pens: &'a [i64],
    /// What was logged.
    pub(super) webs: &'a [i64],
    /// What agents say about who is who.
    pub(super) evidence: &'a Evidence,
    pub(super) likelihood: &'a Likelihood,
    /// Partners are at most so many milliseconds apart.
    pub(super) reach: i64,
    /// What a logged request costs that pen has not seen.
    pub(super) skip_web: i32,
    /// What pen saw after this may have been logged later than all of `webs`.
    pub(super) known: i64,
}

impl Sides<'_> {
    /// What it costs that these two are partners.
    // For each cell of a table; and where pen is built for size, only this is heard.
    #[inline(always)]
    pub(super) fn cost(&self, web: usize, pen: usize) -> Option<i32> {
        let residual = self.webs[web] - self.pens[pen];
        if residual.abs() > self.reach {
            return None;
        }
        Some(self.likelihood.cost(residual) - self.evidence.of(web, pen))
    }
}

/// For each pair of a logged request and one that pen saw, how much the agent speaks for it.
#[derive(Default, Debug)]
pub(super) struct Evidence {
    profiles: Vec<Profile>,
    agents: Vec<Option<Agent>>,
    is_silent: bool,
}

impl Evidence {
    /// Of the clients that pen saw, and the agents that were logged.
    pub(super) fn begin(
        &mut self,
        profiles: impl Iterator<Item = Profile>,
        agents: impl Iterator<Item = Option<Agent>>,
    ) {
        self.profiles.clear();
        self.agents.clear();
        self.agents.extend(agents);
        self.is_silent = self.agents.iter().all(Option::is_none);
        if !self.is_silent {
            self.profiles.extend(profiles);
        }
    }

    /// In thousandths of a nat.
    #[inline]
    pub(super) fn of(&self, web: usize, pen: usize) -> i32 {
        if self.is_silent {
            return 0;
        }
        self.agents[web].map_or(0, |agent| self.profiles[pen].evidence(agent))
    }

    /// Whether there is none at all.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }
}

/// The table, kept for the next time.
#[derive(Default, Debug)]
pub(super) struct Aligner {
    cells: Vec<i32>,
    bands: Vec<Band>,
}

/// The columns that a row has, and where in the table they are.
#[derive(Clone, Debug)]
struct Band {
    columns: Range<usize>,
    start: usize,
}

impl Aligner {
    /// For each logged request the index of its partner among those that pen saw.
    pub(super) fn align(&mut self, sides: &Sides) -> Vec<Option<usize>> {
        self.begin(sides);
        let count = sides.webs.len();
        let logged = sides.pens.partition_point(|pen| *pen <= sides.known);
        let skipped = |column: usize| times(logged.saturating_sub(column), SKIP_PEN);
        let mut end = (NEVER, 0, 0);
        for row in 0..=count {
            if row > 0 {
                self.fill(row, sides);
            }
            let left = times(count - row, sides.skip_web);
            let Band { columns, start } = self.bands[row].clone();
            for (column, cell) in columns.clone().zip(&self.cells[start..start + columns.len()]) {
                end = end.min((cell + left + skipped(column), row, column));
            }
        }
        self.trace_back(sides, (end.1, end.2))
    }

    /// Fills in a row, from the one before.
    fn fill(&mut self, row: usize, sides: &Sides) {
        let columns = self.bands[row].columns.clone();
        // The cells to the left of the one that is filled in, and above that.
        let mut left = NEVER;
        let mut corner = columns.start.checked_sub(1).map_or(NEVER, |column| self.cell(row - 1, column));
        for column in columns.clone() {
            let above = self.cell(row - 1, column);
            let mut cost = above + sides.skip_web;
            if column > 0 {
                cost = cost.min(left + SKIP_PEN);
                if let Some(pairing) = sides.cost(row - 1, column - 1) {
                    cost = cost.min(corner + pairing);
                }
            }
            left = cost.min(NEVER);
            corner = above;
            let at = self.bands[row].start + column - columns.start;
            self.cells[at] = left;
        }
    }

    /// Lays out the rows: row 0 has all columns, the others those that can have a partner in the
    /// row, and the one before.
    fn begin(&mut self, sides: &Sides) {
        let Sides { pens, webs, reach, .. } = *sides;
        self.bands.clear();
        self.cells.clear();
        let mut columns = 0..pens.len() + 1;
        for row in 0..=webs.len() {
            if row > 0 {
                let web = webs[row - 1];
                while columns.start < pens.len() && pens[columns.start] < web - reach {
                    columns.start += 1;
                }
                columns.end = columns.end.max(columns.start + 1);
                if row == 1 {
                    columns.end = columns.start + 1;
                }
                while columns.end <= pens.len() && pens[columns.end - 1] <= web + reach {
                    columns.end += 1;
                }
            }
            self.bands.push(Band { columns: columns.clone(), start: self.cells.len() });
            self.cells.resize(self.cells.len() + columns.len(), 0);
        }
        for column in 0..=pens.len() {
            self.cells[column] = times(column, SKIP_PEN);
        }
    }

    /// The cost of a cell; beyond the last column of a row, further requests of pen are skipped.
    #[inline(always)]
    fn cell(&self, row: usize, column: usize) -> i32 {
        let Band { columns, start } = &self.bands[row];
        if column < columns.start {
            return NEVER;
        }
        let last = columns.end - 1;
        if column <= last {
            return self.cells[start + column - columns.start];
        }
        (self.cells[start + last - columns.start] + times(column - last, SKIP_PEN)).min(NEVER)
    }

    fn trace_back(&self, sides: &Sides, (mut row, mut column): (usize, usize)) -> Vec<Option<usize>> {
        let mut partners = vec![None; sides.webs.len()];
        while row > 0 {
            let cost = self.cell(row, column);
            let is_beyond = column >= self.bands[row].columns.end;
            let pairing = || {
                let pairing = sides.cost(row - 1, column - 1)?;
                Some((self.cell(row - 1, column - 1) + pairing).min(NEVER))
            };
            if !is_beyond && column > 0 && pairing() == Some(cost) {
                row -= 1;
                column -= 1;
                partners[row] = Some(column);
            } else if !is_beyond && cost == (self.cell(row - 1, column) + sides.skip_web).min(NEVER) {
                row -= 1;
            } else if column > 0 {
                column -= 1;
            } else {
                break;
            }
        }
        partners
    }
}

/// So many times a cost, without overflow.
#[inline]
fn times(count: usize, cost: i32) -> i32 {
    i32::try_from(count).unwrap_or(NEVER).saturating_mul(cost).min(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ways to pair in order, one after the other: the least cost there is.
    fn least(pens: &[i64], webs: &[i64], reach: i64, likelihood: &Likelihood, skip: i32, known: i64) -> i32 {
        let Some((web, later)) = webs.split_first() else {
            return i32::try_from(pens.iter().filter(|pen| **pen <= known).count()).unwrap() * SKIP_PEN;
        };
        let mut best = skip + least(pens, later, reach, likelihood, skip, known);
        for (at, pen) in pens.iter().enumerate() {
            if (web - pen).abs() <= reach {
                let skipped = i32::try_from(at).unwrap() * SKIP_PEN;
                let rest = least(&pens[at + 1..], later, reach, likelihood, skip, known);
                best = best.min(skipped + likelihood.cost(web - pen) + rest);
            }
        }
        best
    }

    /// What a way to pair costs.
    fn price(
        pens: &[i64],
        webs: &[i64],
        likelihood: &Likelihood,
        skip: i32,
        known: i64,
        partners: &[Option<usize>],
    ) -> i32 {
        let mut next = 0;
        let mut cost = 0;
        for (web, partner) in webs.iter().zip(partners) {
            match partner {
                Some(at) => {
                    assert!(*at >= next, "order is kept and nobody has two partners");
                    cost += i32::try_from(at - next).unwrap() * SKIP_PEN + likelihood.cost(web - pens[*at]);
                    next = at + 1;
                }
                None => cost += skip,
            }
        }
        cost + i32::try_from(pens[next..].iter().filter(|pen| **pen <= known).count()).unwrap() * SKIP_PEN
    }

    fn silence() -> Evidence {
        Evidence { is_silent: true, ..Evidence::default() }
    }

    #[test]
    fn no_way_to_pair_is_better() {
        let mut random = 1u64;
        let mut below = |limit: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((random >> 33) % limit).unwrap()
        };
        let mut aligner = Aligner::default();
        let mut likelihood = Likelihood::new();
        for round in 0..3000 {
            let span = [1_000i64, 5_000, 20_000][round % 3];
            let mut times = |count| -> Vec<i64> {
                let mut times: Vec<i64> = (0..count).map(|_| below(span.unsigned_abs())).collect();
                times.sort_unstable();
                times
            };
            let (pens, webs) = (times(round % 7), times(round / 7 % 6));
            let skip = skip_web([0.01, 0.5, 8.0][round / 3 % 3]);
            let reach = [500, 3_000, 30_000][round / 9 % 3];
            let known = below(2 * span.unsigned_abs());
            let partners = aligner.align(&Sides {
                pens: &pens,
                webs: &webs,
                evidence: &silence(),
                likelihood: &likelihood,
                reach,
                skip_web: skip,
                known,
            });
            let cost = price(&pens, &webs, &likelihood, skip, known, &partners);
            assert_eq!(
                cost,
                least(&pens, &webs, reach, &likelihood, skip, known),
                "{pens:?} {webs:?} {reach} {partners:?}"
            );
            likelihood.learn(below(400));
        }
    }

    #[test]
    fn a_request_that_is_missing_on_a_side_shifts_no_other() {
        let likelihood = Likelihood::new();
        let mut aligner = Aligner::default();
        let pens: Vec<i64> = (0..50).map(|number| number * 2000).collect();
        let webs: Vec<i64> = pens.iter().map(|pen| pen + 100).collect();
        let silent = silence();
        let sides = Sides {
            pens: &pens,
            webs: &webs,
            evidence: &silent,
            likelihood: &likelihood,
            reach: 8_000,
            skip_web: skip_web(0.5),
            known: i64::MAX,
        };
        for missing in 0..50usize {
            let mut fewer = webs.clone();
            fewer.remove(missing);
            let partners = aligner.align(&Sides { webs: &fewer, ..sides });
            let expected: Vec<_> = (0..50).filter(|at| *at != missing).map(Some).collect();
            assert_eq!(partners, expected, "not logged: {missing}");

            let mut fewer = pens.clone();
            fewer.remove(missing);
            let partners = aligner.align(&Sides { pens: &fewer, ..sides });
            let expected: Vec<_> =
                (0..50).map(|at| (at != missing).then(|| if at > missing { at - 1 } else { at })).collect();
            assert_eq!(partners, expected, "not seen by pen: {missing}");
        }
    }
}
