# SPDX-License-Identifier: Apache-2.0
"""Which rule a request falls under: listener, host, path, prefix, method; the first match wins."""
from harness import http
from harness.ports import take_port


def responding(*rules):
    """Each rule answers with its own name."""
    return {"routes": [{"name": rule["name"], **rule, "respond": {"status": 200, "text": rule["name"]}} for rule in rules]}


def route_of(client, **request):
    reply = client.ask(**request)
    return reply.body.decode() if reply.status == 200 else reply.status


def test_paths_and_prefixes(start, connect):
    client = connect(start(responding(
        {"name": "exact", "path": "/v1/ping"}, {"name": "template", "path": "/v1/{project}/search"},
        {"name": "deep", "prefix": "/v1/deep/"}, {"name": "bare", "prefix": "/v2"})))
    rows = {
        "/v1/ping": "exact", "/v1/ping?x=1": "exact", "/v1/ping/": 404, "/v1/pin": 404, "/V1/ping": 404,
        "/v1/p1/search": "template", "/v1//search": 404, "/v1/a/b/search": 404, "/v1/a%20b/search": "template",
        "/v1/deep/": "deep", "/v1/deep/x/y": "deep", "/v1/deep": 404,
        "/v2": "bare", "/v2/": "bare", "/v2/x": "bare", "/v2x": 404, "/": 404,
        "/v1/%70ing": "exact", "//v1///ping": "exact",
    }
    assert {target: route_of(client, target=target) for target in rows} == rows


def test_first_match_wins(start, connect):
    client = connect(start(responding({"name": "a", "prefix": "/x/"}, {"name": "b", "path": "/x/y"}, {"name": "c", "prefix": "/"})))
    assert route_of(client, target="/x/y") == "a"
    assert route_of(client, target="/z") == "c"


def test_hosts(start, connect):
    client = connect(start(responding(
        {"name": "one", "host": "one.example", "prefix": "/"}, {"name": "sub", "host": "*.example", "prefix": "/"},
        {"name": "any", "prefix": "/"})))
    rows = {"one.example": "one", "ONE.example:8080": "one", "two.example": "sub", "a.b.example": "sub", "example": "any",
            "one.example.org": "any", "xone.example": "sub", "127.0.0.1": "any", "[::1]:80": "any"}
    assert {host: route_of(client, host=host) for host in rows} == rows


def test_absolute_target_counts_like_its_path(start, connect):
    client = connect(start(responding({"name": "one", "host": "one.example", "path": "/p"}, {"name": "any", "prefix": "/"})))
    assert route_of(client, target="http://one.example/p", host="one.example") == "one"


def test_methods(start, connect):
    client = connect(start(responding({"name": "write", "methods": ["POST", "PUT"], "prefix": "/"},
                                      {"name": "read", "methods": ["GET", "HEAD"], "prefix": "/"})))
    assert route_of(client, method="POST", body=b"x") == "write"
    assert route_of(client, method="GET") == "read"
    assert route_of(client, method="get") == 404, "methods are case-sensitive"
    assert route_of(client, method="DELETE") == 404
    assert client.ask("HEAD").status == 200


def test_listeners(start, connect):
    first, second = take_port(), take_port()
    config = responding({"name": "inside", "listener": "private", "prefix": "/"}, {"name": "outside", "prefix": "/public/"})
    config["listen"] = [{"name": "public", "address": f"127.0.0.1:{first}"}, {"name": "private", "address": f"127.0.0.1:{second}"}]
    start(config)
    public, private = connect(("127.0.0.1", first)), connect(("127.0.0.1", second))
    assert route_of(public, target="/x") == 404
    assert route_of(public, target="/public/x") == "outside"
    assert route_of(private, target="/x") == "inside"


def test_unix_and_ipv6_listeners(start, connect, tmp_path):
    port = take_port()
    config = responding({"name": "all", "prefix": "/"})
    path = str(tmp_path / "http.sock")
    config["listen"] = [{"address": f"unix:{path}"}, {"address": f"[::1]:{port}"}]
    proxy = start(config)
    assert proxy.line_of(connect(path).ask())["peer_ip"] == "unix"
    assert proxy.line_of(connect(("::1", port)).ask())["peer_ip"] == "::1"


def test_what_is_judged_is_logged_and_what_is_forwarded_is_the_clients(start, upstream, connect):
    server = upstream()
    config = {"upstreams": {"app": {"servers": [server.address]}}, "routes": [{"name": "all", "prefix": "/", "upstream": "app"}]}
    proxy = start(config)
    client = connect(proxy)
    client.ask(target="/a//b%7Ec%2d%c3%a9?q=%41")
    assert server.requests[0].target == "/a//b%7Ec%2d%c3%a9?q=%41"
    assert proxy.requests(1)[0]["path"] == "/a/b~c-%C3%A9"


def test_options_asterisk(start, connect):
    client = connect(start(responding({"name": "all", "prefix": "/"})))
    reply = client.ask("OPTIONS", "*")
    assert reply.status in (200, 204, 404)
    client.send(http.request())
    assert client.read().status == 200
