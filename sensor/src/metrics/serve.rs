//! Answers whoever asks for the metrics over HTTP: `GET /metrics`, and `GET /health` for those who
//! only want to know whether all is well. Reads no more of a request than its first line needs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::text;
use crate::status::Status;

/// Requests answered at a time.
const CONVERSATIONS_MAX: usize = 8;
/// Longest request that is read, in bytes.
const REQUEST_MAX: usize = 8 * 1024;
/// How long one may take, with its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens at an address.
///
/// # Errors
/// When it is not free, or not ours.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Answers for ever.
pub async fn serve(listener: TcpListener, status: Arc<Status>) {
    let free = Arc::new(Semaphore::new(CONVERSATIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is free, say: that passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let status = Arc::clone(&status);
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, converse(stream, &status)).await;
            drop(permit);
        });
    }
}

async fn converse(mut stream: TcpStream, status: &Status) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) && request.len() < REQUEST_MAX {
        let mut part = [0; 1024];
        match stream.read(&mut part).await? {
            0 => break,
            length => request.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    let (code, body) = answer(&request, status);
    let head = format!(
        "HTTP/1.1 {code}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

fn is_whole(request: &[u8]) -> bool {
    request.windows(4).any(|end| end == b"\r\n\r\n")
}

fn answer(request: &[u8], status: &Status) -> (&'static str, String) {
    let first = request.split(|byte| *byte == b'\r').next();
    let line = str::from_utf8(first.unwrap_or_default()).unwrap_or_default();
    let mut words = line.split(' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    if method != Some("GET") {
        return ("405 Method Not Allowed", "only GET\n".to_owned());
    }
    let report = match status.report() {
        Ok(report) => report,
        Err(error) => return ("500 Internal Server Error", format!("{error}\n")),
    };
    match path {
        "/metrics" => ("200 OK", text(&report)),
        "/health" if report.verdict == "healthy" => ("200 OK", "healthy\n".to_owned()),
        "/health" => (
            "503 Service Unavailable",
            format!("{}: {}\n", report.verdict, report.summary),
        ),
        _ => (
            "404 Not Found",
            "there are /metrics and /health\n".to_owned(),
        ),
    }
}
