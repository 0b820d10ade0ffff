//! How numbers look on a terminal. Knows nothing of what they mean.

/// Rows of text under headings; the first column to the left, the others to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned).to_vec()],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn print(&self, title: &str) {
        println!("\n{title}");
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                line += &match column {
                    0 => format!("  {cell:<width$}"),
                    _ => format!("  {cell:>width$}"),
                };
            }
            println!("{}", line.trim_end());
        }
    }
}

/// A duration with three digits and a fitting unit.
pub(crate) fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        _ if ns >= 1e9 => (ns / 1e9, "s"),
        _ if ns >= 1e6 => (ns / 1e6, "ms"),
        _ if ns >= 1e3 => (ns / 1e3, "µs"),
        _ => (ns, "ns"),
    };
    let digits = match value {
        _ if value >= 100.0 => 0,
        _ if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// A part of a whole.
pub(crate) fn percent(part: f64) -> String {
    let digits = if part < 0.0995 { 2 } else { 1 };
    format!("{:.digits$} %", part * 100.0)
}

/// Bytes in MB of a million.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A ratio, and how far it varied.
pub(crate) fn ratio(ratio: f64) -> String {
    format!("{ratio:.2}×")
}

/// Whether the value, as it is shown, is within the aim.
pub(crate) fn verdict(value: f64, aim: Option<f64>) -> String {
    match aim {
        None => String::new(),
        Some(aim) if value <= aim => "✓".to_owned(),
        Some(_) => "✗".to_owned(),
    }
}

/// To two digits after the point.
pub(crate) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        assert_eq!(time(187.8), "188 ns");
        assert_eq!(time(2_724.0), "2.72 µs");
        assert_eq!(time(12_345_678.0), "12.3 ms");
    }

    #[test]
    fn what_is_shown_decides() {
        assert_eq!(verdict(hundredths(1.0049), Some(1.0)), "✓");
        assert_eq!(verdict(hundredths(1.0051), Some(1.0)), "✗");
    }
}
