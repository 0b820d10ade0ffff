//! The firewall: what it takes for a packet, with no entries and with a million, beside xdp-filter
//! and nftables on the same packets in the same run, and what gets through. Measured by the
//! program `guard` of the tests, in namespaces; here the peers are fetched and the numbers shown.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::debian::PrivateApt;
use crate::root::Root;
use crate::table::{Table, time, verdict};
use crate::workspace::Workspace;
use crate::{artifacts, exec};

/// The suite whose versions of the peers are measured.
const SUITE: &str = "trixie";
const PACKAGES: [&str; 2] = ["xdp-tools", "nftables"];
/// How much slower than xdp-filter still counts as no slower: the kernel tells whole nanoseconds.
const SLACK: f64 = 1.05;

/// Measures, and prints the tables.
pub(super) fn run(workspace: &Workspace) -> Result<Value> {
    let program = build(workspace)?;
    let peers = peers(workspace)?;
    println!("bench: the firewall, beside {}", PACKAGES.join(" and "));
    let mut lines = Vec::new();
    let mut command = Command::new(program);
    command.arg("--peers").arg(peers);
    let success = exec::lines(&mut command, |line| {
        lines.extend(serde_json::from_str::<Value>(line));
    })?;
    ensure!(success, "`guard` failed; what is wrong is above");
    print_single(&lines);
    print_wire(&lines);
    print_stream(&lines);
    Ok(lines.into())
}

/// What is measured happens in the kernel, so that no release build is needed.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "sensor-tests"]);
    cargo.args(["--bin", "guard", "--features", "guard"]);
    let programs = artifacts::programs(&mut cargo)?;
    let guard = programs.into_iter().find(|program| program.name == "guard");
    Ok(guard.context("cargo built no program named guard")?.path)
}

/// A Debian with the peers in it.
fn peers(workspace: &Workspace) -> Result<PathBuf> {
    let dir = workspace.target("bench/guard/root")?;
    let fill = |root: &Root| {
        let apt = PrivateApt::new(workspace.target("bench/guard/apt")?, SUITE, false)?;
        println!("bench: fetching {} from {SUITE}", PACKAGES.join(", "));
        root.unpack(&apt.download(PACKAGES)?)?;
        apt.clean();
        Ok(())
    };
    let root = Root::get(dir, fill).context("cannot get the peers from Debian")?;
    Ok(root.path("/"))
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(line: &Value, key: &str) -> f64 {
    line.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn passes(line: &Value) -> bool {
    line.get("passes") == Some(&Value::Bool(true))
}

/// Measurements of this kind.
fn of<'a>(lines: &'a [Value], what: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| text(line, "what") == what)
}

/// The number that another program has on the same packets.
fn beside(lines: &[Value], line: &Value, program: &str, key: &str) -> Option<f64> {
    let same = |other: &&Value| {
        text(other, "program") == program
            && ["what", "entries", "count", "passes"]
                .iter()
                .all(|key| other.get(key) == line.get(key))
    };
    lines.iter().find(same).map(|other| number(other, key))
}

fn verb(line: &Value) -> String {
    if passes(line) { "pass" } else { "drop" }.to_owned()
}

fn print_single(lines: &[Value]) {
    let mut table = Table::new(["entries", "", "packet", "at XDP", "xdp-filter", "ratio", ""]);
    for line in of(lines, "single").filter(|line| text(line, "program") == "guard at XDP") {
        let ours = number(line, "ns");
        let theirs = beside(lines, line, "xdp-filter", "ns");
        let ratio = theirs.map(|theirs| ours / theirs);
        table.row(vec![
            text(line, "entries").to_owned(),
            format!("{:.0}", number(line, "count")),
            verb(line),
            time(ours),
            theirs.map_or_else(|| "–".to_owned(), time),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}×")),
            ratio.map_or_else(String::new, |ratio| verdict(ratio, Some(SLACK))),
        ]);
    }
    table.print("One packet again and again (BPF_PROG_TEST_RUN, its own cost included)");
}

fn print_wire(lines: &[Value]) {
    let mut table = Table::new([
        "IPv4 addresses",
        "packet",
        "nothing",
        "at TC",
        "nftables",
        "at XDP",
    ]);
    for line in of(lines, "wire").filter(|line| text(line, "program") == "nothing") {
        let of = |program| beside(lines, line, program, "ns").map_or_else(|| "–".to_owned(), time);
        table.row(vec![
            format!("{:.0}", number(line, "count")),
            verb(line),
            time(number(line, "ns")),
            of("guard at TC"),
            of("nftables"),
            of("guard at XDP"),
        ]);
    }
    table.print(
        "Packets from 65,536 addresses through a cable (veth), sending and receiving included",
    );
}

fn print_stream(lines: &[Value]) {
    let mut table = Table::new(["firewall", "IPv4 addresses", "Gbit/s"]);
    for line in of(lines, "stream") {
        table.row(vec![
            text(line, "program").to_owned(),
            format!("{:.0}", number(line, "count")),
            format!("{:.2}", number(line, "gbit_per_second")),
        ]);
    }
    table.print("One TCP connection that is allowed, through a cable (veth)");
}
