//! Connections on loopback: connect, accept, close, with both ends in this process.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Job;

/// Connects to a listener of its own.
pub(crate) fn connect(job: &Job) -> Result<Value> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let mut ports = Vec::with_capacity(job.count as usize);
    for _ in job.indices() {
        let here = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let (there, peer) = listener.accept()?;
        ensure!(here.local_addr()? == peer, "somebody else connected");
        // The end that closes first keeps its port for a minute: let it be the accepting one,
        // whose port is the listener's anyway.
        drop(there);
        drop(here);
        ports.push(peer.port());
    }
    Ok(json!({ "address": "127.0.0.1", "port": port, "ports": ports }))
}
