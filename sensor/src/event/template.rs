//! The index template for Elasticsearch and OpenSearch, made from the field table: a type for every
//! field there is. Tests only: it is a page of `docs/`.

use serde_json::{Map, Value, json};

use super::field::{ALL, Definition, Type};

/// Longest text that is indexed as a word, in characters; Lucene takes 32,766 bytes.
const WORD_MAX: u32 = 8_191;
/// Fields of one text that people search for words in.
const PROSE: &[&str] = &["message", "sensor.health.detail", "sensor.lost.reason"];
/// Fields that people search for parts of.
const PARTLY: &[&str] = &["process.command_line", "process.parent.command_line"];

fn mapping(definition: &Definition) -> Value {
    match definition.kind {
        Type::Date if definition.name == "@timestamp" => json!({"type": "date_nanos"}),
        Type::Date => json!({"type": "date"}),
        Type::Keyword | Type::Keywords if PROSE.contains(&definition.name) => {
            json!({"type": "match_only_text"})
        }
        Type::Keyword | Type::Keywords if PARTLY.contains(&definition.name) => {
            json!({"type": "wildcard", "ignore_above": WORD_MAX})
        }
        Type::Keyword | Type::Keywords => {
            json!({"type": "keyword", "ignore_above": WORD_MAX})
        }
        Type::Long => json!({"type": "long"}),
        Type::Boolean => json!({"type": "boolean"}),
        Type::Ip | Type::Ips => json!({"type": "ip"}),
        _ => json!({"type": "object"}),
    }
}

fn put(properties: &mut Map<String, Value>, name: &str, mapping: Value) {
    let Some((first, rest)) = name.split_once('.') else {
        properties.insert(name.to_owned(), mapping);
        return;
    };
    let inner = properties
        .entry(first)
        .or_insert_with(|| json!({"properties": {}}));
    put(inner["properties"].as_object_mut().unwrap(), rest, mapping);
}

fn template() -> String {
    let mut properties = Map::new();
    for field in ALL {
        let definition = field.definition();
        put(&mut properties, definition.name, mapping(definition));
    }
    put(
        &mut properties,
        "ecs.version",
        json!({"type": "keyword", "ignore_above": WORD_MAX}),
    );
    let template = json!({
        "index_patterns": ["logs-sensor-*"],
        "data_stream": {},
        "priority": 250,
        "template": {
            "settings": {
                "index": {
                    "codec": "best_compression",
                    "mapping": {"total_fields": {"limit": 2000}},
                    "query": {"default_field": ["message", "process.command_line", "file.path"]},
                }
            },
            "mappings": {"dynamic": false, "properties": properties},
        },
        "_meta": {"description": "Events of the sensor; made from its field table"},
    });
    format!("{template:#}\n")
}

#[cfg(test)]
mod tests {
    use super::template;
    use crate::page;

    #[test]
    fn the_index_template_is_current() {
        page::assert_current("receivers/elasticsearch-template.json", &template());
    }
}
