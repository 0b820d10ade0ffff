//! Visitors of a web server, welcome and not: as much of HTTP as it takes to ask for a page and to
//! send a file, and a listener for shells that call back. What is asked for is not decided here.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long an answer may take; a Java server compiles pages first.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);
const BOUNDARY: &str = "----as0d9f8a7s6d5f";

/// A web server as its visitors know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site(SocketAddr);

impl Site {
    pub(super) fn new(address: IpAddr, port: u16) -> Self {
        Self((address, port).into())
    }

    /// Waits until it answers.
    pub(super) fn wait(self, page: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.get(page) {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() > START => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Asks for a page; its text.
    pub(super) fn get(self, page: &str) -> Result<String> {
        let request = format!("GET {page} HTTP/1.0\r\nHost: shop\r\n\r\n");
        self.ask(request.as_bytes())
    }

    /// Has a command run by a script that is asked for.
    pub(super) fn command(self, address: &str, command: &str) -> Result<String> {
        let escaped: String = command.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.get(&format!("{address}{escaped}"))
    }

    /// Sends a file as a form does.
    pub(super) fn send(self, form: &str, name: &str, text: &str) -> Result<String> {
        let body = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{text}\r\n--{BOUNDARY}--\r\n"
        );
        let request = format!(
            "POST {form} HTTP/1.0\r\nHost: shop\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.ask(request.as_bytes())
    }

    fn ask(self, request: &[u8]) -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.0, PATIENCE)
            .with_context(|| format!("nobody at {}", self.0))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request).context("it does not listen")?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).context("no answer")?;
        let answer = String::from_utf8_lossy(&bytes);
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        let status = head.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200"), "it says {status}: {body:.200}");
        Ok(body.to_owned())
    }
}

/// Waits for a shell to call back, asks it who it is, and lets it go; what it said.
pub(super) fn take_shell(listener: &TcpListener) -> Result<String> {
    let began = Instant::now();
    listener.set_nonblocking(true)?;
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(_) => bail!("no shell called back"),
        }
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"id\nexit\n")?;
    let mut said = Vec::new();
    stream
        .read_to_end(&mut said)
        .context("the shell does not end")?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}
