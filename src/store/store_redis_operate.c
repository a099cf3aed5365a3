/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_operate.c - see store_redis_operate.h.  The script keeps the rules of store_redis_script.c.  It is sent
 * whole each time (EVAL): people are slow, and what is not kept by its hash can never be missing. */
#include "store/store_redis_operate.h"

#include <string.h>

#include "store/store_redis.h"
#include "store/store_redis_script.h"

#define CLOCK_BYTES  8
#define HEAD_BYTES   24
#define WINDOW_BYTES 20

/* A key ends with ":q:{", 22 characters and "}".  The news is sent with pcall: a user without the right to publish may reset;
 * then other proxies find out when they ask next. */
const char STORE_REDIS_OPERATE_LUA[] =
    "local verb, extra, seconds = struct.unpack('<I4I4I4', ARGV[1])\n"
    "local t = redis.call('TIME')\n"
    "local now, us = tonumber(t[1]), tonumber(t[2])\n"
    "local v = redis.pcall('GET', KEYS[1])\n"
    "if type(v) == 'table' then return v end\n"
    "if not v then return struct.pack('<I4I4', now, us) end\n"
    "local version, n\n"
    "if #v >= 24 then version, n = struct.unpack('<BB', v) end\n"
    "if version ~= 2 or n > 16 or #v ~= 24 + 20 * n then\n"
    "  return redis.error_reply('" STORE_REDIS_LAYOUT_ERROR " ' .. KEYS[1])\n"
    "end\n"
    "if verb ~= 0 then\n"
    "  local done\n"
    "  if verb == 1 then\n"
    "    local w = {string.sub(v, 1, 12), struct.pack('<I4', struct.unpack('<I4', v, 13) + 1),\n"
    "      string.sub(v, 17, 24)}\n"
    "    for i = 1, n do\n"
    "      local code, start = struct.unpack('<I4I4', v, 20 * i + 5)\n"
    "      if code >= 67108864 then start = 1 end\n" /* a bucket: full */
    "      w[i + 3] = struct.pack('<I4I4I4I4I4', code, start, 0, 0, 0)\n"
    "    end\n"
    "    done = redis.pcall('SET', KEYS[1], table.concat(w), 'KEEPTTL')\n"
    "  else\n"
    "    local last = now + seconds\n"
    "    for i = 1, n do\n"
    "      local code, start = struct.unpack('<I4I4', v, 20 * i + 5)\n"
    "      local stays = code\n"
    "      if code >= 67108864 then stays = 1\n"
    "      elseif code >= 33554432 then stays = 3 * (code - 33554432) end\n"
    "      if start + stays > last then last = start + stays end\n"
    "    end\n"
    "    local w = string.sub(v, 1, 16) .. struct.pack('<I4I4', extra, now + seconds)\n"
    "      .. string.sub(v, 25)\n"
    "    done = redis.pcall('SET', KEYS[1], w, 'EXAT', last + 60)\n"
    "  end\n"
    "  if done.err then return done end\n"
    "  local gen = struct.unpack('<I4', v, 13) + (verb == 1 and 1 or 0)\n"
    "  redis.pcall('PUBLISH', string.sub(KEYS[1], 1, -28) .. ':recall',\n"
    "    string.sub(KEYS[1], -23, -2) .. '!" STORE_REDIS_SAYS_OPERATOR " ' .. gen)\n"
    "end\n"
    "return struct.pack('<I4I4', now, us) .. v\n";

static char *put_u32(char *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (char)(value >> (8 * i));
    return out + 4;
}

static uint32_t get_u32(const char *at)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++)
        value |= (uint32_t)(unsigned char)at[i] << (8 * i);
    return value;
}

void store_redis_order_write(char out[STORE_REDIS_ORDER_BYTES], const struct store_order *order)
{
    out = put_u32(out, order->verb);
    out = put_u32(out, order->extra);
    put_u32(out, order->for_s);
}

bool store_redis_order_read(struct store_subject *subject, bool *is_found, struct span answer)
{
    *subject = (struct store_subject){0};
    *is_found = answer.len > CLOCK_BYTES;
    if (answer.len < CLOCK_BYTES)
        return false;
    subject->now_us = (uint64_t)get_u32(answer.ptr) * 1000000 + get_u32(answer.ptr + 4);
    if (!*is_found)
        return true;
    const char *value = answer.ptr + CLOCK_BYTES;
    size_t len = answer.len - CLOCK_BYTES;
    unsigned count = len < HEAD_BYTES ? 0 : (unsigned char)value[1];
    if (len != HEAD_BYTES + (size_t)WINDOW_BYTES * count || count > STORE_SUBJECT_WINDOWS_MAX)
        return false;
    subject->generation = get_u32(value + 12);
    subject->extra = get_u32(value + 16);
    subject->expires_s = get_u32(value + 20);
    subject->window_count = count;
    for (unsigned i = 0; i < count; i++) {
        const char *window = value + HEAD_BYTES + (size_t)WINDOW_BYTES * i;
        uint64_t charged = (uint64_t)get_u32(window + 8) + get_u32(window + 12);
        uint32_t returned = get_u32(window + 16);
        uint64_t used = charged > returned ? charged - returned : 0;
        subject->windows[i].code = get_u32(window);
        subject->windows[i].start_s = get_u32(window + 4);
        subject->windows[i].used = used > UINT32_MAX ? UINT32_MAX : (uint32_t)used;
    }
    return true;
}
