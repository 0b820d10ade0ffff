//! Judges by address and service, in functions of their own.
//!
//! VERIFIER: global functions, which the verifier goes through once per program and not once per
//! way of getting there: programs went from 310,000 verified instructions to some thousands. Such
//! functions take and give numbers only on 5.10, and at most five.

use sensor_common::guard::{Who4, Who6, tally};

use crate::lookup::{self, Case, Who};
use crate::maps::count;
use crate::packet::{Talk, v4, v6_of_halves};
use crate::source::Direction;

/// What came out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing denies it.
    Open,
    /// It passes, whatever else is said.
    Pass,
    /// It is dropped, and has been counted.
    Drop,
}

/// An address that can be judged.
pub trait Judged: Who {
    /// What is denied, unless it is allowed.
    fn judge(self, talk: Talk, case: Case, bytes: u64) -> Judgement;
    /// Whether it is allowed, if it would be dropped otherwise; counts that it was.
    fn is_allowed(self, talk: Talk, case: Case, bytes: u64) -> bool;
}

impl Judged for Who4 {
    #[inline(always)]
    fn judge(self, talk: Talk, case: Case, bytes: u64) -> Judgement {
        let address = u32::from_ne_bytes(self.address);
        Judgement::of(judge4(address, talk.pack(), case.pack(), bytes))
    }

    #[inline(always)]
    fn is_allowed(self, talk: Talk, case: Case, bytes: u64) -> bool {
        let address = u32::from_ne_bytes(self.address);
        is_allowed4(address, talk.pack(), case.pack(), bytes) != 0
    }
}

impl Judged for Who6 {
    #[inline(always)]
    fn judge(self, talk: Talk, case: Case, bytes: u64) -> Judgement {
        let [first, second] = halves(self);
        Judgement::of(judge6(first, second, talk.pack(), case.pack(), bytes))
    }

    #[inline(always)]
    fn is_allowed(self, talk: Talk, case: Case, bytes: u64) -> bool {
        let [first, second] = halves(self);
        is_allowed6(first, second, talk.pack(), case.pack(), bytes) != 0
    }
}

/// The address in two numbers, as they are in memory.
#[inline(always)]
fn halves(who: Who6) -> [u64; 2] {
    // SAFETY: plain data of the same size.
    unsafe { core::mem::transmute(who.address) }
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn judge4(address: u32, talk: u64, case: u64, bytes: u64) -> u64 {
    judge(v4(address), Talk::unpack(talk), Case::unpack(case), bytes) as u64
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn judge6(first: u64, second: u64, talk: u64, case: u64, bytes: u64) -> u64 {
    let who = v6_of_halves([first, second]);
    judge(who, Talk::unpack(talk), Case::unpack(case), bytes) as u64
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn is_allowed4(address: u32, talk: u64, case: u64, bytes: u64) -> u64 {
    is_allowed(v4(address), Talk::unpack(talk), Case::unpack(case), bytes).into()
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn is_allowed6(first: u64, second: u64, talk: u64, case: u64, bytes: u64) -> u64 {
    let who = v6_of_halves([first, second]);
    is_allowed(who, Talk::unpack(talk), Case::unpack(case), bytes).into()
}

#[inline(always)]
fn judge<W: Judged>(who: W, talk: Talk, case: Case, bytes: u64) -> Judgement {
    let Some(entry) = lookup::denied(who, talk, case) else {
        return Judgement::Open;
    };
    if who.is_allowed(talk, case, bytes) {
        return Judgement::Pass;
    }
    entry.hit(bytes);
    count_denied(case, bytes, tally::DENIED_IN, tally::DENIED_OUT)
}

#[inline(always)]
fn is_allowed<W: Who>(who: W, talk: Talk, case: Case, bytes: u64) -> bool {
    let found = lookup::allowed(who, talk, case);
    if let Some(entry) = found {
        entry.hit(bytes);
    }
    found.is_some()
}

/// Counts what is to be dropped, and lets it pass if this is only a rehearsal.
#[inline(always)]
pub fn count_denied(case: Case, bytes: u64, coming_in: u32, going_out: u32) -> Judgement {
    if case.dry_run != 0 {
        count(tally::DRY_RUN, bytes);
        return Judgement::Pass;
    }
    let reason = match case.direction() {
        _ if case.is_call != 0 => tally::REFUSED,
        Direction::In => coming_in,
        Direction::Out => going_out,
    };
    count(reason, bytes);
    Judgement::Drop
}

impl Judgement {
    #[inline(always)]
    fn of(number: u64) -> Self {
        const OPEN: u64 = Judgement::Open as u64;
        const PASS: u64 = Judgement::Pass as u64;
        match number {
            OPEN => Self::Open,
            PASS => Self::Pass,
            _ => Self::Drop,
        }
    }
}
