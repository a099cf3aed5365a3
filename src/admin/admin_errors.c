/* SPDX-License-Identifier: Apache-2.0 */
/* admin_errors.c - the last messages that were refused.  Takes: what the workers kept, looked at on their threads.  Gives:
 * JSON, the newest first.  See record_faults.h for what is shown of a message. */
#include <stdlib.h>
#include <string.h>

#include "admin/admin_json.h"
#include "admin/admin_private.h"
#include "config/config_json.h"
#include "exchange/exchange_env.h"
#include "worker/worker.h"

/* Rows of all workers.  Owner: admin_errors_answer. */
struct errors {
    struct record_faults_row *rows;
    size_t count, max;
    uint64_t kept, skipped; /* ever */
};

/* On the worker's thread. */
static void errors_look(const struct exchange_env *exchanges, void *arg)
{
    struct errors *errors = arg;
    const struct record_faults *faults = exchanges->faults;
    const uint64_t first = faults->count > RECORD_FAULTS ? faults->count - RECORD_FAULTS : 0;
    for (uint64_t i = first; i < faults->count && errors->count < errors->max; i++)
        errors->rows[errors->count++] = faults->rows[i % RECORD_FAULTS];
    errors->kept += faults->count;
    errors->skipped += faults->skipped;
}

static int newest_first(const void *a, const void *b)
{
    const struct record_faults_row *x = a, *y = b;
    return x->wall_us == y->wall_us ? 0 : x->wall_us < y->wall_us ? 1 : -1;
}

/* "47 45 ** 0a": two asterisks stand for a byte that is masked. */
static json_t *hex_json(const struct record_faults_row *row)
{
    static const char digits[] = "0123456789abcdef";
    char text[RECORD_FAULTS_WINDOW * 3];
    size_t len = 0;
    for (unsigned i = 0; i < row->len; i++) {
        const unsigned char byte = (unsigned char)row->bytes[i];
        bool is_masked = (row->masked >> i & 1) != 0;
        text[len++] = is_masked ? '*' : digits[byte >> 4];
        text[len++] = is_masked ? '*' : digits[byte & 15];
        text[len++] = ' ';
    }
    return json_stringn(text, len == 0 ? 0 : len - 1);
}

static json_t *text_json(const struct record_faults_row *row)
{
    char text[RECORD_FAULTS_WINDOW];
    for (unsigned i = 0; i < row->len; i++)
        text[i] = row->bytes[i] >= ' ' && row->bytes[i] < 0x7f ? row->bytes[i] : '.';
    return json_stringn(text, row->len);
}

static json_t *row_json(const struct record_faults_row *row)
{
    const enum http_fault_id fault = (enum http_fault_id)row->fault;
    json_t *json = json_object();
    config_json_set(&json, "at", admin_json_instant(row->wall_us));
    config_json_set(&json, "from", json_string(row->is_response ? "server" : "client"));
    config_json_set(&json, "sender", admin_json_text((struct span){row->sender, row->sender_len}));
    config_json_set(&json, "id", json_stringn(row->id, sizeof(row->id)));
    config_json_set(&json, "fault", json_string(http_fault_name(fault)));
    config_json_set(&json, "reason", json_string(http_fault_sentence(fault)));
    if (row->len == 0) { /* not in a head: no byte of it is kept */
        config_json_set(&json, "offset", json_null());
        config_json_set(&json, "window", json_null());
        return json;
    }
    json_t *window = json_object();
    config_json_set(&window, "from", json_integer(row->from));
    config_json_set(&window, "hex", hex_json(row));
    config_json_set(&window, "text", text_json(row));
    config_json_set(&json, "offset", json_integer(row->offset));
    config_json_set(&json, "window", window);
    return json;
}

json_t *admin_errors_json(const struct admin_facts *facts, size_t limit)
{
    struct errors errors = {.max = (size_t)facts->workers * RECORD_FAULTS};
    errors.rows = malloc((errors.max + 1) * sizeof(*errors.rows));
    bool is_whole = errors.rows != NULL;
    for (unsigned i = 0; i < facts->workers && is_whole; i++)
        is_whole = worker_look(facts->worker_list[i], errors_look, &errors) == ERR_OK;
    if (!is_whole) {
        free(errors.rows);
        return NULL;
    }
    qsort(errors.rows, errors.count, sizeof(*errors.rows), newest_first);
    json_t *list = json_array();
    for (size_t i = 0; i < errors.count && i < limit; i++)
        config_json_append(&list, row_json(&errors.rows[i]));
    free(errors.rows);
    json_t *json = json_object();
    config_json_set(&json, "kept", json_integer((json_int_t)errors.kept));
    config_json_set(&json, "passed_over", json_integer((json_int_t)errors.skipped));
    config_json_set(&json, "errors", list);
    return json;
}

void admin_errors_answer(struct admin_conn *conn, struct span query)
{
    (void)query;
    struct admin_facts facts = {0};
    conn->admin->env.hooks.facts(conn->admin->env.hooks.arg, &facts);
    json_t *json = admin_errors_json(&facts, RECORD_FAULTS);
    if (json == NULL)
        admin_send_problem(conn, 500, "out of memory");
    else
        admin_send_json(conn, 200, json);
}
