//! Runs work in one or several processes, each on a CPU of its own, starting together, and tells
//! how long it took. What the work is, is none of its business.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::slice;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::work::Work;

/// How much is to be done, and how.
pub(crate) struct Plan {
    /// Operations, all processes together.
    pub(crate) count: u64,
    /// Processes.
    pub(crate) parallel: u64,
    /// Operations a second at most, all processes together.
    pub(crate) rate: Option<u64>,
    /// Whether each process gets a CPU of its own.
    pub(crate) pin: bool,
}

/// How long it took.
pub(crate) struct Took {
    /// From the first start to the last end, in nanoseconds.
    pub(crate) wall_ns: u64,
    /// Processor time of all processes and what they started, in nanoseconds.
    pub(crate) cpu_ns: u64,
}

/// One process's account: began, ended (both `CLOCK_MONOTONIC`), processor time; nanoseconds.
type Report = [u64; 3];

/// Runs the work that `prepare` makes for each process, given its number.
pub(crate) fn run<W: Work>(plan: &Plan, prepare: impl Fn(u64) -> Result<W>) -> Result<Took> {
    let (go, gate) = io::pipe().context("no pipe")?;
    let mut gate = Some(gate);
    let mut workers = Vec::new();
    for number in 0..plan.parallel {
        let (reports, report) = io::pipe().context("no pipe")?;
        // SAFETY: this process has one thread, so the child may go on as if nothing happened.
        let child = unsafe { libc::fork() };
        ensure!(child >= 0, "cannot fork: {}", io::Error::last_os_error());
        if child == 0 {
            // Else nobody would notice the end of who is to open it.
            drop(gate);
            let done = work(plan, number, &prepare, &go, &report);
            if let Err(error) = &done {
                eprintln!("load: {error:#}");
            }
            // SAFETY: ends this process; the parent does everything that is left to do.
            unsafe { libc::_exit(done.is_err().into()) };
        }
        workers.push((child, reports));
    }
    let mut ready = vec![0; workers.len()];
    for ((_, reports), ready) in workers.iter_mut().zip(&mut ready) {
        if reports.read_exact(slice::from_mut(ready)).is_err() {
            // It failed, and the others need not begin.
            gate = None;
        }
    }
    if let Some(mut gate) = gate {
        gate.write_all(&ready).context("cannot start the work")?;
    }
    let mut answers: Vec<Report> = Vec::new();
    let mut failed = false;
    for (child, mut reports) in workers {
        answers.extend(read(&mut reports));
        let mut status = 0;
        // SAFETY: `status` is a valid place for the answer.
        failed |= unsafe { libc::waitpid(child, &mut status, 0) } < 0 || status != 0;
    }
    ensure!(!failed, "a process failed; what is wrong is above");

    let began = answers.iter().map(|[began, _, _]| *began).min();
    let ended = answers.iter().map(|[_, ended, _]| *ended).max();
    Ok(Took {
        wall_ns: ended.zip(began).map_or(0, |(ended, began)| ended - began),
        cpu_ns: answers.iter().map(|[_, _, cpu]| cpu).sum(),
    })
}

/// The life of one process: prepare, warm up, wait for the start, work, report.
fn work<W: Work>(
    plan: &Plan,
    number: u64,
    prepare: impl Fn(u64) -> Result<W>,
    mut go: &PipeReader,
    mut report: &PipeWriter,
) -> Result<()> {
    if plan.pin {
        pin(number)?;
    }
    let mut work = prepare(number)?;
    let count = share(plan, number);
    for _ in 0..(count / 10).min(warm_up_limit(plan)) {
        work.once()?;
    }
    report
        .write_all(&[1])
        .context("cannot say that we are ready")?;
    go.read_exact(&mut [0])
        .context("cannot wait for the start")?;

    let (began, cpu) = (monotonic_ns(), cpu_ns()?);
    match plan.rate {
        None => (0..count).try_for_each(|_| work.once())?,
        Some(rate) => {
            let every = Duration::from_secs(1).as_nanos() as u64 * plan.parallel / rate;
            for turn in 0..count {
                sleep_until(began + turn * every);
                work.once()?;
            }
        }
    }
    let answer: Report = [began, monotonic_ns(), cpu_ns()? - cpu];
    let bytes: Vec<u8> = answer.iter().flat_map(|part| part.to_ne_bytes()).collect();
    report.write_all(&bytes).context("cannot report")
}

/// This process's part of the operations.
fn share(plan: &Plan, number: u64) -> u64 {
    plan.count / plan.parallel + u64::from(number < plan.count % plan.parallel)
}

/// A paced run is there to look at a rate, which a warm-up would distort.
fn warm_up_limit(plan: &Plan) -> u64 {
    if plan.rate.is_some() { 0 } else { u64::MAX }
}

fn read(reports: &mut PipeReader) -> Option<Report> {
    let mut report = Report::default();
    for part in &mut report {
        let mut bytes = [0; size_of::<u64>()];
        reports.read_exact(&mut bytes).ok()?;
        *part = u64::from_ne_bytes(bytes);
    }
    Some(report)
}

/// The last CPU for the first process, because interrupts tend to go to the first one.
fn pin(number: u64) -> Result<()> {
    // SAFETY: a set of CPUs is plain data, for which zero means none; the call fills it.
    let allowed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let done = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        ensure!(done == 0, "no affinity: {}", io::Error::last_os_error());
        set
    };
    let cpus: Vec<usize> = (0..libc::CPU_SETSIZE as usize)
        // SAFETY: the number is below the size of the set.
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &allowed) })
        .rev()
        .collect();
    let cpu = cpus.iter().cycle().nth(usize::try_from(number)?);
    let cpu = cpu.context("this process may run on no CPU")?;
    // SAFETY: as above; the number came out of such a set.
    let done = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(*cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    ensure!(
        done == 0,
        "cannot stay on CPU {cpu}: {}",
        io::Error::last_os_error()
    );
    Ok(())
}

/// Processor time of this process and of the ended ones it started, in nanoseconds.
pub(crate) fn cpu_ns() -> Result<u64> {
    let mut sum = 0;
    for who in [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN] {
        // SAFETY: plain data, for which zero is a value; the call fills it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            ensure!(
                libc::getrusage(who, &mut usage) == 0,
                "no usage: {}",
                io::Error::last_os_error()
            );
            usage
        };
        for time in [usage.ru_utime, usage.ru_stime] {
            sum += u64::try_from(time.tv_sec)? * 1_000_000_000;
            sum += u64::try_from(time.tv_usec)? * 1_000;
        }
    }
    Ok(sum)
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Returns at once when the time is over.
fn sleep_until(monotonic_ns: u64) {
    let time = libc::timespec {
        tv_sec: (monotonic_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (monotonic_ns % 1_000_000_000) as _,
    };
    // SAFETY: `time` is valid and no remainder is asked for. A signal only ends the sleep early.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &time,
            std::ptr::null_mut(),
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count;

    impl Work for Count {
        fn once(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn plan(count: u64, parallel: u64, rate: Option<u64>) -> Plan {
        Plan {
            count,
            parallel,
            rate,
            pin: true,
        }
    }

    #[test]
    fn the_shares_add_up() {
        let plan = plan(10, 3, None);
        assert_eq!(
            (0..3).map(|n| share(&plan, n)).collect::<Vec<_>>(),
            [4, 3, 3]
        );
    }

    #[test]
    fn a_rate_is_kept() {
        let took = run(&plan(20, 2, Some(200)), |_| Ok(Count)).unwrap();
        // The last of ten in each process starts after nine times ten milliseconds.
        assert!(took.wall_ns >= 90_000_000, "{}", took.wall_ns);
    }

    #[test]
    fn a_failing_process_is_a_failure() {
        let outcome = run(&plan(2, 2, None), |number| {
            ensure!(number == 0, "meant to fail");
            Ok(Count)
        });
        assert!(outcome.is_err());
    }
}
