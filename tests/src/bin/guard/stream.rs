//! One TCP connection through a cable to a host that the firewall does not deny it to: how much
//! gets through with so many entries about others, and without a firewall.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use serde_json::json;

use crate::frames::HOST;
use crate::namespace::Cable;
use crate::wire::At;
use crate::{Args, counts, median, tell};

/// How long data is sent for one measurement.
const TIME: Duration = Duration::from_millis(700);

pub fn run(args: &Args) -> Result<()> {
    let mut sides = vec![("nothing", 0, Cable::new()?, None)];
    for at in [At::Tc, At::Xdp] {
        for count in counts(args.most) {
            let cable = Cable::new()?;
            let guard = at.attach(&cable, count)?;
            sides.push((at.name(), count, cable, Some(guard)));
        }
    }
    let mut rates = vec![Vec::new(); sides.len()];
    for _ in 0..args.rounds {
        for ((_, _, cable, _), rates) in sides.iter().zip(&mut rates) {
            rates.push(transfer(cable)?);
        }
    }
    for ((name, count, _, _), rates) in sides.iter().zip(rates) {
        tell(&json!({
            "what": "stream",
            "program": name,
            "count": count,
            "gbit_per_second": median(rates.clone()),
            "rounds": rates,
        }));
    }
    Ok(())
}

/// Sends as fast as it goes; 10^9 bits a second.
fn transfer(cable: &Cable) -> Result<f64> {
    let listener = cable.host.within(|| Ok(TcpListener::bind((HOST, 0))?))?;
    let address = listener.local_addr()?;
    let receiver = thread::spawn(move || -> Result<u64> {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = vec![0; 256 * 1024];
        let mut total = 0;
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(total),
                bytes => total += bytes as u64,
            }
        }
    });
    let mut stream = cable.sender.within(|| Ok(TcpStream::connect(address)?))?;
    let buffer = vec![7; 256 * 1024];
    let started = Instant::now();
    while started.elapsed() < TIME {
        stream.write_all(&buffer).context("cannot send")?;
    }
    drop(stream);
    let total = receiver.join().map_err(|_| anyhow!("a thread failed"))??;
    Ok(total as f64 * 8.0 / started.elapsed().as_nanos() as f64)
}
