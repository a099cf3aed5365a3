// SPDX-License-Identifier: Apache-2.0
// ratelimit.cjs URL - fetches it, and says what ratelimit-header-parser makes of the response: {"limit", "used", "remaining", "reset"}
// (reset in seconds since 1970), or null.
"use strict";
const { parseRateLimit } = require("ratelimit-header-parser");

fetch(process.argv[2]).then(async (response) => {
    await response.text();
    const found = parseRateLimit(response.headers);
    const told = found && { ...found, reset: found.reset.getTime() / 1000 };
    process.stdout.write(JSON.stringify(told ?? null));
});
