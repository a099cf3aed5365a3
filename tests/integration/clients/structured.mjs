// SPDX-License-Identifier: Apache-2.0
// structured.mjs - reads a JSON list of field values, gives for each the list of RFC 9651 that it is: [[item, {parameter: value}], ...],
// or null when it is malformed.  A byte sequence is told as {"bytes": n}.
import { parseList } from "structured-headers";

const plain = (value) => value instanceof ArrayBuffer ? { bytes: value.byteLength } : value;
let text = "";
process.stdin.on("data", (data) => { text += data; });
process.stdin.on("end", () => {
    const lists = JSON.parse(text).map((value) => {
        try {
            return parseList(value).map(([item, parameters]) =>
                [item, Object.fromEntries([...parameters].map(([name, one]) => [name, plain(one)]))]);
        } catch {
            return null;
        }
    });
    process.stdout.write(JSON.stringify(lists));
});
