# SPDX-License-Identifier: Apache-2.0
"""The live page as a browser shows it: the numbers of known traffic, both schemes of colours, a phone, and what it says when nobody
answers any more."""
import re

import pytest

from harness.browser import Browser
from harness.dashboard import Dashboard, ask_as, make_traffic, policy
from harness.waiting import wait_for

PHONE = (360, 740)
# (scheme, background of the page, colour of its text)
SCHEMES = [("light", "rgb(255, 255, 255)", "rgb(27, 31, 36)"), ("dark", "rgb(20, 23, 27)", "rgb(230, 233, 238)")]
STYLE = "getComputedStyle(document.body)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(tmp_path_factory.mktemp("browser"))
    yield made
    made.close()


@pytest.fixture
def shown(start, upstream, tmp_path, browser):
    """A proxy, its configuration, the verb, and its page in a browser."""
    server = upstream()
    config = policy(server, tmp_path)
    proxy = start(config)
    dashboard = Dashboard(tmp_path, "-s", tmp_path / "admin.sock")
    page = browser.open(dashboard.url)
    page.wait_for_text("#link", "live")
    yield proxy, server, dashboard, page
    page.close()
    assert dashboard.end()[0] == 0


def widest(page):
    return page.value("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")


def test_it_shows_what_happens_and_nothing_else(shown):
    proxy, server, dashboard, page = shown
    assert page.text("#requests-total") == "0" and page.texts("#said li") == ["Nothing is wrong that Sluice can see."]
    make_traffic(proxy)
    page.wait_for_text("#requests-total", "18")
    assert page.text("#refused-total") == "7" and page.text("#failed-total") == "2" and page.text("#requests-open") == "0"
    assert 0 < float(page.text("#requests-rate")) <= 18 and 0 < float(page.text("#refused-rate")) <= 7
    assert re.fullmatch(r"(< )?[\d.]+ (µs|ms|s)", page.text("#p50")) and re.fullmatch(r"(< )?[\d.]+ (µs|ms|s)", page.text("#p99"))
    assert "at most" in page.text("#requests-chart title") and page.value("document.querySelector('#requests-chart path.all').getAttribute('d').length > 10")

    quotas = page.cells("#quotas tr")
    assert [(row[0], row[3], row[4]) for row in quotas] == [("per-user", "7", "46.7 %"), ("per-address", "0", "0.0 %")]
    sentence, = page.texts("#refusals li")
    assert re.fullmatch(r"\d\d:\d\d:\d\dalice hit per-user/day 5/5 on search, retry in \d+ s", sentence), sentence
    top = page.cells("#top tr")
    assert top[0] == ["per-user: 15 decisions in the last " + top[0][0].rsplit("last ", 1)[1]] and top[1][:4] == ["alice", "5", "7", "80.0 %"] and len(top) == 2
    page.value("document.querySelector('input[value=used]').click()")
    assert [row[:3] for row in page.cells("#top tr") if len(row) > 1] == [["alice", "5", "7"], ["bob", "3", "0"], ["127.0.0.1", "8", "0"]]
    servers = page.cells("#servers tr")
    assert servers[0][:2] == [f"{server.address} app", "up"] and servers[1][0].endswith(" gone") and len(servers) == 2
    assert [(row[0], row[4]) for row in page.cells("#routes tr")] == [("lost", "2"), ("search", "15")]
    malformed, = page.texts("#malformed li")
    assert "client 127.0.0.1" in malformed and "path_nul" in malformed
    assert "memory of this process" in page.text("#store") and "0 decisions since the start" in page.text("#store") and re.search(r"descriptors\d+ of \d+", page.text("#process"))
    assert f"pid {proxy.pid}" in page.text("#facts") and "generation 1" in page.text("#facts")

    # What a caller calls himself is never markup, and turns no text round.
    ask_as(proxy, "<b>\u202eeve</b>", 6)
    wait_for(lambda: len(page.texts("#refusals li")) == 2, "the second refusal is shown")
    assert "<b>\\x202eeve</b> hit per-user/day 5/5" in page.texts("#refusals li")[0] and page.value("document.querySelectorAll('main b').length") == 5

    assert page.complaints == []
    asked = set(page.requests)
    assert asked == {dashboard.url, dashboard.url + "v1/live"}, asked


def test_colours_and_a_phone(shown, tmp_path):
    proxy, _, _, page = shown
    make_traffic(proxy)
    ask_as(proxy, "a-user-with-a-name-that-is-far-too-long-for-any-phone-" * 2, 6)
    wait_for(lambda: len(page.texts("#refusals li")) == 2, "both refusals are shown")
    for scheme, background, ink in SCHEMES:
        for size in ((1280, 900), PHONE):
            page.look(*size, scheme)
            assert page.value(f"[{STYLE}.backgroundColor, {STYLE}.color]") == [background, ink]
            scrolled, room = widest(page)
            assert scrolled <= room == size[0], (scheme, size, scrolled, room)
    page.look(*PHONE, "light")
    assert page.value("document.querySelector('#top .more').offsetParent === null")  # what a phone has no room for
    # Everything that can be operated has a name, and headings are in order.
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    operable = [node for node in tree if node.get("role", {}).get("value") in ("button", "radio", "link", "textbox")]
    assert len(operable) >= 2 and all(node["name"]["value"] for node in operable)
    images = [node for node in tree if node.get("role", {}).get("value") == "image"]
    assert len(images) == 4 and all("in the last " in node["name"]["value"] for node in images)
    assert page.complaints == []


def test_it_says_when_it_has_lost_the_connection_and_comes_back(shown, start):
    proxy, _, _, page = shown
    proxy.stop()
    page.wait_for_text("#link", "no connection")
    said, = page.texts("#said li")
    assert said.startswith("No connection for ") and "what you see is old" in said and "no instance answers there" in said, said
    assert page.value("document.title") == "(no connection) Sluice" and page.value("document.querySelector('main').className") == "old"
    again = start(proxy.config)
    page.wait_for_text("#link", "live")
    assert f"pid {again.pid}" in page.text("#facts") and page.value("document.querySelector('main').className") == ""


def test_it_asks_nothing_while_it_is_hidden(shown, browser):
    _, _, dashboard, page = shown
    other = browser.open("about:blank")  # stays when this page is closed: a browser without any ends
    browser.call("Target.activateTarget", targetId=other.target)
    wait_for(lambda: page.value("document.hidden"), "the page is hidden")
    page.wait_for_text("#link", "paused")
    before = len(page.requests)
    wait_for(lambda: other.value("performance.now()") > 1500, "longer than it waits between two polls")
    assert page.value("document.hidden") and len(page.requests) == before
    browser.call("Target.activateTarget", targetId=page.target)
    page.wait_for_text("#link", "live")
    assert len(page.requests) > before and set(page.requests) == {dashboard.url, dashboard.url + "v1/live"}


def test_it_says_in_words_what_is_wrong(start, upstream, redis, verb, tmp_path, browser):
    config = {**policy(upstream(), tmp_path), "store": {"type": "redis", "servers": [redis.address], "fleet_size": 1}}
    proxy = start(config)
    dashboard = Dashboard(tmp_path, "-s", tmp_path / "admin.sock")
    page = browser.open(dashboard.url)
    wait_for(lambda: page.texts("#said li") == ["Nothing is wrong that Sluice can see."], "the store is there")
    assert "kindRedis, standalonestateup" in page.text("#store") and redis.address in page.text("#store")
    redis.stop()
    proxy.file.write_text("{")
    assert verb("reload", "-s", tmp_path / "admin.sock").returncode == 8
    ask_as(proxy, "alice", 1)
    wanted = ["The last reload was refused: generation 1 stays in force. `sluice check` says what is wrong with the file.",
              "Redis answers no worker: every quota does what its on_failure says."]
    wait_for(lambda: page.texts("#said li") == wanted, "both are told")
    assert page.value("document.querySelector('#said').className") == "said bad" and "stateaway" in page.text("#store")
    assert page.complaints == []
    page.close()
    assert dashboard.end()[0] == 0
