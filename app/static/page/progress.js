/** How far a stream is, as a bar: what has accrued of the deposit, and where its cliff is. */
import { day, share } from "./amounts.js";
import { drawing } from "./elements.js";

const WIDTH = 100, HEIGHT = 8;

export function progressBar() {
  const done = drawing("rect", { class: "done", height: HEIGHT, rx: 3 });
  const cliff = drawing("rect", { class: "cliff", width: 1.5, height: HEIGHT });
  const back = drawing("rect", { class: "back", width: WIDTH, height: HEIGHT, rx: 3 });
  return drawing("svg", { class: "progress", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, back, done, cliff);
}

export function showProgress(bar, stream, streamed, deposit) {
  const [, done, cliff] = bar.children, part = share(streamed, deposit);
  const { startTime: start, endTime: end, cliffTime } = stream;
  const at = end > start && cliffTime > start && cliffTime < end ? ((cliffTime - start) / (end - start)) * WIDTH : undefined;
  const words = [`${(part * 100).toFixed(1)} %`, at === undefined ? "" : `cliff ${day(cliffTime)}`, end ? `ends ${day(end)}` : "no end"];
  set(done, "width", (part * WIDTH).toFixed(2));
  set(cliff, "x", at ?? -10);
  set(bar, "aria-label", words.filter(Boolean).join(", "));
}

function set(part, name, value) {
  if (part.getAttribute(name) !== String(value)) part.setAttribute(name, value);
}
