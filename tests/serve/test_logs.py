"""Logs: a line for each request, whatever is in it."""

from __future__ import annotations

import asyncio
import io
import json

from keepfit.serve.logs import AccessLog


def test_each_request_has_a_line_even_beside_one_that_json_cannot_hold() -> None:
    log = AccessLog()
    log.stream = io.StringIO()

    async def write() -> None:
        for path in ("/one", "/half a surrogate \udc80", "/two"):
            log.write({"path": path, "status": 200})
        log.flush()

    asyncio.run(write())
    lines = [json.loads(line) for line in log.stream.getvalue().splitlines()]
    assert [line.get("path") for line in lines] == ["/one", None, "/two"]
    assert lines[1]["unwritable"] == "{'path': '/half a surrogate \\udc80', 'status': 200}"
    assert {line["message"] for line in lines} == {"request"}
    assert all(line["time"].endswith("+00:00") for line in lines)
