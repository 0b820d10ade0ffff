//! Paths as they occur in the wild, one row each, and arbitrary bytes.

use proptest::prelude::*;

use super::*;

const A: &str = "3601745b3bd54d9780436faa5f0e4f72bb46231663bb99a6bb892764917832c2";
const B: &str = "8fb61f0c5a1d6a8d9d3b7a5f1e2c4d6b8a9f0e1d2c3b4a5968778695a4b3c2d1";
const POD: &str = "0a6f2d1c-8b7e-4c3d-9f1a-2b3c4d5e6f70";

/// `{A}`, `{B}`, `{P}` (pod uid) and `{U}` (pod uid with underscores) are filled in.
fn fill(pattern: &str) -> String {
    let pattern = pattern.replace("{A}", A).replace("{B}", B);
    pattern
        .replace("{P}", POD)
        .replace("{U}", &POD.replace('-', "_"))
}

#[test]
fn containers_of_every_runtime_are_recognised() {
    use Runtime::{Containerd, CriO, Docker, Garden, Lxc, Nspawn, Podman, Unknown};
    let rows: &[(&str, Runtime, &str)] = &[
        // Docker: cgroupfs, systemd, custom parents, rootless, with systemd inside, short id.
        ("/docker/{A}", Docker, "{A}"),
        ("/system.slice/docker-{A}.scope", Docker, "{A}"),
        ("/system.slice/docker-{A}.scope/init", Docker, "{A}"),
        ("/docker/{A}/system.slice/nginx.service", Docker, "{A}"),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{A}.scope",
            Docker,
            "{A}",
        ),
        ("/system.slice:docker:{A}", Docker, "{A}"),
        ("/docker/3601745b3bd5", Docker, "3601745b3bd5"),
        ("/actions_job/{A}", Unknown, "{A}"),
        (
            "/ecs/55091c13-b8cf-4801-b527-f4601742204d/{A}",
            Docker,
            "{A}",
        ),
        (
            "/ecs/34dc0b5e626f2c5c4c5170e34b10e765/34dc0b5e626f2c5c4c5170e34b10e765-1234567890",
            Containerd,
            "34dc0b5e626f2c5c4c5170e34b10e765-1234567890",
        ),
        // Containers in containers: the innermost.
        ("/docker/{A}/docker/{B}", Docker, "{B}"),
        (
            "/docker/{A}/kubelet/kubepods/besteffort/pod{P}/{B}",
            Containerd,
            "{B}",
        ),
        (
            "/system.slice/docker-{A}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{U}.slice/cri-containerd-{B}.scope",
            Containerd,
            "{B}",
        ),
        // Kubernetes.
        ("/kubepods/burstable/pod{P}/{A}", Containerd, "{A}"),
        ("/kubepods/pod{P}/{A}", Containerd, "{A}"),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{U}.slice/cri-containerd-{A}.scope",
            Containerd,
            "{A}",
        ),
        (
            "/kubepods.slice/kubepods-pod{U}.slice/crio-{A}.scope",
            CriO,
            "{A}",
        ),
        (
            "/kubepods.slice/kubepods-pod{U}.slice/crio-{A}.scope/container",
            CriO,
            "{A}",
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{U}.slice/docker-{A}.scope",
            Docker,
            "{A}",
        ),
        ("/kubepods/besteffort/pod{P}/crio-{A}", CriO, "{A}"),
        (
            "/system.slice/containerd.service/kubepods-besteffort-pod{U}.slice:cri-containerd:{A}",
            Containerd,
            "{A}",
        ),
        (
            "/../../kubepods-besteffort-pod{U}.slice/cri-containerd-{A}.scope",
            Containerd,
            "{A}",
        ),
        ("/k8s.io/{A}", Containerd, "{A}"),
        ("/default/{A}", Containerd, "{A}"),
        ("/system.slice/nerdctl-{A}.scope", Containerd, "{A}"),
        // Podman.
        ("/machine.slice/libpod-{A}.scope", Podman, "{A}"),
        ("/machine.slice/libpod-{A}.scope/container", Podman, "{A}"),
        (
            "/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope/container/init.scope",
            Podman,
            "{A}",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope",
            Podman,
            "{A}",
        ),
        (
            "/system.slice/web.service/libpod-payload-{A}",
            Podman,
            "{A}",
        ),
        ("/libpod_parent/libpod-{A}", Podman, "{A}"),
        ("/libpod_parent/{A}", Podman, "{A}"),
        // The conmon of a container started inside another belongs to the outer one.
        (
            "/machine.slice/libpod-{A}.scope/container/libpod-conmon-{B}.scope",
            Podman,
            "{A}",
        ),
        // Named machines.
        ("/lxc/101/ns/system.slice/ssh.service", Lxc, "101"),
        ("/lxc.payload/web01", Lxc, "web01"),
        (
            "/lxc.payload.default_web-01/init.scope",
            Lxc,
            "default_web-01",
        ),
        (r"/machine.slice/machine-lxc\x2d4321\x2ddb.scope", Lxc, "db"),
        (
            "/machine.slice/systemd-nspawn@debian.service/payload/init.scope",
            Nspawn,
            "debian",
        ),
        (
            r"/machine.slice/machine-debian\x2dweb.scope",
            Nspawn,
            "debian-web",
        ),
        (
            "/system.slice/garden.service/garden/b4b2fd0c-6a5f-4a5e-5d0d-9d8e",
            Garden,
            "b4b2fd0c-6a5f-4a5e-5d0d-9d8e",
        ),
    ];
    for (path, runtime, id) in rows {
        let expected = ContainerRef {
            id: fill(id),
            runtime: *runtime,
        };
        assert_eq!(container(fill(path).as_bytes()), Some(expected), "{path}");
    }
}

#[test]
fn host_processes_and_supervisors_are_in_no_container() {
    for path in [
        "/",
        "",
        "/init.scope",
        "/system.slice/docker.service",
        "/system.slice/containerd.service",
        "/user.slice/user-1000.slice/session-3.scope",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/podman-4321.scope",
        "/kubepods.slice/kubepods-pod{U}.slice/crio-conmon-{A}.scope",
        "/machine.slice/libpod-conmon-{A}.scope",
        "/kubepods/burstable/pod{P}",
        "/libpod_parent/conmon",
        "/machine.slice/systemd-nspawn@debian.service/supervisor",
        r"/machine.slice/machine-qemu\x2d1\x2dvm.scope",
        "/lxc.monitor.web01",
        "/lxc.monitor/web01",
        "/process_api/b07351401be0fe2d93a1010632e87148",
        "/docker/buildx",
        "/system.slice/docker-compose.service",
        "/app/deadbeef",
    ] {
        assert_eq!(container(fill(path).as_bytes()), None, "{path}");
    }
    assert_eq!(
        container(&[b"/docker/", A.as_bytes(), &[b'/'; MAX_PATH]].concat()),
        None
    );
}

#[test]
fn the_pod_is_known_with_and_without_its_container() {
    for path in [
        "/kubepods/burstable/pod{P}/{A}",
        "/kubepods/pod{P}",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{U}.slice/crio-conmon-{A}.scope",
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{U}.slice/cri-containerd-{A}.scope",
        "/system.slice/containerd.service/kubepods-besteffort-pod{U}.slice:cri-containerd:{A}",
    ] {
        assert_eq!(
            pod_uid(fill(path).as_bytes()).as_deref(),
            Some(POD),
            "{path}"
        );
    }
    let static_pod = "/kubepods/burstable/podb07351401be0fe2d93a1010632e87148/x";
    assert_eq!(
        pod_uid(static_pod.as_bytes()).as_deref(),
        Some("b07351401be0fe2d93a1010632e87148")
    );
    for path in [
        "/system.slice/podman.service",
        "/pod",
        "/user-pod/x",
        "/machine.slice/machine-libpod_pod_{A}.slice",
    ] {
        assert_eq!(pod_uid(fill(path).as_bytes()), None, "{path}");
    }
}

#[test]
fn the_innermost_unit_is_named_and_unescaped() {
    for (path, unit) in [
        ("/system.slice/nginx.service", Some("nginx.service")),
        (
            "/system.slice/system-getty.slice/getty@tty1.service",
            Some("getty@tty1.service"),
        ),
        (
            r"/system.slice/systemd-fsck@dev-disk-by\x2duuid-1.service",
            Some("systemd-fsck@dev-disk-by-uuid-1.service"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/tunnel.service",
            Some("tunnel.service"),
        ),
        (
            "/user.slice/user-1000.slice/session-c2.scope",
            Some("session-c2.scope"),
        ),
        (
            "/docker/{A}/system.slice/cron.service",
            Some("cron.service"),
        ),
        (
            "/system.slice/docker.service/extra/deep",
            Some("docker.service"),
        ),
        ("/system.slice/sshd.socket", Some("sshd.socket")),
        ("/system.slice/_cgroup.service", Some("cgroup.service")),
        ("/init.scope", Some("init.scope")),
        ("/kubepods/burstable", None),
        ("/.service", None),
        ("/", None),
    ] {
        assert_eq!(
            systemd_unit(fill(path).as_bytes()).as_deref(),
            unit,
            "{path}"
        );
    }
}

#[test]
fn logins_have_a_user_and_perhaps_a_session() {
    let login_of = |path: &str| login(path.as_bytes()).map(|l| (l.uid, l.session));
    assert_eq!(
        login_of("/user.slice/user-1000.slice/session-3.scope"),
        Some((1000, Some("3".into())))
    );
    assert_eq!(
        login_of("/user.slice/user-0.slice/user@0.service/init.scope"),
        Some((0, None))
    );
    assert_eq!(login_of("/system.slice/ssh.service"), None);
    assert_eq!(login_of("/user.slice/user-99999999999.slice"), None);
}

#[test]
fn of_procs_many_lines_the_telling_one_is_taken() {
    let v1 = fill(
        "12:pids:/\n3:cpuset:/docker/{A}\n1:name=systemd:/system.slice/docker-{A}.scope\n0::/\n",
    );
    assert_eq!(
        path_in_proc(v1.as_bytes()),
        Some(fill("/docker/{A}").as_bytes())
    );
    assert_eq!(
        path_in_proc(b"0::/system.slice/cron.service\n"),
        Some(&b"/system.slice/cron.service"[..])
    );
    assert_eq!(
        path_in_proc(b"4:cpu:/\n1:name=systemd:/init.scope\n0::/\n"),
        Some(&b"/init.scope"[..])
    );
    assert_eq!(path_in_proc(b"0::/\n"), Some(&b"/"[..]));
    assert_eq!(path_in_proc(b"0::/a:b.scope\n"), Some(&b"/a:b.scope"[..]));
    assert_eq!(path_in_proc(b"garbage"), None);
}

/// Everything a hostile path can reach; also the body of the fuzz target.
fn exercise(data: &[u8]) {
    for path in [Some(data), path_in_proc(data)].into_iter().flatten() {
        let _ = (pod_uid(path), systemd_unit(path), login(path));
        if let Some(found) = container(path) {
            assert!(!found.id.is_empty() && found.id.len() <= MAX_PATH * 4);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..256)) {
        exercise(&data);
    }

    #[test]
    fn arbitrary_known_words_never_panic(words in prop::collection::vec(prop::sample::select(vec![
        "/", "docker", "-", "docker-", "machine.slice/machine-", ".scope", r"\x2d", r"\x", "lxc.payload.", "lxc-", ":", "pod", "kubepods", "é", "_",
        "user.slice/user-", "1", ".slice", "/session-", "supervisor", A,
    ]), 0..16)) {
        exercise(words.concat().as_bytes());
    }
}
