//! Whether somebody's connection survives what was just done: seen in what its peer confirms.
//! What is done when it does not is decided elsewhere.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::diag::{self, Progress, Socket};
use super::operator::Session;
use super::target::Protocol;

/// How long an answer may take before a connection is taken for dead.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a connection may say nothing when nothing was sent.
const IDLE: Duration = Duration::from_millis(1_000);
/// How far what the kernel says of the time may be off: its clock ticks every 1 to 10 ms.
const TICKS: Duration = Duration::from_millis(20);
/// How often it is looked at.
const TICK: Duration = Duration::from_millis(25);

/// How a connection fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its peer has confirmed something since.
    Alive,
    /// Nothing was sent over it since, so nothing speaks against it.
    Idle,
    /// What was sent was not confirmed, or the connection is gone.
    Dead,
}

/// Waits until what is sent next shows as sent afterwards.
pub(super) fn settle() {
    thread::sleep(2 * TICKS);
}

/// Watches connections until one is alive, or it is known how they fare. One of them suffices:
/// logins can be nested.
pub(super) fn watch(sessions: &[Session], since: Instant) -> io::Result<Verdict> {
    loop {
        let sockets = diag::connections()?;
        let elapsed = since.elapsed();
        let verdicts: Vec<_> = sessions
            .iter()
            .map(|session| verdict(find(&sockets, session), elapsed))
            .collect();
        for wanted in [Verdict::Alive, Verdict::Idle] {
            if verdicts.contains(&Some(wanted)) {
                return Ok(wanted);
            }
        }
        if verdicts
            .iter()
            .all(|verdict| *verdict == Some(Verdict::Dead))
        {
            return Ok(Verdict::Dead);
        }
        thread::sleep(TICK);
    }
}

fn find<'s>(sockets: &'s [Socket], session: &Session) -> Option<&'s Socket> {
    sockets.iter().find(|socket| {
        socket.protocol == Protocol::TCP
            && socket.remote == session.client
            && socket.local == session.server
    })
}

/// What is known after some time; nothing while that may still change.
fn verdict(socket: Option<&Socket>, elapsed: Duration) -> Option<Verdict> {
    let Some(Progress {
        unacknowledged,
        quiet_ms,
        silent_ms,
    }) = socket.and_then(|socket| socket.progress)
    else {
        return Some(Verdict::Dead);
    };
    let heard = Duration::from_millis(u64::from(quiet_ms.min(silent_ms)));
    if heard + TICKS < elapsed {
        return Some(Verdict::Alive);
    }
    if unacknowledged == 0 && elapsed > IDLE {
        return Some(Verdict::Idle);
    }
    (elapsed > PATIENCE).then_some(Verdict::Dead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_that_is_answered_is_alive_and_one_that_is_gone_is_dead() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _there = listener.accept().unwrap();
        let session = Session {
            client: here.peer_addr().unwrap(),
            server: here.local_addr().unwrap(),
        };
        let since = Instant::now();
        settle();
        here.write_all(b"x").unwrap();
        assert_eq!(watch(&[session], since).unwrap(), Verdict::Alive);
        assert_eq!(watch(&[session], Instant::now()).unwrap(), Verdict::Idle);
        let other = Session {
            client: session.server,
            server: session.server,
        };
        assert_eq!(watch(&[other], Instant::now()).unwrap(), Verdict::Dead);
    }
}
