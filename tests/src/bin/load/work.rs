//! What one operation of each workload is. No timing, no counting: `worker` repeats these.

use std::ffi::CString;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use anyhow::{Context, Result, bail};

/// Something to be done over and over.
pub(crate) trait Work {
    /// Does it once.
    fn once(&mut self) -> Result<()>;
}

/// Fork, exec, wait.
pub(crate) struct Exec {
    program: CString,
}

impl Exec {
    pub(crate) fn new(program: &Path) -> Result<Self> {
        Ok(Self {
            program: c_path(program)?,
        })
    }
}

impl Work for Exec {
    fn once(&mut self) -> Result<()> {
        let arguments = [self.program.as_ptr(), ptr::null()];
        let environment = [c"PATH=/usr/bin:/bin".as_ptr(), ptr::null()];
        // SAFETY: this process has one thread; the child calls nothing but execve and _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: both lists end with null and their strings outlive the call.
            unsafe {
                libc::execve(
                    self.program.as_ptr(),
                    arguments.as_ptr(),
                    environment.as_ptr(),
                );
                libc::_exit(127);
            }
        }
        check(child.into()).context("cannot fork")?;
        let mut status = 0;
        // SAFETY: `status` is a valid place for the answer.
        check(unsafe { libc::waitpid(child, &mut status, 0) }.into()).context("cannot wait")?;
        if status == 0 {
            Ok(())
        } else {
            bail!("the program could not be run (status {status:#x})")
        }
    }
}

/// Opens and closes one of a few files, in turn.
pub(crate) struct Open {
    files: Vec<CString>,
    next: usize,
    flags: libc::c_int,
}

impl Open {
    /// How many files there are.
    const FILES: usize = 16;

    /// For reading: files that are there already.
    pub(crate) fn read(directory: &Path, worker: u64) -> Result<Self> {
        let this = Self::new(directory, worker, libc::O_RDONLY)?;
        for file in &this.files {
            let path = Path::new(std::ffi::OsStr::from_bytes(file.to_bytes()));
            std::fs::write(path, "nothing of interest\n")
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(this)
    }

    /// For writing: the first round creates them.
    pub(crate) fn write(directory: &Path, worker: u64) -> Result<Self> {
        Self::new(directory, worker, libc::O_WRONLY | libc::O_CREAT)
    }

    fn new(directory: &Path, worker: u64, flags: libc::c_int) -> Result<Self> {
        let files = (0..Self::FILES)
            .map(|number| c_path(&directory.join(format!("{worker}-{number}.txt"))))
            .collect::<Result<_>>()?;
        Ok(Self {
            files,
            next: 0,
            flags: flags | libc::O_CLOEXEC,
        })
    }
}

impl Work for Open {
    fn once(&mut self) -> Result<()> {
        let file = self
            .files
            .get(self.next % Self::FILES)
            .context("no files to open")?;
        self.next += 1;
        // SAFETY: the path is a terminated string that outlives the call.
        let fd = unsafe { libc::open(file.as_ptr(), self.flags, 0o600) };
        check(fd.into()).context("cannot open a file")?;
        // SAFETY: the descriptor is ours and not used again.
        check(unsafe { libc::close(fd) }.into()).context("cannot close a file")?;
        Ok(())
    }
}

/// Connects to a listener of this process and closes both ends.
pub(crate) struct Connect {
    listener: TcpListener,
}

impl Connect {
    pub(crate) fn new() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
        Ok(Self { listener })
    }
}

impl Work for Connect {
    fn once(&mut self) -> Result<()> {
        let address = self.listener.local_addr()?;
        let client = TcpStream::connect(address).context("cannot connect on loopback")?;
        // Closed by reset: connections that linger would use up the ports within a second.
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the option is as long as said and copied by the call.
        let set = unsafe {
            libc::setsockopt(
                client.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            )
        };
        check(set.into()).context("cannot set SO_LINGER")?;
        let (server, _) = self.listener.accept().context("cannot accept")?;
        drop(client);
        drop(server);
        Ok(())
    }
}

/// A system call that does next to nothing.
pub(crate) struct Getppid;

impl Work for Getppid {
    fn once(&mut self) -> Result<()> {
        // SAFETY: takes no arguments. Not through the C library, which might remember it.
        unsafe { libc::syscall(libc::SYS_getppid) };
        Ok(())
    }
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).context("a path with a zero byte in it")
}

/// What a system call returned, or why it failed.
fn check(result: i64) -> io::Result<i64> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
