/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_script.c - see store_redis_script.h.
 *
 * Rules that the scripts keep: one TIME (two in one script differ); every error is returned before the
 * first write; integers only in answers (Lua's floats are cut, a nil ends an array); a value's length is
 * checked before it is unpacked; a TTL with every write; few tables, and made in their full size: the
 * server collects garbage behind every 50th script, and whoever asks then waits for it.  One looping script serves all shapes:
 * unrolled for 3 windows it was 6 % faster (9.95 against 10.6 us of server time, GET + SET alone 5.2), for
 * one script per shape. */
#include "store/store_redis_script.h"

#include <string.h>

_Static_assert(QUOTA_SKEW_S == 60, "the 60 in the script");
_Static_assert(QUOTA_CODE_BITS == 25 && QUOTA_KIND_BEFORE == 1 && QUOTA_KIND_BUCKET == 2,
               "33554432 and 67108864 in the script");
_Static_assert(QUOTA_UNITS_PER_S == 4096000000, "the units of a bucket in the script");

/* w is the value: {version, n, epoch, lineage, generation, extra, expires, then five per window}. */
const char STORE_REDIS_CHARGE_LUA[] =
    "local t = redis.call('TIME')\n"
    "local now, us = tonumber(t[1]), tonumber(t[2])\n"
    "local get, call, keys, top = struct.unpack, redis.pcall, KEYS, 2147483647\n"
    "local down, up, min, max = math.floor, math.ceil, math.min, math.max\n"
    "local ok, r, reply = 1, 3, {1, now, us, 0, 0, 0, 0, 0, 0, 0}\n"
    "for k = 1, #keys do\n"
    "  local a, v = ARGV[k], call('GET', keys[k])\n"
    "  if type(v) == 'table' then return v end\n" /* an error, as it is */
    "  local epoch, lineage, gen, cost, least, want, div, n, flags = get('<I4I4I4I4I4I4I2BB', a)\n"
    "  local more, room, dirty = flags % 2, top, false\n" /* room: for how many there is, below 0 when it is overdrawn */
    "  local w = {2, n, epoch, 0, gen, 0, 0, 0, 0, 0, 0, 0}\n"
    "  local old, was, extra, found = 0, 0, 0, 0\n"
    "  if v then\n"
    "    local version\n"
    "    if #v >= 24 then\n"
    "      version, old, was, w[4], w[5], w[6], w[7] = get('<BBxxI4I4I4I4I4', v)\n"
    "    end\n"
    "    if version ~= 2 or old > 16 or #v ~= 24 + 20 * old then\n"
    "      return redis.error_reply('" STORE_REDIS_LAYOUT_ERROR " ' .. keys[k])\n"
    "    end\n"
    "    if w[7] > now then extra = w[6] end\n"
    "  end\n"
    "  local heir = v and was ~= epoch\n" /* another server wrote this: its since is our base */
    "  if heir or not v then w[4] = (now * 1000000 + us) % 4294967295 + 1 end\n"
    "  local reset, stale = gen > w[5], gen < w[5]\n" /* a reset that the server lost; one we missed */
    "  if reset then w[5] = gen end\n"
    "  if heir or reset then dirty = true end\n"
    "  local lost = lineage ~= w[4]\n" /* what we saw may be missing here */
    "  local tail = 29 + (more == 1 and 32 or 16) * n\n"
    "  local cs, cu, cknown, cseen, ctold, rs, rbase, rsince, rret = 0, 0, 0, 0, 0, 0, 0, 0, 0\n"
    "  local gone = false\n" /* a count that is a bucket by now, and the window before that */
    "  for i = 1, n do\n"
    "    local code, limit, known, seen = get('<I4I4I4I4', a, 16 * i + 13)\n"
    "    local period, kind = code, 0\n"
    "    if code >= 33554432 then period, kind = code % 33554432, down(code / 33554432) end\n"
    /* seen, told: charged and returned, as the claim has seen; ret: returned, as the value says */
    "    local floor, debt, back, told = 0, 0, 0, 0\n"
    "    if more == 1 then floor, debt, back, told = get('<I4I4I4I4', a, 16 * n + 16 * i + 13) "
    "end\n"
    "    gone = gone and kind == 1\n"
    "    local p, s, base, since, ret\n"
    "    if i <= old then p, s, base, since, ret = get('<I4I4I4I4I4', v, 20 * i + 5) end\n"
    "    if p == code then\n" /* the usual case: written by a proxy that asked the same */
    "      found = found + 1\n"
    "    else\n"
    "      s, base, since, ret = 0, 0, 0, 0\n"
    "      for j = 1, old do\n"
    "        local q, x, y, z, r = get('<I4I4I4I4I4', v, 20 * j + 5)\n"
    "        if q == code then\n"
    "          s, base, since, ret, found = x, y, z, r, found + 1\n"
    "          break\n"
    "        elseif q == period + 67108864 and kind == 0 then\n" /* it was a bucket: as a count */
    "          local most = limit\n"
    "          if limit == top and i < n then most = get('<I4', a, 16 * i + 33) end\n"
    "          local ahead = (x - now) * 4096000000 + y - us * 4096\n"
    /* Who only settles does not know its size: it stays, and what is told of the count is not kept. */
    "          gone = most > top and ahead > 0 and not reset\n"
    "          if ahead > 0 and most > 0 and not gone then\n"
    "            local all = period * 4096000000\n"
    "            local t = (all - all % most) / most + (all % most > 0 and 1 or 0)\n"
    "            s, base = now - now % period, min(up(ahead / t), most)\n"
    "          end\n"
    "        end\n"
    "      end\n"
    "    end\n"
    "    local o = 5 * i + 3\n"
    "    if kind == 0 then\n"
    "      local start = now - now % period\n"
    "      if reset then base, since, ret = 0, 0, 0 elseif heir then base, since = base + since, 0 "
    "end\n"
    "      rs, rbase, rsince, rret, cknown, cseen, ctold = s, base, since, ret, known, seen, "
    "told\n"
    /* Written even when it refuses: else a full window far ahead would refuse until the clock is there. */
    "      if s > now + 60 then s, dirty = start, true\n"
    "      elseif s < start then s, base, since, ret = start, 0, 0, 0 end\n"
    /* We know a later window than the server: it lost the value and its clock is behind, or it is our
     * own clock that is ahead; then what we say is about the server's window. */
    "      if known > s then\n"
    "        if seen > 0 and not stale and known <= now + 60 then\n"
    /* In one lineage its clock was set back: what was spent under it since stays spent. */
    "          local all = lost and 0 or base + since\n"
    "          if lost then ret = 0 end\n"
    "          if seen > all then ret = max(ret, min(told, ret + seen - all)) end\n"
    "          s, base, since = known, max(seen, all), 0\n"
    "        else known = s end\n"
    "      end\n"
    "      if known ~= s then floor, debt, back, seen = 0, 0, 0, 0 end\n"
    "    elseif kind == 1 then\n" /* the window before the count that stands in front of it */
    "      local b = cs - period\n"
    "      if rs == b then base, since, ret = rbase, rsince, rret\n"
    "      elseif rs >= cs and s == rs - period and not reset then\n"
    "        if heir then base, since = base + since, 0 end\n"
    "      else base, since, ret = 0, 0, 0 end\n"
    "      s = b\n"
    "      if known ~= b then floor, debt, back, seen = 0, 0, 0, 0 end\n"
    "      if cknown == b and cseen > seen then seen, told = cseen, ctold end\n"
    "    end\n"
    "    if kind < 2 then\n"
    "      if stale then floor, back, seen = 0, 0, 0 end\n"
    "      if lost then\n"
    "        back = min(back, max(seen - told, floor))\n"
    /* Of the returns that are told no more is taken than the charge rises, so what is used never falls by it. */
    "        if seen > base then\n"
    "          if told > ret then ret = min(told, ret + seen - base) end\n"
    "          base, dirty = seen, true\n"
    "        end\n"
    "      end\n"
    "      if more == 1 and floor + debt + back > 0 then\n"
    "        base = base + max(floor - max(base - ret, 0), 0)\n"
    "        ret = min(ret + back, base + since)\n"
    "        since, dirty = since + debt, true\n"
    "      end\n"
    "      if base > top or since > top then\n" /* no number wraps, and what is used stays */
    "        local over = max(base - top, 0) + max(since - top, 0)\n"
    "        base, since, ret = min(base, top), min(since, top), max(ret - over, "
    "0)\n"
    "      end\n"
    "      if gone then code, base, since, ret = 0, 0, 0, 0 end\n" /* answered, and not written */
    "      w[o], w[o + 1], w[o + 2], w[o + 3], w[o + 4] = code, s, base, since, ret\n"
    "    end\n"
    "    if kind == 0 then\n"
    "      cs, cu = s, base + since - ret\n"
    "      room = min(room, min(limit + extra, top) - cu)\n"
    "    elseif kind == 1 then\n"
    "      local used = min(base + since - ret, top)\n"
    "      local all = period * 1000\n"
    "      local left = (cs + period) * 1000 - now * 1000 - down(us / 1000)\n"
    "      left = max(0, min(left, all))\n"
    /* ceil(used * left / all), in steps that a double holds exactly */
    "      local high = down(used / 65536) * left\n"
    "      local low = high % all * 65536 + used % 65536 * left\n"
    "      local part = down(high / all) * 65536 + up(low / all)\n"
    "      room = min(room, min(limit + extra, top) - cu - part)\n"
    "      if limit + extra == 0 then room = -1 end\n"
    "    else\n" /* a bucket: ahead is how far its instant lies in the future, in units */
    "      local t, whole, mark = get('<ddI4', a, tail)\n"
    "      local part, ahead = us * 4096, 0\n"
    "      if s > 0 then ahead = (s - now) * 4096000000 + base - part\n"
    "      elseif old > 0 and t > 0 then\n" /* it was a count, perhaps a sliding one */
    "        local x, y, bx, by = 0, 0, -1, 0\n"
    "        for j = 1, old do\n"
    "          local q, c, d, e, f = get('<I4I4I4I4I4', v, 20 * j + 5)\n"
    "          if q == period then x, y = c, d + e - f\n"
    "          elseif q == period + 33554432 then bx, by = c, d + e - f end\n"
    "        end\n"
    "        local start, used = now - now % period, 0\n"
    "        if bx + period ~= x then by = 0; if x < start then y = 0 end end\n"
    "        if x > now + 60 then x = start end\n"
    "        if x < start then by = x + period == start and y or 0; x, y = start, 0 end\n"
    "        local all = period * 1000\n"
    "        local left = (x + period) * 1000 - now * 1000 - down(us / 1000)\n"
    "        left = max(0, min(left, all))\n"
    "        local high = down(by / 65536) * left\n"
    "        local low = high % all * 65536 + by % 65536 * left\n"
    "        used = y + down(high / all) * 65536 + up(low / all)\n"
    "        ahead = min(used * t, whole)\n"
    /* Written even when it refuses: else it would be drained anew with each request, and never fill. */
    "        if ahead > 0 then dirty = true end\n"
    "      end\n"
    "      if reset or ahead < 0 then ahead = 0 end\n"
    "      whole, tail = whole + extra * t, tail + 20\n"
    "      if ahead > 2 * whole + 245760000000 then ahead, dirty = whole, true end\n"
    "      if lost and known > 0 and not stale then\n"
    "        local was = min((known - now) * 4096000000 + seen - part, whole)\n"
    "        if was > ahead then ahead, dirty = was, true end\n"
    "      end\n"
    "      if more == 1 then\n"
    "        ahead = max(ahead, min(ahead + debt * t, 2 * whole))\n"
    "        if back > 0 and not lost and not stale then\n"
    "          local most = max(0, (mark - now) * 4096000000 - part)\n"
    "          ahead = max(0, ahead - min(back * t, most))\n"
    "        end\n"
    "        dirty = true\n"
    "      end\n"
    "      if t == 0 or ahead + cost * t > whole then room = -1 end\n"
    "      w[o], w[o + 1], w[o + 2], w[o + 3], w[o + 4] = code, ahead, cost * t, 0, 0\n"
    "    end\n"
    "  end\n"
    /* Windows that nobody asked for stay while they last. */
    "  if found < old then\n"
    "    for j = 1, old do\n"
    "      local q, s, base, since, ret = get('<I4I4I4I4I4', v, 20 * j + 5)\n"
    "      local last = s + q\n"
    "      if q >= 67108864 then last = s + 1\n"
    "      elseif q >= 33554432 then last = s + 2 * (q - 33554432) end\n"
    "      local kept = last > now and w[2] < 16\n"
    "      for i = 1, n do\n"
    "        local c = w[5 * i + 3]\n"
    "        if c == q or c % 33554432 == q % 33554432 and (c >= 67108864) ~= (q >= 67108864) then "
    "kept = false end\n"
    /* A window before stays beside its count: it goes back with it, and no further. */
    "        if q == c + 33554432 then\n"
    "          local x, y = 0, w[5 * i + 4]\n"
    "          for m = 1, old do\n"
    "            local p, z = get('<I4I4', v, 20 * m + 5)\n"
    "            if p == c then x = z end\n"
    "          end\n"
    "          if s + c == x and y <= x then s = y - c else kept = false end\n"
    "        end\n"
    "      end\n"
    "      if kept then\n"
    "        if reset then base, since, ret = 0, 0, 0\n"
    "        elseif heir and q < 67108864 then\n"
    "          local over = max(base + since - top, 0)\n"
    "          base, since, ret = base + since - over, 0, max(ret - over, 0)\n"
    "        end\n"
    "        w[2] = w[2] + 1\n"
    "        local o = 5 * w[2] + 3\n"
    "        w[o], w[o + 1], w[o + 2], w[o + 3], w[o + 4] = q, s, base, since, ret\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "  local grant = -1\n"
    "  if room >= cost then\n"
    "    grant = div > 0 and min(want, (room - room % div) / div) or 0\n"
    "    grant = min(room, max(grant, least))\n"
    "  end\n"
    "  if grant < 0 and flags < 2 then ok = 0 end\n"
    "  reply[r + 1], reply[r + 2], reply[r + 3], reply[r + 4] = w[4], w[5], extra, grant + 1\n"
    /* For the second pass, where the first window will stand (each claim has one). */
    "  reply[r + 5], reply[r + 6] = w, dirty\n"
    "  r = r + 4 + 3 * n\n"
    "end\n"
    "reply[1], r = ok, 3\n"
    "for k = 1, #keys do\n"
    "  local n, flags = get('BB', ARGV[k], 27)\n"
    "  local grant, w, dirty = reply[r + 4] - 1, reply[r + 5], reply[r + 6]\n"
    "  local last, asked, apart = now, 5 * n + 3, flags >= 2\n"
    "  if ok == 0 and not apart then grant, reply[r + 4] = -1, 0 end\n"
    "  r = r + 4\n"
    "  for o = 8, 5 * w[2] + 3, 5 do\n"
    "    local code, stays = w[o], w[o]\n"
    "    if code >= 67108864 then\n"
    "      stays = 1\n"
    "      if o <= asked then\n" /* its instant again */
    "        local ahead = w[o + 1] + (grant >= 0 and w[o + 2] or 0)\n"
    "        local at = us * 4096 + ahead\n"
    "        w[o + 1], w[o + 2] = now + down(at / 4096000000), at % 4096000000\n"
    /* A full one has none: a clock that goes back must not find it ahead. */
    "        if ahead == 0 then w[o + 1], w[o + 2] = 1, 0 end\n"
    "      end\n"
    "    elseif code >= 33554432 then stays = 3 * (code - 33554432)\n"
    "    elseif o <= asked and grant > 0 then w[o + 3] = w[o + 3] + grant end\n"
    "    if o <= asked then\n"
    "      reply[r + 1], reply[r + 2] = w[o + 1], w[o + 2] + w[o + 3] - w[o + 4]\n"
    "      reply[r + 3], r = w[o + 4], r + 3\n"
    "    end\n"
    "    if w[o + 1] + stays > last then last = w[o + 1] + stays end\n"
    "  end\n"
    "  if grant >= 0 or dirty then\n"
    "    for o = apart and asked or 0, 8, -5 do\n"
    "      if w[o] == 0 then\n"
    "        w[2] = w[2] - 1\n"
    "        for _ = 1, 5 do table.remove(w, o) end\n"
    "      end\n"
    "    end\n"
    "    local form = '<BBxxI4I4I4I4I4I4I4I4I4I4'\n"
    "    if w[2] ~= 1 then form = '<BBxxI4I4I4I4I4' .. string.rep('I4I4I4I4I4', w[2]) end\n"
    "    local value = struct.pack(form, unpack(w, 1, 5 * w[2] + 7))\n"
    "    local done = call('SET', keys[k], value, 'EXAT', max(last, w[7]) + 60)\n"
    "    if done.err then return done end\n" /* the first write is where a server that must not, says so */
    "  end\n"
    "end\n"
    "return reply\n";

/* Scores are milliseconds of the server's clock.  Members that lie ahead (its clock was set back) count
 * as little as old ones. */
const char STORE_REDIS_BEAT_LUA[] =
    "local t = redis.call('TIME')\n"
    "local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)\n"
    "if ARGV[2] ~= '' then\n"
    "  local secret = redis.pcall('GET', KEYS[2])\n"
    "  if type(secret) == 'table' then return secret end\n"
    "  if secret and secret ~= ARGV[2] then return {0, 0} end\n"
    "  local done = redis.pcall('SET', KEYS[2], ARGV[2], 'EX', " STORE_REDIS_SECRET_TTL_S ")\n"
    "  if done.err then return done end\n"
    "end\n"
    "local done = redis.pcall('ZADD', KEYS[1], now, ARGV[1])\n"
    "if type(done) == 'table' then return done end\n" /* an error */
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60000)\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 60000, '+inf')\n"
    "redis.call('PEXPIRE', KEYS[1], 120000)\n"
    "return {1, redis.call('ZCOUNT', KEYS[1], now - 6000, now + 6000)}\n";

#define FLAG_MORE  1
#define FLAG_APART 2

static bool has_more(const struct store_redis_claim *claim)
{
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct store_redis_window *window = &claim->windows[i];
        if ((window->floor | window->debt | window->back | window->returned) != 0)
            return true;
    }
    return false;
}

static bool is_bucket(const struct store_redis_window *window)
{
    return quota_code_kind(window->period_s) == QUOTA_KIND_BUCKET;
}

size_t store_redis_claim_bytes(const struct store_redis_claim *claim)
{
    size_t bytes =
        STORE_REDIS_CLAIM_HEAD + (size_t)(has_more(claim) ? 32 : 16) * claim->window_count;
    for (unsigned i = 0; i < claim->window_count; i++)
        bytes += is_bucket(&claim->windows[i]) ? 20 : 0;
    return bytes;
}

static char *put_u16(char *out, uint32_t value)
{
    out[0] = (char)value;
    out[1] = (char)(value >> 8);
    return out + 2;
}

static char *put_u32(char *out, uint32_t value)
{
    return put_u16(put_u16(out, value), value >> 16);
}

/* A double holds them exactly: quotas that fill for longer than QUOTA_BUCKET_FILL_S are refused. */
static char *put_double(char *out, uint64_t value)
{
    double number = (double)value;
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    return put_u32(put_u32(out, (uint32_t)bits), (uint32_t)(bits >> 32));
}

char *store_redis_claim_write(char *out, const struct store_redis_claim *claim, uint32_t epoch)
{
    bool more = has_more(claim);
    uint32_t flags = (more ? FLAG_MORE : 0) | (claim->is_apart ? FLAG_APART : 0);
    out = put_u32(out, epoch);
    out = put_u32(out, claim->lineage);
    out = put_u32(out, claim->generation);
    out = put_u32(out, claim->cost);
    out = put_u32(out, claim->least > claim->cost ? claim->least : claim->cost);
    out = put_u32(out, claim->want);
    out = put_u16(out, claim->divisor < UINT16_MAX ? claim->divisor : UINT16_MAX);
    out = put_u16(out, claim->window_count | flags << 8);
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct store_redis_window *window = &claim->windows[i];
        out = put_u32(out, window->period_s);
        out = put_u32(out, window->limit);
        out = put_u32(out, window->start_s);
        out = put_u32(out, window->seen);
    }
    for (unsigned i = 0; more && i < claim->window_count; i++) {
        const struct store_redis_window *window = &claim->windows[i];
        out = put_u32(out, window->floor);
        out = put_u32(out, window->debt);
        out = put_u32(out, window->back);
        out = put_u32(out, window->returned);
    }
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct store_redis_window *window = &claim->windows[i];
        if (!is_bucket(window))
            continue;
        out = put_double(out, window->interval);
        out = put_double(out, window->whole);
        out = put_u32(out, window->mark_s);
    }
    return out;
}

static bool take_u32(const int64_t **next, uint32_t *value)
{
    int64_t number = *(*next)++;
    *value = (uint32_t)number;
    return number >= 0 && number <= UINT32_MAX;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* 0, or 1 + the grant. */
static bool take_grant(const int64_t **next, const struct store_redis_claim *claim,
                       bool is_all_granted, struct store_redis_result *result)
{
    bool is_good = take_u32(next, &result->granted);
    result->is_granted = result->granted != 0;
    if (!claim->is_apart && result->is_granted != is_all_granted)
        return false;
    if (!result->is_granted)
        return is_good;
    result->granted--;
    return is_good && result->granted >= claim->cost &&
           result->granted <= larger(claim->want, larger(claim->cost, claim->least));
}

bool store_redis_answer_read(struct store_redis_answer *answer, const int64_t *numbers,
                             unsigned count, const struct store_redis_claim *claims,
                             unsigned claim_count)
{
    uint32_t granted, second, microsecond;
    const int64_t *next = numbers;
    unsigned wanted = 3;
    for (unsigned k = 0; k < claim_count; k++)
        wanted += 4 + 3 * claims[k].window_count;
    if (count != wanted)
        return false;

    bool is_good = take_u32(&next, &granted);
    is_good &= take_u32(&next, &second);
    is_good &= take_u32(&next, &microsecond);
    is_good &= granted <= 1 && microsecond < 1000000;
    answer->granted = granted == 1;
    answer->now_us = (uint64_t)second * 1000000 + microsecond;
    for (unsigned k = 0; k < claim_count; k++) {
        struct store_redis_result *result = &answer->keys[k];
        is_good &= take_u32(&next, &result->lineage);
        is_good &= take_u32(&next, &result->generation);
        is_good &= take_u32(&next, &result->extra);
        is_good &= take_grant(&next, &claims[k], answer->granted, result);
        for (unsigned w = 0; w < claims[k].window_count; w++) {
            is_good &= take_u32(&next, &result->windows[w].start_s);
            is_good &= take_u32(&next, &result->windows[w].used);
            is_good &= take_u32(&next, &result->windows[w].returned);
        }
    }
    return is_good;
}
