#!/usr/bin/node
// A build agent that holds one connection to its controller, or speaks through its own streams: a
// line comes, its command is run by a shell, its output and its status go back.
"use strict";
const { spawn } = require("child_process");
const net = require("net");
const fs = require("fs");
const os = require("os");
const path = require("path");
const readline = require("readline");

const [agent, host, port] = process.argv.slice(2);
const place = fs.mkdtempSync(path.join(os.tmpdir(), `${agent}-`));

function serve(input, output) {
  const say = (what) => output.write(JSON.stringify(what) + "\n");
  say({ agent });
  readline.createInterface({ input }).on("line", (line) => {
    const { run } = JSON.parse(line);
    const child = spawn("sh", ["-c", run], { cwd: place, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (data) => say({ log: String(data) }));
    child.stderr.on("data", (data) => say({ log: String(data) }));
    child.on("close", (status) => say({ status }));
  });
}

if (host === "-") {
  process.stdin.on("end", () => process.exit(0));
  serve(process.stdin, process.stdout);
} else {
  const connection = net.connect(Number(port), host, () => serve(connection, connection));
  connection.on("close", () => process.exit(0));
}
