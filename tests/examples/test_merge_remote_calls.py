# SPDX-License-Identifier: Apache-2.0
import http.server
import threading
import unittest

from example import EXAMPLES, ExampleCase


class Backend:
    """An HTTP server that answers when the test lets it, and counts."""

    def __init__(self):
        backend = self
        self.requests = []
        self.may_answer = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                backend.requests.append(self.path)
                backend.may_answer.wait()
                body = f"answer {len(backend.requests)} for {self.path}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()


class MergeRemoteCalls(ExampleCase):
    example = EXAMPLES / "merge_remote_calls"

    def setUp(self):
        super().setUp()
        self.backend = Backend()
        self.addCleanup(self.backend.close)

    def test_ten_processes_make_one_request(self):
        tools = [self.start_example("127.0.0.1", self.backend.port, "/thing") for _ in range(10)]
        self.wait_for_callers(10)
        self.backend.may_answer.set()
        answers = self.finish(tools)
        self.assertEqual(len(set(answers)), 1)
        self.assertTrue(answers[0].endswith("answer 1 for /thing"))
        self.assertEqual(self.backend.requests, ["/thing"])

    def test_other_paths_are_other_calls(self):
        self.backend.may_answer.set()
        tools = [self.start_example("127.0.0.1", self.backend.port, f"/{n}") for n in range(3)]
        self.finish(tools)
        self.assertEqual(sorted(self.backend.requests), ["/0", "/1", "/2"])

    def test_without_a_daemon_each_calls_for_itself(self):
        self.backend.may_answer.set()
        tools = [self.start_example("127.0.0.1", self.backend.port, "/thing",
                                    address="127.0.0.1:1") for _ in range(3)]
        for answer in self.finish(tools):
            self.assertIn(" for /thing", answer)
        self.assertEqual(len(self.backend.requests), 3)

    def test_a_backend_that_is_not_there_is_an_error(self):
        tool = self.run_example("127.0.0.1", 1, "/thing")
        self.assertEqual(tool.code, 1)
        self.assertIn("the call failed", tool.errors())


if __name__ == "__main__":
    unittest.main()
