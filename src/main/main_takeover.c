/* SPDX-License-Identifier: Apache-2.0 */
/* main_takeover.c - see main_takeover.h.  The description is text, a line for each thing:
 *   socket FD IS_ACTIVATED
 *   memory FD SUBJECTS LAYOUT LIFE
 *   tickets HEX
 *   order KEY KEY ORDER SINCE
 *   from PID GENERATION BOOT */
#include "main/main_takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base_fmt.h"
#include "base/base_parse.h"

#define TAKEOVER_LINE_MAX (2 * NET_TLS_TICKETS_BYTES + 64)

static void takeover_put(const struct main_takeover *takeover, FILE *out)
{
    char hex[2 * NET_TLS_TICKETS_BYTES + 1];
    for (unsigned i = 0; i < takeover->sockets.count; i++)
        fprintf(out, "socket %d %d\n", takeover->sockets.list[i].fd,
                takeover->sockets.list[i].is_activated);
    if (takeover->memory >= 0)
        fprintf(out, "memory %d %u %u %u\n", takeover->memory, (unsigned)takeover->memory_subjects,
                (unsigned)takeover->memory_layout, (unsigned)takeover->memory_life);
    *fmt_hex(hex, takeover->tickets, sizeof(takeover->tickets)) = '\0';
    fprintf(out, "tickets %s\n", hex);
    explicit_bzero(hex, sizeof(hex));
    for (unsigned i = 0; i < takeover->order_count; i++) {
        const struct upstream_orders_row *row = &takeover->orders[i];
        fprintf(out, "order %" PRIu64 " %" PRIu64 " %u %" PRIu64 "\n", row->key.lo, row->key.hi,
                (unsigned)row->ordered.order, row->ordered.at_us);
    }
    fprintf(out, "from %d %u %s\n", takeover->pid, (unsigned)takeover->generation, takeover->boot);
}

int main_takeover_write(const struct main_takeover *takeover)
{
    int fd = memfd_create("sluice-takeover", MFD_CLOEXEC);
    int stream_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    FILE *out = stream_fd < 0 ? NULL : fdopen(stream_fd, "w");
    if (out == NULL)
        goto fail;
    takeover_put(takeover, out);
    bool is_good = ferror(out) == 0;
    is_good &= fclose(out) == 0;
    stream_fd = -1;
    if (is_good && lseek(fd, 0, SEEK_SET) == 0)
        return fd;
fail:
    if (stream_fd >= 0)
        close(stream_fd);
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool takeover_tickets(struct main_takeover *takeover, struct span rest)
{
    if (rest.len != 1 + 2 * sizeof(takeover->tickets))
        return false;
    for (size_t i = 0; i < sizeof(takeover->tickets); i++) {
        int high = parse_hex_digit(rest.ptr[1 + 2 * i]), low = parse_hex_digit(rest.ptr[2 + 2 * i]);
        if (high < 0 || low < 0)
            return false;
        takeover->tickets[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

static bool takeover_own(int fd)
{
    return fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* The number behind the next space. */
static bool takeover_number(struct span *rest, uint64_t *value)
{
    if (rest->len == 0 || rest->ptr[0] != ' ')
        return false;
    *rest = (struct span){rest->ptr + 1, rest->len - 1};
    const struct span digits = {rest->ptr, span_find(*rest, ' ')};
    *rest = (struct span){rest->ptr + digits.len, rest->len - digits.len};
    return parse_u64(digits, value);
}

static bool takeover_order(struct main_takeover *takeover, struct span rest)
{
    uint64_t order;
    struct upstream_orders_row row;
    if (takeover->order_count == UPSTREAM_ORDERS_MAX || !takeover_number(&rest, &row.key.lo) ||
        !takeover_number(&rest, &row.key.hi) || !takeover_number(&rest, &order) ||
        !takeover_number(&rest, &row.ordered.at_us) || order == UPSTREAM_ORDER_NONE ||
        order >= UPSTREAM_ORDER_COUNT)
        return false;
    row.ordered.order = (enum upstream_order)order;
    takeover->orders[takeover->order_count++] = row;
    return true;
}

/* All of them, each at most INT_MAX. */
static bool takeover_numbers(struct span *rest, int *values, unsigned count)
{
    uint64_t value;
    for (unsigned i = 0; i < count; i++) {
        if (!takeover_number(rest, &value) || value > INT_MAX)
            return false;
        values[i] = (int)value;
    }
    return true;
}

static bool takeover_socket(struct main_takeover *takeover, struct span rest)
{
    int values[2];
    return takeover_numbers(&rest, values, 2) && takeover_own(values[0]) &&
           main_inherit_add(&takeover->sockets, values[0], values[1] != 0, "") == ERR_OK;
}

static bool takeover_memory(struct main_takeover *takeover, struct span rest)
{
    int values[4];
    if (!takeover_numbers(&rest, values, 4))
        return false;
    takeover->memory = values[0];
    takeover->memory_subjects = (uint32_t)values[1];
    takeover->memory_layout = (uint32_t)values[2];
    takeover->memory_life = (uint32_t)values[3];
    return takeover_own(takeover->memory);
}

static bool takeover_from(struct main_takeover *takeover, struct span rest)
{
    int values[2];
    if (!takeover_numbers(&rest, values, 2) || rest.len < 2 || rest.len > sizeof(takeover->boot))
        return false;
    takeover->pid = values[0];
    takeover->generation = (uint32_t)values[1];
    memcpy(takeover->boot, rest.ptr + 1, rest.len - 1);
    return true;
}

static const struct {
    const char *word;
    bool (*take)(struct main_takeover *takeover, struct span rest);
} TAKEOVER_LINES[] = {
    {"socket", takeover_socket}, {"memory", takeover_memory},   {"from", takeover_from},
    {"order", takeover_order},   {"tickets", takeover_tickets},
};

static bool takeover_line(struct main_takeover *takeover, const char *line)
{
    const struct span all = {line, strcspn(line, "\n")};
    const size_t len = span_find(all, ' ');
    for (size_t i = 0; i < sizeof(TAKEOVER_LINES) / sizeof(TAKEOVER_LINES[0]); i++)
        if (span_eq((struct span){line, len}, span_of(TAKEOVER_LINES[i].word)))
            return TAKEOVER_LINES[i].take(takeover, (struct span){line + len, all.len - len});
    return false;
}

enum err main_takeover_read(struct main_takeover *takeover, int fd)
{
    char line[TAKEOVER_LINE_MAX];
    *takeover = (struct main_takeover){.memory = -1};
    FILE *in = fdopen(fd, "r");
    if (in == NULL) {
        close(fd);
        return ERR_NOMEM;
    }
    bool is_good = true;
    while (is_good && fgets(line, sizeof(line), in) != NULL)
        is_good = takeover_line(takeover, line);
    explicit_bzero(line, sizeof(line));
    fclose(in);
    return is_good && takeover->pid != 0 ? ERR_OK : ERR_INVALID;
}

void main_takeover_fini(struct main_takeover *takeover)
{
    main_inherit_fini(&takeover->sockets);
    if (takeover->memory >= 0)
        close(takeover->memory);
    takeover->memory = -1;
    explicit_bzero(takeover->tickets, sizeof(takeover->tickets));
}

static bool takeover_keep(int fd)
{
    return fcntl(fd, F_SETFD, 0) == 0;
}

bool main_takeover_export(const struct main_takeover *takeover, int description, int channel)
{
    char text[64];
    bool is_good = takeover_keep(description) && takeover_keep(channel);
    for (unsigned i = 0; i < takeover->sockets.count; i++)
        is_good &= takeover_keep(takeover->sockets.list[i].fd);
    if (takeover->memory >= 0)
        is_good &= takeover_keep(takeover->memory);
    snprintf(text, sizeof(text), "%d %d %d", MAIN_TAKEOVER_VERSION, description, channel);
    return is_good && setenv(MAIN_TAKEOVER_ENV, text, 1) == 0;
}

int main_takeover_import(struct main_takeover *takeover, int *channel, char why[256])
{
    int values[3]; /* version, description, channel */
    char words[64];
    const char *text = getenv(MAIN_TAKEOVER_ENV);
    *takeover = (struct main_takeover){.memory = -1};
    *channel = -1;
    if (text == NULL)
        return 0;
    snprintf(words, sizeof(words), " %s", text);
    unsetenv(MAIN_TAKEOVER_ENV);
    struct span rest = span_of(words);
    if (!takeover_numbers(&rest, values, 3) || rest.len != 0 || !takeover_own(values[2])) {
        snprintf(why, 256, "%s in the environment is not understood", MAIN_TAKEOVER_ENV);
        return -1;
    }
    *channel = values[2];
    if (values[0] != MAIN_TAKEOVER_VERSION) {
        snprintf(why, 256,
                 "this program (" SLUICE_VERSION ") takes over in version %d, not in version %d: "
                 "stop the service and start it again",
                 MAIN_TAKEOVER_VERSION, values[0]);
        return -1;
    }
    if (main_takeover_read(takeover, values[1]) == ERR_OK)
        return 1;
    snprintf(why, 256, "what is handed over is not understood");
    return -1;
}
