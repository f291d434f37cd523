/** The key or token of this tab. It stays in the tab: no cookie, no storage that outlives it. */
const NAME = "key";

export const session = {
  /** Whether reading needs it, too: then the feed shows it. */
  reads: sessionStorage.getItem("reads") === "true",
  get key() { return sessionStorage.getItem(NAME) ?? ""; },
  set key(value) { sessionStorage.setItem(NAME, value); },
};

export function readsToo() {
  session.reads = true;
  sessionStorage.setItem("reads", "true");
}

/** Ask the API. Throws an Error with the service's words and `status`. */
export async function call(method, path, body, version) {
  const headers = { "Content-Type": "application/json" };
  if (session.key && (method !== "GET" || session.reads)) headers.Authorization = `Bearer ${session.key}`;
  if (version) headers["If-Match"] = `"${version}"`;
  const response = await fetch(path, { method, headers, cache: "no-store", body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(`${answer.title}: ${answer.detail}`), { status: response.status });
  return answer;
}

/** What a feed's address needs where a header cannot stand: a ticket that opens it once. */
export const ticket = async () => (session.reads && session.key ? { ticket: (await call("POST", "api/tickets")).ticket } : {});
