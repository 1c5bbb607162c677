"""The sample app: says hello, and which version of it says so."""

import os
import socket

from fastapi import FastAPI

app = FastAPI(title="Sample app")


@app.get("/")
async def hello() -> dict[str, str]:
    return {
        "message": "Hello from the sample app",
        "version": os.environ.get("APP_VERSION", "dev"),
        "hostname": socket.gethostname(),
    }


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}
