//! eBPF sensor.
mod probe;
fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).init();
    let mut l = probe::load::load(probe::load::Sizes{process_ring: 8<<20, file_ring: 4<<20})?;
    for s in &l.served { println!("{} {:?} {:?}", s.service.name, s.way, s.refusals); }
    let mut ring = aya::maps::RingBuf::try_from(l.ebpf.take_map("RING_PROCESS").unwrap())?;
    let t = std::time::Instant::now();
    while t.elapsed().as_secs() < 5 {
        while let Some(i) = ring.next() { println!("{} {:?}", i.len(), String::from_utf8_lossy(&i[32..])); }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Ok(())
}
