/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_report_html.c - a report as one page that needs nothing else: no script, no font, no other file; light or dark as its
 * reader's browser is, and readable on a phone.  Never: writes text of the log but through logtool_html.h. */
#include "logtool/logtool_html.h"
#include "logtool/logtool_report.h"
#include "logtool/logtool_show.h"

/* Of the drawings, in units of their view box. */
#define PLOT_WIDTH  720.0
#define PLOT_HEIGHT 180.0
#define PLOT_LEFT   56.0
#define PLOT_TOP    18.0
#define OCTAVES     38
#define ROWS_SHOWN  50 /* of a table; the rest is in the text and in JSON */

static const char STYLE[] =
    "<style>"
    ":root{color-scheme:light dark;--page:#fff;--card:#f6f7f9;--ink:#1b1f24;--dim:#5b6470;"
    "--line:#d9dde3;--all:#4a7ebb;--bad:#c8373f;--good:#1f7a45;--near:#b26a00}"
    "@media(prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2127;--ink:#e6e9ee;"
    "--dim:#9aa4b1;--line:#343b45;--all:#6ea3e0;--bad:#f0686f;--good:#5cc98a;--near:#e8a840}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;padding:1.2rem 1rem 3rem;max-width:62rem;background:var(--page);"
    "color:var(--ink);font:15px/1.45 system-ui,sans-serif}"
    "h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}"
    "p{margin:.3rem 0}.dim,caption,.axis{color:var(--dim)}.bad{color:var(--bad)}"
    ".good{color:var(--good)}"
    ".said{border-left:.3rem solid var(--good);background:var(--card);padding:.6rem .8rem;"
    "margin:1rem 0}.said.bad{border-color:var(--bad);color:var(--ink)}"
    ".sums{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem}"
    ".sums div{background:var(--card);padding:.6rem .8rem;border-radius:.3rem}"
    ".sums b{display:block;font-size:1.3rem}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%}"
    "caption{text-align:left;padding:.2rem 0}"
    "th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--line);"
    "white-space:nowrap;font-variant-numeric:tabular-nums}"
    "th{font-weight:600}th:first-child,td:first-child{text-align:left;white-space:normal;"
    "overflow-wrap:anywhere;padding-left:0;min-width:8rem}"
    "svg{display:block;width:100%;height:auto;background:var(--card);border-radius:.3rem}"
    "svg text{font-size:12px;fill:var(--dim)}.all{fill:var(--all)}.refused{fill:var(--bad)}"
    ".rule{stroke:var(--line)}.mark{stroke:var(--near);stroke-dasharray:4 3}"
    "@media(max-width:36rem){svg text{font-size:17px}}"
    "td svg{width:7rem;height:.7rem;display:inline-block;vertical-align:middle;background:none}"
    "</style>";

static double share_of(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static struct span name_of(const struct logtool_report *report, uint32_t name)
{
    return logtool_names_text(&report->names, name);
}

/* 1, 2 or 5 times a power of ten, at least `most`. */
static uint64_t round_up(uint64_t most)
{
    uint64_t step = 1;
    while (step * 10 <= most && step < UINT64_MAX / 100)
        step *= 10;
    if (most <= step)
        return step;
    return most <= 2 * step ? 2 * step : most <= 5 * step ? 5 * step : 10 * step;
}

/* ---- the top ---- */

static void put_loss(FILE *out, const struct logtool_report *report,
                     const struct logtool_reading *reading)
{
    const unsigned killed = logtool_seq_killed(&report->seq);
    if (reading->lines == 0) {
        HTML(out, "<p class=\"said bad\" role=\"status\">There is no line in these logs.</p>");
        return;
    }
    if (report->missing == 0 && reading->unreadable == 0 && killed == 0) {
        HTML(out, "<p class=\"said\" role=\"status\"><b class=\"good\">No line is missing</b>: the "
                  "numbers of every boot follow each other, and every line can be read.</p>");
        return;
    }
    HTML(out, "<div class=\"said bad\" role=\"status\">");
    if (report->missing != 0)
        HTML_PUT(out,
                 "<p><b class=\"bad\">$ lines are missing</b> in $ gaps: sums and shares are those "
                 "of the lines that are there.</p>",
                 HTML_NUMBER(report->missing), HTML_NUMBER(report->gap_count));
    if (killed != 0)
        HTML_PUT(out,
                 "<p><b class=\"bad\">$ boots were killed</b> with their parent: what they had not "
                 "written yet is lost.</p>",
                 HTML_NUMBER(killed));
    if (reading->unreadable != 0)
        HTML_PUT(out, "<p><b class=\"bad\">$ lines cannot be read.</b></p>",
                 HTML_NUMBER(reading->unreadable));
    if (report->gap_count != 0)
        HTML(out, "<details><summary>which</summary>");
    for (unsigned i = 0; i < LOGTOOL_GAPS_TOLD && i < report->gap_count; i++) {
        const struct logtool_gap *gap = &report->gaps[i];
        const struct span boot = {gap->boot->id, gap->boot->id_len};
        HTML_PUT(out, "<p class=\"dim\">boot <bdi>$</bdi>: seq $ to $</p>", HTML_TEXT(boot),
                 HTML_NUMBER(gap->from), HTML_NUMBER(gap->to));
    }
    if (report->gap_count != 0)
        HTML(out, "</details>");
    HTML(out, "</div>");
}

static uint64_t refused_of(const struct logtool_report *report)
{
    return report->decisions[LOGTOOL_REFUSE] + report->decisions[LOGTOOL_DEGRADED_REFUSE];
}

static void put_sums(FILE *out, const struct logtool_report *report)
{
    const uint64_t refused = refused_of(report), failed = report->statuses[5];
    HTML_PUT(out, "<div class=\"sums\"><div><b>$</b>requests</div>", HTML_NUMBER(report->requests));
    HTML_PUT(out, "<div><b>$</b>refused, $</div>", HTML_NUMBER(refused),
             HTML_SHARE(share_of(refused, report->requests)));
    HTML_PUT(out, "<div><b>$</b>status 5xx, $</div>", HTML_NUMBER(failed),
             HTML_SHARE(share_of(failed, report->requests)));
    if (report->total.count != 0)
        HTML_PUT(out,
                 "<div><b>$</b>took half of them at most</div><div><b>$</b>took 99 % of them "
                 "at most</div>",
                 HTML_TIME(logtool_histogram_percentile(&report->total, 50000)),
                 HTML_TIME(logtool_histogram_percentile(&report->total, 99000)));
    HTML(out, "</div>");
}

/* ---- drawings ---- */

static double plot_y(uint64_t value, uint64_t top)
{
    return PLOT_TOP + PLOT_HEIGHT * (1 - (double)value / (double)top);
}

static void put_frame(FILE *out, uint64_t top)
{
    for (unsigned half = 0; half <= 2; half++) {
        const uint64_t value = top * half / 2;
        if (top == 1 && half == 1)
            continue;
        HTML_PUT(out,
                 "<line class=\"rule\" x1=\"$\" x2=\"$\" y1=\"$\" y2=\"$\"/><text x=\"$\" y=\"$\" "
                 "text-anchor=\"end\">$</text>",
                 HTML_PLACE(PLOT_LEFT), HTML_PLACE(PLOT_LEFT + PLOT_WIDTH),
                 HTML_PLACE(plot_y(value, top)), HTML_PLACE(plot_y(value, top)),
                 HTML_PLACE(PLOT_LEFT - 6), HTML_PLACE(plot_y(value, top) + 4), HTML_NUMBER(value));
    }
}

static void put_bar(FILE *out, double x, double width, uint64_t from, uint64_t to, uint64_t top,
                    bool is_refused)
{
    if (from == to)
        return;
    HTML(out, "<rect class=\"");
    if (is_refused)
        HTML(out, "refused");
    else
        HTML(out, "all");
    HTML_PUT(out, "\" x=\"$\" y=\"$\" width=\"$\" height=\"$\"/>", HTML_PLACE(x),
             HTML_PLACE(plot_y(to, top)), HTML_PLACE(width),
             HTML_PLACE(plot_y(from, top) - plot_y(to, top)));
}

static void put_timeline(FILE *out, const struct logtool_timeline *line)
{
    uint64_t most = 1;
    const unsigned steps = line->last - line->first + 1;
    const double width = PLOT_WIDTH / steps;
    if (line->width_s == 0)
        return;
    for (unsigned i = line->first; i <= line->last; i++)
        most = line->steps[i].requests > most ? line->steps[i].requests : most;
    const uint64_t top = round_up(most);
    const uint64_t from_s = line->from_s + line->first * line->width_s;
    HTML(out, "<h2>Requests over time</h2>");
    HTML_PUT(out,
             "<svg viewBox=\"0 0 800 232\" role=\"img\" aria-label=\"Requests in steps of $ "
             "seconds, those that were refused below\">",
             HTML_NUMBER(line->width_s));
    put_frame(out, top);
    for (unsigned i = line->first; i <= line->last; i++) {
        const struct logtool_timeline_step *step = &line->steps[i];
        const double x = PLOT_LEFT + width * (i - line->first);
        if (step->requests == 0)
            continue;
        HTML_PUT(out, "<g><title>from $ UTC: $ requests, $ refused</title>",
                 HTML_SECOND(line->from_s + i * line->width_s), HTML_NUMBER(step->requests),
                 HTML_NUMBER(step->refused));
        put_bar(out, x, width, 0, step->refused, top, true);
        put_bar(out, x, width, step->refused, step->requests, top, false);
        HTML(out, "</g>");
    }
    HTML_PUT(out,
             "<text x=\"$\" y=\"218\">$</text><text x=\"$\" y=\"218\" "
             "text-anchor=\"end\">$</text></svg>",
             HTML_PLACE(PLOT_LEFT), HTML_SECOND(from_s), HTML_PLACE(PLOT_LEFT + PLOT_WIDTH),
             HTML_SECOND(from_s + steps * line->width_s));
    HTML_PUT(out,
             "<p class=\"dim\">UTC; a bar is $ s.  The lower part of it was refused by quotas.</p>",
             HTML_NUMBER(line->width_s));
}

static void put_mark(FILE *out, const struct logtool_histogram *histogram, uint32_t of_100000,
                     struct span name, unsigned first, double width)
{
    const uint64_t us = logtool_histogram_percentile(histogram, of_100000);
    const uint64_t from = us == 0 ? 1 : us;
    const unsigned power = 63 - (unsigned)__builtin_clzll(from);
    const double within = (double)from / (double)(UINT64_C(1) << power) - 1;
    const double x = PLOT_LEFT + width * ((double)power + within - first);
    HTML_PUT(out,
             "<line class=\"mark\" x1=\"$\" x2=\"$\" y1=\"14\" y2=\"198\"/><text x=\"$\" y=\"12\" "
             "text-anchor=\"middle\">$</text>",
             HTML_PLACE(x), HTML_PLACE(x), HTML_PLACE(x), HTML_TEXT(name));
}

static void put_histogram(FILE *out, const struct logtool_histogram *histogram)
{
    uint64_t most = 1;
    unsigned first = OCTAVES, last = 0;
    for (unsigned power = 0; power < OCTAVES; power++) {
        const uint64_t count = logtool_histogram_octave(histogram, power);
        if (count == 0)
            continue;
        first = power < first ? power : first;
        last = power;
        most = count > most ? count : most;
    }
    if (first == OCTAVES)
        return;
    const double width = PLOT_WIDTH / (last - first + 1);
    const uint64_t top = round_up(most);
    HTML(out, "<h2>How long requests took</h2><svg viewBox=\"0 0 800 232\" role=\"img\" "
              "aria-label=\"Requests by their time, each bar twice as long as the one before\">");
    put_frame(out, top);
    for (unsigned power = first; power <= last; power++) {
        const double x = PLOT_LEFT + width * (power - first);
        const uint64_t count = logtool_histogram_octave(histogram, power);
        HTML_PUT(out, "<g><title>$ to $: $ requests</title>",
                 HTML_TIME(power == 0 ? 0 : UINT64_C(1) << power), HTML_TIME(UINT64_C(2) << power),
                 HTML_NUMBER(count));
        put_bar(out, x + 1, width - 2, 0, count, top, false);
        HTML(out, "</g>");
        if ((power - first) % ((last - first) / 6 + 1) == 0)
            HTML_PUT(out, "<text x=\"$\" y=\"218\">$</text>", HTML_PLACE(x),
                     HTML_TIME(power == 0 ? 0 : UINT64_C(1) << power));
    }
    put_mark(out, histogram, 50000, SPAN("p50"), first, width);
    put_mark(out, histogram, 90000, SPAN("p90"), first, width);
    put_mark(out, histogram, 99000, SPAN("p99"), first, width);
    HTML(out, "</svg>");
}

/* ---- tables ---- */

static void put_times_row(FILE *out, struct span name, const struct logtool_histogram *histogram)
{
    if (histogram == NULL || histogram->count == 0)
        return;
    HTML_PUT(
        out, "<tr><td><bdi>$</bdi></td><td>$</td><td>$</td><td>$</td><td>$</td><td>$</td></tr>",
        HTML_TEXT(name), HTML_TIME(logtool_histogram_percentile(histogram, 50000)),
        HTML_TIME(logtool_histogram_percentile(histogram, 90000)),
        HTML_TIME(logtool_histogram_percentile(histogram, 99000)),
        HTML_TIME(logtool_histogram_percentile(histogram, 99900)), HTML_TIME(histogram->max_us));
}

static void put_times(FILE *out, const struct logtool_report *report)
{
    if (report->total.count == 0)
        return;
    HTML(out, "<div class=\"wide\"><table><tr><th>time</th><th>p50</th><th>p90</th><th>p99</th>"
              "<th>p99.9</th><th>slowest</th></tr>");
    put_times_row(out, SPAN("in all"), &report->total);
    put_times_row(out, SPAN("store"), &report->store);
    put_times_row(out, SPAN("server, to its first byte"), &report->first);
    for (unsigned i = 0; i < report->routes.count && i < ROWS_SHOWN; i++)
        put_times_row(out, name_of(report, report->routes.rows[i].name),
                      report->routes.rows[i].times);
    HTML(out, "</table></div>");
}

static void put_more(FILE *out, unsigned count)
{
    if (count > ROWS_SHOWN)
        HTML_PUT(out, "<p class=\"dim\">and $ more: `sluice report --json` has all of them.</p>",
                 HTML_NUMBER(count - ROWS_SHOWN));
}

/* A cell with a bar for a share of 100. */
static void put_share(FILE *out, double share)
{
    HTML_PUT(out,
             "<td>$</td><td><svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" "
             "aria-hidden=\"true\"><rect class=\"refused\" x=\"0\" y=\"0\" width=\"$\" "
             "height=\"8\"/></svg></td>",
             HTML_SHARE(share), HTML_PLACE(share));
}

static void put_rows(FILE *out, const struct logtool_report *report,
                     const struct logtool_rows *rows, struct span title, struct span head)
{
    if (rows->count == 0)
        return;
    HTML_PUT(out,
             "<h2>$</h2><div class=\"wide\"><table><tr><th>$</th><th>requests</th>"
             "<th>refused</th><th>share</th><th></th><th>near</th><th>share</th></tr>",
             HTML_TEXT(title), HTML_TEXT(head));
    for (unsigned i = 0; i < rows->count && i < ROWS_SHOWN; i++) {
        const struct logtool_row *row = &rows->rows[i];
        HTML_PUT(out, "<tr><td><bdi>$</bdi></td><td>$</td><td>$</td>",
                 HTML_TEXT(name_of(report, row->name)), HTML_NUMBER(row->requests),
                 HTML_NUMBER(row->refused));
        put_share(out, share_of(row->refused, row->requests));
        HTML_PUT(out, "<td>$</td><td>$</td></tr>", HTML_NUMBER(row->near),
                 HTML_SHARE(share_of(row->near, row->requests)));
    }
    HTML(out, "</table></div>");
    put_more(out, rows->count);
}

static void put_offenders(FILE *out, const struct logtool_report *report,
                          const struct logtool_report_quota *quota)
{
    HTML_PUT(out,
             "<h2>Who asked most: <bdi>$</bdi></h2><div class=\"wide\"><table><caption>$ subjects, "
             "$ of them refused at least once</caption><tr><th>subject</th><th>admitted</th>"
             "<th>refused</th><th>near</th></tr>",
             HTML_TEXT(name_of(report, quota->name)), HTML_NUMBER(quota->subjects),
             HTML_NUMBER(quota->refused_subjects));
    for (unsigned i = 0; i < quota->top_count; i++) {
        const struct logtool_book *book = logtool_books_at(&report->books, quota->top[i]);
        const struct span subject =
            logtool_subject_show(report->room, name_of(report, book->subject));
        HTML_PUT(out, "<tr><td><bdi>$</bdi></td><td>$</td><td>$</td><td>$</td></tr>",
                 HTML_TEXT(subject), HTML_NUMBER(book->kept), HTML_NUMBER(book->refused),
                 HTML_NUMBER(book->near));
    }
    HTML(out, "</table></div>");
}

static void put_ends(FILE *out, const struct logtool_report *report)
{
    if (report->ends.count == 0)
        return;
    HTML(out, "<h2>How requests ended</h2><div class=\"wide\"><table><tr><th>end</th>"
              "<th>requests</th><th>share</th></tr>");
    for (unsigned i = 0; i < report->ends.count && i < ROWS_SHOWN; i++) {
        const struct logtool_row *row = &report->ends.rows[i];
        HTML_PUT(out, "<tr><td><bdi>$</bdi></td><td>$</td><td>$</td></tr>",
                 HTML_TEXT(name_of(report, row->name)), HTML_NUMBER(row->requests),
                 HTML_SHARE(share_of(row->requests, report->requests)));
    }
    HTML(out, "</table></div>");
    put_more(out, report->ends.count);
}

static void put_page(FILE *out, const void *arg)
{
    const struct logtool_report_shown *shown = arg;
    const struct logtool_report *report = shown->report;
    const struct logtool_reading *reading = shown->reading;
    HTML(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
              "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
              "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
              "style-src 'unsafe-inline'\"><title>Sluice: report</title>");
    fputs(STYLE, out);
    HTML(out, "</head><body><h1>What the access logs tell</h1>");
    HTML_PUT(out, "<p class=\"dim\">$ lines of $ $", HTML_NUMBER(reading->lines),
             HTML_NUMBER(reading->files),
             HTML_TEXT(reading->files == 1 ? SPAN("file") : SPAN("files")));
    if (reading->lines != 0)
        HTML_PUT(out, ", $ to $ UTC", HTML_SECOND(reading->from_us / 1000000),
                 HTML_SECOND(reading->to_us / 1000000));
    HTML(out, "</p>");
    put_loss(out, report, reading);
    put_sums(out, report);
    put_timeline(out, &report->over_time);
    put_histogram(out, &report->total);
    put_times(out, report);
    put_rows(out, report, &report->windows, SPAN("Refusals by quota"), SPAN("quota/window"));
    put_rows(out, report, &report->routes, SPAN("Refusals by route"), SPAN("route"));
    put_rows(out, report, &report->tiers, SPAN("Pressure on tiers"), SPAN("tier"));
    for (unsigned i = 0; i < report->quota_count && i < ROWS_SHOWN; i++)
        put_offenders(out, report, &report->quotas[i]);
    put_more(out, report->quota_count);
    put_ends(out, report);
    HTML(out, "<p class=\"dim\">\"Near\" is a request that found a window at 80 % of its limit or "
              "more.  Made by `sluice report`.</p></body></html>\n");
}

char *logtool_report_html(const struct logtool_report *report,
                          const struct logtool_reading *reading)
{
    return logtool_show_whole(put_page, &(struct logtool_report_shown){report, reading});
}
