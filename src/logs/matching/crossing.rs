//! Equal requests that have overtaken each other: where the agents say so, partners that were
//! found in order are exchanged.
//!
//! Times alone never say so: those of logs are too coarse, and of two requests that wait the later
//! one is as likely to be answered first as not.

use super::align::{SKIP_PEN, Sides};

/// An exchange that gains less is none, in thousandths of a nat.
const MARGIN: i32 = 300;
/// After so many rounds it is left at that. Each puts one of those right that overtook others.
const ROUNDS: usize = 4;
/// What a pair costs whose requests are too far apart.
const NEVER: i32 = i32::MAX / 8;

/// Exchanges partners as long as that gains enough.
pub(super) fn exchange(sides: &Sides, partners: &mut [Option<usize>]) {
    if sides.evidence.is_silent() {
        return;
    }
    let mut webs = vec![None; sides.pens.len()];
    for (web, partner) in partners.iter().enumerate() {
        partner.iter().for_each(|pen| webs[*pen] = Some(web));
    }
    for _ in 0..ROUNDS {
        let mut is_changed = false;
        for web in 0..partners.len() {
            let now = partners[web];
            // What fits stays, unless another one that does not fit asks for it.
            if now.is_some_and(|pen| sides.evidence.of(web, pen) > 0) {
                continue;
            }
            let start = sides.pens.partition_point(|pen| *pen < sides.webs[web] - sides.reach);
            let end = sides.pens.partition_point(|pen| *pen <= sides.webs[web] + sides.reach);
            let gains = (start..end).map(|pen| (gain(sides, (web, now), (webs[pen], pen)), pen));
            let Some((_, pen)) = gains.max_by_key(|gain| gain.0).filter(|gain| gain.0 > MARGIN) else { continue };
            let other = webs[pen];
            partners[web] = Some(pen);
            webs[pen] = Some(web);
            other.iter().for_each(|other| partners[*other] = now);
            now.iter().for_each(|now| webs[*now] = other);
            is_changed = true;
        }
        if !is_changed {
            return;
        }
    }
}

/// What it gains that a logged request with this partner, or none, takes another, and whoever had
/// that one takes the first one's.
fn gain(sides: &Sides, (web, now): (usize, Option<usize>), (other, pen): (Option<usize>, usize)) -> i32 {
    let before = price(sides, Some(web), now).plus(price(sides, other, Some(pen)));
    let after = price(sides, Some(web), Some(pen)).plus(price(sides, other, now));
    let time = before.time - after.time;
    let is_crossing = now.is_some() && other.is_some();
    before.agents - after.agents + if is_crossing { time.min(0) } else { time }
}

/// What a pair costs by its times and by its agents, or one that has no partner.
struct Price {
    time: i32,
    agents: i32,
}

impl Price {
    fn plus(self, other: Price) -> Price {
        Price { time: self.time + other.time, agents: self.agents + other.agents }
    }
}

fn price(sides: &Sides, web: Option<usize>, pen: Option<usize>) -> Price {
    match (web, pen) {
        (Some(web), Some(pen)) => {
            let residual = sides.webs[web] - sides.pens[pen];
            let time = if residual.abs() <= sides.reach { sides.likelihood.cost(residual) } else { NEVER };
            Price { time, agents: -sides.evidence.of(web, pen) }
        }
        (Some(_), None) => Price { time: sides.skip_web, agents: 0 },
        (None, Some(_)) => Price { time: SKIP_PEN, agents: 0 },
        (None, None) => Price { time: 0, agents: 0 },
    }
}
