//! Implants that nobody talks to: each does once, and harmlessly, what follows a break-in.
//! Nothing is changed and nothing is left behind.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Says nothing, encoded.
const DECODED: &str = "echo Og== | base64 -d | /bin/sh";
/// Ports tried, of which hardly any is served on a loopback device of one's own.
const PORTS: std::ops::RangeInclusive<u16> = 1..=40;
/// A loopback device answers at once, or not at all.
const PATIENCE: Duration = Duration::from_millis(50);
/// Questions asked, of a domain that nobody can have (RFC 2606).
const QUESTIONS: u16 = 40;
const DOMAIN: [&str; 2] = ["drill", "invalid"];
/// Type TXT, class IN (RFC 1035).
const TXT_IN: [u8; 4] = [0, 16, 0, 1];

/// A shell behind base64.
pub fn decoded_commands(_: u16) -> io::Result<()> {
    Command::new("/bin/sh")
        .args(["-c", DECODED])
        .status()
        .map(drop)
}

/// A process opens the memory of its sister, and writes nothing.
pub fn foreign_memory(_: u16) -> io::Result<()> {
    let mut sister = Command::new("/bin/cat").stdin(Stdio::piped()).spawn()?;
    let script = format!("exec 3<>/proc/{}/mem", sister.id());
    let outcome = Command::new("/bin/sh").args(["-c", &script]).status();
    drop(sister.stdin.take());
    sister.wait()?;
    outcome.map(drop)
}

/// Tries ports.
pub fn port_scan(_: u16) -> io::Result<()> {
    for port in PORTS {
        let end = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // That nobody answers is what is expected.
        let _ = TcpStream::connect_timeout(&end, PATIENCE);
    }
    Ok(())
}

/// Asks for names that could carry data.
pub fn dns_channel(_: u16) -> io::Result<()> {
    for number in 0..QUESTIONS {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, 53))?;
        socket.send(&question(number))?;
    }
    Ok(())
}

/// A question for a long name (RFC 1035, section 4.1).
fn question(number: u16) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    // Recursion desired, one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let long = format!("{number:0>48x}");
    for label in [long.as_str(), DOMAIN[0], DOMAIN[1]] {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(TXT_IN);
    message
}
