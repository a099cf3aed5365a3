/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_slots.c - see store_redis_slots.h. */
#include "store/store_redis_slots.h"

#include <string.h>

#define HEAD_BYTES   4
#define HOLDER_BYTES 20

/* GET and SET alone, as the script of charges: what may be counted may be held.  A deadline further ahead than any that
 * is written (the server's clock was set back) is taken for one of now. */
const char STORE_REDIS_SLOTS_LUA[] =
    "local get, put, life = struct.unpack, struct.pack, " STORE_REDIS_SLOTS_LIFE_S "\n"
    "local id = string.sub(ARGV[1], 1, 8)\n"
    "local seq, held, want, limit = get('<I4I4I4I4', ARGV[1], 9)\n"
    "local now = tonumber(redis.call('TIME')[1])\n"
    "local v = redis.pcall('GET', KEYS[1])\n"
    "if type(v) == 'table' then return v end\n"
    "if v and (#v < 4 or #v % 20 ~= 4 or string.byte(v) ~= 1) then\n"
    "  return redis.error_reply('SLUICELAYOUT the value of ' .. KEYS[1] .. ' is of another "
    "layout')\n"
    "end\n"
    "local others, out = 0, {'\\1\\0\\0\\0'}\n"
    "for at = 5, v and #v or 0, 20 do\n"
    "  local s, n, last = get('<I4I4I4', v, at + 8)\n"
    "  if string.sub(v, at, at + 7) == id then\n"
    "    if (seq - s) % 4294967296 >= 2147483648 then return {0, 0} end\n"
    "  elseif last > now then\n"
    "    others = others + n\n"
    "    out[#out + 1] = string.sub(v, at, at + 15) .. put('<I4', math.min(last, now + life))\n"
    "  end\n"
    "end\n"
    "local granted = math.max(0, math.min(want, limit - others - held))\n"
    "held = held + granted\n"
    "if held > 0 then out[#out + 1] = id .. put('<I4I4I4', seq, held, now + life) end\n"
    "if #out > 1 or v then\n"
    "  local unit, ttl = 'EX', " STORE_REDIS_SLOTS_TTL_S "\n"
    "  if #out == 1 then unit, ttl = 'PX', 1 end\n"
    "  local done = redis.pcall('SET', KEYS[1], table.concat(out), unit, ttl)\n"
    "  if done.err then return done end\n"
    "end\n"
    "return {granted, others + held}\n";

static char *put_u32(char *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        *out++ = (char)(value >> 8 * i);
    return out;
}

static uint32_t get_u32(const char *at)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++)
        value |= (uint32_t)(unsigned char)at[i] << 8 * i;
    return value;
}

bool store_redis_slots_count(struct span value, uint64_t now_s, uint32_t *used)
{
    uint64_t sum = 0;
    if (value.len < HEAD_BYTES || value.len % HOLDER_BYTES != HEAD_BYTES || value.ptr[0] != 1)
        return false;
    for (size_t at = HEAD_BYTES; at < value.len; at += HOLDER_BYTES) {
        const char *holder = value.ptr + at;
        if (get_u32(holder + 16) > now_s)
            sum += get_u32(holder + 12);
    }
    *used = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
    return true;
}

char *store_redis_slots_write(char *out, const struct store_redis_slots_claim *claim)
{
    memcpy(out, claim->holder, sizeof(claim->holder));
    out = put_u32(out + sizeof(claim->holder), claim->sequence);
    out = put_u32(out, claim->held);
    out = put_u32(out, claim->want);
    return put_u32(out, claim->limit);
}

bool store_redis_slots_read(struct store_redis_slots_answer *answer, const int64_t *numbers,
                            unsigned count, const struct store_redis_slots_claim *claim)
{
    if (count != 2 || numbers[0] < 0 || numbers[0] > claim->want || numbers[1] < numbers[0] ||
        numbers[1] > UINT32_MAX)
        return false;
    answer->granted = (uint32_t)numbers[0];
    answer->used = (uint32_t)numbers[1];
    return true;
}
