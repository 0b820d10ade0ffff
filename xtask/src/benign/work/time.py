#!/usr/bin/python3
"""Without arguments: a service for inetd that says what time it is. With a port: an agent that
runs a plug-in for each line that a monitoring server sends."""
import datetime
import socketserver
import subprocess
import sys

PLUGINS = {
    "load": ["cat", "/proc/loadavg"],
    "disk": ["df", "-P", "/"],
    "users": ["sh", "-c", "who | wc -l"],
    "kernel": ["uname", "-a"],
}


class Agent(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            plugin = PLUGINS.get(line.decode().strip())
            if plugin is None:
                return
            self.wfile.write(subprocess.run(plugin, capture_output=True).stdout)


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


if len(sys.argv) > 1:
    Threads(("", int(sys.argv[1])), Agent).serve_forever()
else:
    for line in sys.stdin:
        if line.strip() == "now":
            print(datetime.datetime.now().isoformat(), flush=True)
        break
