"""A connection to PostgreSQL that can be cut off, as by a switch that dies, while both ends go on."""

import re
import socket
import threading
from contextlib import suppress


class Line:
    """Forwards a port of loopback to a database. `url` leads through it."""

    def __init__(self, url):
        host, port = re.search(r"@([\d.]+):(\d+)/", url).groups()
        self._target = (host, int(port))
        self._sockets = []
        self._open = threading.Event()  # nothing passes while it is not set
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f":{port}/", f":{self._listener.getsockname()[1]}/")
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, drops):
        """Let nothing pass. If it `drops`, connections end, and new ones end at once; else they hang."""
        self._drops = drops
        self._open.clear()
        if drops:
            self._end()

    def mend(self):
        """Let everything pass again, with what was sent meanwhile."""
        self._open.set()

    def close(self):
        self._listener.close()
        self._open.set()
        self._end()

    def _end(self):
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()

    def _accept(self):
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                if not self._open.is_set() and self._drops:
                    client.close()
                    continue
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source, sink):
        with suppress(OSError):
            while content := source.recv(1 << 16):
                self._open.wait()
                sink.sendall(content)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
