//! From a payload of a list to a command line: placeholders and encodings. Pure text; where the
//! values come from, and what the command line does, is not known here.

use anyhow::{Result, bail};

use super::corpus::Encoded;

/// Names of placeholders with their values.
pub(super) type Values = Vec<(String, String)>;

/// Puts values in place of `{name}`. One pass, so that nothing in a value is taken for a
/// placeholder; braces around anything else stay, because the programs have braces of their own.
pub(super) fn fill(text: &str, values: &Values) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled += before;
        let found = values.iter().find_map(|(name, value)| {
            let after = after.strip_prefix(name.as_str())?.strip_prefix('}')?;
            Some((value, after))
        });
        rest = match found {
            Some((value, after)) => {
                filled += value;
                after
            }
            None => {
                filled.push('{');
                after
            }
        };
    }
    filled + rest
}

/// The value of an encoded part.
pub(super) fn encode(part: &Encoded, values: &Values) -> Result<String> {
    let mut bytes = fill(&part.inner, values).into_bytes();
    for layer in &part.layers {
        bytes = match layer.as_str() {
            "deflate" => deflate(&bytes),
            "zlib" => zlib(&bytes),
            "gzip" => gzip(&bytes),
            "base64" => base64(&bytes).into_bytes(),
            "hex" => hex(&bytes, "").into_bytes(),
            "hexescape" => hex(&bytes, "\\x").into_bytes(),
            "url" | "urlencode" => hex(&bytes, "%").into_bytes(),
            "reverse" => bytes.into_iter().rev().collect(),
            "utf16le" => String::from_utf8_lossy(&bytes)
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
            other => bail!("the encoding `{other}` is not known to this harness"),
        };
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// As an argument of a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// As a value in the body of a form.
pub(super) fn form(text: &str) -> String {
    hex(text.as_bytes(), "%")
}

fn hex(bytes: &[u8], prefix: &str) -> String {
    bytes
        .iter()
        .map(|byte| format!("{prefix}{byte:02x}"))
        .collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let joined = group.iter().enumerate().fold(0u32, |joined, (at, byte)| {
            joined | u32::from(*byte) << (16 - 8 * at)
        });
        for digit in 0..4 {
            let value = (joined >> (18 - 6 * digit)) & 63;
            let letter = DIGITS.get(value as usize).copied().unwrap_or(b'=');
            text.push(char::from(if digit > group.len() { b'=' } else { letter }));
        }
    }
    text
}

/// RFC 1951 with blocks that are stored as they are (3.2.4): any reader takes it, and it needs no
/// compressor.
fn deflate(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 0xffff;
    let mut stream = Vec::with_capacity(bytes.len() + 16);
    let count = bytes.chunks(BLOCK).count();
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.push(u8::from(number + 1 == count));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream
}

/// RFC 1950.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let (low, high) = bytes.iter().fold((1u32, 0u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65521;
        (low, (high + low) % 65521)
    });
    let mut stream = vec![0x78, 0x01];
    stream.extend(deflate(bytes));
    stream.extend((high << 16 | low).to_be_bytes());
    stream
}

/// RFC 1952.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let checksum = !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    });
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    stream.extend(deflate(bytes));
    stream.extend(checksum.to_le_bytes());
    stream.extend((bytes.len() as u32).to_le_bytes());
    stream
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        [("ip", "192.0.2.1"), ("port", "{ip}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    fn encoded(inner: &str, layers: &[&str]) -> Result<String> {
        let part = Encoded {
            var: "b64".to_owned(),
            layers: layers.iter().map(|&layer| layer.to_owned()).collect(),
            inner: inner.to_owned(),
        };
        encode(&part, &values())
    }

    #[test]
    fn only_placeholders_are_filled_and_only_once() {
        let text = "awk '{print {ip}}' {ip {port} ${s} {";
        assert_eq!(
            fill(text, &values()),
            "awk '{print 192.0.2.1}' {ip {ip} ${s} {"
        );
    }

    #[test]
    fn base64_is_padded_as_rfc_4648_says() {
        let texts = ["", "f", "fo", "foo", "foob"];
        let wanted = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="];
        assert_eq!(texts.map(|text| base64(text.as_bytes())), wanted);
    }

    #[test]
    fn a_zlib_stream_has_its_text_and_its_checksum() {
        let stream = zlib(b"Wikipedia");
        assert_eq!(stream[..7], [0x78, 0x01, 1, 9, 0, 0xf6, 0xff]);
        assert_eq!(&stream[7..16], b"Wikipedia");
        assert_eq!(stream[16..], 0x11e6_0398_u32.to_be_bytes());
    }

    #[test]
    fn a_gzip_stream_ends_with_checksum_and_length() {
        let stream = gzip(b"123456789");
        let end = [0xcbf4_3926_u32.to_le_bytes(), 9u32.to_le_bytes()].concat();
        assert!(stream.ends_with(&end));
    }

    #[test]
    fn layers_go_from_the_inside_out() {
        assert_eq!(encoded("a{ip}", &[]).unwrap(), "a192.0.2.1");
        assert_eq!(encoded("ab", &["hexescape"]).unwrap(), "\\x61\\x62");
        assert_eq!(encoded("ab", &["reverse", "base64"]).unwrap(), "YmE=");
        assert!(encoded("ab", &["rot13"]).is_err());
    }

    #[test]
    fn a_quoted_text_is_one_word() {
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
