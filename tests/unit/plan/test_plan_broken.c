/* SPDX-License-Identifier: Apache-2.0 */
/* test_plan_broken - what is wrong with a configuration is told, where it is, and nothing else.  Each row
 * puts one fault into a good configuration; @@ marks where the message must point. */
#include "plan_bench.h"

struct row {
    const char *part, *with;
    const char *message; /* "/pointer: beginning of the sentence" */
    unsigned errors;     /* 0: exactly one */
};

static const struct row rows[] = {
    /* Unknown keys. */
    {"'workers': 2", "@@'worker': 2", "/worker: unknown key 'worker' (did you mean 'workers'?)", 0},
    {"'workers': 2", "@@'Workers': 2", "/Workers: unknown key 'Workers' (did you mean 'workers'?)",
     0},
    {"'workers': 2", "@@'wrokers': 2", "/wrokers: unknown key 'wrokers' (did you mean 'workers'?)",
     0},
    {"'workers': 2", "@@'zzz': 2", "/zzz: unknown key 'zzz' (known here: 'listen', ", 0},
    {"'workers': 2", "@@'': 2", "/: unknown key '' (known here: ", 0},
    {"'workers': 2", "@@'a~b/c': 2", "/a~0b~1c: unknown key 'a~b/c'", 0},
    {"'workers': 2", "@@'$schema': 'x'", "/$schema: unknown key", 0},
    {"'name': 'public', ", "@@'nmae': 'public', ",
     "/listen/0/nmae: unknown key 'nmae' (did you mean 'name'?)", 2},
    {"'pool_max': 8", "@@'poolmax': 8",
     "/upstreams/app/poolmax: unknown key 'poolmax' (did you mean 'pool_max'?)", 0},
    {"'connect': '2s'", "@@'connect_timeout': '2s'",
     "/upstreams/app/timeouts/connect_timeout: unknown key 'connect_timeout' (did you mean "
     "'connect'?)",
     0},
    {"{ 'address': 'app.internal:9001' }", "{ @@'adress': 'app.internal:9001' }",
     "/upstreams/app/servers/1/adress: unknown key 'adress' (did you mean 'address'?)", 0},
    {"'missing': 'skip'", "'unverified': { @@'mnth': 5 }",
     "/identities/user/unverified/mnth: 'mnth': must be second, minute, hour or day", 0},
    {"'missing': 'skip'", "'unverified': { 'hour': @@0 }",
     "/identities/user/unverified/hour: out of range: at least 1", 0},
    {"'missing': 'skip'", "'unverified': { 'hour': 5, @@'60 minutes': 6 }",
     "/identities/user/unverified/60 minutes: '60 minutes': another window of this bucket", 0},
    {"'missing': 'skip'", "'unverified': @@{}",
     "/identities/user/unverified: at least one is expected", 0},
    {"'missing': 'skip'", "@@'mising': 'skip'",
     "/identities/user/mising: unknown key 'mising' (did you mean 'missing'?)", 0},
    {"'on_failure': 'deny'", "@@'on_fail': 'deny'",
     "/quotas/ip/on_fail: unknown key 'on_fail' (did you mean 'on_failure'?)", 0},
    {"'minute': 60", "@@'minutes': 60",
     "/quotas/user/limits/minutes: unknown key 'minutes' (did you mean 'minute'?)", 0},
    {"'minute': 60", "@@'mnth': 60",
     "/quotas/user/limits/mnth: 'mnth': must be second, minute, hour or day", 0},
    {"'methods': ['GET'", "@@'method': ['GET'",
     "/routes/1/method: unknown key 'method' (did you mean 'methods'?)", 0},
    {"'status': 201", "@@'code': 201",
     "/routes/2/respond/code: unknown key 'code' (known here: "
     "'status', 'json', 'text')",
     0},
    {"{ 'used': 'consumed' }", "{ @@'uesd': 'consumed' }",
     "/routes/1/headers/uesd: unknown key 'uesd' (did you mean 'used'?)", 0},
    {"{ 'used': 'consumed' }", "{ @@'request_id': 'short' }",
     "/routes/1/headers/request_id: unknown key 'request_id'", 0},
    {"'header_timeout': '5s'", "@@'header_timeut': '5s'",
     "/limits/header_timeut: unknown key 'header_timeut' (did you mean 'header_timeout'?)", 0},
    {"'level': 'warn'", "@@'levle': 'warn'",
     "/log/levle: unknown key 'levle' (did you mean 'level'?)", 0},
    {"'metrics': '127.0.0.1:9180'", "@@'metric': '127.0.0.1:9180'",
     "/admin/metric: unknown key 'metric' (did you mean 'metrics'?)", 0},
    {"'subjects': 1000", "@@'servers': ['127.0.0.1:6379']",
     "/store/servers: only with 'type': 'redis' (here it is 'memory')", 0},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000",
     "'type': 'redis', 'servers': ['127.0.0.1:6379'], @@'subjects': 1000",
     "/store/subjects: only with 'type': 'memory' (here it is 'redis')", 0},

    /* TLS. */
    {"'name': 'public', ", "'name': 'public', 'tls': @@{}, ",
     "/listen/0/tls: 'certificate' is missing: TLS needs a certificate and its key", 0},
    {"'pool_max': 8", "'balance': @@'hash'",
     "/upstreams/app/balance: 'hash_by' is missing: the identity that is hashed", 0},
    {"'pool_max': 8", "'hash_by': @@'ip'",
     "/upstreams/app/hash_by: 'hash_by' only with 'balance': 'hash'", 0},
    {"'pool_max': 8", "'balance': 'hash', 'hash_by': @@'nobody'",
     "/upstreams/app/hash_by: no identity or source 'nobody'", 0},
    {"'address': 'app.internal:9001'", "'address': 'app.internal:9001', 'weight': @@257",
     "/upstreams/app/servers/1/weight: out of range: at least 0 and at most 256, found the number "
     "257",
     0},
    {"'on_failure': 'deny'", "@@'durable': true",
     "/quotas/ip/durable: 'durable' is not supported by this version", 0},
    {"{ 'second': 10 }", "'tier'",
     "/quotas/project: 'default_tier' is missing: the tier of who is no member", 0},
    {"{ 'second': 10 }", "'tier', 'default_tier': @@'free'",
     "/quotas/project/default_tier: no tier has the name 'free'", 0},
    {"{ 'second': 10 }", "@@'unlimited'",
     "/quotas/project/limits: expected an object of numbers or 'tier', found the string", 0},
    {"{ 'second': 10 }", "{ 'second': 10 }, @@'members': {}",
     "/quotas/project/members: only with 'limits': 'tier'", 0},
    {"'workers': 2", "'workers': 2, 'tiers': { 'a': @@'b' }",
     "/tiers/a: expected an object of numbers or 'unlimited', found the string 'b'", 0},
    {"'cost': 5, 'upstream': 'app'", "'cost': 5, 'upstream': 'app', 'learns': @@'token'",
     "/routes/0/learns: 'token': only 'token_project' can be learned", 0},
    {"{ 'env': 'BENCH_SECRET' }", "{ 'sealed': @@'x' }",
     "/subject_secret/sealed: the sealed secret cannot be opened: SLUICE_KEY_FILE is not set", 0},

    /* Dialects. */
    {"['x-ratelimit']", "[@@'ietff']",
     "/headers/dialects/0: expected 'x-ratelimit', 'ietf', 'x-apig' or 'github', found the string "
     "'ietff' (did you mean 'ietf'?)",
     0},
    {"'used': 'remaining'", "'retry_after_jitter': @@'101%'",
     "/headers/retry_after_jitter: '101%': must be at most '100%'", 0},
    {"'used': 'remaining'", "'retry_after_jitter': @@'10'",
     "/headers/retry_after_jitter: '10': must be a part such as '10%' or a duration", 0},
    {"'used': 'remaining'", "'retry_after_jitter': @@'2h'",
     "/headers/retry_after_jitter: '2h': must be a part such as '10%' or a duration", 0},
    {"'workers': 2", "'errors': { 'default': @@'ivaa' }",
     "/errors/default: no dialect of errors has the name 'ivaa' (did you mean 'iva'?)", 0},
    {"'cost': 5", "'errors': @@'opensteck'",
     "/routes/0/errors: no dialect of errors has the name 'opensteck' (did you mean 'openstack'?)",
     0},
    {"'workers': 2", "'errors': { 'dialects': { 'a': @@{ 'prefix': 'A' } } }",
     "/errors/dialects/a: 'like' or 'template' is missing", 0},
    {"'workers': 2", "'errors': { 'dialects': { 'a': { 'like': 'apig', @@'template': 1 } } }",
     "/errors/dialects/a/template: 'like' and 'template' cannot stand together", 0},
    {"'workers': 2", "'errors': { 'dialects': { 'a': { 'like': @@'apigg' } } }",
     "/errors/dialects/a/like: expected 'apig', 'iva', ", 0},
    {"'workers': 2", "'errors': { 'dialects': { 'iva': @@{ 'like': 'apig' } } }",
     "/errors/dialects/iva: another dialect of errors has the name 'iva'", 0},
    {"'workers': 2", "'errors': { 'dialects': { 'a': { 'like': 'apig', 'prefix': @@'A B' } } }",
     "/errors/dialects/a/prefix: 'A B': letters, digits and '-._' are allowed", 0},
    {"'workers': 2", "'errors': { 'dialects': { 'a': { 'template': 'x', @@'request_id': true } } }",
     "/errors/dialects/a/request_id: 'template' and 'request_id' cannot stand together", 0},
    {"'workers': 2",
     "'errors': { 'dialects': { 'a': { 'template': 'x', 'content_type': @@'json' } } }",
     "/errors/dialects/a/content_type: 'json': must be a media type", 0},
    {"'workers': 2",
     "'errors': { 'dialects': { 'a': { 'template': 'x', 'content_type': @@'a/b; \\r\\nX: y' } } }",
     "/errors/dialects/a/content_type: ", 0},
    {"'workers': 2",
     "'errors': { 'dialects': { 'a': { 'template': { 'x': ['${code}', 'b @@${cod} c'] } } } }",
     "/errors/dialects/a/template/x/1: no value has the name '${cod}' (did you mean 'code'?)", 0},
    {"'workers': 2", "'errors': { 'dialects': { 'a': { 'template': '${code} @@${' } } }",
     "/errors/dialects/a/template: no value has the name '${'", 0},
    {"'workers': 2", "'errors': { 'dialects': { 'a': { 'template': { 'k@@${zz}': 1 } } } }",
     "/errors/dialects/a/template/k${zz}: no value has the name '${zz}'", 0},
    {"'workers': 2",
     "'errors': { 'dialects': { 'a': { 'template': @@["
     "'${policies}','${policies}','${policies}'] } } }",
     "/errors/dialects/a/template: the body could become longer than 8192 bytes", 0},

    /* Keys given twice. */
    {"'workers': 2", "'workers': 2, @@'workers': 3",
     "/workers: the key 'workers' is given twice, first in line 7", 0},
    {"'minute': 60", "'minute': 60,\n @@'minute': 61",
     "/quotas/user/limits/minute: the key 'minute' is given twice, first in line 20", 0},
    {"'other': {", "'oth\\u0065r': { 'servers': ['1.2.3.4:5'] }, @@'other': {",
     "/upstreams/other: the key 'other' is given twice", 0},

    /* Wrong types: what was found, what was expected. */
    {"'workers': 2", "'workers': @@'2'",
     "/workers: expected a whole number or 'auto', found the string '2'", 0},
    {"'workers': 2", "'workers': @@2.5", "/workers: expected a whole number, found the number 2.5",
     0},
    {"'workers': 2", "'workers': @@1e1", "/workers: expected a whole number, found the number 1e1",
     0},
    {"'workers': 2", "'workers': @@null", "/workers: expected a whole number or 'auto', found null",
     0},
    {"'workers': 2", "'workers': @@true", "/workers: expected a whole number or 'auto', found true",
     0},
    {"'workers': 2", "'workers': @@[2]",
     "/workers: expected a whole number or 'auto', found an array", 0},
    {"['10.0.0.0/8', 'unix']", "@@'10.0.0.0/8'",
     "/trusted_proxies: expected a list of strings, found the string '10.0.0.0/8'", 0},
    {"['10.0.0.0/8', 'unix']", "[@@8]", "/trusted_proxies/0: expected a string, found the number 8",
     0},
    {"'name': 'public'", "'name': @@5", "/listen/0/name: expected a string, found the number 5", 2},
    {"{ 'name': 'public', 'address': '127.0.0.1:8080' }", "@@'127.0.0.1:8080'",
     "/listen/0: expected an object, found the string '127.0.0.1:8080'", 2},
    {"'connect': '2s'", "'connect': @@2",
     "/upstreams/app/timeouts/connect: expected a duration such as '30s', found the number 2", 0},
    {"'connect': '2s'", "'connect': @@'2'",
     "/upstreams/app/timeouts/connect: expected a duration such as '30s', found the string '2'", 0},
    {"'connect': '2s'", "'connect': @@'2 s'",
     "/upstreams/app/timeouts/connect: expected a duration", 0},
    {"'connect': '2s'", "'connect': @@'-2s'",
     "/upstreams/app/timeouts/connect: expected a duration", 0},
    {"'connect': '2s'", "'connect': @@'99999999999999999999s'",
     "/upstreams/app/timeouts/connect: expected a duration", 0},
    {"'body': '12MiB'", "'body': @@'12MB'",
     "/limits/body: expected a size such as '64KiB' or 'unlimited', found the string '12MB'", 0},
    {"'body': '12MiB'", "'body': @@12", "/limits/body: expected a size", 0},
    {"'body_min_rate': '2KiB/s'", "'body_min_rate': @@'2KiB'",
     "/limits/body_min_rate: expected a rate such as '1KiB/s' or 'off', found the string '2KiB'",
     0},
    {"'timeouts': { 'connect': '2s', 'first_byte': '10s' }", "'timeouts': @@'2s'",
     "/upstreams/app/timeouts: expected an object, found the string '2s'", 0},
    {"'servers': ['[::1]:9000']", "'servers': @@'[::1]:9000'",
     "/upstreams/other/servers: expected a list of objects, found the string '[::1]:9000'", 0},
    {"'servers': ['[::1]:9000']", "'servers': [@@9000]",
     "/upstreams/other/servers/0: expected an object or a string, found the number 9000", 0},
    {"{ 'second': 10 }", "@@10",
     "/quotas/project/limits: expected an object of numbers or 'tier', found the number "
     "10",
     0},
    {"'second': 10", "'second': @@'10'",
     "/quotas/project/limits/second: expected a whole number, found the string '10'", 0},
    {"'quotas': ['ip', 'user']", "'quotas': @@'ip'",
     "/routes/1/quotas: expected a list of strings, found the string 'ip'", 0},
    {"'cost': 5", "'cost': @@{ 'response_header': 'X-Cost' }", "/routes/0/cost: 'max' is missing",
     0},
    {"'cost': 5", "'cost': { 'response_header': 'X-Cost', 'estimate': 5, 'max': @@4 }",
     "/routes/0/cost/max: is below the estimate, 5", 0},
    {"'cost': 5", "'cost': { 'response_header': @@'X Cost', 'max': 4 }",
     "/routes/0/cost/response_header: 'X Cost': not a header", 0},
    {"'cost': 5", "'cost': { @@'max': 4 }", "/routes/0/cost/max: only with 'response_header'", 0},
    {"'cost': 5", "'cost': @@'5'", "/routes/0/cost: expected a whole number, found the string '5'",
     0},
    {"['x-ratelimit']", "@@'x-ratelimit'",
     "/headers/dialects: expected a list of 'x-ratelimit', 'ietf', 'x-apig' or 'github', found the "
     "string 'x-ratelimit'",
     0},
    {"'used': 'remaining'", "'used': @@true",
     "/headers/used: expected 'remaining' or 'consumed', found true", 0},
    {"{ 'env': 'BENCH_SECRET' }", "@@17",
     "/subject_secret: expected {'env': NAME}, {'file': PATH} or {'sealed': TEXT}, found the "
     "number 17",
     0},

    /* Words and ranges. */
    {"'level': 'warn'", "'level': @@'warning'",
     "/log/level: expected 'debug', 'info', 'warn' or 'error', found the string 'warning' (did you "
     "mean "
     "'warn'?)",
     0},
    {"'missing': 'skip'", "'missing': @@'refused'",
     "/identities/user/missing: expected 'ip', 'skip', 'refuse' or 'shared', found the string "
     "'refused' "
     "(did you mean 'refuse'?)",
     0},
    {"'on_failure': 'deny'", "'on_failure': @@'alow'",
     "/quotas/ip/on_failure: expected 'local', 'allow' or 'deny', found the string 'alow' (did you "
     "mean "
     "'allow'?)",
     0},
    {"'type': 'memory'", "'type': @@'memroy'",
     "/store/type: expected 'redis' or 'memory', found the string 'memroy' (did you mean "
     "'memory'?)",
     0},
    {"['x-ratelimit']", "['x-ratelimit', @@'x-ratelimit']", "/headers/dialects/1: listed twice", 0},
    {"'workers': 2", "'workers': @@0",
     "/workers: out of range: at least 1 and at most 256 threads, found the number 0", 0},
    {"'workers': 2", "'workers': @@257", "/workers: out of range: at least 1 and at most 256", 0},
    {"'workers': 2", "'workers': @@-1", "/workers: out of range: at least 1 and at most 256", 0},
    {"'workers': 2", "'workers': @@99999999999999999999",
     "/workers: out of range: at least 1 and at most", 0},
    {"'connect': '2s'", "'connect': @@'1us'",
     "/upstreams/app/timeouts/connect: out of range: at least 1ms and at most 1d, found the string "
     "'1us'",
     0},
    {"'request_line': '8KiB'", "'request_line': @@'2MiB'",
     "/limits/request_line: out of range: at least 256B and at most 64KiB, found the string '2MiB'",
     0},
    {"'minute': 60", "'minute': @@2147483648",
     "/quotas/user/limits/minute: out of range: at least 0 and at most 2147483647 requests", 0},
    {"'minute': 60", "'minute': @@-1", "/quotas/user/limits/minute: out of range: at least 0", 0},
    {"'status': 201", "'status': @@199",
     "/routes/2/respond/status: out of range: at least 200 and at most "
     "599",
     0},
    {"'cost': 5", "'cost': @@0", "/routes/0/cost: out of range: at least 1", 0},
    {"'missing': 'skip'", "'ipv6_prefix': @@129",
     "/identities/user/ipv6_prefix: out of range: at least 1 "
     "and at most 128 bits",
     0},
    {"'access': 'off'", "'access': @@''", "/log/access: must not be empty", 0},
    {"'key': ['ip']", "'key': @@[]", "/quotas/ip/key: at least 1 expected, found 0", 0},
    {"{ 'second': 10 }", "@@{}", "/quotas/project/limits: at least one is expected", 0},
    {"'second': 10", "'second': 10, 'minute': 20, 'hour': 30, 'day': 40, @@'2 days': 5",
     "/quotas/project/limits/2 days: '2 days': a quota has at most 4 windows", 0},
    {"'second': 10", "'second': 10, @@'1 second': 11",
     "/quotas/project/limits/1 second: '1 second': another window of this quota is just as long",
     0},
    {"'second': 10", "@@'0 seconds': 10", "/quotas/project/limits/0 seconds: '0 seconds': ", 0},
    {"'methods': ['GET', 'POST']", "'methods': [@@'get']",
     "/routes/1/methods/0: 'get': methods are written in upper case", 0},
    {"'methods': ['GET', 'POST']", "'methods': ['GET', @@'GET']",
     "/routes/1/methods/1: 'GET': listed twice", 0},
    {"'methods': ['GET', 'POST']", "'methods': [@@'GET /']",
     "/routes/1/methods/0: 'GET /': not a method", 0},

    /* Addresses. */
    {"'name': 'public', 'address': '127.0.0.1:8080'", "'name': 'public', 'address': @@'127.0.0.1'",
     "/listen/0/address: '127.0.0.1': a port is missing", 0},
    {"'name': 'public', 'address': '127.0.0.1:8080'",
     "'name': 'public', 'address': @@'localhost:8080'",
     "/listen/0/address: 'localhost:8080': not an IP address", 0},
    {"'name': 'public', 'address': '127.0.0.1:8080'",
     "'name': 'public', 'address': @@'127.0.0.1:99999'",
     "/listen/0/address: '127.0.0.1:99999': the port", 0},
    {"{ 'address': 'unix:/tmp/s.sock' }", "{ 'address': @@'127.0.0.1:8080' }",
     "/listen/1/address: two listeners have this address", 0},
    {"{ 'address': 'unix:/tmp/s.sock' }", "{ 'name': @@'public', 'address': '127.0.0.1:1' }",
     "/listen/1/name: another listener has the name 'public'", 0},
    {"'metrics': '127.0.0.1:9180'", "'metrics': @@'127.0.0.1:8080'",
     "/admin/metrics: something else listens on this address", 0},
    {"'address': 'unix:/tmp/admin.sock'", "'address': @@'127.0.0.1:9181'",
     "/admin/address: a TCP address needs a 'token' beside it", 0},
    {"'address': 'unix:/tmp/admin.sock'", "'address': @@'unix:/tmp/s.sock'",
     "/admin/address: something else listens on this address", 0},
    {"'10.0.0.0/8'", "@@'10.0.0.1/8'", "/trusted_proxies/0: '10.0.0.1/8': not a network", 0},
    {"'10.0.0.0/8'", "@@'10.0.0.0/33'", "/trusted_proxies/0: '10.0.0.0/33': not a network", 0},
    {"'x-forwarded-for'", "@@'x-forwarded-fro'",
     "/client_address: 'x-forwarded-fro': expected 'x-forwarded-for', 'forwarded' or 'header:NAME' "
     "(did "
     "you mean 'x-forwarded-for'?)",
     0},
    {"'x-forwarded-for'", "@@'header:X Y'",
     "/client_address: 'header:X Y': not the name of a header", 0},
    {"'[::1]:9000'", "@@'::1:9000'",
     "/upstreams/other/servers/0: '::1:9000': an IPv6 address needs", 0},
    {"['127.0.0.1:9000', {", "['127.0.0.1:9000', @@'127.0.0.1:9000', {",
     "/upstreams/app/servers/1: this server is listed twice", 0},
    {"'request_id_host': 'edge-1'", "'request_id_host': @@'edge 1'",
     "/headers/request_id_host: 'edge 1': ", 0},

    /* Names that lead nowhere. */
    {"'upstream': 'other'", "'upstream': @@'othr'",
     "/routes/1/upstream: no upstream has the name 'othr' (did you mean 'other'?)", 0},
    {"'quotas': ['ip', 'user']", "'quotas': ['ip', @@'usr']",
     "/routes/1/quotas/1: no quota has the name 'usr' (did you mean 'user'?)", 0},
    {"'quotas': ['ip', 'user']", "'quotas': ['ip', @@'nothing']",
     "/routes/1/quotas/1: no quota has the name 'nothing'\n", 0},
    {"'listener': 'public'", "'listener': @@'publc'",
     "/routes/1/listener: no listener has the name 'publc' (did you mean 'public'?)", 0},
    {"'key': ['user']", "'key': [@@'usr']",
     "/quotas/user/key/0: no identity or source 'usr' (did you mean 'user'?)", 0},
    {"'key': ['ip']", "'key': [@@'heder:X']",
     "/quotas/ip/key/0: no identity or source 'heder:X' (did you mean 'header'?)", 0},
    {"'key': ['ip']", "'key': [@@'header:']", "/quotas/ip/key/0: 'header:': ", 0},
    {"'key': ['ip']", "'key': ['ip', @@'ip']", "/quotas/ip/key/1: listed twice", 0},
    {"'access_key'", "@@'acces_key'", "/identities/user/from/1: 'acces_key': ", 0},
    {"'access_key'", "'access_key', @@'header:x-auth-token'",
     "/identities/user/from/2: 'header:x-auth-token': listed twice", 0},
    {"'quotas': ['ip', 'user']", "'quotas': ['ip', @@'ip']", "/routes/1/quotas/1: listed twice", 0},

    /* What does not fit together. */
    {"'prefix': '/v1/'", "'prefix': '/v1/', @@'path': '/v1/x'",
     "/routes/1/path: 'path' and 'prefix' cannot stand together", 0},
    {"'upstream': 'other'", "'upstream': 'other', 'upgrade': ['websocket', @@'WebSocket']",
     "/routes/1/upgrade/1: 'WebSocket': listed twice", 0},
    {"'upstream': 'other'", "'upstream': 'other', 'upgrade': [@@'h2c']",
     "/routes/1/upgrade/0: 'h2c': an upgrade to HTTP would carry requests past the routes and "
     "quotas of "
     "this proxy",
     0},
    {"'upstream': 'other'", "'upstream': 'other', 'upgrade': ['websocket', @@'TLS/1.2']",
     "/routes/1/upgrade/1: 'TLS/1.2': an upgrade to TLS would hide requests from the routes and "
     "quotas of "
     "this proxy",
     0},
    {"'upstream': 'other'", "'upstream': 'other', 'upgrade': [@@'web socket']",
     "/routes/1/upgrade/0: 'web socket': not a protocol: a name such as 'websocket', or "
     "'name/version'",
     0},
    {"{ 'path': '/ping', 'respond': {",
     "{ 'path': '/ping', 'upgrade': ['websocket'], @@'respond': {",
     "/routes/2/respond: 'upgrade' and 'respond' cannot stand together", 0},
    {"'first_byte': '10s'", "'first_byte': '10s', 'tunnel_idle': @@'999ms'",
     "/upstreams/app/timeouts/tunnel_idle: out of range: at least 1s and at most 1d, found the "
     "string '999ms'",
     0},
    {"'upstream': 'other'", "'upstream': 'other', @@'respond': {}",
     "/routes/1/respond: 'upstream' and 'respond' cannot stand together", 0},
    {"{ 'path': '/ping', 'respond': { 'status': 201, 'json': { 'ok' : true, 'n': 1.50 } } }",
     "@@{ 'path': '/ping' }", "/routes/2: 'upstream' or 'respond' is missing", 0},
    {"'text': 'nothing here'", "'json': 1, @@'text': ''",
     "/routes/3/respond/text: 'json' and 'text' cannot stand together", 0},
    {"'status': 404", "'status': 204", "/routes/3/respond/text: a 204 response has no body", 0},
    {"'cost': 5", "'cost': @@61", "/routes/0/cost: no request could pass: quota 'user' allows 60",
     2},
    {"'quotas': ['ip', 'user']", "'quotas': ['ip', @@'project']",
     "/routes/1/quotas/1: quota 'project' counts by path:project, but the path of this route has "
     "no "
     "{project}",
     0},
    {"'name': 'api'", "'name': @@'search'", "/routes/1/name: another route has the name 'search'",
     0},
    {"'path': '/ping'", "'path': @@'ping'", "/routes/2/path: ", 0},
    {"'path': '/v1/{project}/search'", "'path': @@'/v1/{project}/{project}'",
     "/routes/0/path: ", 0},
    {"'host': 'API.example.com'", "'host': @@'api.example.com/x'", "/routes/1/host: ", 0},
    {"'host': 'API.example.com'", "'host': @@'a b'", "/routes/1/host: 'a b': not a host name", 0},
    {"    'other': {", "    @@'oth er': {", "/upstreams/oth er: a name has 1 to 64 letters", 2},
    {"    'other': {", "    @@'': {", "/upstreams/: a name has 1 to 64 letters", 2},

    /* What is missing. */
    {"{ 'address': 'unix:/tmp/s.sock' }", "@@{ 'name': 'x' }", "/listen/1: 'address' is missing",
     0},
    {"{ 'servers': ['[::1]:9000'] }", "@@{}", "/upstreams/other: 'servers' is missing", 0},
    {"'key': ['ip'], ", "", "/quotas/ip: 'key' is missing", 0},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000", "'type': 'redis'",
     "/store: 'servers' is missing", 0},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000",
     "'type': 'redis', 'servers': @@['a:1', 'a:2', 'a:3', 'a:4', 'a:5', 'a:6', 'a:7', 'a:8', "
     "'a:9', "
     "'b:1', 'b:2', 'b:3', 'b:4', 'b:5', 'b:6', 'b:7', 'b:8']",
     "/store/servers: at most 16 allowed, found 17", 0},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000",
     "'type': 'redis', 'servers': ['a:1', @@'a:1']", "/store/servers/1: 'a:1': it is there already",
     0},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000",
     "'type': 'redis', 'servers': ['a:1'], 'prefix': @@'a{b}'", "/store/prefix: 'a{b}': letters",
     0},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000",
     "'type': 'redis', 'servers': ['a:1'], 'decision_timeout': @@'1s'",
     "/store/decision_timeout: a decision cannot wait longer", 0},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000",
     "'type': 'redis', 'servers': ['a:1'], @@'durable_timeout': '30ms'",
     "/store/durable_timeout: only with 'durable': true", 0},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000",
     "'type': 'redis', 'servers': ['a:1'], @@'durable_replicas': 2",
     "/store/durable_replicas: only with 'durable': true", 0},
    {"'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000",
     "'type': 'redis', 'servers': ['a:1'], 'durable': true, 'durable_timeout': @@'1s'",
     "/store/durable_timeout: must be shorter than a command may take", 0},

    /* Secrets. */
    {"'BENCH_SECRET'", "@@'BENCH_UNSET'",
     "/subject_secret/env: the environment variable 'BENCH_UNSET' is not set", 0},
    {"'BENCH_SECRET'", "@@'BENCH_EMPTY'",
     "/subject_secret/env: the environment variable 'BENCH_EMPTY' is empty", 0},
    {"{ 'env': 'BENCH_SECRET' }", "@@''", "/subject_secret: the secret is empty", 0},
    {"{ 'env': 'BENCH_SECRET' }", "{ 'file': @@'nowhere' }",
     "/subject_secret/file: the secret file 'nowhere' cannot be read: No such file", 0},
    {"{ 'env': 'BENCH_SECRET' }", "{ 'file': @@'empty' }",
     "/subject_secret/file: the secret file 'empty' is empty", 0},
    {"{ 'env': 'BENCH_SECRET' }", "{ 'file': @@'blank' }",
     "/subject_secret/file: the secret file 'blank' is empty", 0},
    {"{ 'env': 'BENCH_SECRET' }", "{ @@'evn': 'X' }",
     "/subject_secret/evn: unknown key 'evn': expected 'env', 'file' or 'sealed' (did you mean "
     "'env'?)",
     0},
    {"{ 'env': 'BENCH_SECRET' }", "@@{ 'env': 'X', 'file': 'y' }",
     "/subject_secret: expected {'env': NAME}, {'file': PATH} or {'sealed': TEXT}", 0},
    {"{ 'env': 'BENCH_SECRET' }", "@@{}",
     "/subject_secret: expected {'env': NAME}, {'file': PATH} or", 0},
    {"{ 'env': 'BENCH_SECRET' }", "{ 'env': @@5 }", "/subject_secret/env: expected a string", 0},
    {"{ 'env': 'BENCH_SECRET' }", "{ 'env': @@'' }", "/subject_secret/env: must not be empty", 0},
};

/* The text without its mark; where the mark was, as "line:column". */
static void take_mark(char *text, char *place, size_t size)
{
    char *mark = strstr(text, "@@");
    unsigned line = 1, column = 1;
    place[0] = '\0';
    if (mark == NULL)
        return;
    for (const char *at = text; at < mark; at++) {
        column = *at == '\n' ? 1 : column + 1;
        line += *at == '\n';
    }
    memmove(mark, mark + 2, strlen(mark + 2) + 1);
    snprintf(place, size, "%u:%u", line, column);
}

static bool check_row(const struct row *row)
{
    char text[BENCH_TEXT_MAX], place[32], wanted[1024];
    struct span replaced = bench_replace(row->part, row->with);
    snprintf(text, sizeof(text), "%.*s", (int)replaced.len, replaced.ptr);
    free((char *)(uintptr_t)replaced.ptr);
    take_mark(text, place, sizeof(place));
    struct span exact = bench_text(text), message = bench_text(row->message);

    struct plan_report report;
    struct plan *plan = bench_build(exact, &report);
    snprintf(wanted, sizeof(wanted), "%s%s: error: %.*s", place[0] == '\0' ? "" : "t.json:", place,
             (int)message.len, message.ptr);
    const char *begin = place[0] == '\0' ? strstr(wanted, "error: ") : wanted;
    bool is_good = plan == NULL && strstr(report.text, begin) != NULL &&
                   report.errors == (row->errors == 0 ? 1 : row->errors);
    if (!is_good)
        print_error("%s -> %s\nwanted (%u): %s\ngot:\n%s\n", row->part, row->with, row->errors,
                    begin, report.text);
    assert_non_null(strstr(report.json, "\"severity\":\"error\""));
    plan_report_fini(&report);
    plan_unref(&plan);
    free((char *)(uintptr_t)exact.ptr);
    free((char *)(uintptr_t)message.ptr);
    return is_good;
}

static void test_rows(void **state)
{
    unsigned failed = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        failed += !check_row(&rows[i]);
    assert_int_equal(failed, 0);
}

/* All of them in one file are told in one run, in the order of the file. */
static void test_all_at_once(void **state)
{
    static const char text[] =
        "{ 'listen': [{ 'address': 'x' }], 'workers': 0, 'zzz': 1,\n"
        "  'upstreams': { 'a': { 'servers': [] } }, 'store': { 'type': 5 },\n"
        "  'quotas': { 'q': { 'key': ['u'], 'limits': { 'year': 1 } } },\n"
        "  'routes': [{ 'upstream': 'b', 'quotas': ['p'], 'cost': '1' }] }\n";
    static const char *const wanted[] = {
        "t.json:1:27: error: /listen/0/address",
        "t.json:1:46: error: /workers",
        "t.json:1:49: error: /zzz",
        "t.json:2:36: error: /upstreams/a/servers",
        "t.json:2:63: error: /store/type",
        "t.json:3:30: error: /quotas/q/key/0",
        "t.json:3:48: error: /quotas/q/limits/year",
        "t.json:4:28: error: /routes/0/upstream",
        "t.json:4:44: error: /routes/0/quotas/0",
        "t.json:4:58: error: /routes/0/cost",
        "10 errors, ",
    };
    (void)state;
    struct plan_report report;
    struct span exact = bench_text(text);
    assert_null(bench_build(exact, &report));
    const char *at = report.text;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        const char *found = strstr(at, wanted[i]);
        if (found == NULL)
            fail_msg("%s is not (or not here) in\n%s", wanted[i], report.text);
        at = found;
    }
    plan_report_fini(&report);
    free((char *)(uintptr_t)exact.ptr);
}

struct warning {
    const char *part, *with;
    const char *message;
};

static const struct warning warnings[] = {
    {"'workers': 2",
     "'errors': { 'default': 'a', 'dialects': { 'a': { 'like': 'iva' }, 'b': @@{ 'template': 1 } } "
     "}",
     "/errors/dialects/b: no route uses this dialect"},
    {"'dialects': ['x-ratelimit']", "'dialects': @@['x-ratelimit', 'github']",
     "/headers/dialects: clients of 'github' take X-ratelimit-used for what was consumed"},
    {"{ 'env': 'BENCH_SECRET' }", "@@'plain'", "/subject_secret: a secret in plain text"},
    {"  'subject_secret': { 'env': 'BENCH_SECRET' },\n", "", "/quotas: no 'subject_secret'"},
    {"'quotas': ['ip', 'user']", "'quotas': @@['user']",
     "/routes/1/quotas: a client can make up what quota 'user' counts by"},
    {"'from': ['path:project'] }", "'from': ['path:project'], 'unverified': @@{ 'minute': 1 } }",
     "/identities/project/unverified: no source of this identity is a credential"},
    {"'missing': 'skip' }", "'missing': 'skip', 'unverified': { 'hour': @@5, 'day': 4 } }",
     "/identities/user/unverified/hour: 5 per hour can never bind: 4 per day is reached first"},
    {"'quotas': ['user', 'ip', 'project']", "'quotas': ['user', 'ip']",
     "/quotas/project: no route uses this quota"},
    {"'upstream': 'other'", "'upstream': 'app'", "/upstreams/other: no route uses this upstream"},
    {"    'project': { 'from': ['path:project'] }\n",
     "    'project': { 'from': ['path:project'] }, 'more': @@{ 'from': ['ip'] }\n",
     "/identities/more: no quota counts by this identity"},
    {"    { 'path': '/ping', 'respond'",
     "    { 'prefix': '/', 'respond': {} },\n    @@{ 'path': '/ping', "
     "'respond'",
     "/routes/3: route '/ping' can never match: /routes/2 '/*' is earlier"},
};

static void test_warnings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(warnings) / sizeof(warnings[0]); i++) {
        const struct warning *row = &warnings[i];
        char text[BENCH_TEXT_MAX], place[32], wanted[512];
        struct span replaced = bench_replace(row->part, row->with);
        snprintf(text, sizeof(text), "%.*s", (int)replaced.len, replaced.ptr);
        free((char *)(uintptr_t)replaced.ptr);
        take_mark(text, place, sizeof(place));
        struct span exact = bench_text(text), message = bench_text(row->message);
        struct plan_report report;
        struct plan *plan = bench_build(exact, &report);
        snprintf(wanted, sizeof(wanted), "%s: warning: %.*s", place, (int)message.len, message.ptr);
        if (plan == NULL || report.warnings == 0 || strstr(report.text, wanted) == NULL)
            fail_msg("wanted %s, got:\n%s", wanted, report.text);
        plan_report_fini(&report);
        plan_unref(&plan);
        free((char *)(uintptr_t)exact.ptr);
        free((char *)(uintptr_t)message.ptr);
    }
}

/* Whatever is wrong with the file: a secret in it is not shown. */
static void test_secrets_stay_hidden(void **state)
{
    static const char *const cases[] = {
        "{ 'subject_secret': 'hunter2' }",
        "{ 'zzz': 1, 'subject_secret': 'hunter2', 'workers': 0 }",
        "{ 'subject_secret':\n   'hunter2' }",
        "{ 'subject_secret' 'hunter2', 'x': 1 }",
        "{ 'subject_secret': 'hunter2 }",
        "{ 'subject_secret': 'hunter2\\",
        "{ 'subject_secret': 'hunter2' x",
        "{ 'subjet_secret': 'hunter2' }",
        "{ 'store': { 'type': 'redis', 'pasword': 'hunter2' } }",
        "{ 'store': { 'type': 'memory', 'password': 'hunter2' } }",
        "{ 'store': { 'type': 'redis', 'password': 'hunter2', 'password': 'hunter2' } }",
        "{ 'password': 'hunter2' }",
        "{ 'workers': 0, // 'password': 'hunter2'\n }",
        "{ 'workers': 0, 'store': { 'password': 'hunter2', 'password': 'hunter2' } }",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plan_report report;
        struct span text = bench_text(cases[i]);
        assert_null(bench_build(text, &report));
        if (strstr(report.text, "unter") != NULL || strstr(report.json, "unter") != NULL)
            fail_msg("%s\n%s", cases[i], report.text);
        assert_non_null(strstr(report.text, "******"));
        plan_report_fini(&report);
        free((char *)(uintptr_t)text.ptr);
    }
}

static void test_secret_errors(void **state)
{
    static const struct {
        const char *with;
        unsigned errors, secret_errors;
    } cases[] = {
        {"{ 'env': 'BENCH_UNSET' }", 1, 1},
        {"{ 'env': 'BENCH_EMPTY' }", 1, 1},
        {"{ 'file': 'nowhere' }", 1, 1},
        {"{ 'file': 'blank' }", 1, 1},
        {"{ 'evn': 'x' }", 1, 0},
        {"''", 1, 0},
        {"{ 'env': 'BENCH_UNSET' }, 'x': 1", 2, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plan_report report;
        struct span text = bench_replace("{ 'env': 'BENCH_SECRET' }", cases[i].with);
        assert_null(bench_build(text, &report));
        assert_int_equal(report.errors, cases[i].errors);
        assert_int_equal(report.secret_errors, cases[i].secret_errors);
        plan_report_fini(&report);
        free((char *)(uintptr_t)text.ptr);
    }
}

/* A file that ends anywhere, or has any one byte spoilt, is refused or accepted, never a crash. */
static void test_truncated(void **state)
{
    (void)state;
    struct span whole = bench_text(bench_good);
    for (size_t len = 0; len < whole.len - 2; len++) {
        char *part = malloc(len == 0 ? 1 : len);
        assert_non_null(part);
        memcpy(part, whole.ptr, len);
        struct plan_report report;
        struct plan *plan = bench_build((struct span){part, len}, &report);
        assert_null(plan);
        assert_int_equal(report.errors, 1);
        assert_non_null(strstr(report.text, "1 error, 0 warnings.\n"));
        plan_report_fini(&report);
        free(part);
    }
    free((char *)(uintptr_t)whole.ptr);
}

static void test_spoilt(void **state)
{
    static const char spoilers[] = {'\0', '\xff', '"', '{',  ']',    ',',
                                    '9',  '\\',   '/', '\n', '\x80', ' '};
    (void)state;
    struct span text = bench_text(bench_good);
    char *bytes = (char *)(uintptr_t)text.ptr;
    for (size_t i = 0; i < text.len; i++) {
        char right = bytes[i];
        bytes[i] = spoilers[i % sizeof(spoilers)];
        struct plan_report report;
        struct plan *plan = bench_build(text, &report);
        assert_true(plan != NULL || report.errors > 0);
        assert_non_null(report.text);
        assert_non_null(report.json);
        plan_report_fini(&report);
        plan_unref(&plan);
        bytes[i] = right;
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_warnings),      cmocka_unit_test(test_secrets_stay_hidden),
        cmocka_unit_test(test_secret_errors), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_spoilt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
