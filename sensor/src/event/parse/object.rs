//! Standard streams and the files of `file.stream`, read back.

use std::net::IpAddr;

use super::ParseError;
use super::row::{Device, Row};
use crate::event::Endpoint;
use crate::event::field::Field;
use crate::event::object::{InetSocket, Kind, Object, StreamFields};

/// A kind by its name.
pub(super) fn kind(row: &Row<'_>, field: Field) -> Result<Kind, ParseError> {
    let name: &str = row.get(field)?;
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| ParseError::wrong(field, "a kind of object"))
}

/// What a standard stream is.
pub(super) fn stream(row: &Row<'_>, names: &StreamFields) -> Result<Object, ParseError> {
    let device = |field| -> Result<u32, ParseError> {
        let device: Option<Device> = row.find(field)?;
        Ok(device.map_or(0, |device| device.0))
    };
    let mut object = Object {
        kind: kind(row, names.kind)?,
        inode: row.find(names.inode)?.unwrap_or(0),
        device: device(names.device)?,
        stands_for: device(names.terminal)?,
        flags: 0,
        path: None,
        inet: inet(row, names)?,
        peer_inode: row.find(names.unix_peer)?,
    };
    // Of some objects the description is the path, of others it is made of the rest.
    let words: &str = row.get(names.words)?;
    if object.to_string() != words {
        object.path = Some(words.into());
    }
    Ok(object)
}

fn inet(row: &Row<'_>, names: &StreamFields) -> Result<Option<InetSocket>, ParseError> {
    let end = |address, port| -> Result<Option<Endpoint>, ParseError> {
        let address: Option<IpAddr> = row.find(address)?;
        let port: Option<u16> = row.find(port)?;
        Ok(address
            .zip(port)
            .map(|(address, port)| Endpoint { address, port }))
    };
    let ends = end(names.local, names.local_port)?.zip(end(names.peer, names.peer_port)?);
    let protocol = row.find(names.protocol)?.unwrap_or(0);
    Ok(ends.map(|(local, remote)| InetSocket {
        local,
        remote,
        protocol,
        state: 0,
    }))
}
