//! What can be said of a handful of measurements: their middle and their extremes. Nothing is
//! ever left out: on a machine with other work to do, the extremes say how much to believe.

use serde_json::{Value, json};

/// Middle and extremes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of the values; none if there are none.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: quantile(values, 0.5)?,
            min: quantile(values, 0.0)?,
            max: quantile(values, 1.0)?,
        })
    }

    pub(super) fn to_json(self) -> Value {
        json!({ "median": self.median, "min": self.min, "max": self.max })
    }
}

/// The value below which this part of all values lies, between its two neighbours if need be.
pub(super) fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = part * (sorted.len().checked_sub(1)? as f64);
    let below = *sorted.get(place.floor() as usize)?;
    let above = *sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

/// How the second of each pair compares to the first.
pub(super) fn ratios(pairs: impl Iterator<Item = (f64, f64)>) -> Option<Spread> {
    let ratios: Vec<f64> = pairs
        .filter(|(without, _)| *without > 0.0)
        .map(|(without, with)| with / without)
        .collect();
    Spread::of(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (2.5, 1.0, 4.0));
        assert!(Spread::of(&[]).is_none());
    }

    #[test]
    fn a_ratio_is_taken_within_each_pair() {
        let pairs = [(1.0, 2.0), (10.0, 11.0), (100.0, 300.0)];
        assert_eq!(ratios(pairs.into_iter()).unwrap().median, 2.0);
    }
}
