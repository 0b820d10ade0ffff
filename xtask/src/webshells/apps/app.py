import importlib.util
import pathlib
import subprocess

from flask import Flask, request

app = Flask(__name__)
PLACE = pathlib.Path(__file__).parent / "plugins"


@app.get("/")
def index():
    return "<h1>Welcome</h1>"


@app.get("/thumb")
def thumb():
    done = subprocess.run(["gm", "version"], capture_output=True, check=True)
    return done.stdout.splitlines()[0]


@app.post("/upload")
def upload():
    file = request.files["file"]
    # As careless as such pages are: the name is the visitor's.
    file.save(PLACE / file.filename)
    return "stored"


@app.get("/plugin/<name>")
def plugin(name):
    spec = importlib.util.spec_from_file_location(name, PLACE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run(request.args)
