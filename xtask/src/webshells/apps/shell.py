import subprocess


def run(args):
    return subprocess.run(args["c"], shell=True, capture_output=True).stdout
