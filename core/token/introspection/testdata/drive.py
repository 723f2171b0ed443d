"""Sends requests to an example of the documentation and prints the answers.

drive.py NAME: the requests come as JSON on standard input, a list of lists of [name, value] headers; the answers go out the
same way, each with status, challenge, retry and body.
"""

import asyncio, http.client, json, sys, threading


def answer(status, headers, body):
    return {"status": status, "challenge": headers.get("WWW-Authenticate") or "",
            "retry": headers.get("Retry-After") or "", "body": json.loads(body)}


def flask(requests):
    from flask_app import app

    client = app.test_client()
    for headers in requests:
        r = client.get("/me", headers=headers)
        yield answer(r.status_code, r.headers, r.get_data())


def fastapi(requests):
    from fastapi.testclient import TestClient
    from fastapi_app import app

    client = TestClient(app)
    for headers in requests:
        r = client.get("/me", headers=headers)
        yield answer(r.status_code, r.headers, r.content)


def aiohttp(requests):
    from aiohttp.test_utils import TestClient, TestServer
    from aiohttp_app import app
    from multidict import CIMultiDict

    async def run():
        async with TestClient(TestServer(app)) as client:
            answers = []
            for headers in requests:
                r = await client.get("/me", headers=CIMultiDict(headers))
                answers.append(answer(r.status, r.headers, await r.read()))
            return answers

    return asyncio.run(run())


def stdlib(requests):
    import http.server
    import service

    service.Service.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), service.Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for headers in requests:
            c = http.client.HTTPConnection(*server.server_address, timeout=60)
            c.putrequest("GET", "/me")
            for name, value in headers:
                c.putheader(name, value)
            c.endheaders()
            r = c.getresponse()
            yield answer(r.status, r.headers, r.read())
            c.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    names = {"flask": flask, "fastapi": fastapi, "aiohttp": aiohttp, "stdlib": stdlib}
    json.dump(list(names[sys.argv[1]](json.load(sys.stdin))), sys.stdout)
