//! Arbitrary events of every kind, as far as the kernel and the decoder can make them: values are
//! free, what goes together goes together. Strategies of many parts are boxed: they and what they
//! make would not fit the stack otherwise.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

mod alerts;
mod files;
mod sockets;
mod system;

use crate::event::lineage::Lineage;
use crate::event::object::{InetSocket, Kind, Object};
use crate::event::process::{
    Ancestor, Carried, Exec, Exit, FileIdentity, Home, Ids, Memfd, Names, Namespaces, Parent,
    Process, ProcessKey, Program,
};
use crate::event::{Action, Endpoint, Event, EventId, Stamp};
use crate::identity::{Agent, Host, Identity, Os};

/// Text as hostile as it comes.
pub(super) fn text() -> impl Strategy<Value = Box<str>> {
    "(?s)(.|[a-z'\\\\$\" \u{1b}\u{202e}\n]){0,10}".prop_map(Into::into)
}

/// An absolute path.
pub(super) fn path() -> impl Strategy<Value = Box<str>> {
    "(/[a-z. ]{0,6}){1,4}".prop_map(Into::into)
}

/// A device number.
pub(super) fn device() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (128_u32..144, 0_u32..300).prop_map(|(major, minor)| major << 20 | minor),
    ]
}

pub(super) fn stamp() -> impl Strategy<Value = Stamp> {
    (any::<u64>(), any::<u64>()).prop_map(|(boot_ns, wall_ns)| Stamp { boot_ns, wall_ns })
}

pub(super) fn endpoint() -> impl Strategy<Value = Endpoint> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(address, port)| Endpoint { address, port })
}

/// Capabilities that there are.
pub(super) fn capabilities() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0_u64..1 << 41]
}

/// A number that ECS can hold.
pub(super) fn long() -> impl Strategy<Value = u64> {
    0..=i64::MAX.cast_unsigned()
}

/// Any event but an alert: those are not read back, but concluded anew.
pub fn event() -> BoxedStrategy<Event> {
    with(action())
}

/// Any event.
pub fn event_or_alert() -> BoxedStrategy<Event> {
    let alert = alerts::alert().prop_map(|alert| Action::Alert(Box::new(alert)));
    prop_oneof![6 => event(), 1 => with(alert.boxed())].boxed()
}

/// Where events are from.
pub fn origin() -> BoxedStrategy<Identity> {
    let known = || of(text());
    let agent =
        (known(), known(), known(), known()).prop_map(|(id, ephemeral_id, kind, version)| Agent {
            id,
            ephemeral_id,
            kind,
            version,
        });
    let os = (
        known(),
        known(),
        known(),
        known(),
        known(),
        known(),
        known(),
    )
        .prop_map(|(kind, family, full, kernel, name, platform, version)| Os {
            kind,
            family,
            full,
            kernel,
            name,
            platform,
            version,
        });
    let host = (known(), known(), known(), known(), os).prop_map(
        |(name, id, boot_id, architecture, os)| Host {
            name,
            id,
            boot_id,
            architecture,
            os,
        },
    );
    let tags = prop::collection::vec(text(), 0..3);
    let labels = prop::collection::btree_map("[a-z][a-z_-]{0,3}", text(), 0..3);
    (agent, host, tags, labels)
        .prop_map(|(agent, host, tags, labels)| Identity {
            agent,
            host,
            tags: tags.into(),
            labels: labels
                .into_iter()
                .map(|(name, text)| (name.into(), text))
                .collect(),
        })
        .boxed()
}

/// What happens, whenever and to whomever.
fn with(action: BoxedStrategy<Action>) -> BoxedStrategy<Event> {
    let id = (any::<u32>(), any::<u64>()).prop_map(|(run, sequence)| EventId { run, sequence });
    let who = (process(), any::<bool>());
    (id, any::<u32>(), stamp(), who, action)
        .prop_map(|(id, cpu, time, (process, by_nobody), action)| Event {
            id,
            cpu,
            time,
            process: of_action(process, by_nobody, &action),
            action,
        })
        .boxed()
}

/// Who executes a program runs it from then on, and there is no exec by nobody. Whether
/// arguments are missing is said by the exec alone.
fn of_action(mut process: Process, by_nobody: bool, action: &Action) -> Option<Process> {
    if let Action::Exec(exec) = action {
        process.program = Some(Arc::clone(&exec.program));
    }
    (!by_nobody || matches!(action, Action::Exec(_))).then_some(process)
}

fn action() -> BoxedStrategy<Action> {
    prop_oneof![
        1 => Just(Action::Fork),
        6 => exec().prop_map(|exec| Action::Exec(Box::new(exec))),
        1 => (any::<u8>(), of(any::<u8>()), any::<u64>())
            .prop_map(|(code, signal, run_ns)| Action::Exit(Exit { code, signal, run_ns })),
        1 => (text(), 0_u32..32, any::<u32>())
            .prop_map(|(name, flags, fd)| Action::Memfd(Memfd { name, flags, fd })),
        8 => sockets::action(),
        8 => files::action(),
        10 => system::action(),
    ]
    .boxed()
}

pub(super) fn ids() -> impl Strategy<Value = Ids> {
    any::<[u32; 6]>().prop_map(|[uid, gid, suid, sgid, euid, egid]| Ids {
        uid,
        gid,
        suid,
        sgid,
        euid,
        egid,
    })
}

/// A program, of which something is known.
pub(super) fn program() -> BoxedStrategy<Arc<Program>> {
    let args = prop::collection::vec(text(), 0..4);
    (of(path()), args, any::<bool>(), of("[0-9a-f]{8}"))
        .prop_map(|(executable, args, args_truncated, hash)| {
            Arc::new(Program {
                executable,
                args: args.into(),
                args_truncated,
                sha256: hash
                    .map(|hash| OnceLock::from(hash.into_boxed_str()))
                    .unwrap_or_default(),
            })
        })
        .boxed()
}

/// A process and what tracking gives it for an id.
pub(super) fn identity() -> impl Strategy<Value = (ProcessKey, Box<str>)> {
    (any::<u32>(), any::<u64>(), "[0-9a-f]{8}").prop_map(|(pid, start_ticks, boot)| {
        let entity = format!("{boot}-{pid}-{start_ticks}").into_boxed_str();
        (ProcessKey { pid, start_ticks }, entity)
    })
}

fn ancestors() -> impl Strategy<Value = Box<[Ancestor]>> {
    let ancestor = (identity(), text()).prop_map(|((key, entity), executable)| Ancestor {
        key,
        entity,
        executable,
    });
    prop::collection::vec(ancestor, 0..3).prop_map(Into::into)
}

fn home() -> BoxedStrategy<Home> {
    let name = || of(text().prop_map(Arc::from));
    (name(), name(), name(), name())
        .prop_map(|(cgroup, container, runtime, service)| Home {
            cgroup,
            container,
            runtime,
            service,
        })
        .boxed()
}

fn names() -> BoxedStrategy<Names> {
    let name = || of(text().prop_map(Arc::from));
    (name(), name(), name(), name())
        .prop_map(|(user, real_user, login_user, group)| Names {
            user,
            real_user,
            login_user,
            group,
        })
        .boxed()
}

fn process() -> BoxedStrategy<Process> {
    let numbers = any::<[u32; 8]>();
    let options = (of(any::<u32>()), of(any::<u32>()), of(any::<u32>()));
    let kernel = (stamp(), numbers, ids(), capabilities(), options, text());
    let tracked = (
        identity(),
        of(program()),
        of((identity(), program(), ancestors())),
        names(),
        home(),
    );
    let lineage = prop::collection::vec(select(vec!["package_manager", "web_service"]), 0..3);
    (kernel, tracked, any::<u64>(), lineage)
        .prop_map(|(kernel, tracked, cgroup_id, lineage)| {
            let (start, numbers, ids, capabilities, options, comm) = kernel;
            let [tid, ppid, ns_pid, session, mnt, pid, net, user] = numbers;
            let (login_uid, audit_session, tty) = options;
            let ((key, entity), program, parent, names, home) = tracked;
            Process {
                key,
                start,
                tid,
                ppid,
                ns_pid,
                ids,
                capabilities,
                login_uid,
                audit_session,
                session,
                tty,
                comm,
                namespaces: Namespaces {
                    mnt,
                    pid,
                    net,
                    user,
                },
                cgroup_id,
                entity: Some(entity),
                program,
                parent_entity: parent.as_ref().map(|((_, entity), ..)| entity.clone()),
                parent: parent.map(|((key, _), program, ancestors)| Parent {
                    key,
                    program,
                    ancestors,
                }),
                depth: 0,
                names,
                home,
                lineage: Lineage::of_words(lineage),
            }
        })
        .boxed()
}

/// A file; `mode` has a type.
pub(super) fn file() -> BoxedStrategy<FileIdentity> {
    let kinds = vec![
        libc::S_IFREG,
        libc::S_IFDIR,
        libc::S_IFLNK,
        libc::S_IFBLK,
        libc::S_IFCHR,
        libc::S_IFIFO,
        libc::S_IFSOCK,
    ];
    let magics = vec![0xef53, 0x0102_1994, 0x8584_58f6];
    (
        any::<[u64; 3]>(),
        long(),
        device(),
        (select(kinds), 0_u32..0o10000),
        any::<[u32; 3]>(),
        select(magics),
        any::<[bool; 3]>(),
    )
        .prop_map(|(wide, size, device, (kind, mode), narrow, fs_magic, is)| {
            let [inode, mtime_ns, ctime_ns] = wide;
            let [uid, gid, links] = narrow;
            let [memfd, deleted, overlay_upper] = is;
            FileIdentity {
                inode,
                device,
                size,
                mode: kind | mode,
                uid,
                gid,
                links,
                mtime_ns,
                ctime_ns,
                fs_magic,
                memfd,
                deleted,
                overlay_upper,
            }
        })
        .boxed()
}

/// What a standard stream can be: only sockets have ends, and only some have a path.
pub(super) fn object() -> BoxedStrategy<Object> {
    let inet =
        (endpoint(), endpoint(), any::<u8>()).prop_map(|(local, remote, protocol)| InetSocket {
            local,
            remote,
            protocol,
            state: 0,
        });
    let numbers = (any::<u64>(), device(), device(), of(any::<u64>()));
    (select(Kind::ALL.to_vec()), numbers, of(path()), of(inet))
        .prop_map(
            |(kind, (inode, device, stands_for, peer_inode), path, inet)| Object {
                kind,
                inode,
                device,
                stands_for,
                flags: 0,
                path,
                inet: inet.filter(|_| kind == Kind::InetSocket),
                peer_inode: peer_inode.filter(|_| kind == Kind::UnixSocket),
            },
        )
        .boxed()
}

fn exec() -> BoxedStrategy<Exec> {
    let carried =
        (any::<u64>(), long(), long(), long()).prop_map(|(inode, received, sent, idle_ns)| {
            Carried {
                inode,
                received,
                sent,
                idle_ns,
            }
        });
    let passed = (of(text()), of(text()), of(path()));
    let environment = prop::collection::vec(text(), 0..3);
    (
        program(),
        file(),
        passed,
        of(carried),
        any::<u64>(),
        (environment, any::<bool>()),
        [object(), object(), object()],
    )
        .prop_map(
            |(program, file, passed, carried, argument_bytes, environment, stdio)| {
                let (filename, interpreter, working_directory) = passed;
                Exec {
                    program,
                    executable: file,
                    filename,
                    interpreter,
                    working_directory,
                    carried,
                    argument_bytes,
                    environment: environment.0.into(),
                    environment_truncated: environment.1,
                    stdio,
                }
            },
        )
        .boxed()
}
