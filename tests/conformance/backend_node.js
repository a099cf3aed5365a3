// SPDX-License-Identifier: Apache-2.0
// backend_node PORT RECORD - a server on node's own http: one line per request that was read whole.
const fs = require("fs");
const http = require("http");

const record = fs.openSync(process.argv[3], "a");
const server = http.createServer({ keepAliveTimeout: 60000 }, (request, response) => {
  let bytes = 0;
  request.on("data", (data) => { bytes += data.length; });
  request.on("end", () => {
    fs.writeSync(record, Buffer.from([request.headers["x-request-id"], request.method, request.url, bytes].join("\t") + "\n", "latin1"));
    response.end("seen\n");
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1", 512);
