//! A server that answers what it is told to: pages as TAXII has them, and thousands of answers
//! that it does not have. Whatever comes, it ends soon, in few bytes, with a reason.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::*;
use crate::intelligence::stix::Record;
use crate::net::access::Access;
use crate::net::http::Patience;

/// Serves one answer for each request: a function of its number and text.
struct Server {
    at: SocketAddr,
    requests: Receiver<String>,
}

impl Server {
    fn start(answer: impl Fn(usize, &str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let request = request(&mut stream);
                let answer = answer(number, &request);
                if sender.send(request).is_err() {
                    return;
                }
                // A client that has had enough is within its rights.
                let _ = stream.write_all(&answer);
            }
        });
        Self { at, requests }
    }

    fn url(&self) -> String {
        objects_url(&format!("http://{}/api/", self.at), "c1")
    }

    fn client(&self) -> Client {
        let patience = Patience {
            connect: Duration::from_secs(5),
            answer: Duration::from_millis(500),
            whole: Duration::from_secs(1),
        };
        Client::with_patience(&Access::default(), &self.url(), patience).unwrap()
    }

    fn poll(&self, after: Option<&str>) -> Result<(Polled, Vec<Record>), TaxiiError> {
        let mut records = Vec::new();
        let polled = poll(&self.client(), &self.url(), after, &mut |object| {
            if let Object::Indicator(record) = object {
                records.push(*record);
            }
        });
        polled.map(|polled| (polled, records))
    }
}

fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0; 1];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    answer
}

const TAXII: &str = "Content-Type: application/taxii+json;version=2.1\r\n";

fn page(body: &str) -> Vec<u8> {
    answer("200 OK", TAXII, body.as_bytes())
}

fn indicator(number: usize) -> String {
    format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--{number}","created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z","pattern":"[ipv4-addr:value = '192.0.2.{number}']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"}}"#
    )
}

fn envelope(rest: &str, objects: &[String]) -> String {
    format!(r#"{{{rest}"objects":[{}]}}"#, objects.join(","))
}

#[test]
fn pages_are_followed_to_the_last_and_the_way_on_is_kept() {
    let server = Server::start(|number, _| match number {
        0 => page(&envelope(r#""more":true,"next":"a b&c","#, &[indicator(1)])),
        1 => page(&envelope(r#""more":true,"next":7,"#, &[indicator(2)])),
        _ => answer(
            "200 OK",
            &format!("{TAXII}X-TAXII-Date-Added-Last: 2026-02-01T00:00:00Z\r\n"),
            envelope("", &[indicator(3)]).as_bytes(),
        ),
    });
    let (polled, records) = server.poll(Some("2025-12-31T00:00:00Z")).unwrap();
    assert_eq!((polled.pages, records.len()), (3, 3));
    assert_eq!(polled.added_last.as_deref(), Some("2026-02-01T00:00:00Z"));
    let requests: Vec<String> = server.requests.try_iter().collect();
    let first = requests[0].lines().next().unwrap();
    assert!(
        first.starts_with("GET /api/collections/c1/objects/?"),
        "{first}"
    );
    assert!(
        first.contains("match%5Btype%5D=indicator") && first.contains("added_after=2025-12-31"),
        "{first}"
    );
    assert!(
        requests[0]
            .to_lowercase()
            .contains("accept: application/taxii+json;version=2.1")
    );
    assert!(requests[1].contains("next=a%20b%26c"), "{}", requests[1]);
    assert!(requests[2].contains("next=7"), "{}", requests[2]);
}

#[test]
fn without_next_the_time_of_the_last_object_leads_on() {
    let last = |time: &str| format!("{TAXII}X-TAXII-Date-Added-Last: {time}\r\n");
    let server = Server::start(move |number, _| {
        let more = envelope(r#""more":true,"#, &[indicator(number)]);
        match number {
            0 => answer("200 OK", &last("T1"), more.as_bytes()),
            1 => answer("200 OK", &last("T2"), more.as_bytes()),
            _ => page("{}"),
        }
    });
    let (polled, records) = server.poll(None).unwrap();
    assert_eq!((polled.pages, records.len()), (3, 2));
    let third = server.requests.try_iter().nth(2).unwrap();
    assert!(third.contains("added_after=T2"), "{third}");
}

#[test]
fn what_has_no_end_is_given_up() {
    let reason = |answer: fn(usize, &str) -> Vec<u8>| {
        let server = Server::start(answer);
        server.poll(None).unwrap_err().to_string()
    };
    let empty = reason(|_, _| page(r#"{"more":true,"next":"x","objects":[]}"#));
    assert!(empty.contains("nothing comes"), "{empty}");
    let no_way = reason(|_, _| page(r#"{"more":true,"objects":[{}]}"#));
    assert!(no_way.contains("does not say how"), "{no_way}");
    let long = reason(|_, _| {
        page(&format!(
            r#"{{"more":true,"next":"{}","objects":[{{}}]}}"#,
            "x".repeat(TOKEN_MAX + 1)
        ))
    });
    assert!(long.contains("that long"), "{long}");
    let endless = reason(|_, _| page(r#"{"more":true,"next":"x","objects":[{}]}"#));
    assert!(endless.contains("so many pages"), "{endless}");
}

#[test]
fn answers_are_bounded_in_bytes_and_in_time() {
    use flate2::{Compression, write::GzEncoder};
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(br#"{"x":""#).unwrap();
    for _ in 0..PAGE_MAX / 1_000_000 + 2 {
        bomb.write_all(&[b' '; 1_000_000]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 200_000);
    let server = Server::start(move |_, _| {
        answer(
            "200 OK",
            &format!("{TAXII}Content-Encoding: gzip\r\n"),
            &bomb,
        )
    });
    let message = server.poll(None).unwrap_err().to_string();
    assert!(message.contains("larger than"), "{message}");

    // A server that never goes on: nothing, half a head, half a body.
    for begun in [
        "",
        "HTTP/1.1 200 OK\r\nContent-",
        "HTTP/1.1 200 OK\r\nContent-Type: application/taxii+json\r\nContent-Length: 99\r\n\r\n{",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            at: listener.local_addr().unwrap(),
            requests: channel().1,
        };
        let held = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = request(&mut stream);
            stream.write_all(begun.as_bytes()).unwrap();
            // Until the client has gone.
            let _ = stream.read(&mut [0; 1]);
        });
        let begin = Instant::now();
        let message = server.poll(None).unwrap_err().to_string();
        assert!(message.contains("timeout"), "{begun:?}: {message}");
        assert!(begin.elapsed() < Duration::from_secs(20));
        held.join().unwrap();
    }
}

#[test]
fn a_no_is_said_in_words_that_help() {
    for (status, headers, wanted) in [
        ("401 No", TAXII, "check username and secret"),
        ("404 No", TAXII, "check API root and collection"),
        ("406 No", TAXII, "does not speak this version"),
        ("500 No", TAXII, "what its log says"),
        ("200 OK", "Content-Type: text/html\r\n", "text/html"),
        ("200 OK", "", "not with application/taxii+json"),
    ] {
        let server = Server::start(move |_, _| answer(status, headers, b"{}"));
        let message = server.poll(None).unwrap_err().to_string();
        assert!(message.contains(wanted), "{status}: {message}");
    }
    let server = Server::start(|_, _| answer("429 Slow", "Retry-After: 77\r\n", b""));
    let error = server.poll(None).unwrap_err();
    let TaxiiError::Http(HttpError::Busy { wait, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!(wait, Some(Duration::from_secs(77)));
}

#[test]
fn redirects_end_and_take_no_credentials_elsewhere() {
    let server = Server::start(|_, _| answer("302 Found", "Location: /round\r\n", b""));
    let message = server.poll(None).unwrap_err().to_string();
    assert!(message.contains("redirect"), "{message}");
    let elsewhere = Server::start(|_, _| page("{}"));
    let target = elsewhere.at;
    let server = Server::start(move |_, _| {
        answer("302 Found", &format!("Location: http://{target}/\r\n"), b"")
    });
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "geheim\n").unwrap();
    let access = Access {
        username: Some("me".to_owned()),
        secret: Some(crate::net::secret::Secret::File(secret.path().to_owned())),
        ..Access::default()
    };
    let client = Client::new(&access, &server.url()).unwrap();
    poll(&client, &server.url(), None, &mut |_| {}).unwrap();
    // me:geheim
    assert!(
        server
            .requests
            .recv()
            .unwrap()
            .contains("Basic bWU6Z2VoZWlt")
    );
    let second = elsewhere.requests.recv().unwrap().to_lowercase();
    assert!(!second.contains("authorization"), "{second}");
    assert!(!format!("{client:?}").contains("geheim"));
}

/// Numbers that are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Something in the place of what belongs there.
fn wrong(numbers: &mut Numbers) -> String {
    match numbers.below(12) {
        0 => "null".to_owned(),
        1 => "true".to_owned(),
        2 => "-1e400".to_owned(),
        3 => "99999999999999999999999".to_owned(),
        4 => "[]".to_owned(),
        5 => "{}".to_owned(),
        6 => "\"\"".to_owned(),
        7 => format!("\"{}\"", "A".repeat(numbers.below(100_000))),
        8 => format!("{}{}", "[".repeat(200), "]".repeat(200)),
        9 => format!("[{}1]", "1,".repeat(numbers.below(10_000))),
        10 => r#""\ud800\u0000""#.to_owned(),
        _ => r#"{"type":"indicator","a":{"b":{"c":{"d":{"e":{}}}}}}"#.to_owned(),
    }
}

/// A page that somebody has been at.
fn hostile(seed: usize) -> Vec<u8> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (seed as u64) << 17);
    let objects: Vec<String> = (0..numbers.below(4)).map(indicator).collect();
    let mut text = envelope(r#""more":false,"next":null,"#, &objects);
    for _ in 0..=numbers.below(3) {
        // A value, up to the next comma, becomes another.
        let names: Vec<usize> = text.match_indices("\":").map(|(at, _)| at).collect();
        let at = names[numbers.below(names.len())] + 2;
        let end = text[at..]
            .find([',', '}'])
            .map_or(text.len(), |length| at + length);
        text.replace_range(at..end, &wrong(&mut numbers));
    }
    let mut body = text.into_bytes();
    match numbers.below(5) {
        0 => body.truncate(numbers.below(body.len())),
        1 => {
            let at = numbers.below(body.len());
            body[at] = numbers.below(256) as u8;
        }
        2 => body.extend(b"\0\xff{}"),
        _ => {}
    }
    let mut headers = String::new();
    match numbers.below(8) {
        0 => headers.push_str("Content-Encoding: gzip\r\n"),
        1 => headers.push_str("X-TAXII-Date-Added-Last: \u{7f}\r\n"),
        2 => {
            for number in 0..numbers.below(300) {
                let _ = write!(headers, "X-{number}: {}\r\n", "x".repeat(300));
            }
        }
        _ => {}
    }
    match numbers.below(16) {
        // Not even HTTP.
        0 => body,
        1 => answer(&format!("{} What", numbers.below(1_000)), &headers, &body),
        2 => {
            let lie = body.len() + 1 + numbers.below(1_000);
            let mut answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {lie}\r\n{TAXII}\r\n").into_bytes();
            answer.extend(body);
            answer
        }
        3 => {
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{TAXII}\r\nfffffffffffffffff\r\n"
            )
            .into_bytes();
            answer.extend(body);
            answer
        }
        _ => answer("200 OK", &format!("{TAXII}{headers}"), &body),
    }
}

#[test]
fn thousands_of_hostile_answers_end_with_a_reason_or_with_what_was_good() {
    const ANSWERS: usize = 3_000;
    let server = Server::start(|number, _| hostile(number));
    let begin = Instant::now();
    let (mut good, mut bad, mut records) = (0, 0, 0);
    for _ in 0..ANSWERS {
        match server.poll(None) {
            Ok((_, found)) => {
                good += 1;
                records += found.len();
                assert!(found.len() <= 4);
            }
            Err(error) => {
                bad += 1;
                let message = error.to_string();
                assert!((1..2_000).contains(&message.len()), "{message}");
            }
        }
    }
    println!(
        "{good} answers were of use ({records} indicators), {bad} were not, in {:?}",
        begin.elapsed()
    );
    assert!(
        good > 100 && bad > 100 && records > 100,
        "{good} {bad} {records}"
    );
    assert!(
        begin.elapsed() < Duration::from_secs(120),
        "{:?}",
        begin.elapsed()
    );
}
