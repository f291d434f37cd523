/** A small plot of the last two minutes, a value for each second. */
import { drawing, put } from "./elements.js";

const SECONDS = 120, HEIGHT = 40;

export class Plot {
  /** `unit` stands behind each number, `figure` holds the plot. */
  constructor(figure, unit) {
    Object.assign(this, { figure, unit, values: [] });
    this.area = drawing("polygon", { class: "area" });
    this.line = drawing("polyline", { class: "line", "vector-effect": "non-scaling-stroke" });
    this.picture = drawing("svg", { viewBox: `0 0 ${SECONDS - 1} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, this.area, this.line);
    figure.append(this.picture);
  }

  /** A second is over; undefined: nothing happened that could be measured. */
  add(value) {
    this.values = [...this.values, value].slice(-SECONDS);
  }

  draw() {
    const known = this.values.filter((each) => each !== undefined), most = Math.max(1, ...known);
    const left = SECONDS - this.values.length;
    const points = this.values.map((value, at) => [left + at, HEIGHT - 1 - ((value ?? 0) / most) * (HEIGHT - 4)]);
    const text = points.map(([x, y]) => `${x},${y.toFixed(1)}`).join(" ");
    this.line.setAttribute("points", text);
    this.area.setAttribute("points", points.length ? `${left},${HEIGHT} ${text} ${SECONDS - 1},${HEIGHT}` : "");
    const last = known.length ? `${Math.round(known.at(-1)).toLocaleString()}${this.unit}` : "–";
    const said = known.length ? `most ${Math.round(Math.max(...known)).toLocaleString()}${this.unit}` : "nothing yet";
    put("b", last, this.figure);
    put(".most", said, this.figure);
    this.picture.setAttribute("aria-label", `${last} now, ${said} in the last two minutes`);
  }
}
