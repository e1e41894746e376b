"""A small Flask app, as people push it to Stackyn: it greets, and tells where it runs."""

import os
from time import sleep

from flask import Flask, jsonify, render_template, request

MOST_SECONDS = 60.0

app = Flask(__name__)


@app.after_request
def log(response):
    print(f"{request.method} {request.path} answered {response.status_code}", flush=True)
    return response


@app.get("/")
def index():
    return render_template(
        "index.html",
        greeting=os.environ.get("GREETING", "Hello from Flask"),
        port=os.environ.get("PORT", "unset"),
    )


@app.get("/health")
def health():
    return {"status": "ok"}


@app.get("/info")
def info():
    """Where and how it runs; the names of its variables, and the values of those that are meant to be seen."""
    shown = {name: os.environ.get(name) for name in ("GREETING", "PORT")}
    return jsonify(user=os.getuid(), host=os.uname().nodename, variables=sorted(os.environ), shown=shown)


@app.get("/slow")
def slow():
    """Answer after ?seconds=, to see that a deploy lets requests finish."""
    seconds = min(request.args.get("seconds", default=1.0, type=float), MOST_SECONDS)
    sleep(seconds)
    return {"waited": seconds}


@app.post("/echo")
def echo():
    return {"bytes": len(request.get_data())}


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", "5000")))
