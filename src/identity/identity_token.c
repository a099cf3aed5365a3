/* SPDX-License-Identifier: Apache-2.0 */
/* identity_token.c - see identity_token.h.  Once per token that is issued, so jansson reads it. */
#include "identity/identity_token.h"

#include <jansson.h>
#include <string.h>

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* `count` digits; -1: there are fewer. */
static int take_number(struct span *text, unsigned count)
{
    int number = 0;
    if (text->len < count)
        return -1;
    for (unsigned i = 0; i < count; i++) {
        if (!is_digit(text->ptr[i]))
            return -1;
        number = number * 10 + (text->ptr[i] - '0');
    }
    text->ptr += count;
    text->len -= count;
    return number;
}

static bool take_byte(struct span *text, char byte)
{
    if (text->len == 0 || text->ptr[0] != byte)
        return false;
    text->ptr++;
    text->len--;
    return true;
}

/* A fraction is left out: a token ends with the second that it begins to end in. */
static bool take_fraction(struct span *text)
{
    if (!take_byte(text, '.'))
        return true;
    size_t digits = 0;
    while (text->len != 0 && is_digit(text->ptr[0])) {
        (void)take_byte(text, text->ptr[0]);
        digits++;
    }
    return digits != 0 && digits <= 9;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

static uint64_t days_before(int year, int month)
{
    uint64_t days = 0;
    for (int y = 1970; y < year; y++)
        days += 365 + (unsigned)is_leap(y);
    for (int m = 1; m < month; m++)
        days += (unsigned)days_of_month(year, m);
    return days;
}

bool identity_token_time(struct span text, uint64_t *wall_s)
{
    int year = take_number(&text, 4);
    bool is_good = take_byte(&text, '-');
    int month = take_number(&text, 2);
    is_good = is_good && take_byte(&text, '-');
    int day = take_number(&text, 2);
    is_good = is_good && take_byte(&text, 'T');
    int hour = take_number(&text, 2);
    is_good = is_good && take_byte(&text, ':');
    int minute = take_number(&text, 2);
    is_good = is_good && take_byte(&text, ':');
    int second = take_number(&text, 2);
    is_good = is_good && take_fraction(&text) &&
              (span_eq(text, SPAN("Z")) || span_eq(text, SPAN("+00:00")));
    if (!is_good || year < 1970 || month < 1 || month > 12 || day < 1 ||
        day > days_of_month(year, month) || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 60) /* a leap second is no fault */
        return false;
    *wall_s = (days_before(year, month) + (unsigned)day - 1) * 86400 + (unsigned)hour * 3600 +
              (unsigned)minute * 60 + (unsigned)second;
    return true;
}

/* A string member; empty when it is none. */
static struct span text_of(const json_t *object, const char *name)
{
    const json_t *text = json_object_get(object, name);
    if (!json_is_string(text))
        return SPAN_NONE;
    return (struct span){json_string_value(text), json_string_length(text)};
}

static bool is_visible(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return false;
    }
    return text.len != 0;
}

static enum identity_token_result read_token(const json_t *json, uint64_t now_s,
                                             struct identity_token *token)
{
    const json_t *project = json_object_get(json, "project");
    if (!json_is_object(json))
        return IDENTITY_TOKEN_UNREADABLE;
    if (project == NULL || json_is_null(project))
        return IDENTITY_TOKEN_NO_PROJECT;
    struct span id = text_of(project, "id");
    if (!is_visible(id) || id.len > sizeof(token->project) ||
        !identity_token_time(text_of(json, "expires_at"), &token->until_s) ||
        token->until_s <= now_s)
        return IDENTITY_TOKEN_UNREADABLE;
    memcpy(token->project, id.ptr, id.len);
    token->project_len = id.len;
    return IDENTITY_TOKEN_GOOD;
}

enum identity_token_result identity_token_read(struct span body, uint64_t now_s,
                                               struct identity_token *token)
{
    if (body.len == 0 || body.len > IDENTITY_TOKEN_BODY_MAX)
        return IDENTITY_TOKEN_UNREADABLE;
    json_t *json = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    enum identity_token_result result = read_token(json_object_get(json, "token"), now_s, token);
    json_decref(json);
    return result;
}

enum err identity_token_mac(struct identity_cache *cache, const struct identity_secret *secret,
                            struct span token, uint8_t mac[IDENTITY_KEY_BYTES])
{
    /* Beside a name no value of this kind is a project: no subject shares a mac with a token. */
    struct identity_value value = {
        .kind = IDENTITY_TOKEN_PROJECT, .source_name = SPAN("token"), .value = token};
    struct identity_mark mark;
    enum err err = identity_cache_mark(cache, secret, &value, 1, &mark);
    if (err == ERR_OK)
        memcpy(mac, mark.mac, IDENTITY_KEY_BYTES);
    return err;
}
