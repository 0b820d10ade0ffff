//! Patterns as feeds write them, what must not be taken by half, and any text at all.

use proptest::prelude::*;

use super::*;

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn read(text: &str) -> String {
    match parse(text) {
        Ok(found) => {
            let subjects: Vec<_> = found.subjects.iter().map(Subject::to_string).collect();
            let more = if found.left_out.is_some() {
                " and more"
            } else {
                ""
            };
            format!("{}{more}", subjects.join(" "))
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn alternatives_of_simple_things_are_taken() {
    for (pattern, meaning) in [
        ("[ipv4-addr:value = '192.0.2.7']", "192.0.2.7"),
        ("[ipv4-addr:value='192.0.2.0/24']", "192.0.2.0/24"),
        (
            "[ipv6-addr:value ISSUBSET '2001:db8::/48']",
            "2001:db8::/48",
        ),
        (
            "[ ipv4-addr:value IN ('192.0.2.1', '192.0.2.2') ]",
            "192.0.2.1 192.0.2.2",
        ),
        ("[domain-name:value = 'Evil.example']", "evil.example"),
        (
            "[domain-name:value LIKE '%.evil.example']",
            "*.evil.example",
        ),
        ("[url:value = 'http://evil.example/a\\'b']", "evil.example"),
        ("[file:hashes.'SHA-256' = 'HASH']", "HASH"),
        (
            "[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e' OR file:hashes.'SHA-256' = 'HASH']",
            "d41d8cd98f00b204e9800998ecf8427e HASH",
        ),
        (
            "[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e' AND file:hashes.'SHA-256' = 'HASH']",
            "HASH",
        ),
        (
            "[file:name = 'x' AND file:hashes.'SHA-256' = 'HASH' AND file:size = 0]",
            "HASH",
        ),
        (
            "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.7']",
            "192.0.2.7",
        ),
        (
            "[ipv4-addr:value = '192.0.2.7'] OR [domain-name:value = 'evil.example']",
            "192.0.2.7 evil.example",
        ),
        (
            "([ipv4-addr:value = '192.0.2.7'] OR ([domain-name:value = 'a.example']))",
            "192.0.2.7 a.example",
        ),
        (
            "[(ipv4-addr:value = '192.0.2.7' OR domain-name:value = 'a.example')]",
            "192.0.2.7 a.example",
        ),
        (
            "[ipv4-addr:value = '192.0.2.7' OR email-addr:value = 'a@b.example']",
            "192.0.2.7 and more",
        ),
    ] {
        assert_eq!(
            read(&pattern.replace("HASH", HASH)),
            meaning.replace("HASH", HASH),
            "{pattern}"
        );
    }
}

#[test]
fn what_one_event_cannot_answer_is_refused_and_not_taken_by_half() {
    for (pattern, reason) in [
        (
            "[ipv4-addr:value = '192.0.2.7' AND network-traffic:dst_port = 443]",
            "a property of traffic",
        ),
        (
            "[ipv4-addr:value = '192.0.2.7' AND domain-name:value = 'a.example']",
            "several things at once",
        ),
        (
            "[ipv4-addr:value = '192.0.2.7'] AND [ipv4-addr:value = '192.0.2.8']",
            "several events",
        ),
        (
            "[ipv4-addr:value = '192.0.2.7'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.8']",
            "an order of events",
        ),
        (
            "[ipv4-addr:value = '192.0.2.7'] REPEATS 5 TIMES",
            "repeated events",
        ),
        (
            "([ipv4-addr:value = '192.0.2.7'] AND [ipv4-addr:value = '192.0.2.8']) WITHIN 60 SECONDS",
            "within a time",
        ),
        (
            "[ipv4-addr:value = '192.0.2.7'] START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'",
            "a certain time",
        ),
        ("[ipv4-addr:value != '192.0.2.7']", "a comparison by form"),
        (
            "[ipv4-addr:value NOT IN ('192.0.2.7')]",
            "what is not the case",
        ),
        (
            "[domain-name:value MATCHES '^evil']",
            "a comparison by form",
        ),
        ("[file:name = 'evil.exe']", "a property of a file"),
        ("[EXISTS process:pid]", "a property of a process"),
        (
            "[process:extensions.'x'.y[*].z > 1.5]",
            "a property of a process",
        ),
        ("[ipv4-addr:value = 'elsewhere']", "neither an address"),
        ("[ipv4-addr:value = '192.0.2.7'", "from byte 30"),
        ("ipv4-addr:value = '192.0.2.7'", "from byte 0"),
        ("[ipv4-addr:value = '192.0.2.7'] extra", "from byte 32"),
        ("[ipv4-addr:value = '192.0.2.7]", "from byte 19"),
        ("", "from byte 0"),
    ] {
        let read = read(pattern);
        assert!(read.contains(reason), "{pattern}: {read}");
    }
    let deep = format!(
        "{}[ipv4-addr:value = '192.0.2.7']{}",
        "(".repeat(1000),
        ")".repeat(1000)
    );
    assert_eq!(parse(&deep), Err(PatternError::TooLarge));
}

/// A pattern, and what it must come to.
fn pattern() -> impl Strategy<Value = (String, Vec<Subject>)> {
    let address = any::<u32>().prop_map(|bits| {
        let address = std::net::Ipv4Addr::from(bits);
        let subject = Subject::Network(Network::host(address.into()));
        (format!("ipv4-addr:value = '{address}'"), vec![subject])
    });
    let name = "[a-z]{1,8}\\.example".prop_map(|name| {
        let subject = Subject::Domain(Domain::parse(&name).unwrap());
        (format!("domain-name:value='{name}'"), vec![subject])
    });
    let file = any::<[u8; 32]>().prop_map(|bytes| {
        let hash = FileHash::Sha256(bytes);
        (
            format!("file:name='it\\'s' AND file:hashes.'SHA-256' = '{hash}'"),
            vec![Subject::File(hash)],
        )
    });
    let either =
        |(one, mut left): (String, Vec<Subject>), (other, right), word: &str, open, close| {
            left.extend::<Vec<Subject>>(right);
            (
                format!("{open}{one}{close} {word} {open}{other}{close}"),
                left,
            )
        };
    let inner = prop_oneof![address, name, file].prop_recursive(3, 8, 2, move |inner| {
        (inner.clone(), inner).prop_map(move |(a, b)| either(a, b, "OR", "(", ")"))
    });
    let observed = inner.prop_map(|(text, subjects)| (format!("[{text}]"), subjects));
    observed.prop_recursive(3, 8, 2, move |inner| {
        (inner.clone(), inner).prop_map(move |(a, b)| either(a, b, "OR", "(", ")"))
    })
}

proptest! {
    #[test]
    fn alternatives_are_all_found_in_their_order((text, subjects) in pattern()) {
        prop_assert_eq!(parse(&text).unwrap(), Alternatives { subjects, left_out: None });
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn broken_patterns_are_read_without_panic((text, _) in pattern(), at: prop::sample::Index, with in "\\PC{0,3}") {
        let boundary = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect::<Vec<_>>();
        let at = *at.get(&boundary);
        let _ = parse(&format!("{}{with}", &text[..at]));
        let _ = parse(&format!("{with}{}", &text[at..]));
    }
}
