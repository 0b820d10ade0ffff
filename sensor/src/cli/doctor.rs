//! `sensor doctor`: what this kernel allows, which hook serves which event, and what is
//! missing; found out by really loading and attaching the programs for a moment.

use std::path::Path;
use std::{fs, mem};

use serde::Serialize;

use super::{Failure, NO, OK, REFUSED};
use crate::probe::load::{self, LoadError, ProgramCost, Sizes, Trampolines};
use crate::probe::privileges;
use crate::probe::selection::Selection;
use crate::status::Service;

/// Options of `sensor doctor`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// One condition the sensor profits from.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    good: bool,
    found: String,
    /// What to do about it, when it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    kernel: String,
    architecture: &'static str,
    verdict: &'static str,
    checks: Vec<Check>,
    services: Vec<Service>,
    programs: Vec<ProgramCost>,
    missing_facts: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Prints the report. The exit code says whether all is well.
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let report = examine();
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&report).map_err(Failure::refused)?
        );
    } else {
        print!("{}", text(&report));
    }
    Ok(match report.verdict {
        "healthy" => OK,
        "degraded" => NO,
        _ => REFUSED,
    })
}

fn examine() -> Report {
    // Rings of the smallest size: nothing is read from them.
    let outcome = load::load(
        Sizes {
            process_ring: 64 * 1024,
            file_ring: 64 * 1024,
        },
        &Selection::all(),
        Trampolines::Use,
    );
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        kernel: first_line("/proc/sys/kernel/osrelease"),
        architecture: std::env::consts::ARCH,
        verdict: "blind",
        checks: checks(),
        services: Vec::new(),
        programs: Vec::new(),
        missing_facts: Vec::new(),
        error: None,
    };
    match outcome {
        Ok(loaded) => {
            report.services = loaded.served.iter().map(Service::from).collect();
            report.programs = loaded.programs();
            report.missing_facts = loaded
                .facts
                .by_name()
                .into_iter()
                .filter_map(|(name, value)| value.is_none().then_some(name))
                .collect();
            let served = report
                .services
                .iter()
                .filter(|service| !service.hooks.is_empty())
                .count();
            report.verdict = match served {
                0 => "blind",
                served if served < report.services.len() => "degraded",
                _ => "healthy",
            };
            loaded.detach();
        }
        Err(error) => report.error = Some(explain(&error)),
    }
    report
}

fn explain(error: &LoadError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn checks() -> Vec<Check> {
    let missing = privileges::missing();
    let lsm = fs::read_to_string("/sys/kernel/security/lsm").ok();
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let jit = first_line("/proc/sys/net/core/bpf_jit_enable");
    vec![
        Check {
            name: "privileges",
            good: missing.is_empty(),
            found: if missing.is_empty() { "enough".to_owned() } else { format!("missing {}", missing.join(", ")) },
            advice: Some("run as root, with these capabilities"),
        },
        Check {
            name: "kernel types (BTF)",
            good: Path::new(load::BTF_PATH).exists(),
            found: load::BTF_PATH.to_owned(),
            advice: (!Path::new(load::BTF_PATH).exists())
                .then_some("a kernel built with CONFIG_DEBUG_INFO_BTF is needed; distribution kernels from 5.10 on are"),
        },
        Check {
            name: "unified control groups",
            good: mounted("cgroup2").is_some(),
            found: mounted("cgroup2").unwrap_or_else(|| "not mounted".to_owned()),
            advice: mounted("cgroup2").is_none().then_some("mount -t cgroup2 none /sys/fs/cgroup/unified"),
        },
        Check {
            name: "BPF LSM",
            good: lsm.as_deref().is_some_and(|list| list.split(',').any(|name| name.trim() == "bpf")),
            found: lsm.map_or_else(
                || "unknown: securityfs is not mounted".to_owned(),
                |list| format!("lsm={}", list.trim()),
            ),
            advice: Some("only prevention needs it, observation does not; boot with lsm=…,bpf to have it"),
        },
        Check {
            name: "lockdown",
            good: !lockdown.contains("[confidentiality]"),
            found: if lockdown.is_empty() { "none".to_owned() } else { lockdown.trim().to_owned() },
            advice: lockdown.contains("[confidentiality]").then_some("lockdown=confidentiality forbids reading kernel memory"),
        },
        Check {
            name: "BPF JIT",
            good: jit != "0",
            found: format!("bpf_jit_enable={jit}"),
            advice: (jit == "0").then_some("sysctl net.core.bpf_jit_enable=1"),
        },
        Check {
            name: "locked memory",
            good: true,
            found: memlock(),
            advice: None,
        },
    ]
    .into_iter()
    .map(|check| if check.good { Check { advice: None, ..check } } else { check })
    .collect()
}

/// Limit on locked memory, which kernels before 5.11 charge maps to.
fn memlock() -> String {
    // SAFETY: `limit` is plain data the call fills in.
    let limit = unsafe {
        let mut limit: libc::rlimit = mem::zeroed();
        libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit);
        limit.rlim_cur
    };
    if limit == libc::RLIM_INFINITY {
        "unlimited".to_owned()
    } else {
        format!("{limit} bytes, raised at start where needed")
    }
}

/// Where a file system of this type is mounted.
fn mounted(kind: &str) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next()?;
        (fields.next()? == kind).then(|| place.to_owned())
    })
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path)
        .ok()
        .and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_else(|| "?".to_owned())
}

/// Which hook serves which event, and why not a better one. What all refused hooks have in
/// common is said once.
fn services(services: &[Service]) -> String {
    let width = services
        .iter()
        .map(|service| service.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::from("\n");
    let mut refusals: Vec<&String> = Vec::new();
    for service in services {
        let mark = match (service.hooks.is_empty(), service.fallback) {
            (true, _) => "-   ",
            (false, true) => "~   ",
            (false, false) => "ok  ",
        };
        let hooks = if service.hooks.is_empty() {
            "none".to_owned()
        } else {
            service.hooks.join(", ")
        };
        text.push_str(&format!("{mark}{:<width$}  {hooks}\n", service.name));
        if !service.misses.is_empty() {
            text.push_str(&format!(
                "    {:<width$}    not seen: {}\n",
                "", service.misses
            ));
        }
        refusals.extend(&service.refusals);
    }
    refusals.sort();
    refusals.dedup();
    if !refusals.is_empty() {
        text.push_str("\nrefused:\n");
    }
    for refusal in refusals {
        text.push_str(&format!("    {refusal}\n"));
    }
    text
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "sensor {} on Linux {} ({}): {}\n",
        report.version, report.kernel, report.architecture, report.verdict
    );
    if let Some(error) = &report.error {
        text.push_str(&format!("\n{error}\n"));
    }
    text.push('\n');
    for check in &report.checks {
        let mark = if check.good { "ok  " } else { "-   " };
        text.push_str(&format!("{mark}{:<24} {}\n", check.name, check.found));
        if let Some(advice) = check.advice {
            text.push_str(&format!("    {:<24} → {advice}\n", ""));
        }
    }
    text.push_str(&services(&report.services));
    if !report.missing_facts.is_empty() {
        text.push_str(&format!(
            "\nnot in this kernel's types: {}\n",
            report.missing_facts.join(", ")
        ));
    }
    text.push_str("\nok preferred hook   ~ fallback   - missing\n");
    text
}
