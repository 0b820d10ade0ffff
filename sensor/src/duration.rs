//! Times as people write them, on the command line and in the configuration: a number with a unit.

use std::time::Duration;

/// Reads `250ms`, `30s`, `5m`, `1h` or `7d`; a number alone is seconds.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is no time; try 30s, 5m or 1h"))?;
    let seconds = |each: u64| Duration::from_secs(number.saturating_mul(each));
    match text.get(digits.len()..) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s" | "") => Ok(seconds(1)),
        Some("m") => Ok(seconds(60)),
        Some("h") => Ok(seconds(3_600)),
        Some("d") => Ok(seconds(86_400)),
        _ => Err(format!(
            "{text:?} has an unknown unit; use ms, s, m, h or d"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse("20s").unwrap(), Duration::from_secs(20));
        assert_eq!(parse("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse("2m").unwrap(), Duration::from_secs(120));
        assert_eq!(parse("7d").unwrap(), Duration::from_secs(604_800));
        assert!(parse("soon").unwrap_err().contains("30s"));
        assert!(parse("5 days").is_err());
    }
}
