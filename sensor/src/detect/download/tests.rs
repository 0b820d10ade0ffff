//! What is told of which downloads.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::event::file::Access;
use crate::event::made_up;
use crate::event::network::{Connect, Flow, Outcome};
use crate::event::process::Parent;

struct Host {
    tracker: Tracker,
    downloads: Downloads,
    now: u64,
}

const fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start_ticks: pid as u64,
    }
}

fn connect(address: Ipv4Addr) -> Action {
    Action::TcpConnect(Box::new(Connect {
        flow: Flow {
            local: Endpoint {
                address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
                port: 40_000,
            },
            remote: Endpoint {
                address: IpAddr::V4(address),
                port: 443,
            },
            protocol: 6,
            net_ns: 1,
            inode: Some(77),
        },
        outcome: Outcome::Success,
        started: None,
        took_ns: 1,
    }))
}

const PEER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

impl Host {
    fn new() -> Self {
        Self {
            tracker: Tracker::replaying(100),
            downloads: Downloads::default(),
            now: 1_000_000_000,
        }
    }

    fn does(&mut self, pid: u32, action: Action) -> Vec<Finding> {
        self.now += 1_000_000;
        let mut event = made_up::event(made_up::process(key(pid)), self.now, action);
        self.tracker.apply(&mut event);
        let mut found = Vec::new();
        self.downloads.observe(&event, &self.tracker, &mut found);
        found
    }

    fn forks(&mut self, pid: u32, parent: u32) {
        self.now += 1_000_000;
        let mut process = made_up::process(key(pid));
        process.ppid = parent;
        process.parent = Some(Parent {
            key: key(parent),
            program: made_up::program(&["/home/eve/bin/build"]),
            ancestors: Box::default(),
        });
        let mut event = made_up::event(process, self.now, Action::Fork);
        self.tracker.apply(&mut event);
    }

    /// Executes a program that is the file of that number.
    fn executes(&mut self, pid: u32, words: &[&str], inode: u64) -> Vec<Finding> {
        let mut exec = made_up::exec(made_up::program(words));
        exec.executable.inode = inode;
        exec.working_directory = Some("/home/eve".into());
        self.does(pid, Action::Exec(Box::new(exec)))
    }

    fn writes(&mut self, pid: u32, path: &str, inode: u64) {
        self.opens(pid, path, inode, true);
    }

    fn opens(&mut self, pid: u32, path: &str, inode: u64, truncated: bool) {
        let mut file = made_up::file(0);
        file.inode = inode;
        let access = Access {
            kind: AccessKind::Open,
            path: path.into(),
            file,
            flags: 0,
            reads: false,
            writes: true,
            created: true,
            truncated,
        };
        assert!(
            self.does(pid, Action::FileAccess(Box::new(access)))
                .is_empty()
        );
    }

    fn fetches(&mut self, by: &str, from: Ipv4Addr, path: &str) {
        assert!(self.executes(10, &[by], 1).is_empty());
        assert!(self.does(10, connect(from)).is_empty());
        self.writes(10, path, 99);
    }
}

fn severities(found: &[Finding]) -> Vec<Severity> {
    found.iter().map(|finding| finding.severity).collect()
}

#[test]
fn a_program_fetched_by_anything_and_executed_is_told_once() {
    let mut host = Host::new();
    host.fetches("/home/eve/renamed-wget", PEER, "/home/eve/tool");
    let found = host.executes(11, &["/home/eve/tool"], 99);
    assert_eq!(severities(&found), [Severity::Medium]);
    assert_eq!(found[0].file.as_deref(), Some("/home/eve/tool"));
    assert_eq!(severities(&host.executes(12, &["/home/eve/tool"], 99)), []);
}

#[test]
fn in_a_temporary_directory_from_a_peer_without_a_name_it_is_high() {
    let mut host = Host::new();
    host.fetches("/usr/bin/curl", PEER, "/tmp/x");
    let found = host.executes(11, &["/tmp/x"], 99);
    assert_eq!(severities(&found), [Severity::High]);
}

#[test]
fn a_script_that_is_given_to_an_interpreter_is_run_too() {
    let mut host = Host::new();
    host.fetches("/usr/bin/curl", PEER, "/home/eve/install.sh");
    let found = host.executes(11, &["/usr/bin/bash", "./install.sh"], 5);
    assert_eq!(severities(&found), [Severity::Medium]);
}

#[test]
fn what_came_from_this_machine_or_by_what_keeps_sources_is_nothing() {
    let mut host = Host::new();
    host.fetches("/usr/bin/curl", Ipv4Addr::LOCALHOST, "/tmp/x");
    assert_eq!(severities(&host.executes(11, &["/tmp/x"], 99)), []);
    host.fetches("/usr/bin/git", PEER, "/home/eve/src/configure");
    assert_eq!(
        severities(&host.executes(12, &["/home/eve/src/configure"], 99)),
        []
    );
}

#[test]
fn a_file_written_anew_by_something_else_is_no_download_any_more() {
    let mut host = Host::new();
    host.fetches("/usr/bin/curl", PEER, "/tmp/x");
    host.executes(20, &["/usr/bin/cp"], 2);
    host.writes(20, "/tmp/x", 99);
    assert_eq!(severities(&host.executes(11, &["/tmp/x"], 99)), []);
}

#[test]
fn what_a_compiler_makes_is_not_what_the_tool_fetched_that_calls_it() {
    let mut host = Host::new();
    host.executes(10, &["/home/eve/bin/build"], 1);
    host.does(10, connect(PEER));
    host.forks(11, 10);
    host.executes(11, &["/usr/bin/cc"], 2);
    host.writes(11, "/tmp/project/configure-test", 98);
    assert_eq!(
        severities(&host.executes(12, &["/tmp/project/configure-test"], 98)),
        []
    );
    // A fork that runs no other program still has the connection.
    host.forks(13, 10);
    host.writes(13, "/tmp/project/tool", 99);
    assert_eq!(
        severities(&host.executes(14, &["/tmp/project/tool"], 99)),
        [Severity::High]
    );
}

#[test]
fn a_new_file_with_the_number_of_a_download_that_is_gone_is_none() {
    let mut host = Host::new();
    host.fetches("/usr/bin/ssh", PEER, "/home/eve/.ssh/known_hosts");
    host.executes(20, &["/usr/bin/cp"], 2);
    host.opens(20, "/srv/root/bin/sh", 99, false);
    assert_eq!(
        severities(&host.executes(11, &["/srv/root/bin/sh"], 99)),
        []
    );
}
