//! Events from what was written of them: one line of `--output json --schema native` back to an
//! [`Event`], for measurements on recorded traffic. Only kinds that make up the bulk of traffic
//! are known; what was not written (file system, capabilities, …) gets a neutral value.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::file::{Access, AccessKind, Change, ChangeKind, Name, Source};
use super::network::{Accept, Close, Connect, Direction, Flow, Outcome};
use super::object::{Kind, Object};
use super::process::{
    Exec, Exit, FileIdentity, Home, Ids, Names, Namespaces, Parent, Process, ProcessKey, Program,
};
use super::{Action, Endpoint, Event, EventId, Stamp};

/// The event of a line, if it is one of a known kind.
#[must_use]
pub fn native(line: &str) -> Option<Event> {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
        return None;
    };
    let fields = Written(&fields);
    let action = fields.action()?;
    Some(Event {
        id: EventId {
            run: 0,
            sequence: fields.number("event.sequence"),
        },
        cpu: fields.small("sensor.cpu"),
        time: Stamp {
            boot_ns: fields.number("sensor.boot_ns"),
            wall_ns: fields.number("sensor.boot_ns"),
        },
        process: fields.process(),
        action,
    })
}

struct Written<'w>(&'w Map<String, Value>);

impl Written<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn boxed(&self, name: &str) -> Option<Box<str>> {
        self.text(name).map(Into::into)
    }

    fn shared(&self, name: &str) -> Option<Arc<str>> {
        self.text(name).map(Into::into)
    }

    fn list(&self, name: &str) -> Box<[Box<str>]> {
        let values = self.0.get(name).and_then(Value::as_array);
        let texts = values.into_iter().flatten().filter_map(Value::as_str);
        texts.map(Into::into).collect()
    }

    fn number(&self, name: &str) -> u64 {
        match self.0.get(name) {
            Some(Value::String(text)) => text.parse().unwrap_or(0),
            Some(value) => value.as_u64().unwrap_or(0),
            None => 0,
        }
    }

    fn small(&self, name: &str) -> u32 {
        u32::try_from(self.number(name)).unwrap_or(0)
    }

    fn octal(&self, name: &str) -> u32 {
        u32::from_str_radix(self.text(name).unwrap_or_default(), 8).unwrap_or(0)
    }

    fn has(&self, list: &str, word: &str) -> bool {
        let values = self.0.get(list).and_then(Value::as_array);
        values.into_iter().flatten().any(|value| value == word)
    }

    fn endpoint(&self, side: &str) -> Option<Endpoint> {
        Some(Endpoint {
            address: self.text(&format!("{side}.ip"))?.parse().ok()?,
            port: u16::try_from(self.number(&format!("{side}.port"))).ok()?,
        })
    }

    fn program(&self) -> Arc<Program> {
        Arc::new(Program {
            executable: self.boxed("process.executable"),
            args: self.list("process.args"),
            ..Program::default()
        })
    }

    fn process(&self) -> Option<Process> {
        let pid = self.small("process.pid");
        self.0.get("process.pid")?;
        let parent = self.text("process.parent.executable").map(|executable| {
            let line = self.text("process.parent.command_line").unwrap_or_default();
            Parent {
                ancestors: Box::default(),
                key: ProcessKey::new(self.small("process.parent.pid"), 0),
                program: Arc::new(Program {
                    executable: Some(executable.into()),
                    args: line.split(' ').map(Into::into).collect(),
                    ..Program::default()
                }),
            }
        });
        let start = Stamp {
            boot_ns: 0,
            wall_ns: 0,
        };
        Some(Process {
            key: ProcessKey::new(pid, 0),
            start,
            tid: self.small("process.thread.id"),
            ppid: self.small("process.parent.pid"),
            ns_pid: self.small("process.vpid"),
            ids: Ids {
                uid: self.small("process.real_user.id"),
                gid: self.small("process.real_group.id"),
                suid: self.small("process.saved_user.id"),
                sgid: self.small("process.saved_group.id"),
                euid: self.small("process.user.id"),
                egid: self.small("process.group.id"),
            },
            capabilities: 0,
            login_uid: self
                .text("sensor.audit.user.id")
                .and_then(|text| text.parse().ok()),
            audit_session: None,
            session: self.small("process.session_leader.pid"),
            tty: None,
            comm: self.boxed("process.thread.name").unwrap_or_default(),
            namespaces: Namespaces::default(),
            cgroup_id: self.number("sensor.cgroup.id"),
            entity: self.boxed("process.entity_id"),
            program: Some(self.program()),
            parent,
            parent_entity: self.boxed("process.parent.entity_id"),
            depth: 0,
            names: Names {
                user: self.shared("process.user.name"),
                real_user: self.shared("process.real_user.name"),
                login_user: self.shared("sensor.audit.user.name"),
                group: self.shared("process.group.name"),
            },
            home: Home {
                cgroup: self.shared("sensor.cgroup.path"),
                service: self.shared("service.name"),
                ..Home::default()
            },
        })
    }

    fn identity(&self, [mode, size, uid]: [&str; 3], traits: &str) -> FileIdentity {
        FileIdentity {
            inode: self.number("file.inode"),
            device: 0,
            size: self.number(size),
            mode: self.octal(mode),
            uid: self.small(uid),
            gid: 0,
            links: 1,
            mtime_ns: 0,
            ctime_ns: 0,
            fs_magic: 0,
            memfd: self.has(traits, "memfd"),
            deleted: self.has(traits, "deleted"),
            overlay_upper: self.has(traits, "overlay_upper"),
        }
    }

    fn action(&self) -> Option<Action> {
        Some(match self.text("event.dataset")? {
            "process.fork" => Action::Fork,
            "process.exec" => Action::Exec(Box::new(self.exec())),
            "process.exit" => Action::Exit(Exit {
                code: u8::try_from(self.number("process.exit_code")).unwrap_or(0),
                signal: None,
                run_ns: self.number("sensor.exit.run_ns"),
            }),
            "network.connect" => Action::TcpConnect(Box::new(self.connect(libc::IPPROTO_TCP)?)),
            "network.udp_connect" => Action::UdpConnect(Box::new(self.connect(libc::IPPROTO_UDP)?)),
            "network.accept" => Action::TcpAccept(Box::new(Accept(self.flow(
                "destination",
                "source",
                libc::IPPROTO_TCP,
            )?))),
            "network.close" => Action::TcpClose(Box::new(Close {
                flow: self.flow("source", "destination", libc::IPPROTO_TCP)?,
                direction: Direction::Egress,
                opened: None,
                lasted_ns: 0,
                sent: self.number("source.bytes"),
                received: self.number("destination.bytes"),
                error: None,
            })),
            "file.open" => self.access(AccessKind::Open)?,
            "file.close" => self.access(AccessKind::Close)?,
            "file.read" => self.access(AccessKind::Read)?,
            "file.rename" => self.change(ChangeKind::Rename)?,
            "file.unlink" => self.change(ChangeKind::Unlink)?,
            "file.link" => self.change(ChangeKind::Link)?,
            "file.symlink" => self.change(ChangeKind::Symlink)?,
            "file.chmod" => self.change(ChangeKind::Chmod)?,
            "file.chown" => self.change(ChangeKind::Chown)?,
            "file.truncate" => self.change(ChangeKind::Truncate)?,
            "file.mkdir" => self.change(ChangeKind::Mkdir)?,
            _ => return None,
        })
    }

    fn exec(&self) -> Exec {
        let stream = || Object {
            kind: Kind::Null,
            inode: 0,
            device: 0,
            stands_for: 0,
            flags: 0,
            path: None,
            inet: None,
            peer_inode: None,
        };
        let names = [
            "sensor.executable.mode",
            "sensor.executable.size",
            "sensor.executable.uid",
        ];
        Exec {
            program: self.program(),
            executable: self.identity(names, "sensor.exec.flags"),
            filename: self.boxed("sensor.exec.filename"),
            interpreter: self.boxed("sensor.exec.interpreter"),
            working_directory: self.boxed("process.working_directory"),
            carried: None,
            argument_bytes: self.number("sensor.exec.argument_bytes"),
            environment: self.list("process.env_vars"),
            environment_truncated: false,
            stdio: [stream(), stream(), stream()],
        }
    }

    fn flow(&self, local: &str, remote: &str, protocol: i32) -> Option<Flow> {
        Some(Flow {
            local: self.endpoint(local)?,
            remote: self.endpoint(remote)?,
            protocol: u8::try_from(protocol).ok()?,
            net_ns: 0,
            inode: None,
        })
    }

    fn connect(&self, protocol: i32) -> Option<Connect> {
        Some(Connect {
            flow: self.flow("source", "destination", protocol)?,
            started: None,
            took_ns: 0,
            outcome: Outcome::Success,
        })
    }

    fn access(&self, kind: AccessKind) -> Option<Action> {
        Some(Action::FileAccess(Box::new(Access {
            kind,
            path: self.boxed("file.path")?,
            file: self.identity(["file.mode", "file.size", "file.uid"], "sensor.file.traits"),
            flags: 0,
            reads: self.has("sensor.file.access", "read"),
            writes: self.has("sensor.file.access", "write"),
            created: self.has("sensor.file.access", "created"),
            truncated: self.has("sensor.file.access", "truncated"),
        })))
    }

    fn change(&self, kind: ChangeKind) -> Option<Action> {
        let name = |name| {
            let path = self.boxed(name)?;
            Some(Name {
                path,
                source: Source::Kernel,
            })
        };
        let now = name("file.path")?;
        let before = name("sensor.file.previous_path").or(name("sensor.file.linked_path"));
        let (name, target) = match before {
            Some(before) => (before, Some(now)),
            None => (now, None),
        };
        Some(Action::FileChange(Box::new(Change {
            kind,
            name,
            target,
            text: self.boxed("file.target_path"),
            file: Some(self.identity(["file.mode", "file.size", "file.uid"], "sensor.file.traits")),
            replaced: None,
            before: None,
            asked: None,
            flags: 0,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::field::Field;

    #[test]
    fn an_exec_read_back_says_what_was_written() {
        let line = r#"{"event.dataset":"process.exec","process.pid":7,"process.executable":"/usr/bin/id",
            "process.args":["id","-u"],"process.user.name":"root","sensor.exec.flags":["deleted"],
            "process.parent.executable":"/bin/sh","process.parent.command_line":"sh -c id"}"#;
        let event = native(&line.replace('\n', " ")).unwrap();
        let fields = event.fields();
        assert_eq!(
            fields.get(Field::ProcessExecutable),
            Some(&"/usr/bin/id".into())
        );
        assert_eq!(fields.get(Field::ProcessCommandLine), Some(&"id -u".into()));
        assert_eq!(fields.get(Field::ProcessParentName), Some(&"sh".into()));
        assert!(fields.get(Field::SensorExecFlags).is_some());
    }

    #[test]
    fn what_is_no_event_is_none() {
        assert!(native("{}").is_none());
        assert!(native("x").is_none());
        assert!(native(r#"{"event.dataset":"file.open"}"#).is_none());
    }
}
