//! One packet, run through a program again and again by `BPF_PROG_TEST_RUN`, which tells how long
//! that takes; and xdp-filter's own program, from the file its package installs, on the same
//! packets in turn with ours.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{PerCpuHashMap, PerCpuValues};
use aya::programs::Xdp;
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader, TestRun, TestRunOptions};
use sensor::respond::firewall::object::Guard;
use serde_json::json;

use crate::entries::{self, Kind};
use crate::frames::{allowed, denied, udp};
use crate::{Args, counts, median, tell};

/// Runs of one measurement.
const RUNS: u32 = 1_000_000;
/// Most networks that are entered; the guard has room for 262,144.
const NETWORKS: u32 = 100_000;

// `include/uapi/linux/bpf.h`.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

pub fn run(args: &Args) -> Result<()> {
    for kind in Kind::ALL {
        for count in counts(args.most) {
            if kind.is_network() && count > NETWORKS {
                continue;
            }
            let mut guard = entries::guard(kind, count)?;
            let filter = match &args.peers {
                Some(root) if !kind.is_network() => Some(XdpFilter::load(root, kind, count)?),
                _ => None,
            };
            measure(args, kind, count, true, &mut guard, filter.as_ref())?;
            if count > 0 {
                measure(args, kind, count, false, &mut guard, filter.as_ref())?;
            }
        }
    }
    Ok(())
}

/// All programs on one packet, in turn, so that what else the machine does meets them alike.
fn measure(
    args: &Args,
    kind: Kind,
    count: u32,
    passes: bool,
    guard: &mut Guard,
    filter: Option<&XdpFilter>,
) -> Result<()> {
    let number = count / 2 * kind.step();
    let frame = udp(if passes {
        allowed(number, kind.is_v4())
    } else {
        denied(number, kind.is_v4())
    });
    let verdict = if passes { XDP_PASS } else { XDP_DROP };
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..args.rounds {
        let [xdp, socket, peer] = &mut times;
        xdp.push(time(&*guard.xdp("guard_xdp")?, &frame, verdict)?);
        // The interface of a test run is loopback, so that only the way there is measured.
        socket.push(time(&*guard.packets("guard_ingress")?, &frame, 1)?);
        if let Some(filter) = filter {
            peer.push(time(filter.program()?, &frame, verdict)?);
        }
    }
    let names = ["guard at XDP", "guard at a socket, loopback", "xdp-filter"];
    for (name, times) in names.into_iter().zip(times) {
        if times.is_empty() {
            continue;
        }
        tell(&json!({
            "what": "single",
            "program": name,
            "entries": kind.name(),
            "count": count,
            "passes": passes,
            "ns": median(times.clone()),
            "rounds": times,
        }));
    }
    Ok(())
}

/// Nanoseconds that one run takes; the kernel tells whole ones.
fn time<P>(program: &P, frame: &[u8], verdict: u32) -> Result<f64>
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = aya::TestRunResult>,
{
    let result = program.test_run(TestRunOptions {
        data_in: Some(frame),
        repeat: RUNS,
        ..TestRunOptions::default()
    })?;
    ensure!(
        result.return_value == verdict,
        "the program gives {} where {verdict} is due",
        result.return_value
    );
    Ok(result.duration.as_nanos() as f64)
}

/// xdp-filter, which lets everything pass but addresses.
struct XdpFilter {
    ebpf: Ebpf,
    /// Its maps want to be pinned somewhere.
    pins: PathBuf,
}

impl XdpFilter {
    /// Loads it with room for so many addresses (its own is 10,000) and enters them.
    fn load(root: &Path, kind: Kind, count: u32) -> Result<Self> {
        /// `MAP_FLAG_SRC` of xdp-filter's `common_kern_user.h`.
        const SOURCE: u64 = 1;
        let object = root.join("usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_ip.o");
        let object =
            std::fs::read(&object).with_context(|| format!("cannot read {}", object.display()))?;
        let pins = PathBuf::from(format!("/sys/fs/bpf/guard-bench-{}", std::process::id()));
        std::fs::create_dir_all(&pins).context("no BPF file system")?;
        let name = if kind.is_v4() {
            "filter_ipv4"
        } else {
            "filter_ipv6"
        };
        let ebpf = EbpfLoader::new()
            .default_map_pin_directory(&pins)
            .map_max_entries(name, count.max(1))
            .load(&object);
        let mut filter = match ebpf {
            Ok(ebpf) => Self { ebpf, pins },
            Err(error) => {
                let _ = std::fs::remove_dir_all(&pins);
                return Err(error.into());
            }
        };
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        let flags = || PerCpuValues::try_from(vec![SOURCE; cpus]);
        let map = filter.ebpf.map_mut(name).context("no such map")?;
        if kind.is_v4() {
            let mut map: PerCpuHashMap<_, [u8; 4], u64> = PerCpuHashMap::try_from(map)?;
            for number in 0..count {
                if let IpAddr::V4(address) = denied(number, true) {
                    map.insert(address.octets(), flags()?, 0)?;
                }
            }
        } else {
            let mut map: PerCpuHashMap<_, [u8; 16], u64> = PerCpuHashMap::try_from(map)?;
            for number in 0..count {
                if let IpAddr::V6(address) = denied(number, false) {
                    map.insert(address.octets(), flags()?, 0)?;
                }
            }
        }
        let program = filter.ebpf.program_mut("xdpfilt_alw_ip");
        let program: &mut Xdp = program.context("no such program")?.try_into()?;
        program.load()?;
        Ok(filter)
    }

    fn program(&self) -> Result<&Xdp> {
        let program = self.ebpf.program("xdpfilt_alw_ip");
        Ok(program.context("no such program")?.try_into()?)
    }
}

impl Drop for XdpFilter {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.pins);
    }
}
