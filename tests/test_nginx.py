"""docs/deploy.md's nginx configuration, started as it stands there but for addresses and the certificate: a
password, WebSockets, pages in Chromium.
"""

import base64
import hashlib
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import CHROMIUM, MUST, PATIENCE, served

ROOT = Path(__file__).resolve().parent.parent
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
NAME, PASSWORD = "me", "secret"
BLOCK = re.compile(r"```nginx\n(.*?)```", re.DOTALL)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        NGINX is None and not MUST, reason="no nginx; its configuration is tested where it is installed"
    ),
]


def configured(text: str, port: int, dashboard: str, folder: Path) -> str:
    """The document's configuration for this machine: other ports, no certificate, the password file of this
    test.
    """
    changes = {
        r"listen 443 ssl;": f"listen 127.0.0.1:{port};",
        r" *ssl_certificate.*\n": "",
        r"/etc/nginx/dashboard.htpasswd": str(folder / "htpasswd"),
        r"proxy_pass http://127.0.0.1:8501;": f"proxy_pass {dashboard};",
    }
    for old, new in changes.items():
        text, number = re.subn(old, new, text)
        assert number, f"docs/deploy.md has no {old}"
    places = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    return (
        f"{user}\ndaemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log "
        f"off;\n{places}\n{text}\n}}\n"
    )


@pytest.fixture(scope="module")
def proxied(house, tmp_path_factory) -> Iterator[str]:
    """The address of the dashboard behind nginx."""
    folder = tmp_path_factory.mktemp("nginx")
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    (folder / "htpasswd").write_text(f"{NAME}:{{SHA}}{digest}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (block,) = BLOCK.findall((ROOT / "docs" / "deploy.md").read_text(encoding="utf-8"))
    with served(house, folder / "log", "--server.baseUrlPath", "prompts") as address:
        (folder / "nginx.conf").write_text(configured(block, port, address.removesuffix("/prompts"), folder))
        with (folder / "said").open("wb") as said:
            server = subprocess.Popen(
                [str(NGINX), "-c", str(folder / "nginx.conf"), "-p", str(folder)], stdout=said, stderr=said
            )
        try:
            wait_for(port, server, folder / "said")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def wait_for(port: int, server: subprocess.Popen, said: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert server.poll() is None, said.read_text()
            assert time.monotonic() < end
            time.sleep(0.05)


def asked(url: str, password: str | None = PASSWORD) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer."""
    known = (
        {}
        if password is None
        else {"Authorization": f"Basic {base64.b64encode(f'{NAME}:{password}'.encode()).decode()}"}
    )
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=known), timeout=60) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {}


def test_who_gives_no_password_sees_nothing(proxied):
    for path in ("/prompts/", "/prompts/_stcore/health", "/prompts/_stcore/upload_file/a/b", "/"):
        assert asked(f"{proxied}{path}", None)[0] == 401
        assert asked(f"{proxied}{path}", "wrong")[0] == 401
    status, headers = asked(f"{proxied}/prompts/")
    assert status == 200
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["strict-transport-security"] == "max-age=31536000"


def test_websockets_pass_with_the_password_only(proxied):
    address = proxied.removeprefix("http://")
    known = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()

    def handshake(origin: str, *more: str) -> str:
        lines = [
            "GET /prompts/_stcore/stream HTTP/1.1",
            f"Host: {address}",
            f"Origin: {origin}",
            "Upgrade: websocket",
            "Connection: Upgrade",
        ]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *more, "", ""]
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port)), 60) as connection:
            connection.sendall("\r\n".join(lines).encode())
            return connection.recv(100).decode(errors="replace").partition("\r\n")[0]

    assert " 101 " in handshake(proxied, f"Authorization: Basic {known}")
    assert " 401 " in handshake(proxied)


@pytest.mark.skipif(not CHROMIUM.exists() and not MUST, reason=f"no {CHROMIUM}")
def test_a_page_opens_behind_the_proxy(browser, proxied):
    context = browser.new_context(http_credentials={"username": NAME, "password": PASSWORD})
    context.set_default_timeout(PATIENCE)
    try:
        page = context.new_page()
        page.goto(f"{proxied}/prompts/")
        page.wait_for_selector("h1")  # drawn by what came through the WebSocket
        assert page.locator("[data-testid=stException]").count() == 0
    finally:
        context.close()
