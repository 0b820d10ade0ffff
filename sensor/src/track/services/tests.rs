//! Who is taken for a service, and for a worker.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::event::network::{Flow, Listen, UnixName};
use crate::event::process::Parent;
use crate::event::{Endpoint, made_up};

/// A host of which only processes and services are known.
struct Host {
    processes: ProcessTable,
    services: Services,
}

const fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start_ticks: pid as u64,
    }
}

impl Host {
    fn new() -> Self {
        Self {
            processes: ProcessTable::new(100),
            services: Services::default(),
        }
    }

    fn does(&mut self, pid: u32, parent: u32, action: Action) {
        let mut process = made_up::process(key(pid));
        let program = self.processes.program(key(parent));
        process.parent = program.map(|program| Parent {
            ancestors: Box::default(),
            key: key(parent),
            program: Arc::clone(program),
        });
        let event = made_up::event(process, 1, action);
        self.services.apply(&event, &self.processes);
    }

    fn forks(&mut self, pid: u32, parent: u32) {
        self.processes.fork(key(pid), parent, 0);
        self.does(pid, parent, Action::Fork);
    }

    fn executes(&mut self, pid: u32, parent: u32, path: &str, environment: &[&str]) {
        let program = made_up::program(&[path]);
        self.processes.exec(key(pid), parent, Arc::clone(&program));
        let mut exec = made_up::exec(program);
        exec.environment = environment.iter().map(|text| (*text).into()).collect();
        self.does(pid, parent, Action::Exec(Box::new(exec)));
    }

    fn starts(&mut self, pid: u32, parent: u32, path: &str) {
        self.forks(pid, parent);
        self.executes(pid, parent, path, &[]);
    }

    fn listens(&mut self, pid: u32, port: u16) {
        let end = |port| Endpoint {
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
            port,
        };
        let flow = Flow {
            local: end(port),
            remote: end(0),
            protocol: 6,
            net_ns: 1,
            inode: Some(1),
        };
        let listen = Listen { flow, backlog: 1 };
        self.does(pid, 0, Action::TcpListen(Box::new(listen)));
    }

    fn ends(&mut self, pid: u32) {
        self.processes.exit(key(pid));
        self.services.ended(key(pid));
    }

    fn is_worker(&self, pid: u32) -> bool {
        let worker = self.services.web_worker(key(pid));
        worker.is_some_and(|worker| !self.services.members[&worker.key].has_ended)
    }
}

#[test]
fn forks_of_a_listener_are_workers_and_what_they_execute_is_none() {
    let mut host = Host::new();
    host.starts(10, 1, "/usr/sbin/apache2");
    host.listens(10, 80);
    host.forks(11, 10);
    host.forks(12, 11);
    assert!(host.is_worker(10) && host.is_worker(11) && host.is_worker(12));
    host.executes(12, 11, "/bin/sh", &[]);
    assert!(!host.is_worker(12) && host.is_worker(11));
}

#[test]
fn where_a_new_web_service_has_its_pages_is_found_out_at_once() {
    let mut host = Host::new();
    host.services = Services::start().unwrap();
    let own = std::process::id();
    host.starts(own, 1, "/opt/app/server");
    host.listens(own, 8080);
    // What it stands in is one of its roots.
    let page = std::env::current_dir().unwrap().join("x.php");
    let page = page.to_str().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !host.services.is_in_web_root(page) {
        assert!(Instant::now() < deadline);
        host.services.turn();
        std::thread::yield_now();
    }
}

#[test]
fn a_program_nobody_knows_is_a_web_service_on_a_web_port_only() {
    let mut host = Host::new();
    host.starts(10, 1, "/opt/app/server");
    host.listens(10, 9_999);
    assert!(!host.is_worker(10));
    host.listens(10, 8080);
    assert!(host.is_worker(10));
    host.starts(20, 1, "/usr/sbin/sshd");
    host.listens(20, 443);
    assert!(!host.is_worker(20));
}

#[test]
fn whoever_a_web_server_calls_is_one_with_the_workers_that_are_there_already() {
    let mut host = Host::new();
    host.starts(10, 1, "/usr/sbin/nginx");
    host.listens(10, 80);
    host.starts(30, 1, "/usr/bin/python3.11");
    host.forks(31, 30);
    assert!(!host.is_worker(31));
    let connect = UnixConnect {
        peer: UnixName::Unnamed,
        socket_type: 1,
        inode: 1,
        peer_inode: None,
        peer_pid: Some(30),
    };
    host.does(10, 1, Action::UnixConnect(Box::new(connect)));
    assert!(host.is_worker(30) && host.is_worker(31));
    let caller = host.services.services[&key(30)].caller.unwrap();
    assert_eq!(caller.key, key(10));
}

#[test]
fn a_daemon_outlives_the_process_that_put_it_into_the_background() {
    let mut host = Host::new();
    host.starts(10, 1, "/usr/sbin/nginx");
    host.listens(10, 80);
    host.forks(11, 10);
    host.forks(12, 11);
    host.ends(10);
    assert!(host.is_worker(11) && host.is_worker(12));
    assert_eq!(
        host.services.services.keys().collect::<Vec<_>>(),
        [&key(11)]
    );
    host.forks(13, 11);
    assert!(host.is_worker(13));
}

#[test]
fn a_service_is_not_known_by_a_process_that_is_gone() {
    let mut host = Host::new();
    host.starts(10, 1, "/usr/sbin/php-fpm8.2");
    host.forks(11, 10);
    host.forks(12, 11);
    host.ends(10);
    host.listens(11, 9_000);
    assert!(host.is_worker(11) && host.is_worker(12));
    let worker = host.services.web_worker(key(12)).unwrap();
    assert_eq!(worker.service.master, key(11));
}

#[test]
fn a_cgi_program_works_for_a_request_and_what_it_starts_does_not() {
    let mut host = Host::new();
    host.starts(10, 1, "/usr/sbin/apache2");
    host.listens(10, 80);
    let environment = [
        "SCRIPT_FILENAME=/usr/lib/cgi-bin/a.cgi",
        "REMOTE_ADDR=203.0.113.7",
        "REMOTE_PORT=40000",
    ];
    host.forks(11, 10);
    host.executes(11, 10, "/usr/lib/cgi-bin/a.cgi", &environment);
    let worker = host.services.web_worker(key(11)).unwrap();
    let request = worker.request.unwrap();
    assert_eq!(&*request.script, "/usr/lib/cgi-bin/a.cgi");
    assert_eq!(request.client, Some(Ipv4Addr::new(203, 0, 113, 7).into()));
    host.forks(12, 11);
    host.executes(12, 11, "/usr/bin/id", &environment);
    assert!(!host.is_worker(12));
    // A command cannot make itself a page by its environment.
    host.forks(13, 10);
    host.executes(13, 10, "/bin/sh", &environment);
    assert!(!host.is_worker(13));
}

#[test]
fn ended_workers_are_remembered_for_what_they_started_and_forgotten_in_time() {
    let mut host = Host::new();
    host.starts(10, 1, "/usr/sbin/apache2");
    host.listens(10, 80);
    for pid in 100..100 + ENDED_MAX as u32 + 10 {
        host.forks(pid, 10);
        host.ends(pid);
    }
    assert!(!host.is_worker(100) && host.services.web_worker(key(100)).is_none());
    assert_eq!(host.services.members.len(), ENDED_MAX + 1);
}
