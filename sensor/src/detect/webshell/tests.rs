//! What is told of which commands.

use super::*;

fn deed(damning: Option<&'static str>, looking: &[&'static str]) -> Deed {
    Deed {
        programs: Vec::new(),
        damning,
        looking: looking.to_vec(),
    }
}

fn severity(deed: &Deed, habit: Habit, looked: usize, is_dropped: bool) -> Option<Severity> {
    judge(deed, habit, looked, is_dropped).map(|verdict| verdict.severity)
}

#[test]
fn what_a_service_always_ran_is_nothing_and_what_is_new_is_looked_at() {
    let plain = deed(None, &[]);
    assert_eq!(severity(&plain, Habit::Learned, 0, false), None);
    assert_eq!(severity(&plain, Habit::Known, 0, false), None);
    assert_eq!(
        severity(&plain, Habit::New { known_ns: 0 }, 0, false),
        Some(Severity::Medium)
    );
}

#[test]
fn a_damning_command_is_high_and_critical_from_a_script_that_a_web_service_wrote() {
    let damning = deed(Some("asks who it is"), &[]);
    assert_eq!(
        severity(&damning, Habit::Known, 0, false),
        Some(Severity::High)
    );
    assert_eq!(
        severity(&damning, Habit::Known, 0, true),
        Some(Severity::Critical)
    );
}

#[test]
fn any_command_of_a_dropped_script_is_high_unless_it_is_usual() {
    let plain = deed(None, &[]);
    assert_eq!(
        severity(&plain, Habit::Learned, 0, true),
        Some(Severity::High)
    );
    assert_eq!(severity(&plain, Habit::Known, 0, true), None);
}

#[test]
fn looking_around_once_is_nothing_and_a_burst_of_it_is_medium() {
    let once = deed(None, &["uname"]);
    assert_eq!(severity(&once, Habit::Learned, 1, false), None);
    assert_eq!(
        severity(&once, Habit::Learned, 3, false),
        Some(Severity::Medium)
    );
    assert_eq!(
        severity(&deed(None, &["ps", "uname"]), Habit::Learned, 2, false),
        Some(Severity::Medium)
    );
}

#[test]
fn an_alert_is_told_again_only_when_it_is_worse_or_old() {
    let process = |pid| ProcessKey {
        pid,
        start_ticks: 1,
    };
    let mut shells = Webshells::default();
    let mut news =
        |severity, now, pid| shells.is_news((process(1), "x".into()), severity, now, process(pid));
    assert!(news(Severity::Medium, 0, 10));
    assert!(!news(Severity::Medium, 1, 11) && !news(Severity::Low, 1, 12));
    assert!(news(Severity::High, 2, 13) && !news(Severity::High, 3, 14));
    assert!(news(Severity::High, 3 + TOLD_NS, 15));
    let same: Vec<_> = shells
        .same_story()
        .map(|(key, of)| (key.pid, of.pid))
        .collect();
    assert_eq!(same, [(11, 10), (12, 10), (14, 13)]);
}

/// A host with an old nginx and php-fpm (10, worker 11) that a client is connected to.
mod whole {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::detect::finding::Cause;
    use crate::event::file::{Access, AccessKind};
    use crate::event::network::{Accept, Flow, Listen};
    use crate::event::{Endpoint, made_up};

    struct Host {
        tracker: Tracker,
        shells: Webshells,
        now: u64,
    }

    const fn key(pid: u32) -> ProcessKey {
        ProcessKey {
            pid,
            start_ticks: pid as u64,
        }
    }

    fn flow(remote: u16) -> Flow {
        let end = |port| Endpoint {
            address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
            port,
        };
        Flow {
            local: end(80),
            remote: end(remote),
            protocol: 6,
            net_ns: 1,
            inode: Some(u64::from(remote) + 1),
        }
    }

    impl Host {
        /// Pids beyond any real one, so that nothing of this machine is asked.
        fn with_server() -> Self {
            let tracker = Tracker::new(1_000).unwrap();
            let shells = Webshells::default();
            let now = 1_000_000_000;
            let mut host = Self {
                tracker,
                shells,
                now,
            };
            host.executes(5_000_010, 1, &["/usr/sbin/apache2"]);
            host.does(
                5_000_010,
                1,
                Action::TcpListen(Box::new(Listen {
                    flow: flow(0),
                    backlog: 1,
                })),
            );
            host.does(5_000_011, 5_000_010, Action::Fork);
            host.tracker.give_roots(key(5_000_010), &["/var/www/html"]);
            host.does(
                5_000_011,
                5_000_010,
                Action::TcpAccept(Box::new(Accept(flow(40_000)))),
            );
            host
        }

        fn does(&mut self, pid: u32, parent: u32, action: Action) -> Vec<Finding> {
            self.now += 1_000_000;
            let mut process = made_up::process(key(pid));
            process.ppid = parent;
            let mut event = made_up::event(process, self.now, action);
            self.tracker.apply(&mut event);
            let mut found = Vec::new();
            self.shells.observe(&event, &self.tracker, &mut found);
            found
        }

        fn executes(&mut self, pid: u32, parent: u32, words: &[&str]) -> Vec<Finding> {
            let mut exec = made_up::exec(made_up::program(words));
            exec.working_directory = Some("/var/www/html/up".into());
            self.does(pid, parent, Action::Fork);
            self.does(pid, parent, Action::Exec(Box::new(exec)))
        }

        fn connects(&mut self, port: u16) -> Vec<Finding> {
            let mut flow = flow(port);
            flow.local.port = 50_000;
            let connect = Connect {
                flow,
                started: None,
                took_ns: 0,
                outcome: Outcome::Success,
            };
            self.does(5_000_011, 5_000_010, Action::TcpConnect(Box::new(connect)))
        }

        fn writes(&mut self, path: &str) -> Vec<Finding> {
            let access = Access {
                kind: AccessKind::Close,
                path: path.into(),
                file: made_up::file(100),
                flags: 0,
                reads: false,
                writes: true,
                created: true,
                truncated: false,
            };
            self.does(5_000_011, 5_000_010, Action::FileAccess(Box::new(access)))
        }
    }

    fn id(finding: &Finding) -> &'static str {
        match &finding.cause {
            Cause::Behaviour(builtin) => builtin.id,
            Cause::Rule(_) => "a rule",
        }
    }

    fn told(found: &[Finding]) -> Vec<(&'static str, Severity)> {
        found
            .iter()
            .map(|finding| (id(finding), finding.severity))
            .collect()
    }

    #[test]
    fn an_uploaded_script_that_runs_commands_is_told_with_script_writer_and_client() {
        let mut host = Host::with_server();
        let dropped = host.writes("/var/www/html/up/x.php");
        assert_eq!(told(&dropped), [("webshell.dropped", Severity::Medium)]);
        let ran = host.executes(5_000_020, 5_000_011, &["/bin/sh", "-c", "id; uname -a"]);
        assert_eq!(told(&ran), [("webshell.command", Severity::Critical)]);
        assert_eq!(ran[0].file.as_deref(), Some("/var/www/html/up/x.php"));
        assert_eq!(ran[0].peer.unwrap().endpoint, flow(40_000).remote);
        assert!(
            ran[0]
                .message
                .contains("written 0 s before by apache2[5000011]")
        );
        assert_eq!(
            host.shells.same_story().next(),
            Some((key(5_000_020), key(5_000_011)))
        );
    }

    #[test]
    fn a_place_a_service_never_connected_to_is_told_once_it_is_known_long_enough() {
        let mut host = Host::with_server();
        assert_eq!(told(&host.connects(4_444)), [], "while it is learned");
        host.now += 3_600 * 1_000_000_000;
        assert_eq!(told(&host.connects(4_444)), [], "usual");
        let strange = host.connects(9_001);
        assert_eq!(told(&strange), [("webshell.connects", Severity::Medium)]);
        assert_eq!(strange[0].peer.unwrap().endpoint, flow(9_001).remote);
        assert_eq!(told(&host.connects(9_001)), [], "told once");
        let a_page = host.connects(443);
        assert_eq!(told(&a_page), [("webshell.connects", Severity::Low)]);
    }

    #[test]
    fn a_new_place_soon_after_an_upload_is_told_also_while_it_is_learned() {
        let mut host = Host::with_server();
        host.writes("/var/www/html/up/x.php");
        let strange = host.connects(443);
        assert_eq!(told(&strange), [("webshell.connects", Severity::Medium)]);
    }

    #[test]
    fn a_command_that_is_new_is_told_with_how_long_the_service_is_known() {
        let mut host = Host::with_server();
        host.now += 2 * 3_600 * 1_000_000_000;
        let ran = host.executes(5_000_020, 5_000_011, &["/usr/bin/gm", "convert"]);
        assert_eq!(told(&ran), [("webshell.command", Severity::Medium)]);
        assert!(
            ran[0].message.contains("in the 2 h it is known"),
            "{}",
            ran[0].message
        );
    }

    #[test]
    fn a_picture_that_is_converted_is_nothing_also_beside_uploads() {
        let mut host = Host::with_server();
        assert_eq!(told(&host.writes("/var/www/html/up/x.jpg")), []);
        let ran = host.executes(5_000_020, 5_000_011, &["/bin/sh", "-c", "gm convert a b"]);
        assert_eq!(told(&ran), []);
        assert_eq!(
            told(&host.executes(5_000_021, 5_000_020, &["/usr/bin/gm"])),
            []
        );
    }

    #[test]
    fn an_update_that_writes_many_scripts_makes_none_of_them_a_webshell() {
        let mut host = Host::with_server();
        let all: Vec<_> = (0..50)
            .flat_map(|n| host.writes(&format!("/var/www/html/up/{n}.php")))
            .collect();
        assert_eq!(all.len(), DROPS_MAX);
        let ran = host.executes(5_000_020, 5_000_011, &["/bin/sh", "-c", "gm convert a b"]);
        assert_eq!(told(&ran), []);
    }

    #[test]
    fn a_template_cache_is_low_and_files_outside_web_roots_are_nothing() {
        let mut host = Host::with_server();
        let cached = host.writes("/var/www/html/cache/t.php");
        assert_eq!(told(&cached), [("webshell.dropped", Severity::Low)]);
        assert_eq!(told(&host.writes("/srv/data/t.php")), []);
    }

    #[test]
    fn commands_of_others_are_not_its_business() {
        let mut host = Host::with_server();
        host.executes(5_000_030, 1, &["/bin/bash"]);
        assert_eq!(
            told(&host.executes(5_000_031, 5_000_030, &["/usr/bin/id"])),
            []
        );
    }
}
