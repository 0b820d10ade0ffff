//! Statements about the judge itself: what it lets pass and what it names.

use serde_json::json;

use super::*;

#[test]
fn cells_may_hold_commas_quotes_and_line_ends() {
    let rows = csv("a,b,c\r\n\"1,\"\"x\"\"\n2\",,z\n\"\",q");
    assert_eq!(
        rows,
        [
            vec!["a", "b", "c"],
            vec!["1,\"x\"\n2", "", "z"],
            vec!["", "q"]
        ]
    );
}

#[test]
fn dates_are_told_from_what_looks_like_dates() {
    for good in [
        "2016-05-23T08:05:34.853Z",
        "2024-02-29T23:59:60Z",
        "2025-01-01T00:00:00+05:30",
        "1970-01-01T00:00:00.123456789-00:00",
    ] {
        assert!(is_rfc3339(good), "{good}");
    }
    for bad in [
        "",
        "2016-05-23",
        "2016-05-23 08:05:34Z",
        "2016-05-23T08:05:34",
        "2016-05-23T08:05:34.Z",
        "2016-13-23T08:05:34Z",
        "2023-02-29T08:05:34Z",
        "2016-05-23T24:05:34Z",
        "2016-05-23T08:05:34+0530",
        "2016-05-23T08:05:34+24:00",
        "2016-05-23T08:05:3éZ",
        "1700000000",
    ] {
        assert!(!is_rfc3339(bad), "{bad}");
    }
}

fn problems(event: &Value) -> Option<Vec<String>> {
    check(event).map_err(|skipped| println!("{skipped}")).ok()
}

#[test]
fn a_right_event_passes_nested_or_dotted() {
    assert_ecs(&json!({
        "@timestamp": "2026-01-02T03:04:05.678901234Z",
        "ecs": {"version": "9.5.0"},
        "event": {"kind": "alert", "category": ["process", "network"], "type": ["start"], "sequence": 1, "risk_score": 73.5},
        "process.pid": 12,
        "process": {"args": ["sh", "-i"], "args_count": 2, "interactive": true, "parent": {"name": "php-fpm"}, "tty": {"char_device": {"major": 136}}},
        "source": {"ip": "2001:db8::1", "port": 4444},
        "dns": {"answers": [{"name": "a", "ttl": 3, "data": "x"}], "resolved_ip": ["203.0.113.7"], "type": "answer"},
        "labels": {"anything": "goes"},
        "sensor": {"whatever": [{"we": null}]},
        "sensor.more": 1,
    }));
}

#[test]
fn each_wrong_field_is_named_with_what_is_wrong() {
    for (event, expected) in [
        (
            json!({"process": {"pidd": 1}}),
            "process.pidd: not an ECS field",
        ),
        (json!({"sensors": {"x": 1}}), "sensors: not an ECS field"),
        (json!({"process": "sh"}), "process: not an ECS field"),
        (
            json!({"process": {"pid": "1"}}),
            "process.pid: long expected, got \"1\"",
        ),
        (
            json!({"process": {"pid": u64::MAX}}),
            "process.pid: long expected",
        ),
        (
            json!({"process": {"pid": 1.5}}),
            "process.pid: long expected",
        ),
        (
            json!({"process": {"name": null}}),
            "process.name: keyword expected, got null",
        ),
        (
            json!({"process": {"name": {"text": "x"}}}),
            "process.name: keyword expected",
        ),
        (
            json!({"process.name.text": "x"}),
            "process.name.text: not an ECS field",
        ),
        (
            json!({"process": {"args": "sh"}}),
            "process.args: array expected",
        ),
        (
            json!({"process": {"args": ["sh", 1]}}),
            "process.args: keyword expected, got 1",
        ),
        (
            json!({"process": {"name": ["sh"]}}),
            "process.name: one value expected",
        ),
        (
            json!({"source": {"ip": "203.0.113.7:80"}}),
            "source.ip: ip expected",
        ),
        (
            json!({"@timestamp": 1_700_000_000}),
            "@timestamp: date expected",
        ),
        (
            json!({"process": {"interactive": "yes"}}),
            "process.interactive: boolean expected",
        ),
        (
            json!({"dns": {"answers": [{"nam": "a"}]}}),
            "dns.answers.nam: not an ECS field",
        ),
        (
            json!({"dns": {"answers": [{"ttl": "a"}]}}),
            "dns.answers.ttl: long expected",
        ),
        (
            json!({"event": {"kind": "alarm"}}),
            "event.kind: \"alarm\" is none of",
        ),
        (
            json!({"event": {"category": ["process", "shell"]}}),
            "event.category: \"shell\" is none of",
        ),
        (json!(["x"]), "an event is an object"),
    ] {
        let Some(found) = problems(&event) else {
            return;
        };
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{event}: {found:?}"
        );
    }
}

#[test]
fn the_official_list_is_read_to_its_end() {
    match Schema::load() {
        Err(skipped) => println!("{skipped}"),
        Ok(schema) => {
            assert!(schema.fields.len() > 2000, "{}", schema.fields.len());
            assert_eq!(schema.fields["process.args"].kind, "keyword");
            assert!(schema.fields["process.args"].array && !schema.fields["process.name"].array);
            // Every type of the list is known to the check.
            for (name, field) in &schema.fields {
                assert!(!fits(&field.kind, &Value::Null), "{name}");
            }
            assert!(
                CLOSED
                    .iter()
                    .all(|(name, _)| schema.fields.contains_key(*name))
            );
        }
    }
}
