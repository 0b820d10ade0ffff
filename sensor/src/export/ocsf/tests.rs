//! Statements about events in OCSF's form.

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::check::assert_ocsf;
use super::kind::KINDS;
use super::row::How;
use super::*;
use crate::event::response::Verb;
use crate::export::json::rfc3339;
use crate::export::roundtrip::any;
use crate::identity::Identity;

fn written(fields: &Fields<'_>) -> Json {
    serde_json::from_str(&line(fields).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn events_of_every_kind_are_ocsf(event in any::event_or_alert(), origin in any::origin()) {
        assert_ocsf(&written(&event.fields_from(&origin)));
        assert_ocsf(&written(&event.fields()));
    }

    #[test]
    fn no_value_is_lost(event in any::event_or_alert(), origin in any::origin()) {
        let fields = event.fields_from(&origin);
        let event = written(&fields);
        let mut there = HashSet::new();
        leaves(&event, &mut there);
        for (field, value) in fields.entries() {
            for leaf in values_of(value).into_iter().filter(|_| !is_told_otherwise(field)) {
                prop_assert!(there.contains(&leaf), "{}: {leaf:?}\n{event:#}", field.definition().name);
            }
        }
    }
}

/// Whether a field becomes words of OCSF's, or the parts of which it is made.
fn is_told_otherwise(field: Field) -> bool {
    let rows = KINDS.iter().flat_map(|kind| kind.tables).copied().flatten();
    rows.filter(|row| row.field == field).any(|row| {
        matches!(
            row.how,
            How::Words(_) | How::Variables | How::Ancestors | How::Family
        )
    })
}

fn leaves(value: &Json, into: &mut HashSet<String>) {
    match value {
        Json::Object(members) => members.values().for_each(|value| leaves(value, into)),
        Json::Array(items) => items.iter().for_each(|value| leaves(value, into)),
        Json::String(text) => {
            into.insert(text.clone());
        }
        other => {
            into.insert(other.to_string());
        }
    }
}

fn values_of(value: &Value<'_>) -> Vec<String> {
    match value {
        Value::Text(text) => vec![text.to_string()],
        Value::Unsigned(number) => vec![number.to_string()],
        Value::Signed(number) => vec![number.to_string()],
        Value::Bool(value) => vec![value.to_string()],
        Value::Ip(address) => vec![address.to_string()],
        Value::Time(ns) if ns % 1_000_000 == 0 => vec![(ns / 1_000_000).to_string()],
        Value::Time(ns) => vec![rfc3339(*ns)],
        Value::List(values) => values.iter().flat_map(values_of).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(_, value)| values_of(value))
            .collect(),
    }
}

#[test]
fn the_documentation_is_current() {
    crate::page::assert_current("formats/ocsf.md", &page::text());
}

#[test]
fn every_kind_of_event_has_a_class_of_its_own_choosing() {
    let observed = sensor_common::kind::ALL.iter().map(|(_, _, name)| *name);
    let responses = Verb::ALL.iter().map(|verb| verb.label().name);
    let own = [
        "alert",
        "sensor.lost",
        "sensor.started",
        "sensor.stopped",
        "sensor.health",
    ];
    let all: BTreeSet<&str> = observed.chain(responses).chain(own).collect();
    let known: BTreeSet<&str> = KINDS.iter().map(|kind| kind.dataset).collect();
    assert_eq!(
        all.difference(&known).collect::<Vec<_>>(),
        Vec::<&&str>::new()
    );
    assert_eq!(KINDS.len(), known.len());
}

#[test]
fn what_nobody_knows_is_a_base_event_with_everything_in_it() {
    let mut fields = Fields::default();
    fields.put(Field::EventDataset, "made.up");
    fields.put(Field::EventAction, "made-up");
    fields.put(Field::Timestamp, Value::Time(1_500_000));
    fields.put(Field::SensorCpu, 3_u64);
    let event = written(&fields);
    assert_ocsf(&event);
    assert_eq!(event["class_uid"], 0);
    assert_eq!(event["activity_name"], "made-up");
    assert_eq!(event["time"], 1);
    assert_eq!(
        event["metadata"]["original_time"],
        "1970-01-01T00:00:00.001500000Z"
    );
    assert_eq!(event["unmapped"]["sensor.cpu"], 3);
}

#[test]
fn techniques_stand_with_their_parts_and_names_only_where_it_is_sure_whose_they_are() {
    let mut fields = Fields::default();
    fields.put(Field::EventDataset, "alert");
    fields.put(Field::Timestamp, Value::Time(0));
    fields.put(Field::RuleId, "x");
    fields.put_list(Field::ThreatTacticId, ["TA0002"]);
    fields.put_list(Field::ThreatTacticName, ["execution"]);
    fields.put_list(Field::ThreatTechniqueId, ["T1014", "T1059"]);
    fields.put_list(Field::ThreatTechniqueName, ["Rootkit"]);
    fields.put_list(Field::ThreatSubtechniqueId, ["T1059.004"]);
    fields.put_list(Field::ThreatSubtechniqueName, ["Unix Shell"]);
    let event = written(&fields);
    assert_ocsf(&event);
    let attacks = serde_json::json!([
        {"technique": {"uid": "T1059"}, "sub_technique": {"uid": "T1059.004", "name": "Unix Shell"}, "version": "17.0"},
        {"technique": {"uid": "T1014"}, "version": "17.0"},
        {"tactic": {"uid": "TA0002", "name": "execution"}, "version": "17.0"},
    ]);
    assert_eq!(event["finding_info"]["attacks"], attacks);
    assert_eq!(event["unmapped"]["threat.technique.name"][0], "Rootkit");
}

#[test]
fn an_event_from_nowhere_is_ocsf_as_well() {
    let event = crate::event::made_up::event(
        crate::event::made_up::process(crate::event::process::ProcessKey {
            pid: 7,
            start_ticks: 1,
        }),
        5,
        crate::event::Action::Fork,
    );
    let event = written(&event.fields_from(&Identity::default()));
    assert_ocsf(&event);
    assert_eq!(event["type_uid"], 100_701);
    assert_eq!(event["process"]["pid"], 7);
    assert_eq!(event["launch_type"], "Fork");
}
