#!/usr/bin/python3
"""A build controller: hands out jobs over HTTP and over a connection that agents hold, and takes
their output. With `--through` it speaks to one agent through the streams of a command."""
import http.server
import json
import socketserver
import subprocess
import sys
import threading
import time

JOBS_EACH = 4
lock = threading.Lock()
given = {}


def log(*words):
    with lock:
        print(*words, flush=True)


def next_job(agent):
    with lock:
        given[agent] = given.get(agent, 0) + 1
        return given[agent] if given[agent] <= JOBS_EACH else None


class Polled(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def take(self):
        length = int(self.headers.get("Content-Length", 0))
        return self.rfile.read(length) if length else b""

    def do_POST(self):
        body = self.take()
        agent = json.loads(body)["agent"]
        number = next_job(agent)
        if number is None:
            time.sleep(2)
            return self.reply(204)
        self.reply(201, json.dumps({"id": number, "script": SCRIPT}).encode())

    def do_PATCH(self):
        self.take()
        self.reply(202)

    def do_PUT(self):
        done = json.loads(self.take())
        log("finished", done["agent"], done["status"])
        self.reply(200)


def drive(reader, writer, jobs):
    """Sends one step after the other, each when the one before has ended."""
    agent = json.loads(reader.readline())["agent"]
    for number in range(jobs):
        steps = ["hostname; id -un", "uname -a"] + [SCRIPT] + ["ls -l", "rm -rf project"]
        status = 0
        for step in steps:
            writer.write(json.dumps({"job": number, "run": step}).encode() + b"\n")
            writer.flush()
            while True:
                said = json.loads(reader.readline())
                if "status" in said:
                    status = status or said["status"]
                    break
        log("finished", agent, status)


class Held(socketserver.StreamRequestHandler):
    def handle(self):
        drive(self.rfile, self.wfile, JOBS_EACH)
        # Idle, and connected.
        self.rfile.read(1)


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if sys.argv[1] == "--through":
    SCRIPT = open(sys.argv[2]).read()
    agent = subprocess.Popen(sys.argv[4:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    drive(agent.stdout, agent.stdin, 2)
    agent.stdin.close()
    sys.exit(agent.wait())
SCRIPT = open(sys.argv[1]).read()
held = Threads(("", 50000), Held)
threading.Thread(target=held.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("", 8080), Polled).serve_forever()
