//! Times as events write them, read back. Only the one form that the writer has: UTC, with or
//! without a fraction.

const NS: u64 = 1_000_000_000;

/// Nanoseconds since the epoch of `YYYY-MM-DDTHH:MM:SS[.fraction]Z`; `None` for anything else,
/// and for times that do not fit.
pub fn wall_ns(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && hour < 24
        && minute < 60
        && second < 61;
    if !in_range {
        return None;
    }
    let seconds = days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(NS)?.checked_add(nanoseconds(fraction)?)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(digits);
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// A number of at most nine digits, and nothing else.
fn digits(text: &str) -> Option<u64> {
    let plain = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

fn nanoseconds(fraction: &str) -> Option<u64> {
    let scale = 9_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    Some(digits(fraction)? * 10_u64.pow(scale))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are taken to begin in March,
/// so that the leap day is the last of its year.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, from_march) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let in_year = (153 * from_march + 2) / 5 + day - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    (year * 365 + leap_days + in_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_the_epoch() {
        assert_eq!(wall_ns("1970-01-01T00:00:00.000000000Z"), Some(0));
        assert_eq!(
            wall_ns("2000-02-29T00:00:00.000000001Z"),
            Some(951_782_400_000_000_001)
        );
        assert_eq!(wall_ns("1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
        assert_eq!(wall_ns("1970-01-02T00:00:00Z"), Some(86_400 * NS));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "Z",
            "1970-01-01",
            "1970-13-01T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.0000000001Z",
            "9999-12-31T23:59:59.999999999Z",
            "1969-12-31T23:59:59Z",
            "+970-01-01T00:00:00Z",
        ] {
            assert_eq!(wall_ns(text), None, "{text}");
        }
    }
}
