/* SPDX-License-Identifier: Apache-2.0 */
/* test_config_load - every type of directive into a struct of its own: what is stored, what defaults
 * give, and that a fault stores nothing. */
#include "config_bench.h"

#include "config/config_compare.h"
#include "config/config_effective.h"
#include "config/config_load.h"
#include "config/config_reference.h"
#include "config/config_schema.h"

struct inner {
    uint64_t wait_us;
    bool is_on;
};

struct item {
    struct span name;
    uint16_t port;
};

struct outer {
    bool flag;
    uint8_t one;
    uint16_t two;
    uint32_t four;
    uint64_t eight, wait_us, bytes, rate;
    struct span text, any, secret;
    uint8_t choice;
    uint32_t flags;
    char joined[64];
    uint64_t sum;
    struct inner inner, maybe;
    struct config_items list, map;
    struct span only_a, only_b;
};

static const char *take_joined(const struct config_take *take)
{
    struct outer *outer = take->base;
    if (span_eq(take->text, SPAN("bad")))
        return "a bad text";
    size_t len = strlen(outer->joined);
    snprintf(outer->joined + len, sizeof(outer->joined) - len, "%s%u/%u;", take->text.ptr,
             take->index, take->count);
    return NULL;
}

static const char *take_amount(const struct config_take *take)
{
    struct outer *outer = take->base;
    if (!span_eq(take->text, SPAN("apples")) && !span_eq(take->text, SPAN("pears")))
        return "no fruit";
    outer->sum += take->number;
    return NULL;
}

static const char *const words[] = {"red", "green", "blue", NULL};
static const char *const later[] = {"mauve", NULL};
static const char *const types[] = {"a", "b", NULL};
static const char *const fruit[] = {"apples", "pears", NULL};

static const struct config_directive inner_rows[] = {
    {.key = "wait",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct inner, wait_us),
     .fallback = "\"3s\"",
     .min = 0,
     .max = 60000000,
     .doc = "Waits."},
    {.key = "on",
     .type = CONFIG_BOOL,
     CONFIG_AT(struct inner, is_on),
     .fallback = "true",
     .doc = "On."},
};
static const struct config_table inner_table = {
    .title = "Inner", .noun = "inner", CONFIG_ROWS_OF(inner_rows), .size = sizeof(struct inner)};

static const struct config_directive item_rows[] = {
    {.key = "port",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct item, port),
     .fallback = "80",
     .min = 1,
     .max = 65535,
     .doc = "A port."},
    {.key = "name",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct item, name),
     .absent = "none",
     .min = 1,
     .doc = "A name."},
};
static const struct config_table item_table = {
    .title = "Item",
    .noun = "item",
    CONFIG_ROWS_OF(item_rows),
    .size = sizeof(struct item),
    .has_name = true,
    .name_offset = 0,
    .name_key = "name",
    .short_key = "name",
};

static const struct config_directive merged_rows[] = {
    {.key = "rate",
     .type = CONFIG_RATE,
     .offset = 0,
     .size = 8,
     .fallback = "\"1KiB/s\"",
     .min = 1,
     .max = 1 << 20,
     .word = "off",
     .word_value = 0,
     .doc = "A rate."},
};
static const struct config_table merged_table = {
    .title = "Merged", .noun = "merged", CONFIG_ROWS_OF(merged_rows), .size = 8};

#define AT(member) CONFIG_AT(struct outer, member)
static const struct config_directive rows[] = {
    {.key = "type",
     .type = CONFIG_CHOICE,
     AT(choice),
     .fallback = "\"a\"",
     .words = types,
     .doc = "T."},
    {.key = "only_a", .type = CONFIG_TEXT, AT(only_a), .when = "a", .absent = "none", .doc = "A."},
    {.key = "only_b",
     .type = CONFIG_TEXT,
     .flags = CONFIG_REQUIRED,
     AT(only_b),
     .when = "b",
     .doc = "B."},
    {.key = "flag", .type = CONFIG_BOOL, AT(flag), .fallback = "false", .doc = "F."},
    {.key = "one", .type = CONFIG_INTEGER, AT(one), .fallback = "1", .max = 255, .doc = "1."},
    {.key = "two", .type = CONFIG_INTEGER, AT(two), .fallback = "2", .max = 65535, .doc = "2."},
    {.key = "four",
     .type = CONFIG_INTEGER,
     AT(four),
     .fallback = "4",
     .max = UINT32_MAX,
     .doc = "4."},
    {.key = "eight",
     .type = CONFIG_INTEGER,
     AT(eight),
     .fallback = "8",
     .max = INT64_MAX,
     .doc = "8."},
    {.key = "wait",
     .type = CONFIG_DURATION,
     AT(wait_us),
     .fallback = "\"1ms\"",
     .min = 1000,
     .max = 60000000,
     .doc = "D."},
    {.key = "bytes",
     .type = CONFIG_SIZE,
     AT(bytes),
     .fallback = "\"64KiB\"",
     .max = 1 << 30,
     .doc = "S."},
    {.key = "", .type = CONFIG_MERGE, AT(rate), .nested = &merged_table},
    {.key = "text",
     .type = CONFIG_TEXT,
     AT(text),
     .fallback = "\"t\\u00e4\"",
     .max = 8,
     .doc = "T."},
    {.key = "any", .type = CONFIG_ANY, AT(any), .absent = "none", .doc = "Any."},
    {.key = "secret", .type = CONFIG_SECRET, AT(secret), .absent = "none", .doc = "S."},
    {.key = "flags",
     .type = CONFIG_FLAGS,
     AT(flags),
     .fallback = "[\"red\",\"blue\"]",
     .words = words,
     .later = later,
     .doc = "F."},
    {.key = "texts",
     .type = CONFIG_TEXTS,
     .min = 0,
     .max = 3,
     .absent = "none",
     .take = take_joined,
     .doc = "T."},
    {.key = "amounts",
     .type = CONFIG_AMOUNTS,
     .max = 100,
     .words = fruit,
     .absent = "none",
     .take = take_amount,
     .pattern = "^x$",
     .doc = "A."},
    {.key = "inner", .type = CONFIG_OBJECT, AT(inner), .nested = &inner_table, .doc = "I."},
    {.key = "maybe",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     AT(maybe),
     .nested = &inner_table,
     .absent = "none",
     .doc = "M."},
    {.key = "list",
     .type = CONFIG_LIST,
     AT(list),
     .max = 4,
     .nested = &item_table,
     .absent = "none",
     .doc = "L."},
    {.key = "map",
     .type = CONFIG_MAP,
     AT(map),
     .max = 4,
     .nested = &item_table,
     .absent = "none",
     .doc = "M."},
    {.key = "soon", .type = CONFIG_LATER},
};
static const struct config_table table = {
    .title = "Outer", .noun = "outer", CONFIG_ROWS_OF(rows), .size = sizeof(struct outer)};

struct loaded {
    struct bench bench;
    struct arena arena;
    struct config_load load;
    struct outer outer;
};

static void open_loaded(struct loaded *loaded, const char *text)
{
    memset(loaded, 0, sizeof(*loaded));
    bench_open(&loaded->bench, text);
    arena_init(&loaded->arena, NULL, 0, 1 << 20);
    config_load_init(&loaded->load, &loaded->bench.doc, &loaded->arena, NULL, NULL);
    assert_non_null(loaded->bench.doc.root);
    config_load_table(&loaded->load, &table, loaded->bench.doc.root, &loaded->outer);
}

static void close_loaded(struct loaded *loaded)
{
    arena_fini(&loaded->arena);
    bench_close(&loaded->bench);
}

static void test_defaults(void **state)
{
    (void)state;
    struct loaded loaded;
    open_loaded(&loaded, "{}");
    const struct outer *outer = &loaded.outer;
    assert_int_equal(loaded.bench.report.errors, 0);
    assert_false(outer->flag);
    assert_int_equal(outer->one, 1);
    assert_int_equal(outer->two, 2);
    assert_int_equal(outer->four, 4);
    assert_int_equal(outer->eight, 8);
    assert_int_equal(outer->wait_us, 1000);
    assert_int_equal(outer->bytes, 65536);
    assert_int_equal(outer->rate, 1024);
    assert_string_equal(outer->text.ptr, "t\xc3\xa4");
    assert_int_equal(outer->flags, 5);
    assert_int_equal(outer->inner.wait_us, 3000000);
    assert_true(outer->inner.is_on);
    assert_false(outer->maybe.is_on);
    assert_null(outer->any.ptr);
    assert_int_equal(outer->list.count, 0);
    close_loaded(&loaded);
}

static void test_values(void **state)
{
    (void)state;
    struct loaded loaded;
    open_loaded(&loaded,
                "{ 'flag': true, 'one': 255, 'two': 65535, 'four': 4294967295,"
                "  'eight': 9223372036854775807, 'wait': '1m', 'bytes': '1GiB', 'rate': 'off',"
                "  'text': 'a\\u0062\\n', 'any': [ 1.50, { 'x y' : ' \\\" ' } ], 'flags': [],"
                "  'texts': ['x', 'y'], 'amounts': { 'apples': 3, 'pears': 4 }, 'secret': 'k',"
                "  'inner': { 'on': false }, 'maybe': {},"
                "  'list': ['bare', { 'name': 'n', 'port': 65535 }, {}], 'map': { 'k.1': { 'port': "
                "1 } } }");
    const struct outer *outer = &loaded.outer;
    const struct item *list = outer->list.items, *map = outer->map.items;
    assert_int_equal(loaded.bench.report.errors, 0);
    assert_true(outer->flag);
    assert_int_equal(outer->one, 255);
    assert_int_equal(outer->two, 65535);
    assert_true(outer->four == UINT32_MAX);
    assert_true(outer->eight == INT64_MAX);
    assert_int_equal(outer->wait_us, 60000000);
    assert_int_equal(outer->bytes, 1 << 30);
    assert_int_equal(outer->rate, 0);
    assert_string_equal(outer->text.ptr, "ab\n");
    assert_string_equal(outer->any.ptr, "[1.50,{\"x y\":\" \\\" \"}]");
    assert_int_equal(outer->flags, 0);
    assert_string_equal(outer->joined, "x0/2;y1/2;");
    assert_int_equal(outer->sum, 7);
    assert_string_equal(outer->secret.ptr, "k");
    assert_int_equal(loaded.bench.report.warnings, 1);
    assert_false(outer->inner.is_on);
    assert_int_equal(outer->inner.wait_us, 3000000);
    assert_true(outer->maybe.is_on);
    assert_int_equal(outer->list.count, 3);
    assert_string_equal(list[0].name.ptr, "bare");
    assert_int_equal(list[0].port, 80);
    assert_int_equal(list[1].port, 65535);
    assert_int_equal(list[2].name.len, 0);
    assert_int_equal(outer->map.count, 1);
    assert_string_equal(map[0].name.ptr, "k.1");
    assert_int_equal(map[0].port, 1);
    close_loaded(&loaded);
}

static void test_faults(void **state)
{
    static const struct {
        const char *text, *message;
    } faults[] = {
        {"{ 'flag': 1 }", "/flag: expected true or false, found the number 1"},
        {"{ 'one': 256 }", "/one: out of range: at least 0 and at most 255, found the number 256"},
        {"{ 'eight': 9223372036854775808 }", "/eight: out of range: at least 0 and at most"},
        {"{ 'wait': '999us' }",
         "/wait: out of range: at least 1ms and at most 1m, found the string"},
        {"{ 'bytes': '2GiB' }", "/bytes: out of range: at least 0B and at most 1GiB"},
        {"{ 'rate': '0/s' }", "/rate: out of range: at least 1B/s and at most 1MiB/s"},
        {"{ 'rate': 'of' }",
         "/rate: expected a rate such as '1KiB/s' or 'off', found the string 'of'"},
        {"{ 'text': '123456789' }", "/text: at most 8 bytes are allowed, found 9"},
        {"{ 'any': [1e999] }", "/any: a number in it is too large"},
        {"{ 'any': 99999999999999999999 }", "/any: a number in it is too large"},
        {"{ 'flags': ['gren'] }", "/flags/0: expected 'red', 'green' or 'blue', found the string "
                                  "'gren' (did you mean 'green'?)"},
        {"{ 'flags': ['mauve'] }", "/flags/0: 'mauve' is not supported by this version"},
        {"{ 'flags': ['red', 'red'] }", "/flags/1: listed twice"},
        {"{ 'texts': ['x', 'bad'] }", "/texts/1: 'bad': a bad text"},
        {"{ 'texts': ['x', ''] }", "/texts/1: must not be empty"},
        {"{ 'texts': ['1', '2', '3', '4'] }", "/texts: at most 3 allowed, found 4"},
        {"{ 'amounts': { 'aples': 1 } }",
         "/amounts/aples: unknown key 'aples' (did you mean 'apples'?)"},
        {"{ 'amounts': { 'apples': 101 } }",
         "/amounts/apples: out of range: at least 0 and at most 100"},
        {"{ 'secret': { 'file': 'x' } }",
         "/secret/file: the secret file 'x' cannot be read: files"},
        {"{ 'inner': [] }", "/inner: expected an object, found an array"},
        {"{ 'inner': { 'wiat': '1s' } }", "/inner/wiat: unknown key 'wiat' (did you mean 'wait'?)"},
        {"{ 'list': {} }", "/list: expected a list of objects, found an object"},
        {"{ 'list': [1] }", "/list/0: expected an object or a string, found the number 1"},
        {"{ 'list': ['1', '2', '3', '4', '5'] }", "/list: at most 4 are allowed, found 5"},
        {"{ 'map': { 'a b': {} } }", "/map/a b: a name has 1 to 64 letters"},
        {"{ 'map': { 'a': 5 } }", "/map/a: expected an object or a string, found the number 5"},
        {"{ 'soon': 1 }", "/soon: 'soon' is not supported by this version"},
        {"{ 'only_b': 'x' }", "/only_b: only with 'type': 'b' (here it is 'a')"},
        {"{ 'type': 'b' }", "/: 'only_b' is missing"},
        {"{ 'type': 'b', 'only_b': 'x', 'only_a': 'x' }", "/only_a: only with 'type': 'a'"},
        /* An unknown type is the one fault: nobody knows which keys belong to it. */
        {"{ 'type': 'c', 'only_b': 'x', 'only_a': 'x' }",
         "/type: expected 'a' or 'b', found the string"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct loaded loaded;
        char wanted[256] = "";
        open_loaded(&loaded, faults[i].text);
        for (size_t j = 0; faults[i].message[j] != '\0'; j++)
            wanted[j] = faults[i].message[j] == '\'' ? '"' : faults[i].message[j];
        char *text = bench_text(&loaded.bench);
        if (loaded.bench.report.errors != 1 || strstr(text, wanted) == NULL)
            fail_msg("%s: wanted %s, got %s", faults[i].text, wanted, text);
        free(text);
        close_loaded(&loaded);
    }
}

/* Without memory every load ends, and says so. */
static void test_no_memory(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < 4096; bytes += 16) {
        struct bench bench;
        struct arena arena;
        struct config_load load;
        struct outer outer = {0};
        char first[4096];
        bench_open(&bench,
                   "{ 'text': 'a\\u00e4', 'any': [1], 'secret': 'k', 'list': ['x', {}], 'texts': "
                   "['x'], 'map': { 'a': {} } }");
        arena_init(&arena, first, bytes, 0);
        config_load_init(&load, &bench.doc, &arena, NULL, NULL);
        config_load_table(&load, &table, bench.doc.root, &outer);
        assert_true(bench.report.is_out_of_memory || bench.report.errors == 0);
        arena_fini(&arena);
        bench_close(&bench);
    }
}

static void count_change(void *arg, const struct config_change *change)
{
    (void)change;
    ++*(unsigned *)arg;
}

static void test_writers(void **state)
{
    char why[CONFIG_RESTART_MAX];
    unsigned changes = 0;
    (void)state;
    struct loaded loaded;
    open_loaded(&loaded, "{ 'secret': 'hidden', 'list': ['bare'], 'amounts': { 'pears': 1 } }");
    struct config_version version = {.doc = &loaded.bench.doc, .secrets = loaded.load.secrets};
    char *dump = config_dump(&table, &version), *schema = config_schema(&table, "T");
    char *reference = config_reference(&table);
    assert_non_null(strstr(dump, "\"secret\": \"***\""));
    assert_null(strstr(dump, "hidden"));
    assert_null(strstr(dump, "only_b"));
    assert_null(strstr(dump, "maybe"));
    assert_non_null(strstr(dump, "\"port\": 80"));
    assert_true(config_compare(&table, &version, &version, count_change, &changes));
    assert_int_equal(changes, 0);
    assert_null(config_restart_fault(&table, &version, &version, why));
    assert_non_null(strstr(schema, "\"only_b\""));
    assert_null(strstr(schema, "soon"));
    assert_non_null(
        strstr(reference, "| `only_b` | a string | required | yes | With type \"b\". B. |"));
    assert_null(strstr(reference, "soon"));
    free(dump);
    free(schema);
    free(reference);
    close_loaded(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_values),
        cmocka_unit_test(test_faults),   cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
