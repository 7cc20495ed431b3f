//! How likely it is that a request which pen saw at one time was logged at another: learned from
//! requests that are beyond doubt, in steps that double.

/// The least step, in milliseconds.
const STEP: i64 = 64;
/// Steps on each side: the last one ends at half an hour or so and has all that is beyond.
const STEPS: usize = 16;

/// How much the guess from before the first request weighs, in requests.
const PRIOR: f64 = 24.0;
/// After so many requests what was learned is halved: servers change their ways.
const MEMORY: f64 = 4000.0;
/// After so many requests the costs are worked out anew.
const REFRESH: u32 = 64;

/// Of a thousand requests, how many may be slower than what [`Likelihood::reach`] tells.
const SLOW: f64 = 2.0;
/// Bounds of the reach, in milliseconds.
const REACH_MIN: i64 = 2_000;
const REACH_MAX: i64 = 64_000;

/// What was learned of one log.
#[derive(Debug)]
pub(super) struct Likelihood {
    /// Requests by side (0: logged before pen saw it) and step.
    counts: [[f64; STEPS]; 2],
    /// What each costs, in thousandths of a nat: minus the logarithm of the density per second.
    costs: [[i32; STEPS]; 2],
    reach: i64,
    since: u32,
}

impl Likelihood {
    pub(super) fn new() -> Likelihood {
        let mut likelihood =
            Likelihood { counts: [[0.0; STEPS]; 2], costs: [[0; STEPS]; 2], reach: REACH_MAX, since: 0 };
        likelihood.refresh();
        likelihood
    }

    /// A request beyond doubt was logged so many milliseconds after pen saw it.
    pub(super) fn learn(&mut self, residual: i64) {
        let (side, step) = place(residual);
        self.counts[side][step] += 1.0;
        self.since += 1;
        if self.since < REFRESH {
            return;
        }
        self.since = 0;
        if self.counts.iter().flatten().sum::<f64>() > MEMORY {
            self.counts.iter_mut().flatten().for_each(|count| *count /= 2.0);
        }
        self.refresh();
    }

    /// What it costs to say that this residual is one request's, in thousandths of a nat.
    #[inline]
    pub(super) fn cost(&self, residual: i64) -> i32 {
        let (side, step) = place(residual);
        // Within a step the nearer one is better by a little.
        let slope = i32::try_from(residual.unsigned_abs() / 16).unwrap_or(i32::MAX).min(500);
        self.costs[side][step] + slope
    }

    /// Nearly all requests are logged within so many milliseconds.
    pub(super) fn reach(&self) -> i64 {
        self.reach
    }

    fn refresh(&mut self) {
        let total = self.counts.iter().flatten().sum::<f64>() + PRIOR;
        let mut beyond = 0.0;
        self.reach = REACH_MIN;
        for step in (0..STEPS).rev() {
            beyond += self.counts[0][step] + self.counts[1][step];
            if beyond * 1000.0 > SLOW * total {
                self.reach = upper(step).clamp(REACH_MIN, REACH_MAX);
                break;
            }
        }
        for side in 0..2 {
            let mut least = f64::MAX;
            for step in 0..STEPS {
                let width = (upper(step) - if step == 0 { 0 } else { upper(step - 1) }) as f64 / 1000.0;
                // What is farther away is never more likely: a bump of a few requests means nothing.
                let density = (self.counts[side][step] + PRIOR * prior(step)) / (total * width);
                least = least.min(density);
                self.costs[side][step] = (-1000.0 * least.ln()) as i32;
            }
        }
    }
}

/// Before anything is learned, for each side: half of the requests within a second, and long
/// tails.
fn prior(step: usize) -> f64 {
    let within = [0.05, 0.05, 0.08, 0.1, 0.12, 0.05, 0.02];
    within.get(step).copied().unwrap_or(0.03 / (STEPS - within.len()) as f64)
}

/// The side and the step of a residual.
#[inline]
fn place(residual: i64) -> (usize, usize) {
    let steps = residual.unsigned_abs() / STEP.unsigned_abs();
    let step = (u64::BITS - steps.leading_zeros()) as usize;
    (usize::from(residual >= 0), step.min(STEPS - 1))
}

/// Where a step ends.
fn upper(step: usize) -> i64 {
    STEP << step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_double() {
        let table = [
            (0, (1, 0)),
            (63, (1, 0)),
            (-1, (0, 0)),
            (64, (1, 1)),
            (127, (1, 1)),
            (128, (1, 2)),
            (-1000, (0, 4)),
            (i64::MAX, (1, STEPS - 1)),
            (i64::MIN, (0, STEPS - 1)),
        ];
        for (residual, expected) in table {
            assert_eq!(place(residual), expected, "{residual}");
        }
    }

    #[test]
    fn the_nearer_one_is_never_dearer() {
        let mut likelihood = Likelihood::new();
        for round in 0..300 {
            for side in [-1, 1] {
                let costs: Vec<i32> = (1..2000).map(|step| likelihood.cost(side * step * 700)).collect();
                assert!(costs.is_sorted(), "{costs:?}");
            }
            likelihood.learn(round * 37 % 5000 - 1000);
        }
    }

    #[test]
    fn what_is_seen_often_becomes_cheap_and_sets_the_reach() {
        let mut quick = Likelihood::new();
        let mut slow = Likelihood::new();
        for number in 0..1000 {
            quick.learn(number % 20);
            slow.learn(number % 20 * 500);
        }
        assert!(quick.cost(10) < slow.cost(10));
        assert!(quick.cost(5000) > slow.cost(5000) + 1000);
        assert_eq!(quick.reach(), REACH_MIN);
        assert!((8_000..=17_000).contains(&slow.reach()), "{}", slow.reach());
    }
}
