//! A small C project, generated, and the time `make` takes to build it: what a sensor costs where
//! processes and files are used for something. The other workloads are in `work`.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::worker::{Took, cpu_ns, monotonic_ns};

/// Functions in each file.
const FUNCTIONS: u64 = 40;

/// Writes a project of so many files and builds it.
pub(crate) fn build(directory: &Path, files: u64, jobs: u64) -> Result<Took> {
    generate(directory, files).context("cannot write the project")?;
    let mut make = Command::new("make");
    make.arg("--silent")
        .arg(format!("--jobs={jobs}"))
        .arg("--directory")
        .arg(directory)
        .stdin(Stdio::null())
        // Not those of a make or cargo that may be running us.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL");
    let (began, cpu) = (monotonic_ns(), cpu_ns()?);
    let status = make
        .status()
        .context("cannot start make; is it installed?")?;
    let took = Took {
        wall_ns: monotonic_ns() - began,
        cpu_ns: cpu_ns()? - cpu,
    };
    ensure!(
        status.success(),
        "make failed: {status}; is there a C compiler?"
    );
    Ok(took)
}

fn generate(directory: &Path, files: u64) -> Result<()> {
    let mut objects = String::new();
    let mut main =
        "#include <stdio.h>\n#include \"all.h\"\n\nint main(void)\n{\n\tunsigned long sum = 0;\n"
            .to_owned();
    let mut header = String::new();
    for file in 0..files {
        let mut text =
            "#include <stdlib.h>\n#include <string.h>\n#include \"all.h\"\n\n".to_owned();
        for function in 0..FUNCTIONS {
            writeln!(
                text,
                "unsigned long part_{file}_{function}(unsigned long x)\n{{\n\tchar text[64];\n\t\
                 memset(text, (int)x, sizeof text);\n\tfor (int i = 0; i < 64; i++)\n\t\t\
                 x = x * {} + (unsigned char)text[i];\n\treturn x;\n}}\n",
                2 * function + 3
            )?;
            writeln!(
                header,
                "unsigned long part_{file}_{function}(unsigned long x);"
            )?;
        }
        writeln!(main, "\tsum += part_{file}_0(sum);")?;
        write!(objects, " part_{file}.o")?;
        fs::write(directory.join(format!("part_{file}.c")), text)?;
    }
    writeln!(main, "\tprintf(\"%lu\\n\", sum);\n\treturn 0;\n}}")?;
    fs::write(directory.join("main.c"), main)?;
    fs::write(directory.join("all.h"), header)?;
    let makefile = format!(
        "project: main.o{objects}\n\t$(CC) -o $@ $^\n\n%.o: %.c all.h\n\t$(CC) -O1 -c -o $@ $<\n"
    );
    fs::write(directory.join("Makefile"), makefile)?;
    Ok(())
}
