/** The package holds the very files that the service serves: they are copied in for the packing, and go again. */
import { copyFileSync, readdirSync, rmSync } from "node:fs";

const from = new URL("../../app/static/", import.meta.url);
const here = new URL("./", import.meta.url);
for (const name of readdirSync(from).filter((each) => /^fluxora-.*\.(js|d\.ts)$/.test(each))) {
  if (process.argv[2] === "copy") copyFileSync(new URL(name, from), new URL(name, here));
  else rmSync(new URL(name, here), { force: true });
}
