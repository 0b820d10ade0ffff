//! TCP as the real sensor sees them on the real kernel. All traffic stays in network
//! namespaces of our own, one a test, so that nothing depends on the machine's network.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Instant;

use sensor_tests::network::{self, has_ends, inode, is, is_ours, of, sockaddr, socket, wait};
use sensor_tests::uring::{self, Operation};
use sensor_tests::{Launch, Sensor, eventually, field, skip, text, uses_fallback};

fn tcp_socket(flags: i32) -> OwnedFd {
    socket(libc::AF_INET, libc::SOCK_STREAM | flags, 0).unwrap()
}

/// The errno that `connect` gives, 0 for none.
fn connect(socket: &OwnedFd, address: [u8; 4], port: u16) -> i32 {
    let address = sockaddr(address, port);
    // SAFETY: the address lives through the call and is as long as said.
    let done = unsafe {
        libc::connect(
            socket.as_raw_fd(),
            address.as_ptr().cast(),
            address.len() as u32,
        )
    };
    if done == 0 {
        0
    } else {
        std::io::Error::last_os_error().raw_os_error().unwrap()
    }
}

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

#[test]
fn a_connection_is_seen_from_both_ends_until_it_closes() {
    let mut sensor = network::sensor().unwrap();
    conversation(&mut sensor, "127.0.0.1:0", "127.0.0.1");
    conversation(&mut sensor, "[::1]:0", "::1");
    // IPv4 through an IPv6 socket is shown as IPv4.
    conversation(&mut sensor, "[::]:0", "127.0.0.1");
    assert!(sensor.stop().unwrap().balances());
}

/// Connects, sends 1000 bytes there and 77 back, and sees all events of it.
fn conversation(sensor: &mut Sensor, listen: &str, via: &str) {
    let listener = TcpListener::bind(listen).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut here = TcpStream::connect((via, port)).unwrap();
    let (mut there, _) = listener.accept().unwrap();
    let (from, to) = (here.local_addr().unwrap(), here.peer_addr().unwrap());
    let inodes = (inode(&here), inode(&there));
    here.write_all(&[1; 1000]).unwrap();
    there.read_exact(&mut [0; 1000]).unwrap();
    there.write_all(&[2; 77]).unwrap();
    here.read_exact(&mut [0; 77]).unwrap();
    here.shutdown(Shutdown::Write).unwrap();
    assert_eq!(there.read(&mut [0; 1]).unwrap(), 0);
    drop(there);
    assert_eq!(here.read(&mut [0; 1]).unwrap(), 0);
    drop(here);

    let listening = wait(sensor, "network.listen", |event| {
        field(event, "server.port") == port
    })
    .unwrap();
    assert!(is_ours(&listening) && field(&listening, "sensor.network.backlog").as_u64() > Some(0));
    assert_eq!(field(&listening, "sensor.network.inode"), inode(&listener));

    let connected = wait(sensor, "network.connect", |event| has_ends(event, from, to)).unwrap();
    assert!(is_ours(&connected), "{connected}");
    assert_eq!(field(&connected, "sensor.network.inode"), inodes.0);
    assert_eq!(text(&connected, "event.outcome"), "success");
    assert_eq!(text(&connected, "network.direction"), "egress");
    assert_eq!(
        field(&connected, "sensor.network.namespace"),
        field(&connected, "sensor.namespace.net")
    );

    let accepted = wait(sensor, "network.accept", |event| has_ends(event, from, to)).unwrap();
    assert!(is_ours(&accepted), "{accepted}");
    assert_eq!(field(&accepted, "sensor.network.inode"), inodes.1);
    assert_eq!(text(&accepted, "network.direction"), "ingress");

    for direction in ["egress", "ingress"] {
        let closed = wait(sensor, "network.close", |event| {
            has_ends(event, from, to) && text(event, "network.direction") == direction
        })
        .unwrap();
        assert!(is_ours(&closed), "{closed}");
        assert_eq!(field(&closed, "source.bytes"), 1000, "{direction}");
        assert_eq!(field(&closed, "destination.bytes"), 77, "{direction}");
        assert!(field(&closed, "event.duration").as_u64() > Some(0));
        assert!(field(&closed, "error.code").is_null(), "{closed}");
    }
}

/// Lets a socket share its port, and binds it.
fn bind_shared(socket: &OwnedFd, port: u16) {
    let (one, address) = (1_i32, sockaddr(LOOPBACK, port));
    // SAFETY: both live through the calls and are as long as said.
    unsafe {
        let fd = socket.as_raw_fd();
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_REUSEADDR,
            (&raw const one).cast(),
            4,
        );
        assert_eq!(libc::bind(fd, address.as_ptr().cast(), 16), 0);
    }
}

#[test]
fn every_connect_that_fails_is_reported_once_with_its_reason() {
    let sensor = network::sensor().unwrap();
    let waiting = tcp_socket(0);
    assert_eq!(connect(&waiting, LOOPBACK, 1), libc::ECONNREFUSED);
    let polling = tcp_socket(libc::SOCK_NONBLOCK);
    assert_eq!(connect(&polling, LOOPBACK, 1), libc::EINPROGRESS);
    // The second call only collects the answer.
    assert_eq!(connect(&polling, LOOPBACK, 1), libc::ECONNREFUSED);
    // These fail before the socket changes its state …
    let nowhere = tcp_socket(0);
    assert_eq!(connect(&nowhere, [203, 0, 113, 1], 4444), libc::ENETUNREACH);
    let broadcast = tcp_socket(0);
    assert_eq!(
        connect(&broadcast, [127, 255, 255, 255], 9),
        libc::ENETUNREACH
    );
    // … and this after: the same two ends once more cannot be.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (first, second) = (tcp_socket(0), tcp_socket(0));
    bind_shared(&first, 4711);
    bind_shared(&second, 4711);
    assert_eq!(connect(&first, LOOPBACK, port), 0);
    assert_eq!(connect(&second, LOOPBACK, port), libc::EADDRNOTAVAIL);

    let finished = sensor.stop().unwrap();
    for (socket, error, address, port) in [
        (&waiting, "ECONNREFUSED", "127.0.0.1", 1),
        (&polling, "ECONNREFUSED", "127.0.0.1", 1),
        (&nowhere, "ENETUNREACH", "203.0.113.1", 4444),
        (&broadcast, "ENETUNREACH", "127.255.255.255", 9),
        (&second, "EADDRNOTAVAIL", "127.0.0.1", port),
    ] {
        let events = of(&finished, "network.connect", inode(socket));
        assert_eq!(events.len(), 1, "{error}: {events:?}");
        let event = events[0];
        assert!(is_ours(event), "{event}");
        assert_eq!(text(event, "event.outcome"), "failure");
        assert_eq!(text(event, "error.code"), error);
        assert_eq!(text(event, "destination.ip"), address);
        assert_eq!(field(event, "destination.port"), port);
        assert_eq!(
            field(event, "source.port") == 0,
            error == "ENETUNREACH",
            "{event}"
        );
    }
    let binds = of(&finished, "network.bind", inode(&second));
    assert_eq!(field(binds[0], "source.port"), 4711);
    assert!(finished.balances());
}

/// Whether the kernel has asked the other end for a connection more than once.
fn has_tried_again(socket: &OwnedFd) -> bool {
    // SAFETY: all zero is a valid value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = size_of_val(&info) as u32;
    // SAFETY: the kernel writes no more than `size` bytes into `info`.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut size,
        )
    };
    assert_eq!(done, 0);
    info.tcpi_retransmits > 0
}

#[test]
fn giving_up_is_told_from_failing_and_a_reset_from_an_end() {
    let mut sensor = network::sensor().unwrap();
    let listener = tcp_socket(0);
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let listener = TcpListener::from(listener);
    let port = listener.local_addr().unwrap().port();
    // One fills the queue, the next is left without an answer.
    let mut first = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let second = tcp_socket(libc::SOCK_NONBLOCK);
    let before = Instant::now();
    assert_eq!(connect(&second, LOOPBACK, port), libc::EINPROGRESS);
    let begun = Instant::now();
    eventually("the kernel does not try again", || has_tried_again(&second));
    let given_up = inode(&second);
    let tried = begun.elapsed();
    drop(second);
    let all = before.elapsed();

    let (there, _) = listener.accept().unwrap();
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the option lives through the call and is as long as said.
    unsafe {
        let size = size_of_val(&linger) as u32;
        libc::setsockopt(
            there.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size,
        );
    }
    drop(there);
    assert!(first.read(&mut [0; 1]).is_err());
    let closed = wait(&mut sensor, "network.close", |event| {
        field(event, "sensor.network.inode") == inode(&first)
    })
    .unwrap();
    assert_eq!(text(&closed, "error.code"), "ECONNRESET");

    let finished = sensor.stop().unwrap();
    let events = of(&finished, "network.connect", given_up);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(text(events[0], "event.outcome"), "unknown");
    let duration = field(events[0], "event.duration").as_u64().unwrap();
    assert!((tried.as_nanos()..=all.as_nanos()).contains(&duration.into()));
    assert!(finished.balances());
}

#[test]
fn what_io_uring_does_is_seen_and_is_its_process() {
    let mut sensor = network::sensor().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = sockaddr(LOOPBACK, listener.local_addr().unwrap().port());
    let sees_io_uring = !uses_fallback("accept").unwrap();
    for flags in [0, uring::ASYNC] {
        let socket = tcp_socket(0);
        let connect = Operation {
            opcode: uring::CONNECT,
            flags,
            fd: socket.as_raw_fd(),
            address: &address,
        };
        match uring::run(&connect) {
            Ok(result) => assert_eq!(result, 0),
            Err(error) => return skip(&format!("no io_uring: {error}")),
        }
        let event = wait(&mut sensor, "network.connect", |event| {
            field(event, "sensor.network.inode") == inode(&socket)
        })
        .unwrap();
        assert_eq!(field(&event, "process.pid"), std::process::id(), "{event}");
        assert_eq!(text(&event, "event.outcome"), "success");

        let accept = Operation {
            opcode: uring::ACCEPT,
            flags,
            fd: listener.as_raw_fd(),
            address: &[],
        };
        let fd = uring::run(&accept).unwrap();
        assert!(fd >= 0, "{fd}");
        // SAFETY: just made, and ours.
        let accepted = unsafe { OwnedFd::from_raw_fd(fd) };
        if !sees_io_uring {
            continue;
        }
        let event = wait(&mut sensor, "network.accept", |event| {
            field(event, "sensor.network.inode") == inode(&accepted)
        })
        .unwrap();
        assert_eq!(field(&event, "process.pid"), std::process::id(), "{event}");
    }
    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn a_listener_has_its_port_even_when_nobody_chose_one() {
    let mut sensor = network::sensor().unwrap();
    let listener = tcp_socket(0);
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 7) }, 0);
    let plain = inode(&listener);
    let port = TcpListener::from(listener).local_addr().unwrap().port();
    accept_through_mptcp(&mut sensor);
    let finished = sensor.stop().unwrap();
    let events = of(&finished, "network.listen", plain);
    assert_eq!(events.len(), 1);
    assert!(is_ours(events[0]));
    assert_eq!(field(events[0], "server.port"), port);
    assert_eq!(field(events[0], "sensor.network.backlog"), 7);
    assert!(finished.balances());
}

/// Go listens like this without being asked to.
fn accept_through_mptcp(sensor: &mut Sensor) {
    let Some(listener) = socket(libc::AF_INET, libc::SOCK_STREAM, 262) else {
        return skip("this kernel has no MPTCP");
    };
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 1) }, 0);
    let listener = TcpListener::from(listener);
    let port = listener.local_addr().unwrap().port();
    let here = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (there, _) = listener.accept().unwrap();
    let (from, to) = (here.local_addr().unwrap(), here.peer_addr().unwrap());
    wait(sensor, "network.listen", |event| {
        field(event, "server.port") == port
    })
    .unwrap();
    let accepted = wait(sensor, "network.accept", |event| has_ends(event, from, to)).unwrap();
    assert!(is_ours(&accepted), "{accepted}");
    assert_eq!(field(&accepted, "sensor.network.inode"), inode(&there));
    drop(here);
    drop(there);
    let closed = wait(sensor, "network.close", |event| {
        has_ends(event, from, to) && text(event, "network.direction") == "ingress"
    })
    .unwrap();
    assert!(is_ours(&closed), "{closed}");
}

#[test]
fn a_connection_older_than_the_sensor_has_no_owner() {
    network::private().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (there, _) = listener.accept().unwrap();
    let (from, to) = (here.local_addr().unwrap(), here.peer_addr().unwrap());
    let mut sensor = Launch::default().start().unwrap();
    drop(here);
    drop(there);
    for (source, destination) in [(from, to), (to, from)] {
        let closed = wait(&mut sensor, "network.close", |event| {
            has_ends(event, source, destination)
        })
        .unwrap();
        assert!(field(&closed, "process.pid").is_null(), "{closed}");
        assert_eq!(text(&closed, "network.direction"), "unknown");
    }
    assert!(sensor.stop().unwrap().balances());
}

#[test]
fn a_burst_of_connections_balances_to_the_last() {
    const RUNS: usize = 500;
    let sensor = network::sensor().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for _ in 0..RUNS {
        let here = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (there, _) = listener.accept().unwrap();
        drop(here);
        drop(there);
    }
    let finished = sensor.stop().unwrap();
    let count = |dataset: &str, direction: &str| {
        let mine = finished.events.iter().filter(|event| {
            is(event, dataset)
                && field(event, "destination.port") == port
                && text(event, "network.direction") == direction
                && is_ours(event)
        });
        mine.count()
    };
    assert!(finished.balances(), "{}", finished.account);
    for (dataset, direction) in [
        ("network.connect", "egress"),
        ("network.accept", "ingress"),
        ("network.close", "egress"),
        ("network.close", "ingress"),
    ] {
        let found = count(dataset, direction);
        assert!(
            finished.has_all(found, RUNS),
            "{dataset} {direction}: {found}"
        );
    }
}
