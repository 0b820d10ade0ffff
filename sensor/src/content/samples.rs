//! Samples beside YARA rules: files in which a rule must match, and others in which it must not.
//! One a line, `{"rule": "NAME", "fires": true, "content": "BASE64"}`; in Base64 so that nobody
//! takes a file of samples for what they are samples of.

use serde::Deserialize;
use thiserror::Error;

/// Largest sample, in bytes, decoded.
const SAMPLE_MAX: usize = 1024 * 1024;

/// Why a sample cannot be used.
#[derive(Debug, Error)]
pub enum SampleError {
    /// It is not a line of that form.
    #[error("{0}; a line is {{\"rule\": \"NAME\", \"fires\": true, \"content\": \"BASE64\"}}")]
    Form(#[from] serde_json::Error),
    /// Its content is not Base64, or too long.
    #[error("the content is not Base64 of up to {SAMPLE_MAX} bytes")]
    Content,
}

/// A sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The rule.
    pub rule: String,
    /// Whether it must match.
    pub fires: bool,
    /// The file.
    pub content: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    rule: String,
    fires: bool,
    content: String,
}

impl Sample {
    /// From a line.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(line: &str) -> Result<Self, SampleError> {
        let line: Line = serde_json::from_str(line)?;
        Ok(Self {
            rule: line.rule,
            fires: line.fires,
            content: decode(&line.content).ok_or(SampleError::Content)?,
        })
    }
}

/// Base64 of RFC 4648, section 4.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    if text.len() / 4 * 3 > SAMPLE_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(((bits >> count) & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        assert_eq!(decode("").unwrap(), b"");
        assert_eq!(decode("Zg==").unwrap(), b"f");
        assert_eq!(decode("Zm9vYmE=").unwrap(), b"fooba");
        assert_eq!(decode("Zm9vYmFy").unwrap(), b"foobar");
        assert_eq!(decode("Zm9v-mFy"), None);
    }

    #[test]
    fn a_line_of_another_form_says_what_one_is() {
        let error = Sample::parse("{}").unwrap_err().to_string();
        assert!(error.contains("BASE64"), "{error}");
    }
}
