/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_map.c - see store_redis_map.h.  CLUSTER SLOTS answers with {begin, end, {host, port, id, ...}, replicas...}
 * for each range; CLUSTER SHARDS of 7.2 shows a dead master's slots as nobody's. */
#include "store/store_redis_map.h"

#include <string.h>

#include "base/base_fmt.h"
#include "base/base_parse.h"

/* CRC16-XMODEM, a nibble at a time: polynomial 0x1021, "123456789" gives 0x31c3. */
static uint16_t crc16(struct span bytes)
{
    static const uint16_t table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                       0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                       0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    unsigned crc = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned byte = (unsigned char)bytes.ptr[i];
        crc = (crc << 4 & 0xffff) ^ table[crc >> 12 ^ byte >> 4];
        crc = (crc << 4 & 0xffff) ^ table[crc >> 12 ^ (byte & 15)];
    }
    return (uint16_t)crc;
}

uint16_t store_redis_slot_of(struct span key)
{
    size_t open = span_find(key, '{');
    if (open < key.len) {
        struct span rest = {key.ptr + open + 1, key.len - open - 1};
        size_t len = span_find(rest, '}');
        if (len != 0 && len < rest.len)
            key = (struct span){rest.ptr, len};
    }
    return crc16(key) % STORE_REDIS_SLOT_COUNT;
}

struct span store_redis_map_host(struct span address)
{
    size_t len = address.len;
    while (len != 0 && address.ptr[len - 1] != ':')
        len--;
    if (len != 0)
        address.len = len - 1;
    if (address.len >= 2 && address.ptr[0] == '[' && address.ptr[address.len - 1] == ']')
        address = (struct span){address.ptr + 1, address.len - 2};
    return address;
}

unsigned store_redis_map_join(char out[NET_ADDRESS_TEXT_MAX], struct span host, uint64_t port)
{
    bool has_colon = span_find(host, ':') < host.len;
    if (host.len == 0 || host.len > NET_ADDRESS_TEXT_MAX - FMT_U64_MAX - 3 || port == 0 ||
        port > UINT16_MAX)
        return 0;
    for (size_t i = 0; i < host.len; i++) {
        if (host.ptr[i] <= ' ' || host.ptr[i] > '~')
            return 0;
    }
    char *at = out;
    if (has_colon)
        *at++ = '[';
    at = fmt_span(at, host);
    if (has_colon)
        *at++ = ']';
    *at++ = ':';
    at = fmt_u64(at, port);
    return (unsigned)(at - out);
}

void store_redis_map_begin(struct store_redis_map *map, struct span asked)
{
    memset(map->nodes, STORE_REDIS_NO_NODE, sizeof(map->nodes));
    map->covered = map->node_count = 0;
    map->is_bad = map->has_host = false;
    map->asked = store_redis_map_host(asked);
    map->begin = map->end = -1;
}

static uint8_t node_of(struct store_redis_map *map, const char *text, unsigned len)
{
    for (unsigned i = 0; i < map->node_count; i++) {
        if (map->list[i].len == len && memcmp(map->list[i].text, text, len) == 0)
            return (uint8_t)i;
    }
    if (map->node_count == STORE_REDIS_MAP_NODES_MAX)
        return STORE_REDIS_NO_NODE;
    struct store_redis_map_node *node = &map->list[map->node_count];
    memcpy(node->text, text, len);
    node->len = len;
    return (uint8_t)map->node_count++;
}

static void take_range(struct store_redis_map *map, int64_t port)
{
    char text[NET_ADDRESS_TEXT_MAX];
    struct span host = {map->host, map->host_len};
    if (map->begin < 0 || map->end < map->begin || map->end >= STORE_REDIS_SLOT_COUNT) {
        map->is_bad = true;
        return;
    }
    if (!map->has_host || span_eq(host, SPAN("?")))
        return; /* nobody knows where that node is */
    unsigned len = store_redis_map_join(text, host, port < 0 ? 0 : (uint64_t)port);
    uint8_t node = len == 0 ? STORE_REDIS_NO_NODE : node_of(map, text, len);
    if (node == STORE_REDIS_NO_NODE)
        return;
    for (int64_t slot = map->begin; slot <= map->end; slot++) {
        if (map->nodes[slot] != STORE_REDIS_NO_NODE) {
            map->is_bad =
                true; /* no server says a slot twice; so all ranges together cost one pass */
            return;
        }
        map->nodes[slot] = node;
        map->covered++;
    }
}

static void take_host(struct store_redis_map *map, const struct store_redis_piece *piece)
{
    bool is_text = piece->type == STORE_REDIS_STRING;
    struct span host = is_text ? piece->text : SPAN_NONE;
    if (host.len == 0)
        host = map->asked;
    map->has_host = (is_text || piece->type == STORE_REDIS_NIL) && host.len <= sizeof(map->host);
    if (!map->has_host)
        return;
    map->host_len = (unsigned)host.len;
    if (host.len != 0)
        memcpy(map->host, host.ptr, host.len);
}

void store_redis_map_take(void *arg, const struct store_redis_piece *piece)
{
    struct store_redis_map *map = arg;
    bool is_integer = piece->type == STORE_REDIS_INTEGER;
    if (map->is_bad)
        return;
    if (piece->depth == 1) {
        map->is_bad |= piece->type != STORE_REDIS_ARRAY;
        map->begin = map->end = -1;
        map->has_host = false;
    } else if (piece->depth == 2 && piece->path[1] < 2) {
        map->is_bad |= !is_integer;
        *(piece->path[1] == 0 ? &map->begin : &map->end) = is_integer ? piece->number : -1;
    } else if (piece->depth == 3 && piece->path[1] == 2 && piece->path[2] == 0) {
        take_host(map, piece);
    } else if (piece->depth == 3 && piece->path[1] == 2 && piece->path[2] == 1) {
        take_range(map, is_integer ? piece->number : -1);
    }
}

unsigned store_redis_map_target(char out[NET_ADDRESS_TEXT_MAX], struct span error,
                                struct span asked, uint16_t *slot)
{
    uint64_t number, port;
    size_t first = span_find(error, ' ');
    if (first == error.len)
        return 0;
    struct span rest = {error.ptr + first + 1, error.len - first - 1};
    size_t second = span_find(rest, ' ');
    if (second == rest.len || !parse_u64((struct span){rest.ptr, second}, &number) ||
        number >= STORE_REDIS_SLOT_COUNT)
        return 0;
    rest = (struct span){rest.ptr + second + 1, rest.len - second - 1};
    rest.len = span_find(rest, ' ');
    size_t colon = rest.len;
    while (colon != 0 && rest.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0 || !parse_u64((struct span){rest.ptr + colon, rest.len - colon}, &port))
        return 0;
    struct span host = {rest.ptr, colon - 1};
    if (host.len >= 2 && host.ptr[0] == '[')
        host = store_redis_map_host(rest);
    *slot = (uint16_t)number;
    return store_redis_map_join(out, host.len == 0 ? store_redis_map_host(asked) : host, port);
}
