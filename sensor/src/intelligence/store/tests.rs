//! What the store finds, against a plain search through all indicators; and what a million cost.

use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn note(list: &str, confidence: u8, until: u64, blocks: bool) -> Note {
    Note {
        list: list.into(),
        title: "".into(),
        id: Box::default(),
        technique: None,
        tactic: None,
        confidence,
        until,
        blocks,
    }
}

fn store(lists: &[(&str, u8, u64, &[&str])]) -> Store {
    let mut builder = Builder::default();
    for (name, confidence, until, indicators) in lists {
        let id = builder.note(note(name, *confidence, *until, false));
        for text in *indicators {
            assert!(builder.add(&Subject::parse(text).unwrap(), id));
        }
    }
    builder.finish()
}

fn found(store: &Store, text: &str, now: u64) -> Option<String> {
    let found = store.find(&Subject::parse(text).unwrap(), now)?;
    Some(format!("{} of {}", found.indicator, found.note.list))
}

#[test]
fn the_innermost_network_that_is_listed_is_what_counts() {
    let store = store(&[
        ("wide", 50, 100, &["198.51.0.0/16", "2001:db8::/32"]),
        (
            "narrow",
            50,
            100,
            &["198.51.100.0/24", "198.51.255.0/24", "2001:db8:1::/48"],
        ),
        ("one", 50, 100, &["198.51.100.7"]),
    ]);
    for (address, expected) in [
        ("198.51.100.7", Some("198.51.100.7 of one")),
        ("198.51.100.8", Some("198.51.100.0/24 of narrow")),
        ("198.51.101.0", Some("198.51.0.0/16 of wide")),
        ("198.51.255.255", Some("198.51.255.0/24 of narrow")),
        ("198.52.0.0", None),
        ("198.50.255.255", None),
        ("2001:db8:1::5", Some("2001:db8:1::/48 of narrow")),
        ("2001:db8:2::5", Some("2001:db8::/32 of wide")),
        ("2001:db9::", None),
    ] {
        assert_eq!(found(&store, address, 1).as_deref(), expected, "{address}");
    }
}

#[test]
fn a_name_is_listed_with_all_below_it_or_only_those() {
    let store = store(&[(
        "names",
        50,
        100,
        &["evil.example", "*.half.example", "https://page.example/x"],
    )]);
    for (name, expected) in [
        ("evil.example", Some("evil.example of names")),
        ("a.b.c.d.e.evil.example", Some("evil.example of names")),
        ("notevil.example", None),
        ("half.example", None),
        ("a.half.example", Some("*.half.example of names")),
        ("page.example", Some("page.example of names")),
        ("a.page.example", None),
    ] {
        assert_eq!(found(&store, name, 1).as_deref(), expected, "{name}");
    }
}

#[test]
fn what_has_expired_is_not_found() {
    let store = store(&[
        ("short", 50, 100, &["192.0.2.1"]),
        ("long", 50, 200, &["192.0.2.0/24"]),
    ]);
    assert_eq!(
        found(&store, "192.0.2.1", 99).unwrap(),
        "192.0.2.1 of short"
    );
    assert_eq!(
        found(&store, "192.0.2.1", 100).unwrap(),
        "192.0.2.0/24 of long"
    );
    assert_eq!(found(&store, "192.0.2.1", 200), None);
}

#[test]
fn of_several_lists_the_surest_is_named() {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let store = store(&[
        ("a", 50, 100, &["192.0.2.1", hash]),
        ("b", 90, 100, &["192.0.2.1", hash]),
        ("c", 70, 100, &["192.0.2.1"]),
    ]);
    assert_eq!(found(&store, "192.0.2.1", 1).unwrap(), "192.0.2.1 of b");
    assert_eq!(found(&store, hash, 1).unwrap(), format!("{hash} of b"));
    assert_eq!(store.sizes().repeated, 3);
}

#[test]
fn only_what_is_marked_so_is_to_be_blocked() {
    let mut builder = Builder::default();
    let watched = builder.note(note("watched", 90, 100, false));
    let blocked = builder.note(note("blocked", 50, 70, true));
    for (text, id) in [
        ("192.0.2.1", watched),
        ("192.0.2.2", watched),
        ("192.0.2.2", blocked),
        ("198.51.100.0/24", blocked),
        ("evil.example", blocked),
        ("203.0.113.0/24", watched),
    ] {
        builder.add(&Subject::parse(text).unwrap(), id);
    }
    let store = builder.finish();
    let mut blocks: Vec<_> = store
        .blocks()
        .map(|(network, note)| (network.to_string(), note.until))
        .collect();
    blocks.sort();
    assert_eq!(
        blocks,
        [("192.0.2.2".into(), 70), ("198.51.100.0/24".into(), 70)]
    );
    for (network, note) in store.blocks() {
        assert_eq!(store.blocked_until(network), Some(note.until));
    }
    let watched = Network::host("192.0.2.1".parse().unwrap());
    assert_eq!(store.blocked_until(watched), None);
}

/// Networks and addresses that lie close to each other.
fn networks() -> impl Strategy<Value = Vec<Network>> {
    let one = (0_u32..1024, 20_u8..=32).prop_map(|(low, bits)| {
        Network::new(IpAddr::V4((0xc633_0000 | low).into()), bits).unwrap()
    });
    proptest::collection::vec(one, 0..40)
}

proptest! {
    #[test]
    fn an_address_is_found_in_the_narrowest_network_around_it(networks in networks(), low in 0_u32..1100) {
        let mut builder = Builder::default();
        let id = builder.note(note("x", 50, 100, false));
        for network in &networks {
            builder.add(&Subject::Network(*network), id);
        }
        let store = builder.finish();
        let address = IpAddr::V4((0xc633_0000 | low).into());
        let expected = networks
            .iter()
            .filter(|network| Network::new(address, network.bits()) == Some(**network))
            .max_by_key(|network| network.bits());
        let found = store.address(address, 1).map(|found| found.indicator);
        prop_assert_eq!(found, expected.copied().map(Subject::Network));
    }
}

/// Figures for SPECIFICATION.md: `cargo test --release -p sensor --lib a_million -- --ignored
/// --nocapture`.
#[test]
#[ignore = "measures; run it alone and in release"]
fn a_million_addresses() {
    let mut number = 0x9e37_79b9_u32;
    let mut next = || {
        number ^= number << 13;
        number ^= number >> 17;
        number ^= number << 5;
        number
    };
    let text: String = (0..1_000_000)
        .map(|_| format!("{}\n", std::net::Ipv4Addr::from(next())))
        .collect();
    let start = Instant::now();
    let mut builder = Builder::default();
    let id = builder.note(note("million", 50, u64::MAX, true));
    for line in text.lines() {
        builder.add(&Subject::parse(line).unwrap(), id);
    }
    let store = builder.finish();
    println!("built in {:?}, {} bytes", start.elapsed(), store.memory());
    let probes: Vec<IpAddr> = (0..1_000_000).map(|_| IpAddr::V4(next().into())).collect();
    let start = Instant::now();
    let hits = probes
        .iter()
        .filter(|probe| store.address(**probe, 1).is_some())
        .count();
    println!(
        "1,000,000 look-ups of strangers in {:?} ({hits} listed)",
        start.elapsed()
    );
    let listed: Vec<IpAddr> = text.lines().map(|line| line.parse().unwrap()).collect();
    let start = Instant::now();
    let hits = listed
        .iter()
        .filter(|probe| store.address(**probe, 1).is_some())
        .count();
    println!(
        "1,000,000 look-ups of listed ones in {:?} ({hits} listed)",
        start.elapsed()
    );
    let names: Vec<String> = (0..100_000)
        .map(|n| format!("host{n}.some.zone.example"))
        .collect();
    let mut builder = Builder::default();
    let id = builder.note(note("names", 50, u64::MAX, false));
    for n in 0..1_000_000 {
        builder.add(&Subject::parse(&format!("d{n}.example")).unwrap(), id);
    }
    let store = builder.finish();
    println!("a million names take {} bytes", store.memory());
    let start = Instant::now();
    let hits = names
        .iter()
        .filter(|name| store.domain(name, 1).is_some())
        .count();
    println!(
        "100,000 look-ups of names in {:?} ({hits} listed)",
        start.elapsed()
    );
}
