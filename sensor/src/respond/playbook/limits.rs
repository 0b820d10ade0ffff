//! What keeps a playbook from doing harm: how often it may act, how soon again to the same, and at
//! which hours. Everything that could be more is bounded, and at its bound the answer is no.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

/// Times an hour that a playbook may act, at most.
pub const PER_HOUR_MAX: u32 = 100_000;
/// Times an hour that it may when it does not say.
pub const PER_HOUR: u32 = 60;
/// Targets that are remembered because of their cool-down.
const COOLING_MAX: usize = 4_096;
/// Nanoseconds in an hour.
const HOUR_NS: u64 = 3_600 * 1_000_000_000;
/// Minutes in a day.
pub const DAY: u16 = 24 * 60;

/// Hours of the day, local time, from the first minute on to the last, which does not belong to
/// them any more. They may go over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// First minute of the day.
    pub from: u16,
    /// The minute they end.
    pub to: u16,
}

impl Hours {
    /// Reads `22:00-06:30`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let hours = text.split_once('-').and_then(|(from, to)| {
            Some(Self {
                from: minute(from.trim()).filter(|from| *from < DAY)?,
                to: minute(to.trim())?,
            })
        });
        hours
            .filter(|hours| hours.from != hours.to)
            .ok_or_else(|| format!("{text:?} are no hours of the day; write them as 22:00-06:30"))
    }

    /// Whether a minute of the day is in them.
    #[must_use]
    pub const fn contain(self, minute: u16) -> bool {
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            self.from <= minute || minute < self.to
        }
    }
}

/// Minute of the day of `hh:mm`; `24:00` is the end of it.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<u16>().ok())?
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let of_day = hour * 60 + minute;
    (minute < 60 && of_day <= DAY).then_some(of_day)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        )
    }
}

/// How often, and when, a playbook may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// On so many alerts an hour.
    pub per_hour: u32,
    /// The same action to the same target only after this.
    pub cool_down: Duration,
    /// Only then.
    pub hours: Option<Hours>,
    /// Only after somebody has said yes, within this time.
    pub ask: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_hour: PER_HOUR,
            cool_down: Duration::ZERO,
            hours: None,
            ask: None,
        }
    }
}

/// Now, as far as limits care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// In nanoseconds since boot.
    pub boot_ns: u64,
    /// Minute of the day, local time.
    pub minute: u16,
}

/// Why a playbook does not act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is nothing it could be done to.
    NoTarget(&'static str),
    /// It is not the time.
    Hours(Hours),
    /// It has acted often enough.
    PerHour(u32),
    /// It was done to the same a short time ago.
    CoolDown {
        /// When, in nanoseconds before now.
        ago: Duration,
        /// How long it has to be.
        least: Duration,
    },
    /// Too many targets are cooling down.
    Crowded,
    /// Too much waits for a yes.
    TooManyAsked,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTarget(what) => f.write_str(what),
            Self::Hours(hours) => write!(f, "this playbook acts only at {hours}"),
            Self::PerHour(most) => {
                write!(
                    f,
                    "this playbook has acted on {most} alerts within an hour, its limit"
                )
            }
            Self::CoolDown { ago, least } => write!(
                f,
                "the same was done {} s ago, and is not done again within {} s",
                ago.as_secs(),
                least.as_secs()
            ),
            Self::Crowded => write!(
                f,
                "{COOLING_MAX} targets are within their cool-down; no more can be told apart"
            ),
            Self::TooManyAsked => f.write_str("too many others wait for a yes already"),
        }
    }
}

/// What one playbook did of late.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// When it acted, oldest first, in nanoseconds since boot.
    acted: VecDeque<u64>,
    /// When something was last done to a target: the action's word, the target.
    done: HashMap<(&'static str, Box<str>), u64>,
}

impl Counters {
    /// Whether a playbook with these limits may act on one more alert.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_act(&mut self, limits: &Limits, now: Moment) -> Result<(), Refusal> {
        if let Some(hours) = limits.hours.filter(|hours| !hours.contain(now.minute)) {
            return Err(Refusal::Hours(hours));
        }
        let is_old = |at: &u64| now.boot_ns.saturating_sub(*at) >= HOUR_NS;
        while self.acted.front().is_some_and(is_old) {
            self.acted.pop_front();
        }
        if self.acted.len() >= limits.per_hour as usize {
            return Err(Refusal::PerHour(limits.per_hour));
        }
        Ok(())
    }

    /// Whether an action may be done to a target; if so, it counts as done.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_do(
        &mut self,
        action: &'static str,
        target: &str,
        limits: &Limits,
        now: Moment,
    ) -> Result<(), Refusal> {
        let least = limits.cool_down;
        if least.is_zero() {
            return Ok(());
        }
        let ago = |at: u64| Duration::from_nanos(now.boot_ns.saturating_sub(at));
        let key = (action, Box::from(target));
        if let Some(ago) = self
            .done
            .get(&key)
            .map(|at| ago(*at))
            .filter(|ago| *ago < least)
        {
            return Err(Refusal::CoolDown { ago, least });
        }
        if self.done.len() >= COOLING_MAX {
            self.done.retain(|_, at| ago(*at) < least);
        }
        if self.done.len() >= COOLING_MAX {
            return Err(Refusal::Crowded);
        }
        self.done.insert(key, now.boot_ns);
        Ok(())
    }

    /// It acts.
    pub fn acts(&mut self, now: Moment) {
        self.acted.push_back(now.boot_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Moment {
        Moment {
            boot_ns: seconds * SECOND,
            minute: 0,
        }
    }

    #[test]
    fn hours_may_go_over_midnight() {
        let night = Hours::parse("22:00-06:30").unwrap();
        assert!(night.contain(23 * 60) && night.contain(0) && night.contain(6 * 60 + 29));
        assert!(!night.contain(6 * 60 + 30) && !night.contain(12 * 60));
        let day = Hours::parse("08:00-24:00").unwrap();
        assert!(day.contain(DAY - 1) && !day.contain(0));
        assert_eq!(night.to_string(), "22:00-06:30");
        for wrong in [
            "",
            "8-9",
            "08:00",
            "24:00-08:00",
            "08:60-09:00",
            "08:00-08:00",
            "-1:00-02:00",
            "99:99-00:00",
        ] {
            assert!(Hours::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_hour_slides() {
        let limits = Limits {
            per_hour: 2,
            ..Limits::default()
        };
        let mut counters = Counters::default();
        for second in [0, 1_800] {
            counters.may_act(&limits, at(second)).unwrap();
            counters.acts(at(second));
        }
        assert_eq!(
            counters.may_act(&limits, at(3_599)),
            Err(Refusal::PerHour(2))
        );
        assert_eq!(counters.may_act(&limits, at(3_600)), Ok(()));
        counters.acts(at(3_600));
        assert!(counters.may_act(&limits, at(3_601)).is_err());
    }

    #[test]
    fn a_target_cools_down_and_others_do_not_wait_for_it() {
        let limits = Limits {
            cool_down: Duration::from_secs(60),
            ..Limits::default()
        };
        let mut counters = Counters::default();
        let mut may = |action, target, second| counters.may_do(action, target, &limits, at(second));
        assert!(may("kill", "pid 1", 0).is_ok());
        assert!(
            may("kill", "pid 1", 59)
                .unwrap_err()
                .to_string()
                .contains("59 s ago")
        );
        assert!(may("kill", "pid 2", 59).is_ok());
        assert!(may("freeze", "pid 1", 59).is_ok());
        assert!(may("kill", "pid 1", 60).is_ok());
    }

    #[test]
    fn more_targets_than_can_be_told_apart_are_refused() {
        let limits = Limits {
            cool_down: Duration::from_secs(60),
            ..Limits::default()
        };
        let mut counters = Counters::default();
        for number in 0..COOLING_MAX {
            counters
                .may_do("kill", &number.to_string(), &limits, at(0))
                .unwrap();
        }
        assert_eq!(
            counters.may_do("kill", "one more", &limits, at(1)),
            Err(Refusal::Crowded)
        );
        assert!(counters.may_do("kill", "one more", &limits, at(61)).is_ok());
    }
}
