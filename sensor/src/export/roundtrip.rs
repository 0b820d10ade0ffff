//! Tests only: every event that is written can be read back, with the same fields, flat and
//! nested. Holds together what `event/` puts into fields, what formats make of them, and what
//! `event/parse/` reads.

pub mod any;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::format::Format;
use super::json;
use crate::event::ecs_check::assert_ecs;
use crate::event::made_up;
use crate::event::parse::{self, Parsed};
use crate::event::process::ProcessKey;
use crate::event::{Action, Event};
use crate::identity::Identity;

fn read_back(line: &str) -> (Event, Identity) {
    match parse::line(line.as_bytes()) {
        Ok(Parsed::Event {
            event,
            origin,
            unknown_fields: 0,
        }) => (*event, *origin),
        other => panic!("{other:?}\n{line}"),
    }
}

#[test]
fn where_an_event_is_from_is_ecs() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..20 {
        let origin = any::origin().new_tree(&mut runner).unwrap().current();
        let key = ProcessKey {
            pid: 1,
            start_ticks: 1,
        };
        let event = made_up::event(made_up::process(key), 1, Action::Fork);
        let line = json::ecs(&event.fields_from(&origin)).unwrap();
        assert_ecs(&serde_json::from_str(&line).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn an_event_read_back_from_its_line_has_the_same_fields(event in any::event(), origin in any::origin()) {
        let line = json::native(&event.fields_from(&origin)).unwrap();
        let (event, origin) = read_back(&line);
        prop_assert_eq!(line, json::native(&event.fields_from(&origin)).unwrap());
    }

    #[test]
    fn a_time_read_back_is_the_same(wall_ns: u64) {
        let text = format!("{{\"event.dataset\": \"cgroup.mkdir\", \"@timestamp\": \"{}\", \"sensor.boot_ns\": 1, \
            \"event.id\": \"0-1\", \"sensor.cpu\": 0, \"sensor.control_group.id\": 1, \"sensor.control_group.path\": \"/\", \
            \"sensor.control_group.hierarchy\": 0, \"sensor.control_group.level\": 0}}", json::rfc3339(wall_ns));
        prop_assert_eq!(read_back(&text).0.time.wall_ns, wall_ns);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_event_read_back_from_nested_json_has_the_same_fields(event in any::event(), origin in any::origin()) {
        let nested = json::ecs(&event.fields_from(&origin)).unwrap();
        let (event, origin) = read_back(&nested);
        prop_assert_eq!(nested, json::ecs(&event.fields_from(&origin)).unwrap());
    }

    #[test]
    fn fields_read_back_from_nested_and_from_flat_json_are_the_same(
        event in any::event_or_alert(),
        origin in any::origin(),
    ) {
        let fields = event.fields_from(&origin);
        for format in [Format::Ecs, Format::Native] {
            let line = format.line(&fields).unwrap();
            prop_assert_eq!(&parse::fields(line.as_bytes()).unwrap(), &fields);
        }
    }
}
