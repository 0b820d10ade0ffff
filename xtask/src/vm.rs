//! `cargo xtask vm`: the end-to-end tests, or any command, on Debian's kernels under qemu, each
//! with and without BPF trampolines. This file chooses what to boot and adds up the results;
//! how kernels are got, file systems built and machines followed is in `vm/`.

mod companion;
mod cpio;
pub(crate) mod disk;
mod hooks;
mod initramfs;
mod kernel;
mod machine;
mod modules;

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::artifacts::{self, EndToEnd};
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{build, exec, setup};
use companion::Companion;
use initramfs::Initramfs;
pub(crate) use kernel::Release;
use machine::{Machine, Outcome};

/// Modules that tests may count on wherever Debian builds them as modules.
const MODULES: &[&str] = &[
    "overlay",
    "veth",
    "dummy",
    "tun",
    "sch_ingress",
    "cls_bpf",
    "crc32c_generic",
    "nf_tables",
    "8021q",
    "tcp_diag",
    "udp_diag",
];

/// Tests of what does not hang on how events are seen: once for each kernel will do.
const ONCE: &[&str] = &["actions", "firewall", "guard_packets", "isolation"];
/// Tests of what hangs on the kernel hardly at all: the oldest and the newest will do.
const ENDS: &[&str] = &[
    "adversity",
    "content",
    "decoys",
    "delivery",
    "formats",
    "intelligence",
    "playbooks",
    "receivers",
    "replay",
    "rules",
    "service",
];

/// Operations of each kind in tests against the ground truth, unless said otherwise: emulated
/// machines are slow.
const GROUND_TRUTH_COUNT: &str = "200";

/// What the machines boot and run.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Args {
    /// Kernel to boot; may be repeated [default: all of them]
    #[arg(long = "kernel", value_name = "VERSION")]
    kernels: Vec<Release>,
    /// Boot every kernel
    #[arg(long, conflicts_with = "kernels")]
    all: bool,
    /// Whether the kernel lets BPF trampolines (fentry, LSM) be attached
    /// [default: both, or on with --shell-cmd]
    #[arg(long)]
    trampolines: Option<Trampolines>,
    /// Run only tests whose name contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Run only this file of tests; may be repeated
    #[arg(long = "test", value_name = "FILE")]
    tests: Vec<String>,
    /// Run this with /bin/sh instead of the tests
    #[arg(long, value_name = "COMMAND")]
    shell_cmd: Option<String>,
    /// Take a program (with its libraries), file or directory of the host along; may be repeated
    #[arg(long = "with", value_name = "PATH[:DEST]")]
    with: Vec<String>,
    /// Load this kernel module too; may be repeated
    #[arg(long = "module", value_name = "NAME")]
    modules: Vec<String>,
    /// Stop a machine after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1200)]
    timeout: u64,
    /// Memory of each machine
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_MIB)]
    memory: u32,
    /// Machines at a time [default: one per CPU]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Let the machines' clocks count instructions instead of time: slower, but how busy this
    /// machine is no longer shows in theirs
    #[arg(long)]
    count_instructions: bool,
    /// Look for newer kernels instead of using those already fetched
    #[arg(long)]
    refresh: bool,
}

/// Memory of a machine, in MiB, unless said otherwise: half of it is for the files it starts with.
const MEMORY_MIB: u32 = 1_536;

/// Whether trampolines can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Trampolines {
    /// As the kernel is
    On,
    /// Refused, as on kernels built without them
    Off,
    /// One machine each
    Both,
}

/// Boots what was asked for; fails if any test did.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    setup::quietly(workspace)?;
    let sensor = build::sensor(workspace)?;
    let tests = artifacts::end_to_end(workspace)?;
    let tally = matrix(workspace, args, &sensor, &tests)?;
    tally.print();
    Ok(tally.exit_code())
}

/// The whole matrix, as `cargo xtask test` wants it.
pub(crate) fn everything() -> Args {
    Args {
        all: true,
        timeout: 2400,
        memory: MEMORY_MIB,
        ..Args::default()
    }
}

/// One command on one kernel, with and without trampolines, one machine after the other, with
/// clocks that count instructions: what else this machine does then does not show in theirs.
pub(crate) fn command(release: Release, command: String, with: Vec<String>) -> Args {
    Args {
        kernels: vec![release],
        trampolines: Some(Trampolines::Both),
        shell_cmd: Some(command),
        with,
        timeout: 1_800,
        memory: MEMORY_MIB,
        jobs: Some(1),
        count_instructions: true,
        ..Args::default()
    }
}

/// Boots each kernel in each mode and prints a table; the sum of all results.
pub(crate) fn matrix(
    workspace: &Workspace,
    args: &Args,
    sensor: &Path,
    tests: &EndToEnd,
) -> Result<Tally> {
    let companions = Companion::list(workspace)?;
    setup::for_vm(companions.iter().filter_map(Companion::missing_package))?;
    let with = args
        .with
        .iter()
        .cloned()
        .chain(companions.into_iter().filter_map(Companion::present));
    let args = Args {
        with: with.collect(),
        ..args.clone()
    };
    let machines = machines(workspace, &args, sensor, tests)?;
    let titles: Vec<String> = machines
        .iter()
        .map(|machine| machine.title.clone())
        .collect();
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(cpus).clamp(1, machines.len().max(1));
    println!("vm: {} machines, {jobs} at a time", machines.len());

    let queue = Mutex::new(machines.into_iter().enumerate().collect::<VecDeque<_>>());
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some((number, machine)) = next else {
                        return;
                    };
                    let outcome = machine.run();
                    outcomes
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((number, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(number, _)| *number);

    let outcomes = outcomes
        .into_iter()
        .map(|(_, outcome)| outcome)
        .collect::<Result<Vec<_>>>()?;
    let hooks: Vec<_> = titles
        .iter()
        .map(String::as_str)
        .zip(outcomes.iter().map(|outcome| &outcome.hooks))
        .collect();
    hooks::print(&hooks);

    let mut sum = Tally::default();
    println!(
        "\n{:<10} {:<22} {:<46} {:>6} {:>6} {:>7} {:>7} {:>7}",
        "machine", "kernel", "trampolines", "passed", "failed", "skipped", "boot", "total"
    );
    for (outcome, title) in outcomes.into_iter().zip(titles) {
        println!("{}", row(&title, &outcome));
        sum += outcome.tally.at(&title);
    }
    println!();
    Ok(sum)
}

fn row(title: &str, outcome: &Outcome) -> String {
    let Outcome {
        tally,
        kernel,
        trampolines,
        boot,
        total,
        code,
        complaints,
        ..
    } = outcome;
    let mut remarks = String::new();
    if code.is_none() {
        remarks += "  did not finish";
    }
    if *complaints > 0 {
        remarks += &format!("  {complaints} kernel complaints");
    }
    format!(
        "{title:<10} {:<22} {:<46} {:>6} {:>6} {:>7} {:>7} {:>6.1}s{remarks}",
        kernel.as_deref().unwrap_or("did not boot"),
        trampolines.as_deref().unwrap_or("-"),
        tally.passed,
        tally.failed,
        tally.skipped,
        boot.map_or("-".to_owned(), |boot| format!("{:.1}s", boot.as_secs_f64())),
        total.as_secs_f64(),
    )
}

/// Prepares every machine before the first one boots, so that a mistake shows at once.
fn machines(
    workspace: &Workspace,
    args: &Args,
    sensor: &Path,
    tests: &EndToEnd,
) -> Result<Vec<Machine>> {
    let mut releases = if args.kernels.is_empty() {
        Release::ALL.to_vec()
    } else {
        args.kernels.clone()
    };
    releases.sort_unstable();
    releases.dedup();
    let default = if args.shell_cmd.is_some() {
        Trampolines::On
    } else {
        Trampolines::Both
    };
    let modes: &[&str] = match args.trampolines.unwrap_or(default) {
        Trampolines::On => &["on"],
        Trampolines::Off => &["off"],
        Trampolines::Both => &["on", "off"],
    };
    let mut machines = Vec::new();
    for release in releases {
        let kernel = kernel::get(workspace, release, args.refresh)?;
        for mode in modes {
            let name = format!("{}-{mode}", release.label());
            let place = |suffix: &str| workspace.target(&format!("vm/{name}.{suffix}"));
            let initramfs = place("cpio")?;
            contents(args, release, &kernel, mode, sensor, tests)?.write(&initramfs)?;
            machines.push(Machine {
                title: name.clone(),
                image: kernel.image.clone(),
                initramfs,
                trampolines: *mode == "on",
                count_instructions: args.count_instructions,
                cmdline: if *mode == "off" {
                    "sensor.trampolines=off".to_owned()
                } else {
                    String::new()
                },
                limit: Duration::from_secs(args.timeout),
                memory_mib: args.memory,
                log: place("log")?,
                console: place("console")?,
            });
        }
    }
    Ok(machines)
}

fn contents(
    args: &Args,
    release: Release,
    kernel: &kernel::Kernel,
    mode: &str,
    sensor: &Path,
    tests: &EndToEnd,
) -> Result<Initramfs> {
    let mut files = Initramfs::new();
    files.host_file(&tests.init, "init");
    files.host_file(sensor, "usr/bin/sensor");
    for argument in &args.with {
        files.with(argument)?;
    }
    // Not busybox's: that one runs its own commands without looking at PATH, some without exec.
    if let Some(dash) = exec::which("dash") {
        files.host(&dash, "usr/bin/dash")?;
        files.host(&dash, "usr/bin/sh")?;
    }
    if let Some(busybox) = exec::which("busybox") {
        files.busybox(&busybox)?;
    }
    if let Some(tree) = &kernel.modules {
        let wanted: Vec<String> = MODULES
            .iter()
            .map(|name| (*name).to_owned())
            .chain(args.modules.iter().cloned())
            .collect();
        let chosen = modules::choose(tree, &wanted)?;
        let asked_for = chosen
            .absent
            .iter()
            .filter(|name| args.modules.contains(name));
        for name in asked_for {
            println!("vm: no module {name} for this kernel; it is built in, or does not exist");
        }
        files.modules(chosen);
    }

    let steps = match &args.shell_cmd {
        Some(command) => {
            files.text("vm/script", format!("{command}\n"), true);
            "/bin/sh\n/vm/script\n".to_owned()
        }
        None => test_steps(args, release, mode, tests, &mut files),
    };
    files.text("vm/cmd", steps, false);
    let env = [
        "PATH=/usr/bin:/usr/sbin:/bin:/sbin",
        "HOME=/root",
        "TERM=dumb",
        "RUST_BACKTRACE=1",
        "RUST_TEST_THREADS=1",
        "SENSOR_BIN=/usr/bin/sensor",
        "SENSOR_VM=1",
        "SENSOR_DOCTOR=/run/doctor.json",
        &format!("SENSOR_TRAMPOLINES={mode}"),
    ];
    let mut env = env.map(str::to_owned).to_vec();
    // How much the tests do there is decided here.
    let decided = |name| std::env::var(name).ok();
    let count = decided("GROUND_TRUTH_COUNT").unwrap_or_else(|| GROUND_TRUTH_COUNT.to_owned());
    env.push(format!("GROUND_TRUTH_COUNT={count}"));
    env.extend(decided("GROUND_TRUTH_PAUSE").map(|pause| format!("GROUND_TRUTH_PAUSE={pause}")));
    files.text("vm/env", env.join("\n"), false);
    Ok(files)
}

fn test_steps(
    args: &Args,
    release: Release,
    mode: &str,
    tests: &EndToEnd,
    files: &mut Initramfs,
) -> String {
    for helper in &tests.helpers {
        files.host_file(&helper.path, &format!("/usr/bin/{}", helper.name));
    }
    let mut steps = String::from(hooks::STEP);
    let is_repeated = mode == "off" && args.trampolines.is_none();
    let is_between = args.kernels.is_empty() && !release.is_an_end();
    let is_wanted = |name: &String| {
        let name = name.as_str();
        let is_once = ONCE.contains(&name) || ENDS.contains(&name);
        (args.tests.is_empty() || args.tests.iter().any(|wanted| wanted == name))
            && !(is_repeated && is_once)
            && !(is_between && ENDS.contains(&name))
    };
    for test in tests.tests.iter().filter(|test| is_wanted(&test.name)) {
        let dest = format!("/vm/tests/{}", test.name);
        files.host_file(&test.path, &dest);
        steps += &dest;
        steps += "\n--color=never\n";
        if let Some(filter) = &args.filter {
            steps += filter;
            steps.push('\n');
        }
        steps.push('\n');
    }
    steps
}
