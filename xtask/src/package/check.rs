//! Holds the files of `packaging/` to what they are for, as far as that goes without a cluster, a
//! fleet or a boot. The systemd unit and the configuration are held to the sensor in its own tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize as _;
use yaml_serde::Value;

use super::tree;
use crate::exec;

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(path)
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let documents = yaml_serde::Deserializer::from_str(&text);
    documents
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn text<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    let found = path.iter().fold(value, |value, key| &value[*key]);
    found.as_str().unwrap_or_default()
}

#[test]
fn what_the_daemon_set_refers_to_is_there() {
    let documents = documents(&packaging("kubernetes/daemonset.yaml"));
    let kinds: Vec<&str> = documents.iter().map(|each| text(each, &["kind"])).collect();
    assert_eq!(kinds, ["Namespace", "ConfigMap", "DaemonSet"]);
    let [namespace, configuration, set] = &documents[..] else {
        panic!("{} documents", documents.len());
    };
    for document in [configuration, set] {
        let theirs = text(document, &["metadata", "namespace"]);
        assert_eq!(theirs, text(namespace, &["metadata", "name"]));
    }
    assert!(text(configuration, &["data", "sensor.toml"]).contains("events"));
    let pod = &set["spec"]["template"];
    assert_eq!(
        pod["metadata"]["labels"],
        set["spec"]["selector"]["matchLabels"]
    );
    let volumes = pod["spec"]["volumes"].as_sequence().unwrap();
    let container = &pod["spec"]["containers"][0];
    let mounts = container["volumeMounts"].as_sequence().unwrap();
    assert_eq!(volumes.len(), mounts.len());
    for mount in mounts {
        let name = text(mount, &["name"]);
        let volume = volumes
            .iter()
            .find(|volume| text(volume, &["name"]) == name);
        let path = text(volume.unwrap(), &["hostPath", "path"]);
        assert!(path.is_empty() || path == text(mount, &["mountPath"]));
    }
    assert_eq!(pod["spec"]["hostPID"].as_bool(), Some(true));
    let image = text(container, &["image"]);
    assert!(image.ends_with(super::VERSION), "{image}");
}

#[test]
fn every_file_of_the_role_is_yaml() {
    let role = packaging("ansible/roles/sensor");
    let mut files = 0;
    for directory in ["tasks", "handlers", "defaults", "meta"] {
        for file in tree::files(&role.join(directory), "yml").unwrap() {
            assert_eq!(documents(&file).len(), 1, "{}", file.display());
            files += 1;
        }
    }
    assert!(files >= 6);
}

#[test]
fn ansible_understands_the_role() {
    if exec::which("ansible-playbook").is_none() {
        println!("skipped: no ansible-playbook here");
        return;
    }
    let mut ansible = Command::new("ansible-playbook");
    ansible.current_dir(packaging("ansible"));
    ansible.args(["--syntax-check", "-i", "localhost,", "site.yml"]);
    exec::output(&mut ansible).unwrap();
}

#[test]
fn every_script_is_one() {
    for script in [
        packaging("debian/postinst"),
        packaging("debian/prerm"),
        packaging("debian/postrm"),
        packaging("tarball/install.sh"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/package/trial.sh"),
    ] {
        exec::output(Command::new("sh").arg("-n").arg(&script)).unwrap();
    }
}
