//! Writes the archive format the kernel unpacks its first file system from (cpio, "newc").
//! What goes into the archive is decided in `initramfs`.

use std::io::{self, Write};

/// What a path in the archive is.
pub(super) enum Node<'a> {
    Directory,
    File { content: &'a [u8], executable: bool },
    Symlink { target: &'a str },
    CharDevice { major: u32, minor: u32 },
}

/// An archive being written.
pub(super) struct Archive<W: Write> {
    out: W,
    inode: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    /// Adds one path, relative to the root and without a leading slash. Directories come before
    /// what is in them.
    pub(super) fn add(&mut self, path: &str, node: &Node<'_>) -> io::Result<()> {
        let (mode, content, device): (u32, &[u8], (u32, u32)) = match node {
            Node::Directory => (0o040_755, &[], (0, 0)),
            Node::File {
                content,
                executable: true,
            } => (0o100_755, content, (0, 0)),
            Node::File {
                content,
                executable: false,
            } => (0o100_644, content, (0, 0)),
            Node::Symlink { target } => (0o120_777, target.as_bytes(), (0, 0)),
            Node::CharDevice { major, minor } => (0o020_600, &[], (*major, *minor)),
        };
        self.entry(path, mode, content, device)
    }

    /// Ends the archive and gives the writer back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, &[], (0, 0))?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(
        &mut self,
        path: &str,
        mode: u32,
        content: &[u8],
        device: (u32, u32),
    ) -> io::Result<()> {
        self.inode += 1;
        let too_long =
            |_| io::Error::new(io::ErrorKind::FileTooLarge, "cpio holds files below 4 GiB");
        let size = u32::try_from(content.len()).map_err(too_long)?;
        let name_size = u32::try_from(path.len() + 1).map_err(too_long)?;
        // ino, mode, uid, gid, nlink, mtime, size, device of the archive, device number, name, check
        let fields = [
            self.inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0,
        ];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(path.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(6 + 8 * fields.len() + path.len() + 1)?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    /// Headers and contents start at multiples of four.
    fn pad(&mut self, written: usize) -> io::Result<()> {
        const ZEROS: [u8; 3] = [0; 3];
        let missing = written.next_multiple_of(4) - written;
        self.out.write_all(ZEROS.get(..missing).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_the_trailer_is_there() {
        let mut archive = Archive::new(Vec::new());
        archive.add("dir", &Node::Directory).unwrap();
        archive
            .add(
                "dir/abc",
                &Node::File {
                    content: b"hello",
                    executable: true,
                },
            )
            .unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let heads: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(heads.len(), 3);
        assert!(heads.iter().all(|at| at % 4 == 0), "{heads:?}");
        assert!(text.contains("000081ed"), "mode of an executable file");
        assert!(text.contains("TRAILER!!!"));
    }
}
