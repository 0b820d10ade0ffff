//! What is said to a shell once there is a connection, and whether it answers. Where connections
//! come from, and what is made of the answer, is not known here.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::listener::Heard;

/// A payload that has not answered by then did not run.
const PATIENCE: Duration = Duration::from_secs(8);
/// A shell usually greets; one that does not is spoken to anyway.
const GREETING: Duration = Duration::from_millis(400);
/// A question without an answer is repeated: the shell behind the connection may not have been
/// there yet.
const REPEAT: Duration = Duration::from_millis(1500);
/// After the last word, for the shell to end as it likes.
const FAREWELL: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(20);
/// No more than this is kept of what was heard.
const KEPT: usize = 64 * 1024;

/// One command a line: some payloads hand each line to a program and not to a shell.
const QUESTION: &str = "id\n";
const ANSWER: &str = "uid=";
const LAST_WORD: &str = "exit\n";
/// Where a shell whose output does not come back leaves a trace, as seen in the cage.
pub(super) const TRACE: &str = "/tmp/.here";

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// When the answer came; it ran if there is one.
    pub(super) answered: Option<SystemTime>,
    /// How many connections there were.
    pub(super) connections: usize,
    /// What came.
    pub(super) heard: String,
}

struct Wire {
    input: Box<dyn Write + Send>,
    since: Instant,
    asked: Option<Instant>,
}

/// Talks until there is an answer or patience ends. A blind shell is asked for its trace.
pub(super) fn converse(heard: &Receiver<Heard>, trace: Option<&Path>) -> Outcome {
    let question = match trace {
        None => QUESTION.to_owned(),
        Some(_) => format!("touch {TRACE}\n"),
    };
    let mut talk = Talk {
        outcome: Outcome::default(),
        bytes: Vec::new(),
        wires: Vec::new(),
    };
    let began = Instant::now();
    while began.elapsed() < PATIENCE && talk.listen(heard) {
        let has_answered = trace.map_or_else(|| talk.has(ANSWER), Path::exists);
        if has_answered {
            talk.outcome.answered = Some(SystemTime::now());
            talk.say_to_all(LAST_WORD);
            let said = Instant::now();
            while said.elapsed() < FAREWELL && talk.listen(heard) {}
            break;
        }
        talk.ask(&question);
    }
    talk.outcome.heard = String::from_utf8_lossy(&talk.bytes).into_owned();
    talk.outcome
}

struct Talk {
    outcome: Outcome,
    bytes: Vec<u8>,
    wires: Vec<Wire>,
}

impl Talk {
    /// Takes what there is; false when nothing can come any more.
    fn listen(&mut self, heard: &Receiver<Heard>) -> bool {
        match heard.recv_timeout(TICK) {
            Ok(Heard::Connected(input)) => {
                self.outcome.connections += 1;
                self.wires.push(Wire {
                    input,
                    since: Instant::now(),
                    asked: None,
                });
            }
            Ok(Heard::Bytes(bytes)) => {
                let room = KEPT.saturating_sub(self.bytes.len());
                self.bytes.extend(bytes.iter().take(room));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn has(&self, wanted: &str) -> bool {
        self.bytes
            .windows(wanted.len())
            .any(|window| window == wanted.as_bytes())
    }

    fn ask(&mut self, question: &str) {
        let is_greeted = !self.bytes.is_empty();
        for wire in &mut self.wires {
            let is_due = match wire.asked {
                None => is_greeted || wire.since.elapsed() > GREETING,
                Some(asked) => asked.elapsed() > REPEAT,
            };
            if is_due {
                wire.asked = Some(Instant::now());
                // Whether it arrives is seen by the answer.
                let _ = wire.input.write_all(question.as_bytes());
                let _ = wire.input.flush();
            }
        }
    }

    fn say_to_all(&mut self, words: &str) {
        for wire in &mut self.wires {
            let _ = wire.input.write_all(words.as_bytes());
            let _ = wire.input.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Answers each question through the channel it was asked over.
    struct Shell(Sender<Heard>);

    impl Write for Shell {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if bytes == QUESTION.as_bytes() {
                let _ = self.0.send(Heard::Bytes(b"ui".to_vec()));
                let _ = self.0.send(Heard::Bytes(b"d=0(root)".to_vec()));
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_answer_in_two_pieces_is_one() {
        let (sender, heard) = channel();
        let shell = Box::new(Shell(sender.clone()));
        sender.send(Heard::Connected(shell)).unwrap();
        sender.send(Heard::Bytes(b"$ ".to_vec())).unwrap();
        let outcome = converse(&heard, None);
        assert!(outcome.answered.is_some());
        assert_eq!(outcome.connections, 1);
        assert!(outcome.heard.contains("uid=0"));
    }

    #[test]
    fn an_echo_is_no_answer() {
        let (sender, heard) = channel();
        sender.send(Heard::Bytes(QUESTION.into())).unwrap();
        drop(sender);
        assert!(converse(&heard, None).answered.is_none());
    }
}
