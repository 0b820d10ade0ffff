//! Debian packages of any suite, fetched and verified by apt itself in a private root, so that the
//! machine's proxies, mirrors and signature checks apply and the machine's own package state is
//! not touched. Which packages, and what for, is the callers' business.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::exec;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt that knows nothing but one suite, and believes that nothing is installed.
pub(crate) struct PrivateApt {
    dir: PathBuf,
    options: Vec<String>,
}

impl PrivateApt {
    /// Makes it in a directory and fetches the package lists.
    pub(crate) fn new(dir: PathBuf, suite: &str, has_security: bool) -> Result<Self> {
        ensure!(
            Path::new(KEYRING).exists(),
            "{KEYRING} is missing: install debian-archive-keyring; this needs Debian's apt"
        );
        for sub in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub))
                .with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let mirror = Mirror::find()?;
        let mut list = format!(
            "deb [signed-by={KEYRING} target=Packages] {} {suite} main\n",
            mirror.main
        );
        if let (true, Some(site)) = (has_security, &mirror.security) {
            list += &format!(
                "deb [signed-by={KEYRING} target=Packages] {site} {suite}-security main\n"
            );
        }
        fs::write(dir.join("sources.list"), list).context("cannot write sources.list")?;
        fs::write(dir.join("status"), "").context("cannot write an empty dpkg status")?;

        let at = |key: &str, path: &str| format!("{key}={}", dir.join(path).display());
        let options = vec![
            at("Dir::State", ""),
            at("Dir::State::lists", "lists"),
            at("Dir::State::status", "status"),
            at("Dir::Cache", "cache"),
            at("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=-".to_owned(),
            "Dir::Etc::preferencesparts=-".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            // An archived suite is no longer re-signed.
            "Acquire::Check-Valid-Until=false".to_owned(),
        ];
        let apt = Self { dir, options };
        exec::output(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    /// Fetches these packages and all that they need, and nothing else; says where they are now.
    pub(crate) fn download(
        &self,
        packages: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>,
    ) -> Result<Vec<PathBuf>> {
        self.clean();
        let archives = self.archives();
        let partial = archives.join("partial");
        fs::create_dir_all(&partial)
            .with_context(|| format!("cannot create {}", partial.display()))?;
        exec::output(
            self.command("apt-get")
                .args(["install", "-q", "-y", "--no-install-recommends"])
                .arg("--download-only")
                .args(packages),
        )?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&archives).context("cannot list the downloads")? {
            let path = entry.context("cannot list the downloads")?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes what was downloaded.
    pub(crate) fn clean(&self) {
        let _ = fs::remove_dir_all(self.archives());
    }

    fn archives(&self) -> PathBuf {
        self.dir.join("cache/archives")
    }

    /// Where it lives.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// One of apt's programs, told to use this root.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.arg("-o").arg(option);
        }
        command
    }
}

/// Where this machine gets Debian from; never written down in the repository.
struct Mirror {
    main: String,
    security: Option<String>,
}

impl Mirror {
    fn find() -> Result<Self> {
        let format = "$(CREATED_BY) $(CODENAME) $(REPO_URI)";
        let targets =
            exec::output(Command::new("apt-get").args(["indextargets", "--format", format]))
                .context("packages come from Debian; this machine has no working apt")?;
        let (mut main, mut security) = (None, None);
        for line in targets.lines() {
            let mut words = line.split_whitespace();
            let (Some("Packages"), Some(suite), Some(site)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if suite.ends_with("-security") && site.contains("security") {
                security.get_or_insert_with(|| site.to_owned());
            } else if site.contains("debian") {
                main.get_or_insert_with(|| site.to_owned());
            }
        }
        let main = main
            .context("apt has no Debian mirror; add one to its sources and run apt-get update")?;
        Ok(Self { main, security })
    }
}
