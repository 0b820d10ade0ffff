//! A machine that boots from a disk, as servers do, instead of from a file system in memory: its
//! first file system only brings the modules that the disk takes. What is on the disk, and what the
//! machine says, is the caller's business.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::initramfs::Initramfs;
use super::machine::die_with_us;
use super::{MODULES, kernel, modules};
use crate::workspace::Workspace;
use crate::{exec, setup};

/// What the disk takes: the device, and the file system with the checksum it asks for by name.
const DISK_MODULES: [&str; 5] = [
    "virtio_pci",
    "virtio_blk",
    "crc32c_generic",
    "crc32c-intel",
    "ext4",
];
/// Memory, in MiB.
const MEMORY: &str = "2048M";
/// Process 1 until the disk is there.
const INIT: &str = r#"#!/bin/sh
export PATH=/usr/bin
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
while read -r module || [ -n "$module" ]; do
	insmod "/vm/modules/$module"
done </vm/modules/order
until [ -b /dev/vda ]; do sleep 0.1; done
mkdir /disk
mount -t ext4 /dev/vda /disk
mount --move /dev /disk/dev
umount /proc
exec switch_root /disk /lib/systemd/systemd
"#;

/// The machine, off.
pub(crate) struct DiskMachine {
    image: PathBuf,
    initramfs: PathBuf,
    /// A file with an ext4 file system, without partitions.
    pub(crate) disk: PathBuf,
    /// The kernel's own messages.
    pub(crate) console: PathBuf,
}

impl DiskMachine {
    /// One with this kernel, its files below a directory in `target/`.
    pub(crate) fn new(
        workspace: &Workspace,
        release: kernel::Release,
        place: &str,
    ) -> Result<Self> {
        setup::for_vm(std::iter::empty())?;
        let kernel = kernel::get(workspace, release, false)?;
        let mut files = Initramfs::new();
        files.text("init", INIT, true);
        let busybox = exec::which("busybox").context("no busybox in PATH")?;
        files.host(&busybox, "usr/bin/sh")?;
        files.busybox(&busybox)?;
        if let Some(tree) = &kernel.modules {
            let wanted = DISK_MODULES.iter().chain(MODULES);
            let wanted: Vec<String> = wanted.map(|name| (*name).to_owned()).collect();
            files.modules(modules::choose(tree, &wanted)?);
        }
        let initramfs = workspace.target(&format!("{place}/boot.cpio"))?;
        files.write(&initramfs)?;
        Ok(Self {
            image: kernel.image,
            initramfs,
            disk: workspace.target(&format!("{place}/disk"))?,
            console: workspace.target(&format!("{place}/console"))?,
        })
    }

    /// Switches it on; what is written to its first serial line is the child's standard output.
    pub(crate) fn start(&self) -> Result<Child> {
        let mut qemu = Command::new("qemu-system-x86_64");
        let drive = format!("file={},format=raw,if=virtio", self.disk.display());
        let console = format!("file:{}", self.console.display());
        qemu.args(["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2"])
            .args(["-m", MEMORY, "-display", "none", "-monitor", "none"])
            .args(["-nic", "none", "-no-reboot", "-serial", "stdio"])
            .args(["-serial", &console, "-drive", &drive, "-kernel"])
            .arg(&self.image)
            .arg("-initrd")
            .arg(&self.initramfs)
            .args(["-append", "console=ttyS1 panic=-1 quiet lsm=lockdown,bpf"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        die_with_us(&mut qemu);
        qemu.spawn().context("cannot start qemu-system-x86_64")
    }
}

/// Makes a file with a file system that holds a directory, of this size in MiB, most of it holes.
pub(crate) fn make_disk(directory: &Path, disk: &Path, mib: u32) -> Result<()> {
    let _ = std::fs::remove_file(disk);
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F", "-d"]).arg(directory).arg(disk);
    exec::output(mkfs.arg(format!("{mib}M")))
        .context("disks are made with mkfs.ext4; install e2fsprogs")?;
    Ok(())
}
