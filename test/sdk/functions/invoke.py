"""Serves a handler as the runtime interface emulator of AWS Lambda does."""

import http.server
import json
import sys
import traceback


def serve(handler):
    class Invoke(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.path.startswith("/2015-03-31/functions/") or not self.path.endswith("/invocations"):
                self.send_error(404)
                return
            try:
                answer = handler(json.loads(body), None)
            except Exception as e:  # the emulator answers 200 whatever happens
                traceback.print_exc()
                answer = {"errorMessage": str(e), "errorType": type(e).__name__, "stackTrace": []}
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args):
            pass

    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Invoke).serve_forever()
