//! What reading says of lines that are not as they should be. That every event comes back is in
//! `export/roundtrip.rs`.

use super::*;
use proptest::prelude::*;

fn error_of(text: &str) -> String {
    line(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_broken_line_says_what_is_wrong_with_it() {
    assert!(error_of("{").contains("JSON"));
    assert!(error_of("7").contains("object"));
    assert!(error_of("{}").contains("event.dataset is missing"));
    assert!(error_of(r#"{"event.dataset": 7}"#).contains("event.dataset is not text"));
    let twice = error_of(r#"{"event.dataset": "a", "event": {"dataset": "b"}}"#);
    assert!(twice.contains("event.dataset is there twice"), "{twice}");
    let made_up = r#"{"@timestamp": "2026-01-01T00:00:00Z", "sensor.boot_ns": 1, "event.dataset": "file.sung"}"#;
    assert!(error_of(made_up).contains("\"file.sung\""));
    let time = r#"{"@timestamp": "yesterday", "event.dataset": "process.fork"}"#;
    assert!(error_of(time).contains("@timestamp is not a time"));
}

#[test]
fn an_alert_is_told_from_what_happened() {
    let alert = line(br#"{"event.dataset": "alert"}"#).unwrap();
    assert!(matches!(alert, Parsed::Alert));
}

#[test]
fn fields_that_nobody_knows_are_counted_and_do_no_harm() {
    let text = r#"{"@timestamp": "2026-01-01T00:00:00Z", "ecs": {"version": "9"}, "made.up": ["x"], "made": {"down": 1},
        "event": {"id": "00000001-2", "dataset": "cgroup.mkdir"},
        "sensor": {"boot_ns": 1, "cpu": 0, "control_group": {"id": 1, "path": "/a", "hierarchy": 0, "level": 1}}}"#;
    let Parsed::Event {
        event,
        unknown_fields,
        ..
    } = line(text.as_bytes()).unwrap()
    else {
        panic!("an event is no alert")
    };
    assert_eq!(unknown_fields, 2);
    assert_eq!((event.id.run, event.id.sequence), (1, 2));
    assert!(matches!(event.action, Action::CgroupMkdir(cgroup) if &*cgroup.path == "/a"));
}

/// JSON of any shape, with the names of our fields in it.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let kinds = sensor_common::kind::ALL.iter().map(|(_, _, name)| *name);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
        "[0-9]{1,20}(-[0-9]{1,20}){0,2}".prop_map(Into::into),
        Just("2026-01-01T00:00:00Z".into()),
        prop::sample::select(kinds.collect::<Vec<_>>()).prop_map(Into::into),
    ];
    let name = prop_oneof![
        prop::sample::select(super::super::field::ALL)
            .prop_map(|field| field.definition().name.to_owned()),
        "[a-z.]{0,8}",
    ];
    leaf.prop_recursive(4, 64, 16, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((name.clone(), inner), 0..16)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = line(&bytes);
    }

    #[test]
    fn arbitrary_json_never_panics(value in any_json()) {
        let _ = line(value.to_string().as_bytes());
    }
}
