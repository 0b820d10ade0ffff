#!/usr/bin/python3
"""A build agent that asks for jobs, runs each as a script in a file, and then sends its log."""
import json
import os
import subprocess
import sys
import time
import urllib.request

agent, url = sys.argv[1:3]
os.chdir("/var/lib/ci/builds")


def ask(method, path, data):
    request = urllib.request.Request(url + path, json.dumps(data).encode(), method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.read()


while True:
    status, body = ask("POST", "/jobs/request", {"agent": agent})
    if status != 201:
        time.sleep(1)
        continue
    job = json.loads(body)
    script = f"/var/lib/ci/builds/{agent}-{job['id']}.sh"
    with open(script, "w") as file:
        file.write(job["script"])
    done = subprocess.run(
        ["bash", "-e", script], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    ask("PATCH", f"/jobs/{job['id']}/trace", {"log": done.stdout + done.stderr})
    ask("PUT", f"/jobs/{job['id']}", {"agent": agent, "status": done.returncode})
