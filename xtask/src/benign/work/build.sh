# Builds: thousands of short-lived programs, programs that were just written, programs in /tmp.
. /srv/work/lib.sh
names
LIMIT=150

# A project of many small files.
sources() {
    install -d "$1" && cd "$1"
    for n in $(seq 60); do
        printf '#include <stdio.h>\nint part%d(int a) { printf("%d %%d\\n", a); return a * %d; }\n' \
            "$n" "$n" "$n" >"part$n.c"
    done
    {
        for n in $(seq 60); do echo "int part$n(int);"; done
        echo 'int main(int argc, char **argv) { (void)argv; int s = 0;'
        for n in $(seq 60); do echo "s += part$n(argc);"; done
        echo 'return s == 0; }'
    } >main.c
}

autotools() {
    sources /tmp/auto
    parts=$(ls part*.c | tr '\n' ' ')
    printf 'AC_INIT([demo],[1.0])\nAM_INIT_AUTOMAKE([foreign])\nAC_PROG_CC\nAC_CHECK_HEADERS([stdlib.h unistd.h sys/epoll.h])\nAC_CHECK_FUNCS([strlcpy memfd_create fork])\nAC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n' >configure.ac
    printf 'bin_PROGRAMS = demo\ndemo_SOURCES = main.c %s\nTESTS = check.sh\n' "$parts" >Makefile.am
    printf '#!/bin/sh\n./demo >/dev/null\n' >check.sh && chmod 755 check.sh
    autoreconf -i
    ./configure --prefix=/usr/local
    make -j2
    make check
    make install
    demo >/dev/null
}

with_cmake() {
    sources /tmp/cmake
    printf 'cmake_minimum_required(VERSION 3.20)\nproject(demo C)\nfile(GLOB P *.c)\nadd_executable(demo ${P})\nenable_testing()\nadd_test(NAME demo COMMAND demo)\ninstall(TARGETS demo)\n' >CMakeLists.txt
    cmake -B build -S . -DCMAKE_C_COMPILER_LAUNCHER=ccache
    cmake --build build -j2
    rm -rf build && cmake -B build -S . -DCMAKE_C_COMPILER_LAUNCHER=ccache
    cmake --build build -j2
    ctest --test-dir build
    cmake --install build
}

with_rust() {
    export CARGO_HOME=/tmp/cargo-home
    cd /tmp && cargo new -q demo-rs && cd demo-rs && cargo new -q --lib part
    printf '[package]\nname = "demo-rs"\nversion = "0.1.0"\nedition = "2021"\nbuild = "build.rs"\n[dependencies]\npart = { path = "part" }\n' >Cargo.toml
    printf 'fn main() { println!("cargo:rustc-env=WHEN={}", std::process::id()); }\n' >build.rs
    printf 'fn main() { println!("{}", env!("WHEN")); }\n#[test]\nfn t() { assert!(true) }\n' >src/main.rs
    cargo build --offline
    cargo test --offline
    cargo run --offline
}

with_python() {
    cd /tmp && python3 -m venv --system-site-packages env
    . env/bin/activate
    install -d sdist/demo_py
    printf 'from setuptools import setup\nsetup(name="demo-py", version="1", packages=["demo_py"], entry_points={"console_scripts": ["demo-py = demo_py:main"]})\n' >sdist/setup.py
    printf 'import subprocess\ndef main():\n    print(subprocess.run(["uname"], capture_output=True).stdout)\n' >sdist/demo_py/__init__.py
    cd sdist && python setup.py -q sdist
    pip install --no-index --no-build-isolation dist/*.tar.gz
    demo-py
    python -c 'import demo_py; demo_py.main()'
    python -m compileall -q .
    deactivate
}

javascript() {
    install -d /tmp/js/src && cd /tmp/js
    cat >build.js <<'END'
const { execSync, execFileSync, spawnSync } = require("child_process");
const fs = require("fs");
for (let n = 0; n < 30; n++) fs.writeFileSync(`src/m${n}.js`, `module.exports = ${n};\n`);
for (const file of fs.readdirSync("src")) execFileSync("node", ["--check", `src/${file}`]);
console.log(execSync("git --version && ls src | wc -l").toString());
spawnSync("sh", ["-c", "cat src/*.js | gzip > bundle.js.gz"], { stdio: "inherit" });
END
    node build.js
    node -e 'console.log(require("./src/m3.js"))'
}

# What installers and test suites do with temporary directories.
temporary() {
    cd "$(mktemp -d)"
    printf 'int main(void) { return 0; }\n' >t.c
    cc t.c -o conftest && ./conftest
    cp /bin/true ./tool && ./tool
    printf '#!/bin/sh\ndate\n' >install.sh && chmod 755 install.sh && ./install.sh
    (echo '#!/bin/sh'; echo 'sed 1,3d "$0" | tar x; ./inner; exit'; echo) >self.run
    printf '#!/bin/sh\nid\n' >inner && chmod 755 inner
    tar c inner >>self.run && rm inner && sh self.run
    LD_PRELOAD= DESTDIR=$PWD/out make -f /dev/null -n all 2>/dev/null || true
}

step autotools autotools
step cmake with_cmake
step rust with_rust
step python with_python
step node javascript
step temporary temporary
