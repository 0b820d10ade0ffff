//! What programs are taken for, by their names and arguments.

use super::*;

fn program(line: &[&str]) -> Program {
    Program {
        executable: Some(format!("/usr/bin/{}", line[0]).into()),
        args: line.iter().map(|arg| (*arg).into()).collect(),
        ..Program::default()
    }
}

fn reads(line: &[&str]) -> bool {
    Look::at(&program(line)).reads_commands()
}

fn carries(line: &[&str]) -> bool {
    Look::at(&program(line)).carries_code()
}

#[test]
fn a_shell_without_script_or_command_reads_its_input() {
    assert!(reads(&["sh"]) && reads(&["bash", "-i"]) && reads(&["bash", "-li"]));
    assert!(reads(&["bash", "--norc", "--noprofile"]));
    assert!(reads(&["bash", "--rcfile", "/dev/null", "-i"]));
    assert!(reads(&["sh", "-s", "argument"]) && reads(&["bash", "-o", "pipefail"]));
    assert!(reads(&["ksh93"]) && reads(&["busybox"]));
}

#[test]
fn a_shell_with_script_or_command_does_not() {
    assert!(!reads(&["sh", "-c", "id"]) && !reads(&["bash", "-ec", "id"]));
    assert!(!reads(&["bash", "/opt/job.sh"]) && !reads(&["bash", "-x", "job.sh"]));
    assert!(!reads(&["grep", "x"]));
}

#[test]
fn a_program_of_many_in_one_file_is_the_one_it_is_called() {
    let busybox = |line: &[&str]| Program {
        executable: Some("/usr/bin/busybox".into()),
        ..program(line)
    };
    let reads = |line: &[&str]| Look::at(&busybox(line)).reads_commands();
    assert!(reads(&["sh"]) && reads(&["-ash"]) && reads(&["busybox", "sh", "-i"]));
    assert!(reads(&["/bin/busybox.static", "busybox", "ash"]));
    assert!(!reads(&["sh", "-c", "id"]) && !reads(&["busybox", "sh", "-c", "id"]));
    assert!(!reads(&["cat"]) && !reads(&["busybox", "sort", "-r"]));
    let nc = busybox(&["nc", "192.0.2.1", "4444"]);
    assert!(Look::at(&nc).is_bare_relay() && Look::at(&nc).kind() == Kind::Other);
    let renamed = program(&["sh"]);
    let renamed = Look::at(&renamed).known_as(Kind::Shell, "busybox");
    assert_eq!((renamed.kind(), renamed.name()), (Kind::Shell, "sh"));
}

#[test]
fn a_shell_that_was_told_to_talk_to_a_person_is_interactive() {
    let is = |line: &[&str]| Look::at(&program(line)).is_interactive();
    assert!(is(&["sh", "-i"]) && is(&["bash", "-li"]) && is(&["bash", "--norc", "-i"]));
    assert!(!is(&["bash", "--login"]) && !is(&["sh"]) && !is(&["grep", "-i", "x"]));
}

#[test]
fn code_among_the_arguments_is_told_from_a_script() {
    assert!(carries(&["perl", "-MIO", "-e", "print 1"]) && carries(&["php8.2", "-r", "x();"]));
    assert!(carries(&["python3.11", "-c", "import os"]) && carries(&["node", "-e", "1"]));
    assert!(carries(&[
        "gawk",
        "BEGIN {s = \"/inet/tcp/0/192.0.2.1/4444\"; }"
    ]));
    assert!(carries(&["tclsh"]));
    assert!(!carries(&["python3", "/usr/bin/pip", "install", "x"]));
    assert!(!carries(&["python3", "-Es", "/usr/bin/tool"]) && carries(&["python3"]));
    assert!(!carries(&["ruby", "-rsocket", "x.rb"]) && carries(&["awk", "{print $1}"]));
    assert!(!carries(&["awk", "-f", "x.awk"]));
    assert!(!carries(&["perl", "script.pl"]) && !carries(&["cat", "a file"]));
}

#[test]
fn a_renamed_interpreter_still_carries_its_code() {
    assert!(carries(&[
        "qwerty",
        "-e",
        "$c=new IO::Socket::INET(\"x\"); while(<$c>){}"
    ]));
}

#[test]
fn files_where_anybody_may_write_are_out_of_place() {
    let mut odd = program(&["x"]);
    odd.executable = Some("/dev/shm/x".into());
    assert!(Look::at(&odd).is_out_of_place());
    assert!(Look::at(&program(&["python3", "/tmp/a.py"])).is_out_of_place());
    assert!(Look::at(&program(&["python3", "/srv/.cache/.x/a.py"])).is_out_of_place());
    assert!(!Look::at(&program(&["python3", "/usr/bin/pip"])).is_out_of_place());
}
