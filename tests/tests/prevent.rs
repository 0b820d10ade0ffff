//! Programs that are not to start do not: not one instruction of them runs. Each is a tiny ELF
//! file whose very first system call leaves a trace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sensor_tests::{Event, Launch, Sensor, eventually, field, text, uses_fallback};

/// What became of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It ran and ended well.
    Ran,
    /// It was killed.
    Killed,
    /// The exec failed with `EPERM`.
    Denied,
}

/// A directory with a program in it and a configuration of the sensor.
struct Stage {
    directory: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        write(&stage.program(), &tracer(&stage.trace()));
        stage
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self) -> PathBuf {
        self.at("tracer")
    }

    /// The file that shows that the program ran.
    fn trace(&self) -> PathBuf {
        self.at("trace")
    }

    /// A sensor with these rules, in the way its kernel does it best or in the other one.
    fn sensor(&self, way: Way, rules: &str) -> Sensor {
        self.launch(Launch::default(), way, rules)
    }

    fn launch(&self, launch: Launch, way: Way, rules: &str) -> Sensor {
        self.configure(rules);
        let config = self.at("sensor.toml");
        launch
            .with(["--events", "process", "--config", config.to_str().unwrap()])
            .with((way == Way::AtExec).then_some("--no-trampolines"))
            .start()
            .expect("the sensor starts")
    }

    fn configure(&self, rules: &str) {
        let rules = rules.replace("DIR", self.directory.path().to_str().unwrap());
        fs::write(self.at("sensor.toml"), rules).unwrap();
    }

    fn run(&self, program: &Path, stdin: impl Into<Stdio>) -> Fate {
        let _ = fs::remove_file(self.trace());
        let fate = match Command::new(program).stdin(stdin).status() {
            Ok(status) if status.signal() == Some(libc::SIGKILL) => Fate::Killed,
            Ok(status) => {
                assert!(status.success(), "{status}");
                Fate::Ran
            }
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Fate::Denied,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(self.trace().exists(), fate == Fate::Ran, "{fate:?}");
        fate
    }
}

/// How a kernel keeps programs from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As well as it can.
    Best,
    /// By a signal, as kernels do that ask no BPF programs.
    AtExec,
}

impl Way {
    const ALL: [Self; 2] = [Self::Best, Self::AtExec];

    /// What becomes of a program that is kept from starting.
    fn fate(self) -> Fate {
        if self == Self::AtExec || uses_fallback("prevent").unwrap() {
            Fate::Killed
        } else {
            Fate::Denied
        }
    }
}

fn write(path: &Path, content: &[u8]) {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o755)
        .open(&fresh)
        .unwrap();
    file.write_all(content).unwrap();
    drop(file);
    fs::rename(fresh, path).unwrap();
}

/// `exit(creat(trace, 0600) < 0)`: an ELF file of one segment, which is the file itself.
fn tracer(trace: &Path) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const START: u64 = 64 + 56;
    #[rustfmt::skip]
    let mut code = vec![
        0xb8, 85, 0, 0, 0, // mov eax, SYS_creat
        0xbf, 0, 0, 0, 0, // mov edi, trace
        0xbe, 0x80, 1, 0, 0, // mov esi, 0600
        0x0f, 0x05, // syscall
        0x89, 0xc7, // mov edi, eax
        0xc1, 0xef, 31, // shr edi, 31
        0xb8, 60, 0, 0, 0, // mov eax, SYS_exit
        0x0f, 0x05, // syscall
    ];
    let name = BASE + START + code.len() as u64;
    code[6..10].copy_from_slice(&u32::try_from(name).unwrap().to_le_bytes());
    code.extend_from_slice(trace.to_str().unwrap().as_bytes());
    code.push(0);

    let size = START + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    let long = |file: &mut Vec<u8>, values: &[u64]| {
        values
            .iter()
            .for_each(|value| file.extend_from_slice(&value.to_le_bytes()));
    };
    long(&mut file, &[BASE + START, 64, 0]); // entry, program headers, sections
    file.extend_from_slice(&[0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]); // PT_LOAD, readable and executable
    long(&mut file, &[0, BASE, BASE, size, size, 0x1000]);
    file.extend_from_slice(&code);
    file
}

/// A connection's end, and the other one, which has to be kept.
fn connection() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    (theirs.into(), ours)
}

fn response(sensor: &mut Sensor, outcome: &str) -> Event {
    sensor
        .wait_for(|event| {
            text(event, "event.dataset") == "response.prevent"
                && text(event, "sensor.response.outcome") == outcome
        })
        .expect("what was done is told")
}

const ON_SOCKETS: &str = r#"
    [[respond.prevent]]
    name = "nothing on a socket"
    mode = "enforce"
    programs = ["DIR/"]
    stdin = ["loopback_socket"]
"#;

#[test]
fn a_prevented_program_with_a_socket_as_input_runs_no_instruction() {
    for way in Way::ALL {
        let stage = Stage::new();
        let mut sensor = stage.launch(Launch::default().detecting(), way, ON_SOCKETS);
        let (socket, peer) = connection();
        assert_eq!(stage.run(&stage.program(), socket), way.fate(), "{way:?}");
        assert_eq!(stage.run(&stage.program(), Stdio::null()), Fate::Ran);

        let told = response(&mut sensor, "done");
        assert_eq!(text(&told, "sensor.response.by"), "nothing on a socket");
        assert_eq!(
            text(&told, "sensor.response.target"),
            stage.program().to_str().unwrap()
        );
        let other = peer.local_addr().unwrap().to_string();
        assert_eq!(text(&told, "sensor.response.peer"), other);
        assert_eq!(field(&told, "process.parent.pid"), std::process::id());
        let alert = sensor
            .wait_for(|event| text(event, "rule.id") == "prevented-program")
            .expect("it is an alert");
        assert_eq!(
            text(&alert, "source.ip").len() + text(&alert, "destination.ip").len(),
            9
        );
        assert!(sensor.stop().unwrap().balances());
    }
}

#[test]
fn a_prevented_script_does_not_get_to_its_interpreter() {
    for way in Way::ALL {
        let stage = Stage::new();
        let script = stage.at("script");
        write(
            &script,
            format!("#!{}\n", stage.program().display()).as_bytes(),
        );
        let _sensor = stage.sensor(way, ON_SOCKETS);
        let (socket, _peer) = connection();
        assert_eq!(stage.run(&script, socket), way.fate(), "{way:?}");
    }
}

#[test]
fn a_program_without_a_name_is_prevented() {
    for way in Way::ALL {
        let stage = Stage::new();
        let rules = r#"
            [[respond.prevent]]
            name = "nothing from memory"
            mode = "enforce"
            traits = ["memfd"]
        "#;
        let mut sensor = stage.sensor(way, rules);
        // SAFETY: a NUL-ended name.
        let memory = unsafe { libc::memfd_create(c"x".as_ptr(), 0) };
        // SAFETY: the kernel has just given us this descriptor.
        let mut memory = unsafe { fs::File::from_raw_fd(memory) };
        memory.write_all(&tracer(&stage.trace())).unwrap();
        // Open for reading only, or it is busy.
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let reading = fs::File::open(&path).unwrap();
        drop(memory);
        let again = format!("/proc/{}/fd/{}", std::process::id(), reading.as_raw_fd());
        assert_eq!(
            stage.run(Path::new(&again), Stdio::null()),
            way.fate(),
            "{way:?}"
        );
        response(&mut sensor, "done");
    }
}

#[test]
fn a_shell_is_prevented_whatever_it_is_called() {
    for way in Way::ALL {
        let stage = Stage::new();
        let rules = r#"
            [[respond.prevent]]
            name = "no shells on sockets"
            mode = "enforce"
            programs = ["shell"]
            stdin = ["loopback_socket"]
        "#;
        let link = stage.at("harmless");
        std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
        let mut sensor = stage.sensor(way, rules);
        let (socket, mut peer) = connection();
        writeln!(peer, "echo > {}; exit", stage.trace().display()).unwrap();
        assert_eq!(stage.run(&link, socket), way.fate(), "{way:?}");
        response(&mut sensor, "done");
    }
}

#[test]
fn what_is_rehearsed_or_protected_is_not_prevented_but_told() {
    let stage = Stage::new();
    let rules = r#"
        [respond]
        protect_processes = ["DIR/protected"]
        [[respond.prevent]]
        name = "rehearsed"
        mode = "dry-run"
        programs = ["DIR/tracer"]
        [[respond.prevent]]
        name = "strict"
        mode = "enforce"
        programs = ["DIR/protected"]
    "#;
    let protected = stage.at("protected");
    fs::copy(stage.program(), &protected).unwrap();
    let mut sensor = stage.sensor(Way::Best, rules);
    assert_eq!(stage.run(&stage.program(), Stdio::null()), Fate::Ran);
    assert_eq!(
        text(&response(&mut sensor, "dry_run"), "sensor.response.by"),
        "rehearsed"
    );
    assert_eq!(stage.run(&protected, Stdio::null()), Fate::Ran);
    assert_eq!(
        text(&response(&mut sensor, "refused"), "sensor.response.by"),
        "strict"
    );
}

#[test]
fn what_is_prevented_can_be_changed_while_the_sensor_runs() {
    let stage = Stage::new();
    let sensor = stage.sensor(Way::Best, "");
    assert_eq!(stage.run(&stage.program(), Stdio::null()), Fate::Ran);
    let of_everybody = r#"
        [[respond.prevent]]
        name = "not that one"
        mode = "enforce"
        programs = ["DIR/tracer"]
        users = [0]
    "#;
    stage.configure(of_everybody);
    sensor.hang_up();
    let fate = Way::Best.fate();
    eventually("the rule is in force", || {
        stage.run(&stage.program(), Stdio::null()) == fate
    });
    stage.configure(&of_everybody.replace("[0]", "[4711]"));
    sensor.hang_up();
    eventually("the rule is another one", || {
        stage.run(&stage.program(), Stdio::null()) == Fate::Ran
    });
    assert!(sensor.stop().unwrap().balances());
}
