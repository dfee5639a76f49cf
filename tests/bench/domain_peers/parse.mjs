// parse.mjs - Parse Server on a MongoDB of ours: the peer of bench/domain's MongoDB half.
//
//     node parse.mjs MONGODB_URL
//
// Prints "ready PORT". One class, 'Observation', that anybody may write; what is
// switched off is what the work at hand does not use.
//
// SPDX-License-Identifier: MIT
import express from "express";
import { ParseServer } from "parse-server";

const app = express();
const server = app.listen(0, "127.0.0.1", async () => {
  const port = server.address().port;
  const parse = new ParseServer({
    databaseURI: process.argv[2],
    appId: "bench",
    masterKey: "bench-master",
    serverURL: `http://127.0.0.1:${port}/parse`,
    allowClientClassCreation: true,
    encodeParseObjectInCloudFunction: false,
    directAccess: true,
    enforcePrivateUsers: true,
    logLevel: "error",
    silent: true,
    logsFolder: null,
  });
  await parse.start();
  app.use("/parse", parse.app);
  console.log(`ready ${port}`);
});
