//! Arbitrary events of privilege, of the system as a whole, and of the sensor itself.

use std::net::SocketAddr;

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use sensor_common::kind;

use super::{capabilities, endpoint, identity, ids, long, path, program, stamp, text};
use crate::event::Action;
use crate::event::health::{Change, Health, Lost, Previous, Verdict};
use crate::event::privilege::{
    Credentials, Identity, Mount, Ptrace, Setns, Signal, Target, Unshare, VmWrite,
};
use crate::event::response::{Origin, Outcome, Response, Verb};
use crate::event::system::{BpfLoad, Cgroup, Module};

pub(super) fn action() -> BoxedStrategy<Action> {
    prop_oneof![
        credentials().prop_map(|gain| Action::Credentials(Box::new(gain))),
        ptrace().prop_map(|ptrace| Action::Ptrace(Box::new(ptrace))),
        vm_write().prop_map(|write| Action::VmWrite(Box::new(write))),
        setns().prop_map(|setns| Action::Setns(Box::new(setns))),
        any::<u64>().prop_map(|flags| Action::Unshare(Unshare { flags })),
        mount().prop_map(|mount| Action::Mount(Box::new(mount))),
        signal().prop_map(Action::Signal),
        (text(), of(path()), any::<u64>())
            .prop_map(|(name, path, taints)| Action::Module(Module { name, path, taints })),
        bpf_load().prop_map(Action::BpfLoad),
        cgroup().prop_map(Action::CgroupMkdir),
        cgroup().prop_map(Action::CgroupRmdir),
        lost().prop_map(Action::Lost),
        health().prop_map(Action::Health),
        response().prop_map(|response| Action::Response(Box::new(response))),
    ]
    .boxed()
}

fn credentials() -> BoxedStrategy<Credentials> {
    let who = || {
        let all = (ids(), any::<[u32; 3]>());
        (all, capabilities(), capabilities()).prop_map(
            |((ids, [fsuid, fsgid, user_ns]), permitted, effective)| Identity {
                ids,
                fsuid,
                fsgid,
                permitted,
                effective,
                user_ns,
            },
        )
    };
    (who(), who(), any::<[bool; 4]>())
        .prop_map(|(old, new, is)| {
            let [root, capabilities, namespace, regained] = is;
            Credentials {
                old,
                new,
                root,
                capabilities,
                namespace,
                regained,
            }
        })
        .boxed()
}

fn target() -> BoxedStrategy<Target> {
    let numbers = (any::<[u32; 3]>(), capabilities(), text());
    (of(identity()), numbers, of(program()))
        .prop_map(
            |(identity, ([tid, ns_pid, uid], capabilities, comm), program)| Target {
                key: identity.as_ref().map(|(key, _)| *key),
                tid,
                ns_pid,
                uid,
                capabilities,
                comm,
                entity: identity.map(|(_, entity)| entity),
                program,
            },
        )
        .boxed()
}

fn ptrace() -> impl Strategy<Value = Ptrace> {
    let request = prop_oneof![select(vec![4_u64, 5, 16, 0x4206]), any::<u64>()];
    (target(), request, any::<u64>()).prop_map(|(target, request, address)| Ptrace {
        target,
        request,
        address,
    })
}

fn vm_write() -> impl Strategy<Value = VmWrite> {
    (target(), any::<[u64; 2]>()).prop_map(|(target, [bytes, address])| VmWrite {
        target,
        bytes,
        address,
    })
}

fn setns() -> impl Strategy<Value = Setns> {
    let types = prop_oneof![any::<u32>(), Just(0x4000_0000)];
    (types, of(any::<u64>()), of(target())).prop_map(|(namespaces, inode, target)| Setns {
        namespaces,
        inode,
        target,
    })
}

fn mount() -> BoxedStrategy<Mount> {
    let names = (of(text()), of(text()), of(path()), of(path()), of(text()));
    let fds = || prop_oneof![Just(-100), any::<i32>()];
    let flags = prop_oneof![any::<u64>(), Just(0xc0ed_0002)];
    (any::<bool>(), names, flags, fds(), fds())
        .prop_map(|(moved, names, flags, source_fd, target_fd)| {
            let (source, raw_target, resolved, working_directory, fs_type) = names;
            Mount {
                moved,
                source,
                raw_target,
                resolved,
                working_directory,
                fs_type,
                flags,
                source_fd,
                target_fd,
            }
        })
        .boxed()
}

fn signal() -> impl Strategy<Value = Signal> {
    (any::<[u32; 2]>(), any::<i32>(), 0_u32..6).prop_map(|([number, tid], code, outcome)| Signal {
        number,
        code,
        outcome,
        tid,
    })
}

fn bpf_load() -> impl Strategy<Value = BpfLoad> {
    let types = (0_u32..40, 0_u32..60);
    (text(), of(text()), types, any::<[u32; 2]>()).prop_map(
        |(name, function, (program_type, attach_type), [id, instructions])| BpfLoad {
            name,
            function,
            program_type,
            attach_type,
            id,
            instructions,
        },
    )
}

fn cgroup() -> impl Strategy<Value = Cgroup> {
    (any::<u64>(), path(), any::<[u32; 2]>()).prop_map(|(id, path, [hierarchy, level])| Cgroup {
        id,
        path,
        hierarchy,
        level,
    })
}

fn lost() -> impl Strategy<Value = Lost> {
    let kinds: Vec<_> = kind::ALL.iter().map(|(_, _, name)| *name).collect();
    let reason = text().prop_map(|reason| reason.into_string().into());
    (select(kinds), any::<u64>(), reason, stamp(), stamp()).prop_map(
        |(kind, count, reason, from, to)| Lost {
            kind,
            count,
            reason,
            from,
            to,
        },
    )
}

fn health() -> impl Strategy<Value = Health> {
    let change = select(vec![Change::Started, Change::Stopped, Change::Changed]);
    let verdict = select(vec![Verdict::Healthy, Verdict::Degraded, Verdict::Blind]);
    let previous = of((any::<u32>(), stamp(), any::<bool>())).prop_map(|previous| {
        previous.map(|(run, until, in_order)| Previous {
            run,
            until_wall_ns: until.wall_ns,
            in_order,
        })
    });
    let words = (text(), of(text()));
    (change, verdict, words, previous).prop_map(|(change, verdict, (detail, account), previous)| {
        Health {
            change,
            verdict,
            detail: detail.into_string(),
            account: account.map(str::into_string),
            previous,
        }
    })
}

fn response() -> impl Strategy<Value = Response> {
    let what = (
        select(Verb::ALL),
        select(Outcome::ALL.to_vec()),
        select(Origin::ALL.to_vec()),
    );
    let words = (text(), text(), text(), text());
    let more = (
        of(any::<u64>()),
        of(text()),
        of(text()),
        of(text()),
        of(long()),
        of(endpoint()),
    );
    (what, words, more).prop_map(
        |(
            (verb, outcome, origin),
            (target, by, reason, detail),
            (until_wall_ns, undo, alert, incident, latency_ns, peer),
        )| Response {
            verb,
            outcome,
            target,
            origin,
            by,
            reason,
            detail,
            peer: peer.map(|peer| SocketAddr::new(peer.address, peer.port)),
            until_wall_ns,
            undo,
            alert,
            incident,
            latency_ns,
        },
    )
}
