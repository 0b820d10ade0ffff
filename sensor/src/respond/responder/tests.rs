//! The responder with processes of our own, and without a firewall.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::event::alert::Severity;
use crate::event::made_up;
use crate::event::response::Verb;
use crate::respond::outbox::{Inbox, outbox};
use crate::respond::playbook::tests::{alert, set};
use crate::respond::process::Target;

/// How long what has to come may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    responder: Responder,
    handle: Handle,
    inbox: Inbox,
    _state: tempfile::TempDir,
}

impl Scene {
    fn with(lines: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let hands = Hands {
            firewall: Err("there is no firewall here".to_owned()),
            protected: Arc::default(),
            state: state.path().to_owned(),
            as_json: Arc::new(|_| "{}".to_owned()),
            runs: Arc::default(),
        };
        let (outbox, inbox) = outbox(Arc::default());
        inbox.wakes_this_thread();
        let responder = Responder::start(set(lines), hands, outbox).unwrap();
        Self {
            handle: responder.handle(),
            responder,
            inbox,
            _state: state,
        }
    }

    fn offer(&self, alert: &Event) {
        self.handle.offer(alert, |_| Vec::new());
    }

    /// What is reported next.
    fn next(&self) -> Response {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(done) = self.inbox.take() {
                return done.response;
            }
            assert!(Instant::now() < deadline, "nothing was reported");
            thread::park_timeout(Duration::from_millis(100));
        }
    }
}

/// A process that waits to be ended, and an alert about it.
fn victim() -> (Child, Event) {
    let child = Command::new("/bin/cat")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut event = alert(Severity::High, child.id());
    let key = Target::pid(child.id()).unwrap().processes[0];
    event.process = Some(made_up::process(key));
    (child, event)
}

#[test]
fn an_alert_that_concerns_a_playbook_is_answered_with_its_cause() {
    let scene = Scene::with("when = { peer = 'any' }\nactions = ['kill', 'block-peer']");
    let (mut child, event) = victim();
    scene.offer(&event);
    let kill = scene.next();
    assert_eq!((kill.verb, kill.outcome), (Verb::Kill, Outcome::Done));
    assert!(!child.wait().unwrap().success());
    assert_eq!(kill.alert.as_deref(), Some(&*event.id.to_string()));
    assert_eq!(kill.incident.as_deref(), Some("case"));
    assert_eq!(&*kill.reason, "Reverse shell: dash obeys");
    assert!(kill.latency_ns.is_some());
    let block = scene.next();
    assert_eq!((block.verb, block.outcome), (Verb::Block, Outcome::Failed));
    assert_eq!(&*block.detail, "there is no firewall here");
    scene.responder.finish();
}

#[test]
fn what_concerns_no_playbook_costs_no_place_in_the_queue() {
    let scene = Scene::with("when = { min_severity = 'critical' }\nactions = ['kill']");
    for _ in 0..2 * WAITING_MAX {
        scene.offer(&alert(Severity::High, 7));
    }
    scene.responder.finish();
    assert!(scene.inbox.take().is_none());
    assert_eq!(scene.handle.counters.counts().overlooked, 0);
}

#[test]
fn who_is_asked_decides() {
    let scene = Scene::with("when = { peer = 'any' }\nactions = ['kill']\nask = true");
    let (mut spared, event) = victim();
    scene.offer(&event);
    assert_eq!(scene.next().outcome, Outcome::Asked);
    let asked = scene.handle.asked();
    assert_eq!(asked[0].steps, [format!("kill pid {}", spared.id())]);
    assert_eq!(scene.handle.answer(9, true), Err(AnswerError::Unknown(9)));
    scene.handle.answer(1, false).unwrap();
    assert_eq!(scene.next().outcome, Outcome::Refused);
    assert!(spared.try_wait().unwrap().is_none());
    assert_eq!(scene.handle.answer(1, true), Err(AnswerError::Unknown(1)));

    scene.offer(&event);
    assert_eq!(scene.next().outcome, Outcome::Asked);
    scene.handle.answer(2, true).unwrap();
    assert_eq!(scene.next().outcome, Outcome::Done);
    assert!(!spared.wait().unwrap().success());
    scene.responder.finish();
}

#[test]
fn nobody_who_answers_in_time_means_no() {
    let scene =
        Scene::with("when = { peer = 'any' }\nactions = ['kill']\nask = true\nask_within = '1s'");
    let (mut spared, event) = victim();
    scene.offer(&event);
    assert_eq!(scene.next().outcome, Outcome::Asked);
    let refused = scene.next();
    assert_eq!(&*refused.detail, "nobody said yes in time");
    assert!(scene.handle.asked().is_empty());
    spared.kill().unwrap();
    spared.wait().unwrap();
    scene.responder.finish();
}

#[test]
fn more_questions_than_can_wait_are_refused() {
    let scene =
        Scene::with("when = { peer = 'any' }\nactions = ['kill']\nask = true\nper_hour = 1000");
    for pid in 0..crate::respond::asked::ASKED_MAX as u32 {
        scene.offer(&alert(Severity::High, 1_000_000 + pid));
        assert_eq!(scene.next().outcome, Outcome::Asked);
    }
    scene.offer(&alert(Severity::High, 7));
    let refused = scene.next();
    assert_eq!(refused.outcome, Outcome::Refused);
    assert!(refused.detail.contains("wait for a yes"), "{refused}");
    scene.responder.finish();
}
