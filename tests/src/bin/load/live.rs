//! Many processes at once that do nothing but be there, each with its standard streams on pipes
//! of another. Not timed.

use std::ffi::CString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use anyhow::{Context, Result, ensure};

/// Makes them, says so in a line, and ends them when standard input ends.
pub(crate) fn hold(count: u64, program: &Path) -> Result<()> {
    let program = CString::new(program.as_os_str().as_bytes()).context("a path with a NUL")?;
    let mut children = Children::default();
    for _ in 0..count / 2 {
        let (a_reads, b_writes) = io::pipe().context("no pipe")?;
        let (b_reads, a_writes) = io::pipe().context("no pipe")?;
        children.start(&program, &a_reads.into(), &a_writes.into())?;
        children.start(&program, &b_reads.into(), &b_writes.into())?;
    }
    println!("{}", serde_json::json!({ "live": children.0.len() }));
    io::stdout().flush().context("cannot say so")?;
    let mut rest = Vec::new();
    io::stdin().read_to_end(&mut rest).context("cannot wait")?;
    Ok(())
}

/// Killed and waited for when dropped.
#[derive(Default)]
struct Children(Vec<libc::pid_t>);

impl Children {
    fn start(&mut self, program: &CString, stdin: &OwnedFd, stdout: &OwnedFd) -> Result<()> {
        let arguments = [program.as_ptr(), ptr::null()];
        let environment = [ptr::null()];
        // SAFETY: this process has one thread; the child calls nothing but dup2, prctl, execve
        // and _exit. Both lists end with null and their strings outlive the call.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::dup2(stdin.as_raw_fd(), 0);
                libc::dup2(stdout.as_raw_fd(), 1);
                libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
                libc::_exit(127);
            }
        }
        ensure!(
            child > 0,
            "cannot fork after {} processes: {}",
            self.0.len(),
            io::Error::last_os_error()
        );
        self.0.push(child);
        Ok(())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &self.0 {
            // SAFETY: no memory is involved; a child that was not waited for keeps its pid.
            unsafe { libc::kill(*child, libc::SIGKILL) };
        }
        for child in &self.0 {
            // SAFETY: no status is asked for.
            unsafe { libc::waitpid(*child, ptr::null_mut(), 0) };
        }
    }
}
