//! Tests only: every event that is written can be read back, with the same fields, flat and
//! nested. Holds together what `event/` puts into fields, what formats make of them, and what
//! `event/parse/` reads.

pub mod any;

use proptest::prelude::*;

use super::format::Format;
use super::json;
use crate::event::Event;
use crate::event::parse::{self, Parsed};

fn read_back(line: &str) -> Event {
    match parse::line(line.as_bytes()) {
        Ok(Parsed::Event {
            event,
            unknown_fields: 0,
        }) => *event,
        other => panic!("{other:?}\n{line}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn an_event_read_back_from_its_line_has_the_same_fields(event in any::event()) {
        let line = json::native(&event.fields()).unwrap();
        let back = json::native(&read_back(&line).fields()).unwrap();
        prop_assert_eq!(line, back);
    }

    #[test]
    fn a_time_read_back_is_the_same(wall_ns: u64) {
        let text = format!("{{\"event.dataset\": \"cgroup.mkdir\", \"@timestamp\": \"{}\", \"sensor.boot_ns\": 1, \
            \"event.id\": \"0-1\", \"sensor.cpu\": 0, \"sensor.control_group.id\": 1, \"sensor.control_group.path\": \"/\", \
            \"sensor.control_group.hierarchy\": 0, \"sensor.control_group.level\": 0}}", json::rfc3339(wall_ns));
        prop_assert_eq!(read_back(&text).time.wall_ns, wall_ns);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_event_read_back_from_nested_json_has_the_same_fields(event in any::event()) {
        let nested = json::ecs(&event.fields()).unwrap();
        let back = read_back(&nested);
        prop_assert_eq!(nested, json::ecs(&back.fields()).unwrap());
    }

    #[test]
    fn fields_read_back_from_nested_and_from_flat_json_are_the_same(event in any::event_or_alert()) {
        let fields = event.fields();
        for format in [Format::Ecs, Format::Native] {
            let line = format.line(&fields).unwrap();
            prop_assert_eq!(&parse::fields(line.as_bytes()).unwrap(), &fields);
        }
    }
}
