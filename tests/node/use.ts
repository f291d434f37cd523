// What a user of openapi-typescript and openapi-fetch would write. Arguments: the service's address, a key.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.d.ts";

const [, , baseUrl, key] = process.argv;
const client = createClient<paths>({ baseUrl: baseUrl!, headers: { Authorization: `Bearer ${key}` } });

type Stream = components["schemas"]["StreamDocument"];
const body: components["schemas"]["NewStream"] = JSON.parse(process.argv[4]!);
const batch: components["schemas"]["ChainBatch"] = JSON.parse(process.argv[5]!);

const created = await client.POST("/api/streams", { body });
assert(created.data, JSON.stringify(created.error));
const stream: Stream = created.data;
assert.equal(created.response.headers.get("location"), `/api/streams/${stream.id}`);

const params = { path: { stream_id: stream.id } };
const read = await client.GET("/api/streams/{stream_id}", { params });
assert.equal(read.data?.recipient, body.recipient);

const paused = await client.PATCH("/api/streams/{stream_id}", { params, body: { status: "paused" } });
assert.deepEqual([paused.data?.status, paused.data?.version], ["paused", 2]);

const page = await client.GET("/api/streams", { params: { query: { limit: 500 } } });
assert(page.data?.streams.some((each) => each.id === stream.id));

const none = await client.GET("/api/streams/{stream_id}", { params: { path: { stream_id: "stream-none" } } });
assert.deepEqual([none.response.status, none.error?.status], [404, 404]);

const cancelled = await client.DELETE("/api/streams/{stream_id}", { params });
assert.equal(cancelled.data?.status, "cancelled");

const ingested = await client.POST("/api/events", { body: batch });
const results = ingested.data?.results;
assert(results?.every((each) => ["created", "ignored"].includes(each.action)), JSON.stringify(ingested.error));
const log = await client.GET("/api/events", { params: { query: { limit: 1000 } } });
assert(log.data?.events.some((each) => each.streamId === stream.id));
console.log("done");
