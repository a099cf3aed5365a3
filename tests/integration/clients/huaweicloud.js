// SPDX-License-Identifier: Apache-2.0
// huaweicloud.js ENDPOINT - lists VPCs twice with the real SDK, signed with AK "AKEXAMPLE" and SK "SKEXAMPLE".  The last line of
// standard error is a JSON list: for each {"vpcs": [...]}, or what the SDK made of an error.  (The SDK writes to standard
// output by itself.)
"use strict";
const core = require("@huaweicloud/huaweicloud-sdk-core");
const vpc = require("@huaweicloud/huaweicloud-sdk-vpc/v2/public-api");

const credentials = new core.BasicCredentials().withAk("AKEXAMPLE").withSk("SKEXAMPLE").withProjectId("0123456789abcdef");
const client = vpc.VpcClient.newBuilder().withCredential(credentials).withEndpoint(process.argv[2]).build();
const request = new vpc.ListVpcsRequest().withLimit(2).withMarker("a b/ü");
const ask = () => client.listVpcs(request).then(
    (result) => ({ vpcs: result.vpcs.map((item) => item.id) }),
    (error) => ({ kind: error.constructor.name, status: error.httpStatusCode, code: error.errorCode,
                  message: error.errorMsg, id: error.requestId }));

(async () => {
    const told = [await ask(), await ask()];
    process.stderr.write("\n" + JSON.stringify(told) + "\n");
})();
