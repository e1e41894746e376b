// A small Express app, as people push it to Stackyn: a page with assets and a little JSON API.
const path = require("node:path");
const express = require("express");

const port = Number(process.env.PORT ?? 3000);
const app = express();

app.use((request, response, next) => {
  response.on("finish", () => console.log(`${request.method} ${request.path} answered ${response.statusCode}`));
  next();
});
app.use(express.static(path.join(__dirname, "public")));

app.get("/health", (request, response) => response.json({ status: "ok" }));

app.get("/api/hello", (request, response) => {
  response.json({ greeting: process.env.GREETING ?? "Hello from Express", port, user: process.getuid() });
});

const server = app.listen(port, "0.0.0.0", () => console.log(`listening on port ${port}`));

process.on("SIGTERM", () => server.close(() => process.exit(0)));
