//! Reading one field at a time from an event, borrowed where it can be. The fields a rule is
//! likely to ask for are read directly; any other makes the event's whole field list, once.
//! Names of rules are not known here (`fields.rs`).

use std::borrow::Cow;
use std::cell::OnceCell;

use rsigma_eval::EventValue;

use super::fields::Answer;
use super::kind::Kind;
use crate::event::field::{Field, Fields, Value};
use crate::event::file::ChangeKind;
use crate::event::network::Flow;
use crate::event::process::{Process, Program};
use crate::event::{Action, Endpoint, Event};

/// Something rules can be evaluated on.
pub trait Record {
    /// Its kind.
    fn kind(&self) -> Kind;
    /// A field of ours.
    fn field(&self, field: Field) -> Option<EventValue<'_>>;
    /// One argument.
    fn argument(&self, index: usize) -> Option<&str>;
    /// The arguments, joined with spaces.
    fn command_line(&self) -> Option<&str>;
    /// Those of the parent.
    fn parent_command_line(&self) -> Option<&str>;
    /// When it happened, in seconds since the epoch.
    fn seconds(&self) -> i64;

    /// What a rule's field is answered by.
    fn answer(&self, answer: Answer) -> Option<EventValue<'_>> {
        let text = |text| EventValue::Str(Cow::Borrowed(text));
        match answer {
            Answer::Field(field) => self.field(field),
            Answer::CommandLine => self.command_line().map(text),
            Answer::ParentCommandLine => self.parent_command_line().map(text),
            Answer::Argument(index) => self.argument(usize::from(index)).map(text),
            Answer::Hashes => {
                let hash = self.field(Field::ProcessSha256)?;
                let hash = hash.as_str()?;
                Some(EventValue::Str(Cow::Owned(format!("SHA256={hash}"))))
            }
            Answer::NameType => Some(text(self.name_type())),
            Answer::Words([word]) => Some(text(word)),
            Answer::Words(words) => Some(EventValue::Array(
                words.iter().map(|word| text(word)).collect(),
            )),
        }
    }

    /// `nametype` of a PATH record.
    fn name_type(&self) -> &'static str {
        let action = self.field(Field::EventAction);
        match action.as_ref().and_then(EventValue::as_str).as_deref() {
            Some(
                "file_create" | "file_rename" | "file_link" | "file_symlink" | "directory_create",
            ) => "CREATE",
            Some("file_unlink" | "directory_remove") => "DELETE",
            _ => "NORMAL",
        }
    }
}

/// Calls `visit` with every text of a value, as rules compare them.
pub fn visit_texts(value: &EventValue<'_>, visit: &mut dyn FnMut(&str)) {
    match value {
        EventValue::Str(text) => visit(text),
        EventValue::Array(values) => {
            for value in values {
                visit_texts(value, visit);
            }
        }
        EventValue::Null | EventValue::Map(_) => {}
        other => {
            if let Some(text) = other.as_str() {
                visit(&text);
            }
        }
    }
}

/// An event and what was made of it so far.
pub struct EventRecord<'e> {
    event: &'e Event,
    command_line: OnceCell<Option<String>>,
    parent_command_line: OnceCell<Option<String>>,
    fields: OnceCell<Fields<'e>>,
}

impl<'e> EventRecord<'e> {
    /// Of an event.
    #[must_use]
    pub const fn new(event: &'e Event) -> Self {
        Self {
            event,
            command_line: OnceCell::new(),
            parent_command_line: OnceCell::new(),
            fields: OnceCell::new(),
        }
    }

    /// A field by way of the whole list, to hold the direct way against.
    #[cfg(test)]
    pub(super) fn slow(event: &Event, field: Field) -> Option<String> {
        let fields = event.fields();
        fields
            .get(field)
            .map(|found| super::sample::text(&value(found)))
    }

    fn program(&self) -> Option<&'e Program> {
        if let Action::Exec(exec) = &self.event.action {
            return Some(&exec.program);
        }
        self.event.process.as_ref()?.program.as_deref()
    }

    /// The fields that rules ask for most; `Err` for those that are not read directly.
    fn quick(&self, field: Field) -> Result<Option<EventValue<'e>>, ()> {
        let process = self.event.process.as_ref();
        let of_action = match &self.event.action {
            Action::Exec(exec) => match field {
                Field::ProcessWorkingDirectory => Some(borrowed(exec.working_directory.as_deref())),
                Field::SensorExecFilename => Some(borrowed(exec.filename.as_deref())),
                Field::SensorExecFlags => Some(list(exec.flags().into_iter())),
                Field::ProcessEnvVars => Some(list(exec.environment.iter().map(|text| &**text))),
                _ => None,
            },
            Action::FileAccess(access) => match field {
                Field::FilePath => Some(borrowed(Some(&*access.path))),
                Field::FileName => Some(borrowed(file_name(&access.path))),
                // Never had: not worth the whole list.
                Field::SensorFilePreviousPath | Field::FileTargetPath => Some(None),
                _ => None,
            },
            Action::FileChange(change) => match field {
                Field::FilePath => Some(borrowed(Some(&*change.path().path))),
                Field::FileName => Some(borrowed(file_name(&change.path().path))),
                Field::FileTargetPath => Some(borrowed(change.text.as_deref())),
                Field::SensorFilePreviousPath => {
                    let moved = change.kind == ChangeKind::Rename;
                    Some(borrowed(moved.then_some(&*change.name.path)))
                }
                _ => None,
            },
            Action::TcpConnect(connect) | Action::UdpConnect(connect) => {
                of_flow(&connect.flow, false, field)
            }
            Action::UdpSend(send) => of_flow(&send.0, false, field),
            Action::TcpAccept(accept) => of_flow(&accept.0, true, field),
            _ => None,
        };
        if let Some(value) = of_action {
            return Ok(value);
        }
        match field {
            Field::EventAction => return Ok(borrowed(Some(self.event.action.label().action))),
            Field::EventDataset => return Ok(borrowed(Some(self.event.action.label().name))),
            Field::EventKind => {
                let alert = matches!(self.event.action, Action::Alert(_));
                return Ok(borrowed(Some(if alert { "alert" } else { "event" })));
            }
            _ => {}
        }
        process.map_or(Err(()), |process| self.of_process(process, field))
    }

    fn of_process(&self, process: &'e Process, field: Field) -> Result<Option<EventValue<'e>>, ()> {
        let parent = process.parent.as_ref();
        Ok(match field {
            Field::ProcessExecutable => borrowed(
                self.program()
                    .and_then(|program| program.executable.as_deref()),
            ),
            Field::ProcessName => borrowed(Some(process.name())),
            Field::ProcessArgs => match self.program() {
                Some(program) => list(program.args.iter().map(|text| &**text)),
                None => None,
            },
            Field::ProcessThreadName => borrowed(Some(&*process.comm)),
            Field::ProcessUserName => borrowed(process.names.user.as_deref()),
            Field::ProcessUserId => number(Some(process.ids.euid)),
            Field::ProcessRealUserId => number(Some(process.ids.uid)),
            Field::SensorAuditUser => number(process.login_uid),
            Field::ProcessParentExecutable => {
                borrowed(parent.and_then(|parent| parent.program.executable.as_deref()))
            }
            Field::ProcessParentName => borrowed(parent.and_then(|parent| parent.program.name())),
            Field::ServiceName => borrowed(process.home.service.as_deref()),
            Field::ContainerId => borrowed(process.home.container.as_deref()),
            Field::SensorLineage => list(process.lineage.words()),
            _ => return Err(()),
        })
    }
}

/// Ends of a connection, of which the one that began is the source.
fn of_flow(flow: &Flow, accepted: bool, field: Field) -> Option<Option<EventValue<'static>>> {
    let (source, destination) = if accepted {
        (flow.remote, flow.local)
    } else {
        (flow.local, flow.remote)
    };
    let address = |end: Endpoint| EventValue::Str(Cow::Owned(end.address.to_string()));
    let port = |end: Endpoint| EventValue::Int(i64::from(end.port));
    Some(Some(match field {
        Field::SourceIp => address(source),
        Field::SourcePort => port(source),
        Field::DestinationIp => address(destination),
        Field::DestinationPort => port(destination),
        _ => return None,
    }))
}

fn borrowed(text: Option<&str>) -> Option<EventValue<'_>> {
    text.map(|text| EventValue::Str(Cow::Borrowed(text)))
}

fn number(number: Option<u32>) -> Option<EventValue<'static>> {
    number.map(|number| EventValue::Int(i64::from(number)))
}

/// A list, absent when it is empty, as in [`Fields::put_list`].
fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Option<EventValue<'a>> {
    let values: Vec<_> = texts
        .map(|text| EventValue::Str(Cow::Borrowed(text)))
        .collect();
    (!values.is_empty()).then_some(EventValue::Array(values))
}

fn file_name(path: &str) -> Option<&str> {
    path.rsplit_once('/')
        .map(|(_, name)| name)
        .filter(|name| !name.is_empty())
}

fn joined(program: Option<&Program>) -> Option<String> {
    let program = program.filter(|program| !program.args.is_empty())?;
    Some(program.args.join(" "))
}

impl Record for EventRecord<'_> {
    fn kind(&self) -> Kind {
        Kind::of(&self.event.action)
    }

    fn field(&self, field: Field) -> Option<EventValue<'_>> {
        if let Ok(value) = self.quick(field) {
            return value;
        }
        let fields = self.fields.get_or_init(|| self.event.fields());
        fields.get(field).map(value)
    }

    fn argument(&self, index: usize) -> Option<&str> {
        self.program()?.args.get(index).map(|text| &**text)
    }

    fn command_line(&self) -> Option<&str> {
        self.command_line
            .get_or_init(|| joined(self.program()))
            .as_deref()
    }

    fn parent_command_line(&self) -> Option<&str> {
        let program = || {
            let parent = self.event.process.as_ref()?.parent.as_ref()?;
            Some(&*parent.program)
        };
        self.parent_command_line
            .get_or_init(|| joined(program()))
            .as_deref()
    }

    fn seconds(&self) -> i64 {
        i64::try_from(self.event.time.wall_ns / 1_000_000_000).unwrap_or(i64::MAX)
    }
}

/// A value of ours as rules see it.
fn value<'a>(value: &'a Value<'_>) -> EventValue<'a> {
    match value {
        Value::Text(text) => EventValue::Str(Cow::Borrowed(text)),
        Value::Unsigned(number) => {
            i64::try_from(*number).map_or(EventValue::Float(*number as f64), EventValue::Int)
        }
        Value::Signed(number) => EventValue::Int(*number),
        Value::Bool(value) => EventValue::Bool(*value),
        Value::Ip(address) => EventValue::Str(Cow::Owned(address.to_string())),
        // Rules take the hour, day or month of it, and understand seconds since the epoch.
        Value::Time(wall_ns) => {
            EventValue::Int(i64::try_from(*wall_ns / 1_000_000_000).unwrap_or(i64::MAX))
        }
        Value::List(values) => EventValue::Array(values.iter().map(self::value).collect()),
        Value::Object(members) => EventValue::Map(
            members
                .iter()
                .map(|(name, value)| (Cow::Borrowed(&**name), self::value(value)))
                .collect(),
        ),
    }
}
