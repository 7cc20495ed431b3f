//! Equal requests of one server: which of those that pen saw is which of those that were logged.
//!
//! Both are in order, and order is kept; each may be missing on the other side. Of all ways to
//! pair them, this finds the likeliest, as sequences are aligned elsewhere: a table with a row
//! for each logged request and a column for each that pen saw.

use std::ops::Range;

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
    /// For each of `webs`, the index of its partner in `pens`: both times in milliseconds and in
    /// order. Partners are at most `reach` apart. What pen saw after `known` may have been logged
    /// later than all of `webs`.
    pub(super) fn align(
        &mut self,
        pens: &[i64],
        webs: &[i64],
        reach: i64,
        likelihood: &Likelihood,
        skip_web: i32,
        known: i64,
    ) -> Vec<Option<usize>> {
        self.begin(pens, webs, reach);
        let logged = pens.partition_point(|pen| *pen <= known);
        let skipped = |column: usize| {
            i32::try_from(logged.saturating_sub(column)).unwrap_or(NEVER).saturating_mul(SKIP_PEN).min(NEVER)
        };
        let mut end = (NEVER, 0, 0);
        for row in 0..=webs.len() {
            let left = i32::try_from(webs.len() - row).unwrap_or(NEVER).saturating_mul(skip_web);
            if row > 0 {
                self.fill(row, pens, webs, reach, likelihood, skip_web);
            }
            let columns = self.bands[row].columns.clone();
            let best = columns.map(|column| {
                let cost = self.cell(row, column).saturating_add(left).saturating_add(skipped(column));
                (cost, row, column)
            });
            let best = best.min();
            end = end.min(best.unwrap_or(end));
        }
        self.trace_back(pens, webs, reach, likelihood, skip_web, (end.1, end.2))
    }

    /// Fills in a row, from the one before.
    fn fill(&mut self, row: usize, pens: &[i64], webs: &[i64], reach: i64, likelihood: &Likelihood, skip_web: i32) {
        let columns = self.bands[row].columns.clone();
        // The cells to the left of the one that is filled in, and above that.
        let mut left = NEVER;
        let mut corner = columns.start.checked_sub(1).map_or(NEVER, |column| self.cell(row - 1, column));
        for column in columns.clone() {
            let above = self.cell(row - 1, column);
            let mut cost = above.saturating_add(skip_web);
            if column > 0 {
                cost = cost.min(left.saturating_add(SKIP_PEN));
                let residual = webs[row - 1] - pens[column - 1];
                if residual.abs() <= reach {
                    cost = cost.min(corner.saturating_add(likelihood.cost(residual)));
                }
            }
            left = cost.min(NEVER);
            corner = above;
            let at = self.bands[row].start + column - columns.start;
            self.cells[at] = left;
        }
    }

    /// The cost when the last ones of this row and column are partners.
    #[inline]
    fn pairing(
        &self,
        pens: &[i64],
        webs: &[i64],
        row: usize,
        column: usize,
        reach: i64,
        likelihood: &Likelihood,
    ) -> i32 {
        let residual = webs[row - 1] - pens[column - 1];
        if residual.abs() > reach {
            return NEVER;
        }
        self.cell(row - 1, column - 1).saturating_add(likelihood.cost(residual))
    }

    /// Lays out the rows: row 0 has all columns, the others those that can have a partner in the
    /// row, and the one before.
    fn begin(&mut self, pens: &[i64], webs: &[i64], reach: i64) {
        self.bands.clear();
        self.cells.clear();
        let mut columns = 0..pens.len() + 1;
        for row in 0..=webs.len() {
            if row > 0 {
                let web = webs[row - 1];
                while columns.start < pens.len() && pens[columns.start] < web - reach {
                    columns.start += 1;
                }
                columns.end = columns.start + 1;
                while columns.end <= pens.len() && pens[columns.end - 1] <= web + reach {
                    columns.end += 1;
                }
            }
            self.bands.push(Band { columns: columns.clone(), start: self.cells.len() });
            self.cells.resize(self.cells.len() + columns.len(), 0);
        }
        for column in 0..=pens.len() {
            self.cells[column] = i32::try_from(column).unwrap_or(NEVER).saturating_mul(SKIP_PEN).min(NEVER);
        }
    }

    /// The cost of a cell; beyond the last column of a row, further requests of pen are skipped.
    #[inline]
    fn cell(&self, row: usize, column: usize) -> i32 {
        let Band { columns, start } = &self.bands[row];
        if column < columns.start {
            return NEVER;
        }
        let last = columns.end - 1;
        if column <= last {
            return self.cells[start + column - columns.start];
        }
        let beyond = i32::try_from(column - last).unwrap_or(NEVER);
        self.cells[start + last - columns.start].saturating_add(beyond.saturating_mul(SKIP_PEN)).min(NEVER)
    }

    fn trace_back(
        &self,
        pens: &[i64],
        webs: &[i64],
        reach: i64,
        likelihood: &Likelihood,
        skip_web: i32,
        (mut row, mut column): (usize, usize),
    ) -> Vec<Option<usize>> {
        let mut partners = vec![None; webs.len()];
        while row > 0 {
            let cost = self.cell(row, column);
            let is_beyond = column >= self.bands[row].columns.end;
            if !is_beyond && column > 0 && cost == self.pairing(pens, webs, row, column, reach, likelihood) {
                row -= 1;
                column -= 1;
                partners[row] = Some(column);
            } else if !is_beyond && cost == self.cell(row - 1, column).saturating_add(skip_web).min(NEVER) {
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
            let partners = aligner.align(&pens, &webs, reach, &likelihood, skip, known);
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
        let skip = skip_web(0.5);
        for missing in 0..50usize {
            let mut fewer = webs.clone();
            fewer.remove(missing);
            let partners = aligner.align(&pens, &fewer, 8_000, &likelihood, skip, i64::MAX);
            let expected: Vec<_> = (0..50).filter(|at| *at != missing).map(Some).collect();
            assert_eq!(partners, expected, "not logged: {missing}");

            let mut fewer = pens.clone();
            fewer.remove(missing);
            let partners = aligner.align(&fewer, &webs, 8_000, &likelihood, skip, i64::MAX);
            let expected: Vec<_> =
                (0..50).map(|at| (at != missing).then(|| if at > missing { at - 1 } else { at })).collect();
            assert_eq!(partners, expected, "not seen by pen: {missing}");
        }
    }
}
