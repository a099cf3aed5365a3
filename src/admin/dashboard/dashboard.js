
"use strict";
/* The page asks for v1/live each second, beside itself, and shows what changed between two answers.  Text only ever gets in as
 * text: no answer is markup.  What is shown of the last five minutes is kept here and nowhere else. */
(() => {
  const EVERY_MS = 1000, PATIENCE_MS = 5000, WAIT_MAX_MS = 15000;
  const SHOWN_S = 300; // of the charts, once the page is open so long
  const SHOWN_LEAST_S = 60;
  const MEAN_S = 5; // of rates and percentiles in numbers
  const GAP_S = 4; // a line is not drawn over a longer silence
  const REFUSALS = 20;

  const byId = (id) => document.getElementById(id);
  const state = { polls: [], samples: [], boot: "", generation: 0, doc: null, dropped: { count: 0, at: -1e9 } };

  // ---- words ----

  // What a terminal would obey, and what turns the direction of text, is written out.
  const clean = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (c) => "\\x" + c.charCodeAt(0).toString(16).padStart(2, "0"));
  const count = (n) => Math.round(n).toLocaleString("en-US");
  const rate = (n) => (n === null ? "–" : n === 0 ? "0" : n < 9.95 ? n.toFixed(1) : count(n));
  const share = (part, all) => (all > 0 ? (100 * part / all).toFixed(1) + " %" : "–");

  function took(us) {
    if (us === null)
      return "–";
    if (us === Infinity)
      return "> 10 s";
    if (us < 1000)
      return Math.round(us) + " µs";
    return us < 1e6 ? (us / 1e3).toFixed(1) + " ms" : (us / 1e6).toFixed(2) + " s";
  }

  // The first bucket tells no more.
  const mark = (us) => (us !== null && us <= 100 ? "< 0.1 ms" : took(us));

  function bytes(n) {
    const units = ["B", "KiB", "MiB", "GiB"];
    let i = 0;
    for (; n >= 1024 && i < units.length - 1; i++)
      n /= 1024;
    return (i === 0 ? n : n.toFixed(1)) + " " + units[i];
  }

  function lasting(s) {
    if (s < 60)
      return s + " s";
    if (s < 3600)
      return Math.floor(s / 60) + " min" + (s % 60 === 0 ? "" : " " + s % 60 + " s");
    if (s < 86400)
      return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
    return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
  }

  const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

  // ---- putting text into the page ----

  function put(node, text) {
    if (node.textContent !== text)
      node.textContent = text;
  }

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className)
      node.className = className;
    if (text !== undefined)
      node.textContent = text;
    return node;
  }

  // One child for each item, by its key; those that stay keep their node, and with it focus and selection.
  function fill(parent, items, keyOf, create, update) {
    const known = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
    let place = parent.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      let node = known.get(key);
      known.delete(key);
      if (node === undefined) {
        node = create(item);
        node.dataset.key = key;
      }
      update(node, item);
      if (node === place)
        place = place.nextElementSibling;
      else
        parent.insertBefore(node, place);
    }
    for (const node of known.values())
      node.remove();
  }

  function row(classes) {
    return () => {
      const tr = make("tr");
      classes.forEach((name, i) => {
        const cell = make(i === 0 ? "th" : "td", name);
        if (i === 0)
          cell.scope = "row";
        tr.append(cell);
      });
      return tr;
    };
  }

  // What it is, and something small behind it.
  function putName(cell, name, more) {
    if (cell.firstChild === null)
      cell.append(make("span"), make("small"));
    put(cell.firstChild, name);
    put(cell.lastChild, more);
  }

  function putBar(cell, part, all, isRefused) {
    if (cell.firstChild === null) {
      cell.append(make("span", isRefused ? "bar refused" : "bar"), make("span"));
      cell.firstChild.append(make("i"));
      cell.firstChild.setAttribute("aria-hidden", "true");
    }
    cell.firstChild.firstChild.style.width = (all > 0 ? 100 * part / all : 0).toFixed(1) + "%";
    put(cell.lastChild, " " + share(part, all));
  }

  // ---- numbers ----

  const bySum = (list, key) => list.reduce((sum, item) => sum + item[key], 0);

  // What is counted in an answer, for the differences.
  function counters(doc) {
    const named = (list, name) => new Map(list.map((item) => [item[name], item]));
    const servers = new Map();
    for (const upstream of doc.upstreams)
      for (const server of upstream.servers)
        servers.set(upstream.upstream + " " + server.server, server);
    return {
      at: doc.mono_us / 1e6,
      requests: doc.requests.ended,
      refused: doc.requests.limited,
      failed: bySum(doc.routes, "5xx"),
      shadow: bySum(doc.quotas.filter((quota) => quota.shadow), "refused"),
      latency: doc.latency,
      cpu: doc.process.cpu_us,
      lines: doc.log.lines,
      timeouts: doc.store.timeouts || 0,
      quotas: named(doc.quotas, "quota"), routes: named(doc.routes, "route"), servers,
    };
  }

  const between = (now, then) => (now >= then ? now - then : 0);
  const perSecond = (now, then, key) => between(now[key], then[key]) / (now.at - then.at);

  function rateOf(map, key, field, now, then) {
    const item = now[map].get(key), before = then && then[map].get(key);
    return item && before ? between(item[field], before[field]) / (now.at - then.at) : null;
  }

  // Of the buckets between two answers; linear within one.  null: there was nothing; Infinity: above the last bound.
  function percentile(now, then, which, part) {
    const bounds = now.latency.bounds_us;
    const counts = now.latency[which].counts.map((n, i) => between(n, then.latency[which].counts[i]));
    const rank = part * counts.reduce((a, b) => a + b, 0);
    if (rank === 0)
      return null;
    for (let i = 0, below = 0; i < bounds.length; below += counts[i++])
      if (below + counts[i] >= rank)
        return (bounds[i - 1] || 0) + (bounds[i] - (bounds[i - 1] || 0)) * (rank - below) / counts[i];
    return Infinity;
  }

  // ---- charts ----

  const NAMESPACE = "http://www.w3.org/2000/svg";

  function shown() {
    const first = state.samples[0], last = state.samples[state.samples.length - 1];
    return Math.min(SHOWN_S, Math.max(SHOWN_LEAST_S, Math.ceil(last.at - first.at)));
  }

  // Paths through the samples; a null or a silence breaks them.
  function draw(svg, lines, title) {
    const now = state.samples[state.samples.length - 1].at, width_s = shown();
    let most = 0;
    for (const line of lines)
      for (const sample of state.samples)
        if (Number.isFinite(sample[line.key]))
          most = Math.max(most, sample[line.key]);
    const x = (at) => (300 * (1 - (now - at) / width_s)).toFixed(1);
    const y = (value) => (58 - 54 * Math.min(1, most > 0 ? value / most : 0)).toFixed(1);
    for (const line of lines) {
      let path = "", area = "", begin = null, last = null;
      const close = () => {
        if (line.area && begin !== null)
          area += "L" + x(last.at) + " 60L" + x(begin.at) + " 60Z";
        begin = null;
      };
      for (const sample of state.samples) {
        const value = sample[line.key];
        if (value === null) {
          close();
          continue;
        }
        const isNew = begin === null || sample.at - last.at > GAP_S;
        if (isNew) {
          close();
          begin = sample;
        }
        const point = (isNew ? "M" : "L") + x(sample.at) + " " + y(Number.isFinite(value) ? value : most);
        path += point;
        area += point;
        last = sample;
      }
      close();
      for (const [name, d] of line.area ? [["area " + line.name, area], [line.name, path]] : [[line.name, path]]) {
        let node = svg.querySelector(`path[class="${name}"]`);
        if (node === null) {
          node = document.createElementNS(NAMESPACE, "path");
          node.setAttribute("class", name);
          svg.append(node);
        }
        node.setAttribute("d", d || "M0 0");
      }
    }
    put(svg.querySelector("title"), title(most));
    return most;
  }

  function drawAll() {
    const span = lasting(shown()), last = state.samples[state.samples.length - 1];
    const said = (what, key) => (most) => `${what} a second in the last ${span}: now ${rate(last[key])}, at most ${rate(most)}`;
    for (const node of document.querySelectorAll(".since"))
      put(node, span + " ago");
    const requests = draw(byId("requests-chart"), [{ key: "requests", name: "all", area: true }, { key: "refused", name: "refused" }], said("Requests", "requests"));
    const refused = draw(byId("refused-chart"), [{ key: "refused", name: "refused", area: true }, { key: "shadow", name: "shadow" }], said("Refusals", "refused"));
    const failed = draw(byId("failed-chart"), [{ key: "failed", name: "refused", area: true }], said("Responses of status 5xx", "failed"));
    const latency = draw(byId("latency-chart"), [{ key: "p99", name: "near" }, { key: "p50", name: "all" }],
      (most) => `Latency in the last ${span}: p99 at most ${took(most)}`);
    put(byId("requests-most"), "at most " + rate(requests) + "/s");
    put(byId("refused-most"), "at most " + rate(refused) + "/s");
    put(byId("failed-most"), "at most " + rate(failed) + "/s");
    put(byId("latency-most"), "at most " + took(latency));
  }

  // ---- the parts of the page ----

  function wrongs(doc) {
    const list = [], store = doc.store, log = doc.log;
    if (doc.state === "draining")
      list.push("This process is about to end, and is not ready.");
    if (doc.reload_refused)
      list.push(`The last reload was refused: generation ${doc.generation} stays in force. \`sluice check\` says what is wrong with the file.`);
    else if (doc.stale)
      list.push(`The file on disk is not what runs, which is generation ${doc.generation}. \`sluice diff\` says how they differ.`);
    if (store.state === "away")
      list.push("Redis answers no worker: every quota does what its on_failure says.");
    else if (store.state === "degraded")
      list.push(`Redis answers ${store.workers_up} of ${doc.loop_lag_us.length} workers: the others decide as on_failure says.`);
    if (store.overflowed > 0)
      list.push(`The table of subjects is full: ${count(store.overflowed)} charges went to overflow buckets. store.subjects can be larger.`);
    for (const upstream of doc.upstreams) {
      if (upstream.panic)
        list.push(`Upstream ${clean(upstream.upstream)} uses all its servers, because too few are well.`);
      for (const server of upstream.servers)
        if (server.state && server.state !== "up")
          list.push(`Server ${clean(server.server)} of ${clean(upstream.upstream)} is ${clean(server.state)}` + (server.reason ? `: ${clean(server.reason)}.` : "."));
    }
    if (log.dropped > 0)
      list.push(`${count(log.dropped)} lines of the access log were dropped since the start` + (doc.mono_us / 1e6 - state.dropped.at < 60 ? ", and more are being dropped." : "."));
    if (log.write_errors > 0)
      list.push(`${count(log.write_errors)} writes of the access log have failed since the start.`);
    if (doc.restarts > 0)
      list.push(`The serving process has died and was started again ${doc.restarts} ${doc.restarts === 1 ? "time" : "times"}.`);
    return list;
  }

  function showSaid(doc) {
    const list = wrongs(doc), said = byId("said");
    said.classList.toggle("bad", list.length > 0);
    said.setAttribute("aria-live", "polite");
    fill(said, list.length ? list : ["Nothing is wrong that Sluice can see."], (text) => text, () => make("li"), put);
  }

  function showTiles(doc, now, then) {
    const rates = (key) => (then ? rate(perSecond(now, then, key)) : "–");
    put(byId("requests-rate"), rates("requests"));
    put(byId("refused-rate"), rates("refused"));
    put(byId("failed-rate"), rates("failed"));
    put(byId("requests-total"), count(now.requests));
    put(byId("requests-open"), count(doc.requests.open));
    put(byId("refused-total"), count(now.refused));
    put(byId("failed-total"), count(now.failed));
    put(byId("shadow"), now.shadow > 0 ? `, ${count(now.shadow)} more in shadow (dashed)` : "");
    put(byId("p50"), mark(then ? percentile(now, then, "total", .5) : null));
    put(byId("p99"), mark(then ? percentile(now, then, "total", .99) : null));
    put(byId("server-p50"), mark(then ? percentile(now, then, "server", .5) : null) + " p50");
    put(byId("server-p99"), mark(then ? percentile(now, then, "server", .99) : null) + " p99");
  }

  function showQuotas(doc, now, then) {
    byId("no-quotas").hidden = doc.quotas.length > 0;
    fill(byId("quotas"), doc.quotas, (quota) => quota.quota, row(["", "", "", "", "more"]), (tr, quota) => {
      const [name, admitted, refused, total, part] = tr.children;
      putName(name, clean(quota.quota) + " ", quota.shadow ? "(shadow)" : "");
      put(admitted, rate(rateOf("quotas", quota.quota, "admitted", now, then)));
      put(refused, rate(rateOf("quotas", quota.quota, "refused", now, then)));
      put(total, count(quota.refused));
      putBar(part, quota.refused, quota.refused + quota.admitted, true);
    });
  }

  function refusalText(refusal) {
    const window = clean(refusal.window);
    return ` hit ${clean(refusal.quota)}/${window} ${refusal.used}/${refusal.limit} on ${clean(refusal.route)}` +
      (refusal.retry_after_s > 0 ? `, retry in ${refusal.retry_after_s} s` : ", waiting does not help") +
      (refusal.degraded ? ", decided without the store" : "");
  }

  function line() {
    const li = make("li");
    li.append(make("time"), make("bdi"), make("span"));
    return li;
  }

  function putLine(li, at, who, text) {
    li.children[0].dateTime = at;
    put(li.children[0], clock(at));
    put(li.children[1], who);
    put(li.children[2], text);
  }

  function showRefusals(doc) {
    const list = doc.refused.rows.slice(0, REFUSALS);
    byId("no-refusals").hidden = list.length > 0;
    fill(byId("refusals"), list, (r) => [r.quota, r.window, r.subject].join("\n"), line, (li, r) =>
      putLine(li, r.at, clean(r.subject) + (r.cut ? "…" : ""), refusalText(r)));
  }

  function showMalformed(doc) {
    byId("no-malformed").hidden = doc.malformed.errors.length > 0;
    fill(byId("malformed"), doc.malformed.errors, (e) => e.id + e.at, line, (li, e) =>
      putLine(li, e.at, `${e.from} ${clean(e.sender)}`, `: ${clean(e.reason)} (${clean(e.fault)}` +
        (e.offset === null ? ")" : `, byte ${e.offset})`)));
  }

  const quoted = (text) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'");

  function copyButton() {
    const button = make("button", "", "copy reset");
    button.type = "button";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.order);
      put(byId("copied"), "Copied: " + button.dataset.order);
    });
    return button;
  }

  // Rows of all quotas, each under its heading.
  function topRows(doc, isRefused) {
    const rows = [];
    for (const quota of doc.top) {
      const list = isRefused ? quota.refused : quota.subjects;
      if (quota.shadow || list.length === 0)
        continue;
      rows.push({ key: "quota " + quota.quota, quota });
      for (const subject of list)
        rows.push({ key: "subject " + quota.quota + "\n" + subject.subject, quota, subject });
    }
    return rows;
  }

  function makeTopRow(item) {
    if (item.subject === undefined) {
      const tr = make("tr", "group");
      const th = make("th");
      th.scope = "rowgroup";
      th.colSpan = 5;
      tr.append(th);
      return tr;
    }
    const tr = row(["", "", "", "", "more"])();
    tr.firstChild.append(make("bdi"));
    if (navigator.clipboard)
      tr.lastChild.append(copyButton());
    return tr;
  }

  function showTop(doc) {
    const isRefused = document.querySelector("input[name=order]:checked").value === "refused";
    const rows = topRows(doc, isRefused);
    fill(byId("top"), rows, (item) => item.key, makeTopRow, (tr, { quota, subject }) => {
      if (subject === undefined) {
        put(tr.firstChild, `${clean(quota.quota)}: ${count(quota.decisions)} decisions in the last ${lasting(quota.over_s)}`);
        return;
      }
      const [name, admitted, refused, part, order] = tr.children;
      put(name.firstChild, clean(subject.subject) + (subject.cut ? "…" : ""));
      put(admitted, count(subject.admitted));
      put(refused, count(subject.refused));
      putBar(part, subject.admitted + subject.refused, quota.decisions, false);
      if (order.firstChild !== null) {
        const words = `sluice reset --quota ${quoted(quota.quota)} -- ${quoted(subject.subject)}`;
        order.firstChild.dataset.order = words;
        order.firstChild.setAttribute("aria-label", "copy: " + words);
        order.firstChild.hidden = subject.cut === true;
      }
    });
    put(byId("top-note"), rows.length === 0
      ? (isRefused ? "Nobody was refused in the last minutes." : "Nobody was counted in the last minutes.")
      : "Of this proxy, in the last 2.5 to 5 minutes.");
  }

  function showServers(doc, now, then) {
    const list = doc.upstreams.flatMap((upstream) => upstream.servers.map((server) => ({ upstream, server })));
    byId("no-servers").hidden = list.length > 0;
    const keyOf = ({ upstream, server }) => upstream.upstream + " " + server.server;
    fill(byId("servers"), list, keyOf, row(["", "words", "", "", ""]), (tr, item) => {
      const [name, how, good, failed, open] = tr.children, state = item.server.state || "unknown";
      putName(name, clean(item.server.server) + " ", clean(item.upstream.upstream));
      put(how, clean(state.replaceAll("_", " ")));
      how.className = "words " + (state === "up" ? "good" : "bad");
      put(good, rate(rateOf("servers", keyOf(item), "ok", now, then)));
      put(failed, rate(rateOf("servers", keyOf(item), "failed", now, then)));
      put(open, count(item.server.open));
    });
  }

  function showRoutes(doc, now, then) {
    fill(byId("routes"), doc.routes, (route) => route.route, row(["", "", "", "", "more"]), (tr, route) => {
      const [name, requests, client, server, total] = tr.children;
      const before = then && then.routes.get(route.route);
      const all = before ? between(route.requests, before.requests) : 0;
      put(name, clean(route.route));
      put(requests, rate(rateOf("routes", route.route, "requests", now, then)));
      put(client, before ? share(between(route["4xx"], before["4xx"]), all) : "–");
      put(server, before ? share(between(route["5xx"], before["5xx"]), all) : "–");
      put(total, count(route.requests));
    });
  }

  function showList(dl, pairs) {
    fill(dl, pairs.flatMap(([name, text]) => [{ key: "dt " + name, tag: "dt", text: name }, { key: "dd " + name, tag: "dd", text }]),
      (item) => item.key, (item) => make(item.tag), (node, item) => put(node, item.text));
  }

  function showStore(doc, now, then) {
    const store = doc.store, isRedis = store.type === "redis";
    const words = { up: "up", away: "away", degraded: "up for some workers" };
    const pairs = [["kind", isRedis ? `Redis, ${clean(store.topology)}` : "memory of this process"], ["state", words[store.state] || clean(store.state)]];
    if (isRedis)
      pairs.push(["servers", store.servers.map(clean).join(", ")],
        ["proxies", store.fleet > 0 ? count(store.fleet) : "not known"],
        ["leases", `${count(store.leases)} subjects, ${count(store.leased)} requests`],
        ["timeouts", `${then ? rate(perSecond(now, then, "timeouts")) : "–"} a second, ${count(store.timeouts)} in all`],
        ["errors", count(store.errors)]);
    else
      pairs.push(["state file", store.state_file ? clean(store.state_file) : "none: counters end with the service"]);
    pairs.push(["decisions", `${mark(then ? percentile(now, then, "decision", .5) : null)} p50, ${mark(then ? percentile(now, then, "decision", .99) : null)} p99`]);
    pairs.push(["without it", `${count(bySum(doc.quotas, "degraded"))} decisions since the start`]);
    pairs.push(["subjects", store.subjects_max > 0 ? `${count(store.subjects)} of ${count(store.subjects_max)}` : count(store.subjects)]);
    showList(byId("store"), pairs);
  }

  function showProcess(doc, now, then) {
    const connections = doc.connections, process = doc.process;
    showList(byId("process"), [
      ["connections", `${count(connections.open)} of ${count(connections.max)}, ${count(connections.refused)} refused`],
      ["memory", bytes(process.rss_bytes)],
      ["processor", then ? (perSecond(now, then, "cpu") / 1e4).toFixed(0) + " % of one" : "–"],
      ["descriptors", `${count(process.fds)} of ${count(process.fds_max)}`],
      ["loop lag", doc.loop_lag_us.map(took).join(", ") + (doc.loop_lag_us.length > 1 ? " (each worker)" : "")],
      ["log lines", `${then ? rate(perSecond(now, then, "lines")) : "–"} a second, ${count(doc.log.dropped)} dropped`],
    ]);
  }

  function showFacts(doc) {
    put(byId("facts"), `${clean(doc.version)}, ${doc.loop_lag_us.length} ${doc.loop_lag_us.length === 1 ? "worker" : "workers"}, up ${lasting(doc.uptime_s)}, ` +
      `generation ${doc.generation}, pid ${doc.pid}, boot ${clean(doc.boot)}`);
  }

  function showAll(doc, now, then) {
    showFacts(doc);
    showSaid(doc);
    showTiles(doc, now, then);
    showQuotas(doc, now, then);
    showRefusals(doc);
    showTop(doc);
    showServers(doc, now, then);
    showRoutes(doc, now, then);
    showMalformed(doc);
    showStore(doc, now, then);
    showProcess(doc, now, then);
    drawAll();
    byId("main").hidden = false;
  }

  // ---- one answer ----

  function take(doc) {
    const now = counters(doc);
    if (doc.boot !== state.boot || doc.generation !== state.generation || (state.polls.length && now.at <= state.polls[state.polls.length - 1].at))
      state.polls = []; // counters of another process, or of other routes
    if (doc.log.dropped > state.dropped.count)
      state.dropped = { count: doc.log.dropped, at: state.boot === doc.boot ? now.at : -1e9 };
    state.boot = doc.boot;
    state.generation = doc.generation;
    const before = state.polls[state.polls.length - 1];
    state.polls.push(now);
    state.polls = state.polls.filter((poll) => now.at - poll.at <= MEAN_S + .5);
    const then = state.polls[0] === now ? null : state.polls[0];
    const isNext = before !== undefined && now.at - before.at <= GAP_S;
    state.samples = state.samples.filter((sample) => sample.at < now.at && now.at - sample.at <= SHOWN_S);
    state.samples.push({
      at: now.at,
      requests: isNext ? perSecond(now, before, "requests") : null,
      refused: isNext ? perSecond(now, before, "refused") : null,
      failed: isNext ? perSecond(now, before, "failed") : null,
      shadow: isNext && now.shadow > 0 ? perSecond(now, before, "shadow") : null,
      p50: then ? percentile(now, then, "total", .5) : null,
      p99: then ? percentile(now, then, "total", .99) : null,
    });
    state.doc = doc;
    showAll(doc, now, then);
  }

  // ---- asking ----

  const asking = { timer: 0, aborter: null, failures: 0, goodAt: 0, nextAt: 0, why: "" };

  function link(className, text) {
    const pill = byId("link");
    pill.className = "pill " + className;
    put(pill, text);
    document.title = className === "good" ? "Sluice" : "(" + text + ") Sluice";
  }

  function showLink() {
    byId("main").classList.toggle("old", asking.failures > 0);
    if (asking.failures === 0) {
      link("good", "live");
      return;
    }
    const wait = Math.max(0, Math.ceil((asking.nextAt - Date.now()) / 1000));
    const since = asking.goodAt ? `for ${lasting(Math.round((Date.now() - asking.goodAt) / 1000))}: what you see is old` : "";
    link("bad", "no connection");
    byId("said").classList.add("bad");
    byId("said").setAttribute("aria-live", "off"); // it counts the seconds; the pill has said it
    fill(byId("said"), [`No connection ${since}`.trim() + `. ${asking.why} Next try in ${wait} s.`], () => "lost", () => make("li"), put);
  }

  // The sentence of whoever refuses.
  async function reasonOf(response) {
    const text = await response.text();
    try {
      return JSON.parse(text).detail;
    } catch {
      return text.slice(0, 300).trim();
    }
  }

  async function ask() {
    const aborter = new AbortController();
    const patience = setTimeout(() => aborter.abort(), PATIENCE_MS);
    asking.aborter = aborter;
    asking.timer = 0;
    try {
      const response = await fetch("v1/live", { cache: "no-store", credentials: "omit", redirect: "error", signal: aborter.signal });
      if (!response.ok)
        throw new Error(`${response.status}: ${await reasonOf(response)}.`);
      take(await response.json());
      asking.failures = 0;
      asking.goodAt = Date.now();
    } catch (error) {
      if (asking.aborter !== aborter)
        return; // hidden meanwhile
      asking.failures++;
      asking.why = error.name === "AbortError" ? "There was no answer in time." : error instanceof TypeError ? "Nobody answers." : clean(error.message);
    } finally {
      clearTimeout(patience);
    }
    if (asking.aborter === aborter)
      later(asking.failures === 0 ? EVERY_MS : Math.min(WAIT_MAX_MS, EVERY_MS * 2 ** (asking.failures - 1)));
  }

  function later(ms) {
    asking.nextAt = Date.now() + ms;
    asking.timer = setTimeout(ask, ms);
    showLink();
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(asking.timer);
    asking.timer = 0;
    if (asking.aborter !== null)
      asking.aborter.abort();
    asking.aborter = null;
    if (document.hidden)
      link("dim", "paused");
    else
      ask();
  });
  for (const input of document.querySelectorAll("input[name=order]"))
    input.addEventListener("change", () => state.doc && showTop(state.doc));
  setInterval(() => asking.failures > 0 && !document.hidden && showLink(), 1000);
  if (!document.hidden)
    ask();
})();
