//! How far a web server's clock is from pen's, before anything is merged: hours if its zone is
//! wrong or not in the log.
//!
//! Each request votes for all differences between its times in both logs. The right difference
//! gets a vote from every request, the wrong ones share what is left. Requests that are rare
//! say most and are asked first.

use std::collections::BTreeMap;

/// How many times a survey remembers.
const TIMES_MAX: usize = 200_000;
/// How often a request may come at most in either log, by the order in which they are asked. One
/// that comes more often is not asked.
const TIERS: [usize; 3] = [3, 64, 1024];
/// How many votes are counted.
const VOTES_MAX: usize = 4_000_000;
/// No clock is believed to be farther off: all zones there are, and some error. Seconds.
const OFFSET_MAX: i64 = 15 * 3600;
/// Ballots of a second each, on both sides of none.
const BALLOTS: usize = 2 * OFFSET_MAX as usize + 1;
/// Votes within so many seconds are for the same difference.
const NEAR: usize = 4;
/// What votes come to by chance is seen from so many seconds on either side.
const AROUND: usize = 60;

/// Some of the requests of a log and their times: the same ones in every log.
#[derive(Debug)]
pub struct Survey {
    times: BTreeMap<u64, Vec<i64>>,
    /// Keys up to here are remembered: lowered when there are too many.
    most: u64,
    count: usize,
}

impl Default for Survey {
    fn default() -> Survey {
        Survey { times: BTreeMap::new(), most: u64::MAX, count: 0 }
    }
}

/// What a survey found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// Milliseconds that the web server's clock is ahead of pen's.
    pub offset: i64,
    /// How much more votes it got than others, in standard deviations.
    pub weight: f64,
    /// Whether more of the logs would hardly change it.
    pub is_certain: bool,
}

impl Survey {
    /// Takes a request: its number as `weblog::key` has it, its time in milliseconds.
    pub fn add(&mut self, key: u64, at: i64) {
        if key > self.most {
            return;
        }
        let times = self.times.entry(key).or_default();
        // One more than are ever asked about, so that it shows.
        if times.len() > TIERS[TIERS.len() - 1] {
            return;
        }
        times.push(at);
        self.count += 1;
        while self.count > TIMES_MAX && self.times.len() > 1 {
            self.most /= 2;
            let gone = self.times.split_off(&(self.most + 1));
            self.count -= gone.values().map(Vec::len).sum::<usize>();
        }
    }

    /// How far the times of `web` are after those of this survey, which is of pen's log.
    /// `near` is what counts as hardly any, in milliseconds.
    pub fn offset_of(&self, web: &Survey, near: i64) -> Option<Estimate> {
        TIERS.iter().find_map(|tier| self.offset_by(web, *tier, near))
    }

    /// The same, asking the requests that come at most so often in either log.
    fn offset_by(&self, web: &Survey, tier: usize, near: i64) -> Option<Estimate> {
        let mut asked: Vec<(&Vec<i64>, &Vec<i64>)> =
            self.times.iter().filter_map(|(key, pens)| Some((pens, web.times.get(key)?))).collect();
        asked.retain(|(pens, webs)| pens.len() <= tier && webs.len() <= tier);
        asked.sort_by_key(|(pens, webs)| pens.len() * webs.len());
        let mut left = VOTES_MAX;
        let fits = |(pens, webs): &(&Vec<i64>, &Vec<i64>)| {
            left = left.saturating_sub(pens.len() * webs.len());
            left > 0
        };
        let asked: Vec<_> = asked.into_iter().take_while(fits).collect();
        let votes =
            || asked.iter().flat_map(|(pens, webs)| pens.iter().flat_map(|pen| webs.iter().map(move |web| web - pen)));

        let mut ballots = vec![0u32; BALLOTS];
        for vote in votes() {
            if let Ok(ballot) = usize::try_from(vote.div_euclid(1000) + OFFSET_MAX)
                && ballot < BALLOTS
            {
                ballots[ballot] += 1;
            }
        }
        let (start, count) = winner(&ballots)?;
        let weight = weight(&ballots, start, count);
        let from = (start as i64 - OFFSET_MAX) * 1000;
        let mut agreeing: Vec<i64> = votes().filter(|vote| (from..from + NEAR as i64 * 1000).contains(vote)).collect();
        agreeing.sort_unstable();
        let offset = agreeing[agreeing.len() / 2];
        // A difference of hours is believed only if hardly anything speaks against it.
        let is_clear = tier > TIERS[0] || count * 2 >= asked.len();
        let least = if offset.abs() <= near {
            3.0
        } else if tier > TIERS[0] {
            12.0
        } else {
            3.0
        };
        let is_believed = weight >= least && (is_clear || offset.abs() <= near);
        is_believed.then_some(Estimate { offset, weight, is_certain: weight >= 30.0 && is_clear })
    }
}

/// Where the most votes begin, and how many they are. Where requests come at fixed intervals,
/// several differences get much the same: then it is the least of them.
fn winner(ballots: &[u32]) -> Option<(usize, usize)> {
    let mut counts = vec![0usize; BALLOTS - NEAR];
    let mut count: usize = ballots[..NEAR].iter().map(|votes| *votes as usize).sum();
    for (start, counted) in counts.iter_mut().enumerate() {
        *counted = count;
        count = count + ballots[start + NEAR] as usize - ballots[start] as usize;
    }
    let most = counts.iter().copied().max().filter(|most| *most > 0)?;
    let distance = |start: usize| (start + NEAR / 2).abs_diff(BALLOTS / 2);
    let alike = (0..counts.len()).filter(|start| counts[*start] * 5 >= most * 4);
    let least = alike.min_by_key(|start| distance(*start))?;
    let around = least.saturating_sub(NEAR)..(least + NEAR + 1).min(counts.len());
    let start = around.max_by_key(|start| (counts[*start], std::cmp::Reverse(distance(*start))))?;
    Some((start, counts[start]))
}

/// How much more these votes are than what there is by chance, in standard deviations.
fn weight(ballots: &[u32], start: usize, count: usize) -> f64 {
    let before = start.saturating_sub(AROUND)..start.saturating_sub(2 * NEAR);
    let after = (start + 3 * NEAR).min(BALLOTS)..(start + AROUND).min(BALLOTS);
    let seconds = before.len() + after.len();
    let votes: u32 = ballots[before].iter().chain(&ballots[after]).sum();
    let by_chance = f64::from(votes) * NEAR as f64 / seconds as f64;
    (count as f64 - by_chance) / (by_chance + 1.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two surveys of the same `count` requests of which each is one of `kinds`; of ten, `strange`
    /// are logged at any time.
    fn surveys(offset: i64, count: u64, kinds: u64, strange: u64) -> (Survey, Survey) {
        let (mut pen, mut web) = (Survey::default(), Survey::default());
        let mut random = 7u64;
        let mut below = |limit: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % limit
        };
        for number in 0..count {
            let kind = if kinds >= count { number } else { below(kinds) };
            let key = (kind + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let at = i64::try_from(number * 200 + below(200)).unwrap();
            pen.add(key, at);
            let late = if below(10) < strange { i64::try_from(below(900_000)).unwrap() } else { 0 };
            web.add(key, at + offset + late);
        }
        (pen, web)
    }

    #[test]
    fn offsets_of_all_sizes_are_found() {
        for offset in [0, 700, -3_000, 250_000, 3_600_000, -5 * 3_600_000 + 42_000, 14 * 3_600_000] {
            for (count, kinds, strange) in
                [(5, 5, 0), (500, 500, 3), (50_000, 50_000, 4), (5_000, 200, 1), (5_000, 20, 1)]
            {
                let (pen, web) = surveys(offset, count, kinds, strange);
                let found = pen.offset_of(&web, 600_000).unwrap_or_else(|| panic!("{offset} {count} {kinds}"));
                assert!((found.offset - offset).abs() <= 4_000, "{offset} {count} {kinds} {strange}: {found:?}");
            }
        }
    }

    #[test]
    fn logs_that_have_little_in_common_have_no_offset() {
        let (pen, _) = surveys(0, 1000, 1000, 0);
        assert_eq!(pen.offset_of(&Survey::default(), 600_000), None);
        // One request out of ten: hours that so few agree on are chance.
        let (pen, web) = surveys(7_200_000, 100, 100, 9);
        assert_eq!(pen.offset_of(&web, 600_000), None);
        // No zone is two days away.
        let (pen, web) = surveys(2 * 86_400_000, 1000, 1000, 0);
        assert_eq!(pen.offset_of(&web, 600_000), None);
    }

    #[test]
    fn requests_at_fixed_intervals_do_not_lead_astray() {
        let (mut pen, mut web) = (Survey::default(), Survey::default());
        for at in 0..60 {
            pen.add(1, at * 60_000);
            // The web log begins and ends five minutes later.
            web.add(1, (at + 5) * 60_000 + 500);
        }
        assert_eq!(pen.offset_of(&web, 600_000).map(|found| found.offset), Some(500));
    }

    #[test]
    fn a_survey_remembers_a_bounded_number_of_requests() {
        let (pen, web) = surveys(0, 500_000, 500_000, 0);
        assert!(pen.count <= TIMES_MAX && pen.count > TIMES_MAX / 3);
        assert!(pen.times.keys().eq(web.times.keys()), "the same requests of both logs");
        assert!(pen.offset_of(&web, 600_000).unwrap().is_certain);
        let mut popular = Survey::default();
        (0..1_000_000).for_each(|at| popular.add(1, at));
        assert!(popular.count < 2000);
    }
}
