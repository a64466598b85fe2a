"""The page from 127.0.0.1, and decoding for networks that are not in it."""

import json
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from lit_ae.errors import SettingError
from lit_ae.explorer.subjects import Subject
from lit_ae.models.capabilities import Conditional

ADDRESS = "127.0.0.1"
MOST = 1_000_000  # bytes of a request


class Server(ThreadingHTTPServer):
    """Answers `GET /` with the page and `POST /decode` with samples, to this machine alone.

    A request whose Host header is neither 127.0.0.1 nor localhost at this port is refused, so that no other page in the
    same browser can reach the server under a name of its own.

    Args:
        page: the HTML text.
        subjects: the runs, in the order in which the page numbers them.
        port: 0: any that is free.

    Raises:
        SettingError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, page: str, subjects: list[Subject], port: int) -> None:
        self.page, self.models = page.encode(), [subject.model for subject in subjects]
        self.lock = threading.Lock()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise SettingError(f"--port {port} cannot be used ({error}): give another, or 0 for any") from error
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}

    def server_bind(self) -> None:
        """Refuse a port that another server listens at, and look up no host name."""
        self.allow_reuse_address = True
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def address(self) -> str:
        """What a browser opens."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def decoded(self, request: Any) -> list[list[float]]:
        """The samples for a request {run, z: codes [N, D], y: label}, each flattened.

        Raises:
            ValueError: it is no such request.
        """
        if not isinstance(request, dict) or request.get("run") not in range(len(self.models)):
            raise ValueError("run is no number of a run")
        model = self.models[request["run"]]
        try:
            z = torch.tensor(request.get("z"), dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError("z holds no numbers") from error
        if z.ndim != 2 or z.shape[1] != model.latent_dim or not z.isfinite().all():
            raise ValueError(f"z is not [N, {model.latent_dim}]")
        labels = None
        if isinstance(model, Conditional):
            label = request.get("y")
            if not isinstance(label, int) or label not in range(model.classes):
                raise ValueError("y is no class")
            labels = torch.full((len(z),), label)
        with self.lock, torch.no_grad():
            found: list[list[float]] = model.decode(z, labels).flatten(1).tolist()
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 30

    def do_GET(self) -> None:
        """The page."""
        if self._welcome():
            if self.path.partition("?")[0] == "/":
                self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "there is only the page /")

    def do_POST(self) -> None:
        """Samples for codes."""
        if not self._welcome():
            return
        if self.path != "/decode":
            self._refuse(HTTPStatus.NOT_FOUND, "only /decode takes a request")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has at most {MOST:,} bytes")
            return
        try:
            samples = self.server.decoded(json.loads(self.rfile.read(int(length))))
        except ValueError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        self._answer(HTTPStatus.OK, "application/json", json.dumps({"x": samples}).encode())

    def _welcome(self) -> bool:
        """Whether the request is for this server by its own name; one that is not has been refused."""
        if self.headers.get("Host", "") in self.server.hosts:
            return True
        self._refuse(HTTPStatus.FORBIDDEN, f"open {self.server.address}")
        return False

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._answer(status, "text/plain; charset=utf-8", f"{why}\n".encode())

    def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), "X-Content-Type-Options": "nosniff"}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal has the address."""
