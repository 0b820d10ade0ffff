#!/usr/bin/python3
"""A build agent that keeps its connection, gives the script to a login shell on its standard
input, and sends the log piece by piece while the job runs."""
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.parse

agent, url = sys.argv[1:3]
place = f"/var/lib/ci/builds/{agent}"
os.makedirs(place, exist_ok=True)
os.chdir(place)
controller = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)


def ask(method, path, data):
    controller.request(method, path, json.dumps(data))
    answer = controller.getresponse()
    return answer.status, answer.read()


def run(job):
    shell = subprocess.Popen(
        ["bash", "--login"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    shell.stdin.write(job["script"])
    shell.stdin.close()
    for line in shell.stdout:
        ask("PATCH", f"/jobs/{job['id']}/trace", {"log": line})
    return shell.wait()


while True:
    status, body = ask("POST", "/jobs/request", {"agent": agent})
    if status != 201:
        time.sleep(1)
        continue
    job = json.loads(body)
    ask("PUT", f"/jobs/{job['id']}", {"agent": agent, "status": run(job)})
