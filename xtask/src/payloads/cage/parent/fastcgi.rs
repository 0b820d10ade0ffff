//! As much of FastCGI 1.0 as it takes to send one request and to see that it is answered.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const BEGIN: u8 = 1;
const END: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
/// Role "responder", connection closed afterwards.
const RESPONDER: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 0];
/// A script that starts something in the background answers at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answers have at most as many records.
const RECORDS: usize = 1000;

/// Posts a form to a script, and waits for the answer.
pub(super) fn post(
    mut stream: std::os::unix::net::UnixStream,
    script: &str,
    body: &str,
) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len().to_string();
    let name = script.strip_prefix("/var/www/html").unwrap_or(script);
    let params = [
        ("SCRIPT_FILENAME", script),
        ("SCRIPT_NAME", name),
        ("REQUEST_URI", name),
        ("DOCUMENT_ROOT", "/var/www/html"),
        ("REQUEST_METHOD", "POST"),
        ("CONTENT_TYPE", "application/x-www-form-urlencoded"),
        ("CONTENT_LENGTH", &length),
        ("REMOTE_ADDR", "203.0.113.7"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
    ];
    let mut request = record(BEGIN, &RESPONDER)?;
    request.extend(stream_of(PARAMS, &pairs(&params)?)?);
    request.extend(stream_of(STDIN, body.as_bytes())?);
    stream
        .write_all(&request)
        .context("php-fpm does not listen")?;
    let answer = answer(&mut stream)?;
    let is_error = answer.starts_with("Status: ");
    ensure!(!is_error, "php-fpm says {}", answer.trim_end());
    Ok(())
}

/// What the script wrote.
fn answer(stream: &mut impl Read) -> Result<String> {
    let mut text = Vec::new();
    for _ in 0..RECORDS {
        let mut header = [0; 8];
        stream
            .read_exact(&mut header)
            .context("php-fpm does not answer")?;
        let [_, kind, _, _, high, low, padding, _] = header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let mut content = vec![0; length + usize::from(padding)];
        stream.read_exact(&mut content).context("half an answer")?;
        match kind {
            END => return Ok(String::from_utf8_lossy(&text).into_owned()),
            STDOUT => text.extend(content.iter().take(length)),
            _ => {}
        }
    }
    bail!("the answer of php-fpm does not end")
}

/// A stream of records and its end.
fn stream_of(kind: u8, content: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in content.chunks(0xfff8) {
        bytes.extend(record(kind, part)?);
    }
    bytes.extend(record(kind, &[])?);
    Ok(bytes)
}

fn record(kind: u8, content: &[u8]) -> Result<Vec<u8>> {
    let [high, low] = u16::try_from(content.len())
        .context("too much for a record")?
        .to_be_bytes();
    let mut bytes = vec![1, kind, 0, 1, high, low, 0, 0];
    bytes.extend(content);
    Ok(bytes)
}

fn pairs(params: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (name, value) in params {
        for text in [name, value] {
            let length = u8::try_from(text.len()).ok().filter(|length| *length < 128);
            bytes.push(length.context("a parameter is too long")?);
        }
        bytes.extend(name.bytes().chain(value.bytes()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_with_an_empty_record() {
        let bytes = stream_of(STDIN, b"a=1").unwrap();
        assert_eq!(bytes[..8], [1, 5, 0, 1, 0, 3, 0, 0]);
        assert_eq!(bytes[8..], *b"a=1\x01\x05\x00\x01\x00\x00\x00\x00");
    }

    #[test]
    fn an_answer_is_what_was_written_until_the_end() {
        let mut bytes = record(STDOUT, b"hello").unwrap();
        bytes.extend(record(7, b"warning").unwrap());
        bytes.extend(record(END, &[0; 8]).unwrap());
        assert_eq!(answer(&mut bytes.as_slice()).unwrap(), "hello");
        assert!(answer(&mut bytes[..10].as_ref()).is_err());
    }
}
