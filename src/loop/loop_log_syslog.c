/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_syslog.c - see loop_log_syslog.h.  The classic form, because all of journald, rsyslog, syslog-ng and busybox take
 * it from this socket; journald does not read that of RFC 5424. */
#include "loop/loop_log_syslog.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/base_ascii.h"
#include "base/base_fmt.h"

#define SYSLOG_DEFAULT_PATH "/dev/log"
#define SYSLOG_DEFAULT_TAG  "sluice"
#define SYSLOG_HEAD_MAX     (LOOP_LOG_SYSLOG_TAG_MAX + 64)

/* Of a line of the error log: "2026-11-22T14:02:11.482Z warn  " (base_log.h). */
#define LINE_LEVEL_AT       (FMT_RFC3339_MAX + 1)
#define LINE_TEXT_AT        (LINE_LEVEL_AT + 6)

static const struct {
    struct span name;
    int facility;
} FACILITIES[] = {
    {{"user", 4}, LOG_USER},         {{"mail", 4}, LOG_MAIL},     {{"daemon", 6}, LOG_DAEMON},
    {{"auth", 4}, LOG_AUTH},         {{"syslog", 6}, LOG_SYSLOG}, {{"lpr", 3}, LOG_LPR},
    {{"news", 4}, LOG_NEWS},         {{"uucp", 4}, LOG_UUCP},     {{"cron", 4}, LOG_CRON},
    {{"authpriv", 8}, LOG_AUTHPRIV}, {{"ftp", 3}, LOG_FTP},       {{"local0", 6}, LOG_LOCAL0},
    {{"local1", 6}, LOG_LOCAL1},     {{"local2", 6}, LOG_LOCAL2}, {{"local3", 6}, LOG_LOCAL3},
    {{"local4", 6}, LOG_LOCAL4},     {{"local5", 6}, LOG_LOCAL5}, {{"local6", 6}, LOG_LOCAL6},
    {{"local7", 6}, LOG_LOCAL7},
};

static const struct {
    struct span name;
    int priority;
} LEVELS[] = {
    {{"debug ", 6}, LOG_DEBUG},
    {{"info  ", 6}, LOG_INFO},
    {{"warn  ", 6}, LOG_WARNING},
    {{"error ", 6}, LOG_ERR},
};

bool loop_log_syslog_is(struct span target)
{
    return span_eq(target, SPAN("syslog")) || span_starts_with(target, SPAN("syslog:"));
}

static const char *set_facility(struct loop_log_syslog *syslog, struct span value)
{
    for (size_t i = 0; i < sizeof(FACILITIES) / sizeof(FACILITIES[0]); i++) {
        if (!span_eq(value, FACILITIES[i].name))
            continue;
        syslog->facility = (unsigned)FACILITIES[i].facility;
        return NULL;
    }
    return "the facility of syslog is user, mail, daemon, auth, authpriv, cron, ftp, lpr, news, "
           "syslog, uucp or local0 to local7";
}

/* RFC 3164 section 4.1.3: letters and digits, at most 32; "-", "_" and "." are usual too. */
static const char *set_tag(struct loop_log_syslog *syslog, struct span value)
{
    bool is_good = value.len > 0 && value.len <= LOOP_LOG_SYSLOG_TAG_MAX;
    for (size_t i = 0; i < value.len && is_good; i++)
        is_good = ascii_is_word(value.ptr[i]) || value.ptr[i] == '-' || value.ptr[i] == '_' ||
                  value.ptr[i] == '.';
    if (!is_good)
        return "the tag of syslog is 1 to 32 letters, digits, \"-\", \"_\" and \".\"";
    *fmt_span(syslog->tag, value) = '\0';
    return NULL;
}

static const char *set_path(struct loop_log_syslog *syslog, struct span value)
{
    if (value.len == 0 || value.ptr[0] != '/' || value.len >= sizeof(syslog->path))
        return "the socket of syslog is a path of at most 107 bytes that begins with \"/\"";
    *fmt_span(syslog->path, value) = '\0';
    return NULL;
}

static const struct {
    struct span name;
    const char *(*set)(struct loop_log_syslog *syslog, struct span value);
} SETTINGS[] = {
    {{"socket=", 7}, set_path},
    {{"facility=", 9}, set_facility},
    {{"tag=", 4}, set_tag},
};

static const char *take_setting(struct loop_log_syslog *syslog, struct span word)
{
    for (size_t i = 0; i < sizeof(SETTINGS) / sizeof(SETTINGS[0]); i++) {
        const size_t skip = SETTINGS[i].name.len;
        if (span_starts_with(word, SETTINGS[i].name))
            return SETTINGS[i].set(syslog, (struct span){word.ptr + skip, word.len - skip});
    }
    return "behind \"syslog:\" stand socket=PATH, facility=NAME and tag=NAME, commas between";
}

const char *loop_log_syslog_parse(struct loop_log_syslog *syslog, struct span target)
{
    const size_t skip = sizeof("syslog:") - 1;
    *syslog = (struct loop_log_syslog){
        .facility = LOG_DAEMON, .path = SYSLOG_DEFAULT_PATH, .tag = SYSLOG_DEFAULT_TAG};
    if (span_eq(target, SPAN("syslog")))
        return NULL;
    struct span rest = {target.ptr + skip, target.len - skip};
    for (;;) {
        struct span word = {rest.ptr, span_find(rest, ',')};
        const char *fault = take_setting(syslog, word);
        if (fault != NULL || word.len == rest.len)
            return fault;
        rest.ptr += word.len + 1;
        rest.len -= word.len + 1;
    }
}

int loop_log_syslog_connect(const struct loop_log_syslog *syslog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, syslog->path, strlen(syslog->path) + 1);
    tzset(); /* here, where files may be read; localtime_r reads none behind it */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The priority of a line; *text is what is sent of it. */
static int priority_of(struct span line, struct span *text)
{
    *text = line;
    if (line.len < LINE_TEXT_AT || line.ptr[0] == '{')
        return LOG_INFO;
    for (size_t i = 0; i < sizeof(LEVELS) / sizeof(LEVELS[0]); i++) {
        if (memcmp(line.ptr + LINE_LEVEL_AT, LEVELS[i].name.ptr, LEVELS[i].name.len) != 0)
            continue;
        *text = (struct span){line.ptr + LINE_TEXT_AT, line.len - LINE_TEXT_AT};
        return LEVELS[i].priority;
    }
    return LOG_INFO;
}

/* "<30>Nov 22 14:02:11 sluice[123]: ": a day below 10 has a space in front. */
static size_t write_head(const struct loop_log_syslog *syslog, int priority, char *head)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = time(NULL);
    struct tm tm = {0};
    (void)localtime_r(&now, &tm);
    int len = snprintf(
        head, SYSLOG_HEAD_MAX,
        "<%u>%.3s %2u %02u:%02u:%02u %s[%d]: ", syslog->facility | (unsigned)priority,
        months + 3 * (tm.tm_mon % 12), (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100,
        (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100, syslog->tag, (int)getpid());
    return (size_t)len;
}

bool loop_log_syslog_send(const struct loop_log_syslog *syslog, int fd, struct span line)
{
    char head[SYSLOG_HEAD_MAX];
    struct span text;
    int priority = priority_of(line, &text);
    struct iovec parts[] = {
        {head, write_head(syslog, priority, head)},
        {(void *)(uintptr_t)text.ptr, text.len},
    };
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}
