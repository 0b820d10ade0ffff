//! Connections on loopback: connect, accept, close, with both ends in this process.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::{Result, ensure};
use sensor_tests::{network, plan};
use serde_json::{Value, json};

use crate::Job;

/// Connects to a listener of its own.
pub(crate) fn connect(job: &Job) -> Result<Value> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let mut buffer = [b'x'; plan::MESSAGE_MAX];
    let mut sockets = Vec::with_capacity(job.count as usize);
    for index in job.indices() {
        let here = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let (mut there, peer) = listener.accept()?;
        ensure!(here.local_addr()? == peer, "somebody else connected");
        let message = buffer
            .get_mut(..plan::message_bytes(job.seed, index))
            .unwrap_or_default();
        (&here).write_all(message)?;
        there.read_exact(message)?;
        sockets.push((peer.port(), network::inode(&here), network::inode(&there)));
        // The end that closes first keeps its port for a minute: let it be the accepting one,
        // whose port is the listener's anyway.
        drop(there);
        drop(here);
    }
    Ok(json!({ "address": "127.0.0.1", "port": port, "sockets": sockets }))
}
