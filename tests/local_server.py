"""A web server on the loopback interface that serves one folder."""

import contextlib
import http.server
import socket
import struct
import threading


@contextlib.contextmanager
def serving(folder):
    """Yields (address, list of the paths that were asked for).

    `/cut` breaks off in the middle, `/error` is an error of the server, `/moved` leads to `/a.txt`, `/round` to itself,
    `/silent` never answers, `/noise` is no HTTP, `/reset` ends the connection.
    """
    asked = []
    silence = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

        def finish(self):
            with contextlib.suppress(OSError):  # the connection may be gone
                super().finish()

        def do_GET(self):
            asked.append(self.path)
            if self.path == "/cut":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"x" * 10)
                return
            if self.path == "/error":
                self.send_error(500)
            elif self.path in ("/moved", "/round"):
                self.send_response(302)
                self.send_header("Location", "/a.txt" if self.path == "/moved" else "/round")
                self.end_headers()
            elif self.path == "/silent":
                silence.wait()
            elif self.path == "/noise":
                self.wfile.write(b"\0\1\2 what is this\r\n\r\n")
            elif self.path == "/reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                super().do_GET()

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}", asked
    finally:
        silence.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()
