//! `load WORKLOAD`: a fixed amount of one kind of work, and how long it took, as one line of
//! JSON. Used by `cargo xtask bench` with and without the sensor running, on this kernel and in
//! test machines. What the work consists of is in `work`, `project` and `live`; how it is spread
//! over processes, paced and timed is in `worker`. Nothing here knows the sensor.

mod live;
mod project;
mod tiny;
mod work;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use tiny::Program;
use worker::{Plan, Took};

const USAGE: &str =
    "usage: load exec|open-read|open-write|connect|getppid|make|live --count N [--parallel N]
       [--rate PER-SECOND] [--directory DIR] [--no-pin]

    exec        fork, exec of a tiny static program, wait for its end
    open-read   open an ordinary file for reading, close it
    open-write  open a file for writing, creating it if need be, close it
    connect     connect to a listener on loopback, accept, close both ends
    getppid     a system call that nobody watches
    make        compile N small C files with `make -j`
    live        be N processes, joined by pipes in pairs, until standard input ends

    --parallel  so many processes share the work, each on a CPU of its own
    --rate      start no more than so many operations a second, all processes together
    --directory where to put files [default: a new one in the temporary directory]
    --no-pin    let the kernel choose the CPUs";

fn main() -> Result<()> {
    let request = Request::parse(std::env::args().skip(1))?;
    let scratch = Scratch::new(request.directory.as_deref())?;
    if request.workload == "live" {
        let program = tiny::write(&scratch.path, Program::Waits)?;
        return live::hold(request.plan.count, &program);
    }
    let took = run(&request, &scratch.path)?;
    println!("{}", describe(&request, &took));
    Ok(())
}

fn run(request: &Request, directory: &Path) -> Result<Took> {
    let plan = &request.plan;
    match request.workload.as_str() {
        "exec" => {
            let program = tiny::write(directory, Program::Ends)?;
            worker::run(plan, |_| work::Exec::new(&program))
        }
        "open-read" => worker::run(plan, |number| work::Open::read(directory, number)),
        "open-write" => worker::run(plan, |number| work::Open::write(directory, number)),
        "connect" => worker::run(plan, |_| work::Connect::new()),
        "getppid" => worker::run(plan, |_| Ok(work::Getppid)),
        "make" => project::build(directory, plan.count, plan.parallel),
        other => bail!("no workload {other:?}\n{USAGE}"),
    }
}

/// What was asked for.
struct Request {
    workload: String,
    plan: Plan,
    directory: Option<PathBuf>,
}

impl Request {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let workload = words.next().context(USAGE)?;
        let mut plan = Plan {
            count: 0,
            parallel: 1,
            rate: None,
            pin: true,
        };
        let mut directory = None;
        while let Some(option) = words.next() {
            if option == "--no-pin" {
                plan.pin = false;
                continue;
            }
            let value = words
                .next()
                .with_context(|| format!("{option} wants a value\n{USAGE}"))?;
            let number = || {
                value
                    .parse::<u64>()
                    .with_context(|| format!("{option} {value}: not a number"))
            };
            match option.as_str() {
                "--count" => plan.count = number()?,
                "--parallel" => plan.parallel = number()?,
                "--rate" => plan.rate = Some(number()?),
                "--directory" => directory = Some(PathBuf::from(&value)),
                _ => bail!("no option {option}\n{USAGE}"),
            }
        }
        ensure!(plan.count > 0, "--count is missing\n{USAGE}");
        ensure!(
            (1..=plan.count).contains(&plan.parallel),
            "--parallel {} makes no sense for {} operations",
            plan.parallel,
            plan.count
        );
        ensure!(plan.rate != Some(0), "--rate 0 would never end");
        Ok(Self {
            workload,
            plan,
            directory,
        })
    }
}

fn describe(request: &Request, took: &Took) -> serde_json::Value {
    let Plan {
        count, parallel, ..
    } = request.plan;
    let per_operation = |ns: u64| ns as f64 / count as f64;
    serde_json::json!({
        "workload": request.workload,
        "operations": count,
        "parallel": parallel,
        "wall_ns": took.wall_ns,
        "cpu_ns": took.cpu_ns,
        // What one process spends on one operation, whether it runs or waits.
        "ns_per_operation": per_operation(took.wall_ns) * parallel as f64,
        "cpu_ns_per_operation": per_operation(took.cpu_ns),
        "operations_per_second": count as f64 * 1e9 / took.wall_ns.max(1) as f64,
    })
}

/// A directory of our own, removed at the end if we made it.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(parent: Option<&Path>) -> Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let path = parent.join(format!("load-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request> {
        Request::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_in_any_order() {
        let request = parse("exec --no-pin --rate 1000 --count 50 --parallel 2").unwrap();
        assert_eq!(request.workload, "exec");
        let Plan {
            count,
            parallel,
            rate,
            pin,
        } = request.plan;
        assert_eq!((count, parallel, rate, pin), (50, 2, Some(1000), false));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse("exec").is_err());
        assert!(parse("exec --count 1 --parallel 2").is_err());
        assert!(parse("exec --count ten").is_err());
        assert!(parse("exec --count 1 --rate 0").is_err());
    }
}
