/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_log_targets.c - what a file tells of the service that wrote it before, events that are too long, and a syslog daemon
 * as a target: its datagrams, one that is started anew, stands still or is dead. */
#include "loop/loop_log_testing.h"

/* --- what stood in the file before ---------------------------------------------------------------- */

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

#define BEFORE(seq, rest) "{\"v\":1,\"boot\":\"0badcafe\",\"seq\":" seq rest "\n"

/* A service that is started anew says what the end of the file tells of the one before, and ends a torn line. */
static void test_the_service_before(void **state)
{
    static const struct {
        const char *before, *says, *torn;
    } rows[] = {
        {"", "\"gen\":0}\n", NULL},
        {"no line\n", "\"gen\":0}\n", NULL},
        {BEFORE("9", ",\"path\":\"\\\",\\\"event\\\":\\\"stop\"}"),
         "\"previous_boot\":\"0badcafe\",\"previous_seq\":9,\"previous\":\"killed\"}\n", NULL},
        {BEFORE("9", "}") BEFORE("10", ",\"event\":\"stop\"}") "2026 warn  an error line\n",
         "\"previous_boot\":\"0badcafe\",\"previous_seq\":10,\"previous\":\"stopped\"}\n", NULL},
        {BEFORE("9", ",\"event\":\"stop\"}") BEFORE("10", "}") "{\"v\":1,\"boot\":\"0badcafe\",\"s",
         "\"previous_boot\":\"0badcafe\",\"previous_seq\":10,\"previous\":\"stopped\"}\n",
         "\"0badcafe\",\"s\n{\"v\":1,\"boot\":\""},
        {"{\"v\":1,\"boot\":\"11111111\",\"seq\":7,\"event\":\"stop\"}\n" BEFORE("1", "}"),
         "\"previous_boot\":\"0badcafe\",\"previous_seq\":1,\"previous\":\"killed\"}\n", NULL},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        loop_log_free(f->log);
        f->log = loop_log_new(WORKERS);
        put_file(f->access, rows[i].before);
        assert_int_equal(loop_log_start(f->log, &f->targets, NULL), ERR_OK);
        loop_log_stop(f->log);
        char *text = slurp(f->access);
        if (strncmp(text, rows[i].before, strlen(rows[i].before)) != 0 ||
            strstr(text, rows[i].says) == NULL ||
            (rows[i].torn != NULL && strstr(text, rows[i].torn) == NULL))
            fail_msg("row %zu: %s", i, text);
        free(text);
    }
}

static void test_an_event_that_is_too_long_is_told(void **state)
{
    struct fixture *f = *state;
    char json[LOOP_LOG_EVENT_MAX + 2];
    memset(json, 'x', sizeof(json) - 1);
    json[sizeof(json) - 1] = '\0';
    begin_by_hand(f);
    pass_all(f);
    loop_log_event(f->log, json);
    pass_all(f);
    end_by_hand(f);
    char *text = slurp(f->access);
    assert_non_null(strstr(text, "\"seq\":3,\"ts\":\""));
    assert_non_null(strstr(
        text, ",\"event\":\"dropped\",\"n\":1,\"from_seq\":2,\"reasons\":[\"too_long\"]}\n"));
    free(text);
    assert_int_equal(judge_file(f->access).drops, 1);
}

/* --- syslog --------------------------------------------------------------------------------------- */

static int bind_daemon(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    (void)unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* A datagram without its head, whose form is checked; NULL: there is none.  *priority of it. */
static char *take_datagram(int fd, const char *tag, unsigned *priority, char room[9000])
{
    char month[4], name[40];
    unsigned day, hour, minute, second, pid;
    int skip = 0;
    ssize_t got = recv(fd, room, 8999, 0);
    if (got < 0)
        return NULL;
    room[got] = '\0';
    assert_int_equal(sscanf(room, "<%u>%3s %2u %2u:%2u:%2u %39[^[][%u]: %n", priority, month, &day,
                            &hour, &minute, &second, name, &pid, &skip),
                     8);
    assert_string_equal(name, tag);
    assert_int_equal(pid, getpid());
    assert_null(strchr(room + skip, '\n'));
    return room + skip;
}

static void test_syslog(void **state)
{
    struct fixture *f = *state;
    char path[96], target[160], plain[160], room[9000], *line;
    unsigned priority, taken = 0, lines = 0;
    snprintf(path, sizeof(path), "%s/log", f->folder);
    snprintf(target, sizeof(target), "syslog:socket=%s,facility=local3,tag=edge-1", path);
    snprintf(plain, sizeof(plain), "syslog:socket=%s", path);
    f->targets = (struct loop_log_targets){span_of(target), span_of(plain)};
    int daemon = bind_daemon(path);
    begin_by_hand(f);
    loop_log_adopt_errors(f->log, true);
    log_write(NULL, LOG_LEVEL_WARN, "test", "the moon is full");
    loop_log_adopt_errors(f->log, false);
    assert_true(put(f->log, 0, 0));
    pass_all(f);
    line = take_datagram(daemon, "edge-1", &priority, room);
    assert_non_null(strstr(line, "\"event\":\"start\""));
    assert_int_equal(priority, 19 * 8 + 6);
    line = take_datagram(daemon, "edge-1", &priority, room);
    assert_non_null(strstr(line, "\"seq\":2,\"ts\":\"t\",\"w\":0,\"i\":0,"));
    assert_string_equal(take_datagram(daemon, "sluice", &priority, room), "test: the moon is full");
    assert_int_equal(priority, 3 * 8 + 4);

    /* A daemon that is started anew is found at once; nothing is lost. */
    close(daemon);
    daemon = bind_daemon(path);
    assert_true(put(f->log, 0, 1));
    pass_all(f);
    assert_non_null(strstr(take_datagram(daemon, "edge-1", &priority, room), "\"seq\":3,"));

    /* One that takes nothing stops nobody; what the ring cannot hold is counted. */
    while (put(f->log, 0, 2 + taken) && taken < 1000000)
        if (++taken % 100 == 0)
            pass_all(f);
    assert_int_equal(f->log->outs[0].state, LOOP_LOG_OUT_STALLED);
    while ((line = take_datagram(daemon, "edge-1", &priority, room)) != NULL) {
        lines++;
        if (strstr(line, "\"event\":\"dropped\"") != NULL)
            break;
        pass_all(f);
    }
    assert_non_null(line);
    assert_non_null(strstr(line, "\"n\":1,"));
    assert_non_null(strstr(line, "\"reasons\":[\"no_syslog\"]}"));

    /* One that is dead: dropped, counted, and said when it is back. */
    while (take_datagram(daemon, "edge-1", &priority, room) != NULL)
        pass_all(f);
    close(daemon);
    assert_true(put(f->log, 1, 0) && put(f->log, 1, 1));
    pass_all(f);
    assert_int_equal(f->log->outs[0].state, LOOP_LOG_OUT_FAILING);
    daemon = bind_daemon(path);
    retry_now(f);
    pass_all(f);
    assert_true(put(f->log, 1, 2));
    pass_all(f);
    line = take_datagram(daemon, "edge-1", &priority, room);
    assert_non_null(strstr(line, "\"event\":\"dropped\",\"n\":2,"));
    line = take_datagram(daemon, "edge-1", &priority, room);
    assert_non_null(strstr(line, "\"w\":1,\"i\":2,"));
    close(daemon);
    end_by_hand(f);
}

static void test_syslog_targets(void **state)
{
    static const struct {
        const char *target, *fault;
    } rows[] = {
        {"syslog", NULL},
        {"syslog:facility=local7", NULL},
        {"syslog:tag=a.b-c_9,facility=daemon,socket=/run/x", NULL},
        {"syslog:", "stand socket=PATH"},
        {"syslog:facility=local3,", "stand socket=PATH"},
        {"syslog:facility=local8", "the facility of syslog is"},
        {"syslog:tag=", "the tag of syslog is"},
        {"syslog:tag=a b", "the tag of syslog is"},
        {"syslog:socket=relative", "the socket of syslog is"},
        {"syslog:host=there", "stand socket=PATH"},
    };
    char why[256];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *fault = loop_log_target_fault(span_of(rows[i].target), why);
        if ((fault == NULL) != (rows[i].fault == NULL) ||
            (fault != NULL && strstr(fault, rows[i].fault) == NULL))
            fail_msg("%s: %s", rows[i].target, fault);
    }
    assert_false(loop_log_syslog_is(SPAN("syslog.log")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_service_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_event_that_is_too_long_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_syslog, setup, teardown),
        cmocka_unit_test(test_syslog_targets),
    };
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_WARN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
