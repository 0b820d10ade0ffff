//! Somebody who touches decoys: a file and a port that the drill's own sensor has laid out.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

/// The rule about callers of decoy ports.
pub const PORT_RULE: &str = "decoy-port";
/// Where nobody else should listen.
const PORT: u16 = 23_237;

/// The decoy file of the drills that a process holds.
#[must_use]
pub fn file(holder: u32) -> PathBuf {
    std::env::temp_dir().join(format!("sensor-drill-passwords-{holder}.txt"))
}

/// Writes what the sensor of the drills is to lay out, into its runtime directory.
///
/// # Errors
/// When that cannot be written.
pub fn configure(runtime: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(runtime)?;
    let path = runtime.join("drill.toml");
    let text = format!(
        "[decoys]\nfiles = ['{}']\ncreate_files = true\nports = ['{}:{PORT}']\n",
        file(std::process::id()).display(),
        Ipv4Addr::LOCALHOST
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// Reads the file; who holds the drill is the parent.
pub fn read(_: u16) -> io::Result<()> {
    fs::read(file(parent_id())).map(drop)
}

/// Calls the port.
pub fn call(_: u16) -> io::Result<()> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?.write_all(b"admin\r\n")
}
