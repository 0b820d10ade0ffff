//! Whether an event we write is OCSF, judged by the schema's own files and not by us. Tests only:
//! it reads them in place (`shared/schemas/ocsf` beside the workspace, 1.9.0-dev) and ships with
//! nothing. Known are attributes (with `extends`, `$include`, profiles and the Linux extension
//! resolved), their types, enumerations with their names beside, what is required, and constraints.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Map, Value};

/// Every way in which an event is not OCSF, one line each; empty when it is.
///
/// # Errors
/// Why it cannot be told, beginning with `skipped: `: print it and return.
pub(super) fn check(event: &Value) -> Result<Vec<String>, String> {
    static SCHEMA: OnceLock<Result<Schema, String>> = OnceLock::new();
    let schema = SCHEMA.get_or_init(Schema::load).as_ref()?;
    Ok(schema.check(event))
}

/// Fails the test with all problems of an event, or prints `skipped: …`.
#[track_caller]
pub(in crate::export) fn assert_ocsf(event: &Value) {
    match check(event) {
        Ok(problems) => assert!(
            problems.is_empty(),
            "not OCSF:\n  {}\nin {event:#}",
            problems.join("\n  ")
        ),
        Err(skipped) => println!("{skipped}"),
    }
}

/// An attribute of a class or an object.
#[derive(Clone, Debug)]
struct Attribute {
    kind: String,
    array: bool,
    required: bool,
    profile: Option<String>,
    deprecated: bool,
    /// Numbers and their names.
    values: HashMap<i64, String>,
    sibling: Option<String>,
}

/// A class or an object.
#[derive(Clone, Debug, Default)]
struct Shape {
    attributes: HashMap<String, Attribute>,
    constraints: Map<String, Value>,
}

struct Schema {
    /// By `class_uid`.
    classes: HashMap<i64, Shape>,
    objects: HashMap<String, Shape>,
    /// Types of values that are not objects.
    types: Map<String, Value>,
}

/// What is in the files.
struct Sources {
    root: PathBuf,
    dictionary: Value,
    events: HashMap<String, Value>,
    objects: HashMap<String, Value>,
    /// What the extension adds to objects.
    extended: HashMap<String, Value>,
    categories: Value,
}

const EXTENSION: &str = "extensions/linux";

impl Schema {
    fn load() -> Result<Self, String> {
        let root = PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../shared/schemas/ocsf"
        ));
        if !root.join("dictionary.json").is_file() {
            return Err(format!("skipped: no OCSF schema in {}", root.display()));
        }
        let named = |files: Vec<Value>, name: &str| -> HashMap<String, Value> {
            let of = |file: Value| Some((file[name].as_str()?.to_owned(), file));
            files.into_iter().filter_map(of).collect()
        };
        let sources = Sources {
            dictionary: json(&root.join("dictionary.json")),
            categories: json(&root.join("categories.json")),
            events: named(all(&root.join("events")), "name"),
            objects: named(all(&root.join("objects")), "name"),
            extended: named(all(&root.join(EXTENSION).join("objects")), "extends"),
            root,
        };
        Ok(sources.resolve())
    }
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn all(directory: &Path) -> Vec<Value> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(all(&path));
        } else {
            files.push(json(&path));
        }
    }
    files
}

impl Sources {
    fn resolve(self) -> Schema {
        let mut classes = HashMap::new();
        for (name, event) in &self.events {
            let uid = event["uid"].as_i64().unwrap_or(0);
            let (category, category_name) = self.category(name);
            let number = category * 1_000 + uid;
            if name != "base_event" && uid == 0 {
                continue;
            }
            let mut shape = self.shape(&self.events, name);
            let caption = event["caption"].as_str().unwrap();
            for (attribute, number, caption) in [
                ("category_uid", category, &*category_name),
                ("class_uid", number, caption),
            ] {
                let values = HashMap::from([(number, caption.to_owned())]);
                shape.attributes.get_mut(attribute).unwrap().values = values;
            }
            classes.insert(number, shape);
        }
        let objects = self.objects.keys();
        Schema {
            classes,
            objects: objects
                .map(|name| (name.clone(), self.shape(&self.objects, name)))
                .collect(),
            types: self.dictionary["types"]["attributes"]
                .as_object()
                .unwrap()
                .clone(),
        }
    }

    /// The category that an event, or what it extends, belongs to.
    fn category(&self, name: &str) -> (i64, String) {
        let event = &self.events[name];
        let category = event["category"].as_str().unwrap_or_default();
        let known = &self.categories["attributes"][category];
        match (known["uid"].as_i64(), event["extends"].as_str()) {
            (Some(uid), _) => (uid, known["caption"].as_str().unwrap().to_owned()),
            (None, Some(parent)) => self.category(parent),
            (None, None) => (0, "Uncategorized".to_owned()),
        }
    }

    fn shape(&self, files: &HashMap<String, Value>, name: &str) -> Shape {
        let file = &files[name];
        let parent = file["extends"]
            .as_str()
            .filter(|parent| files.contains_key(*parent));
        let mut shape = parent.map_or_else(Shape::default, |parent| self.shape(files, parent));
        self.add(file, &self.root, &mut shape);
        if let Some(constraints) = file["constraints"].as_object() {
            shape.constraints = constraints.clone();
        }
        let is_object = std::ptr::eq(files, &self.objects);
        if let Some(more) = self.extended.get(name).filter(|_| is_object) {
            self.add(more, &self.root.join(EXTENSION), &mut shape);
        }
        shape
    }

    /// Adds what a file says of attributes; `root` is where it includes from.
    fn add(&self, file: &Value, root: &Path, shape: &mut Shape) {
        let attributes = file["attributes"].as_object().unwrap();
        for path in attributes
            .get("$include")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let profile = json(&root.join(path.as_str().unwrap()));
            let name = profile["name"].as_str().unwrap();
            let name = if root.ends_with(EXTENSION) {
                format!("linux/{name}")
            } else {
                name.to_owned()
            };
            for (attribute, said) in profile["attributes"].as_object().unwrap() {
                self.attribute(attribute, said, Some(&name), shape);
            }
        }
        for (attribute, said) in attributes.iter().filter(|(name, _)| *name != "$include") {
            self.attribute(attribute, said, None, shape);
        }
    }

    fn attribute(&self, name: &str, said: &Value, profile: Option<&str>, shape: &mut Shape) {
        let known = &self.dictionary["attributes"][name];
        let fresh = || Attribute {
            kind: known["type"].as_str().unwrap_or("string_t").to_owned(),
            array: known["is_array"] == true,
            required: false,
            profile: profile.map(str::to_owned),
            deprecated: known.get("@deprecated").is_some(),
            values: values(known),
            sibling: known["sibling"].as_str().map(str::to_owned),
        };
        let attribute = shape
            .attributes
            .entry(name.to_owned())
            .or_insert_with(fresh);
        if let Some(requirement) = said["requirement"].as_str() {
            attribute.required = requirement == "required";
        }
        match said.get("profile") {
            Some(Value::Null) => attribute.profile = None,
            Some(Value::String(name)) => attribute.profile = Some(name.clone()),
            _ => {}
        }
        attribute.deprecated |= said.get("@deprecated").is_some();
        attribute.values.extend(values(said));
    }
}

fn values(attribute: &Value) -> HashMap<i64, String> {
    let values = attribute["enum"].as_object().into_iter().flatten();
    values
        .filter_map(|(number, value)| {
            Some((number.parse().ok()?, value["caption"].as_str()?.to_owned()))
        })
        .collect()
}

impl Schema {
    fn check(&self, event: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        let number = |name: &str| event[name].as_i64().unwrap_or(-1);
        let Some(class) = self.classes.get(&number("class_uid")) else {
            return vec![format!("no class has the number {}", event["class_uid"])];
        };
        if number("type_uid") != number("class_uid") * 100 + number("activity_id") {
            problems.push(format!("type_uid: {} does not follow", event["type_uid"]));
        }
        let profiles = event["metadata"]["profiles"]
            .as_array()
            .into_iter()
            .flatten();
        let profiles: Vec<&str> = profiles.filter_map(Value::as_str).collect();
        self.shape("", class, event, &profiles, &mut problems);
        problems
    }

    fn shape(
        &self,
        path: &str,
        shape: &Shape,
        value: &Value,
        profiles: &[&str],
        problems: &mut Vec<String>,
    ) {
        let Some(members) = value.as_object() else {
            problems.push(format!("{path}: an object expected, got {value}"));
            return;
        };
        let applies = |attribute: &Attribute| {
            let profile = attribute.profile.as_deref();
            profile.is_none_or(|profile| profiles.contains(&profile))
        };
        for (name, value) in members {
            let path = format!("{path}.{name}");
            match shape.attributes.get(name) {
                None => problems.push(format!("{path}: there is no such attribute")),
                Some(attribute) if attribute.deprecated => {
                    problems.push(format!("{path}: is deprecated"));
                }
                Some(attribute) if !applies(attribute) => {
                    problems.push(format!("{path}: of a profile that is not declared"));
                }
                Some(attribute) => {
                    self.attribute(&path, attribute, value, profiles, problems);
                    sibling(&path, attribute, value, members, problems);
                }
            }
        }
        for (name, attribute) in &shape.attributes {
            if attribute.required && applies(attribute) && !members.contains_key(name) {
                problems.push(format!("{path}.{name}: is missing"));
            }
        }
        for (constraint, names) in &shape.constraints {
            let names = names.as_array().unwrap();
            let there = names
                .iter()
                .filter(|name| members.contains_key(name.as_str().unwrap()));
            match (constraint.as_str(), there.count()) {
                ("at_least_one", 1..) | ("just_one", 1) => {}
                (constraint, count) => {
                    problems.push(format!(
                        "{path}: {constraint} of {names:?}, there are {count}"
                    ));
                }
            }
        }
    }

    fn attribute(
        &self,
        path: &str,
        attribute: &Attribute,
        value: &Value,
        profiles: &[&str],
        problems: &mut Vec<String>,
    ) {
        let items = match (attribute.array, value) {
            (true, Value::Array(items)) => items.as_slice(),
            (true, _) => {
                problems.push(format!("{path}: an array expected, got {value}"));
                return;
            }
            (false, one) => std::slice::from_ref(one),
        };
        for item in items {
            match self.objects.get(&attribute.kind) {
                Some(_) if attribute.kind == "object" => {}
                Some(shape) => self.shape(path, shape, item, profiles, problems),
                None if !self.fits(&attribute.kind, item) => {
                    problems.push(format!("{path}: {} expected, got {item}", attribute.kind));
                }
                None if attribute.values.is_empty() => {}
                None if item
                    .as_i64()
                    .is_some_and(|number| attribute.values.contains_key(&number)) => {}
                None => problems.push(format!("{path}: {item} is none of {:?}", attribute.values)),
            }
        }
    }

    fn fits(&self, kind: &str, value: &Value) -> bool {
        let kind_of = &self.types[kind];
        let base = kind_of["type"].as_str().unwrap_or(kind);
        let text = value.as_str();
        let longest = kind_of["max_len"].as_u64();
        let is_short = |text: &str| longest.is_none_or(|most| text.chars().count() as u64 <= most);
        match kind {
            "ip_t" => text.is_some_and(|text| is_short(text) && text.parse::<IpAddr>().is_ok()),
            "port_t" => value.as_u64().is_some_and(|port| port <= 65_535),
            _ => match base {
                "boolean_t" => value.is_boolean(),
                "integer_t" | "long_t" | "timestamp_t" => value.as_i64().is_some(),
                "float_t" => value.is_number(),
                "string_t" => text.is_some_and(is_short),
                "json_t" => true,
                other => panic!("this OCSF has a type that the check does not know: {other}"),
            },
        }
    }
}

/// What is said in words beside a number must be the schema's word for it, and is not left out
/// for what has no number.
fn sibling(
    path: &str,
    attribute: &Attribute,
    value: &Value,
    members: &Map<String, Value>,
    problems: &mut Vec<String>,
) {
    let (Some(sibling), Some(number)) = (&attribute.sibling, value.as_i64()) else {
        return;
    };
    let said = members.get(sibling).and_then(Value::as_str);
    match (said, attribute.values.get(&number)) {
        (None, Some(_)) if number == 99 => {
            problems.push(format!("{path}: is 99, and {sibling} does not say what"));
        }
        (Some(said), Some(name)) if number != 99 && said != name => {
            problems.push(format!("{path}: {number} is {name:?}, not {said:?}"));
        }
        _ => {}
    }
}

#[test]
fn each_wrong_attribute_is_named_with_what_is_wrong() {
    let right = serde_json::json!({
        "class_uid": 1007, "category_uid": 1, "activity_id": 1, "type_uid": 100_701, "severity_id": 1, "time": 1,
        "metadata": {"version": "1.9.0-dev", "product": {"name": "x"}, "profiles": ["linux/linux_users"]},
        "device": {"hostname": "x", "type_id": 0},
        "actor": {"process": {"pid": 1, "euid": 0}},
        "process": {"pid": 2, "file": {"name": "x", "type_id": 1}},
    });
    match check(&right) {
        Ok(problems) => assert!(problems.is_empty(), "{problems:?}"),
        Err(skipped) => return println!("{skipped}"),
    }
    for (pointer, value, said) in [
        (
            "/class_uid",
            serde_json::json!(1999),
            "no class has the number 1999",
        ),
        (
            "/type_uid",
            serde_json::json!(1),
            "type_uid: 1 does not follow",
        ),
        (
            "/category_uid",
            serde_json::json!(2),
            ".category_uid: 2 is none of",
        ),
        (
            "/severity_id",
            serde_json::json!(7),
            ".severity_id: 7 is none of",
        ),
        (
            "/severity_id",
            serde_json::json!(99),
            "severity does not say what",
        ),
        (
            "/time",
            serde_json::json!("now"),
            ".time: timestamp_t expected",
        ),
        (
            "/metadata",
            serde_json::json!({}),
            ".metadata.product: is missing",
        ),
        (
            "/metadata/profiles",
            serde_json::json!([]),
            ".actor.process.euid: of a profile",
        ),
        (
            "/device",
            serde_json::json!({"type_id": 0}),
            ".device: at_least_one",
        ),
        ("/actor", serde_json::json!({}), ".actor: at_least_one"),
        (
            "/process",
            serde_json::json!({"pid": 1, "tid": 1}),
            ".process.tid: is deprecated",
        ),
        (
            "/process/file",
            serde_json::json!({"type_id": 1}),
            ".process.file.name: is missing",
        ),
        (
            "/process/file/type_id",
            serde_json::json!(9),
            ".process.file.type_id: 9 is none of",
        ),
        (
            "/process/pid",
            serde_json::json!("1"),
            ".process.pid: integer_t expected",
        ),
        (
            "/process",
            serde_json::json!({"pid": 1, "made_up": 1}),
            ".process.made_up: there is no such",
        ),
        (
            "/device",
            serde_json::json!({"ip": "x", "type_id": 0}),
            ".device.ip: ip_t expected",
        ),
    ] {
        let mut wrong = right.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        let problems = check(&wrong).unwrap();
        assert!(
            problems.iter().any(|problem| problem.contains(said)),
            "{pointer}: {problems:?}"
        );
    }
}
