/** Amounts, names and times as people read them. An amount is a BigInt of base units: nothing is rounded on the way. */

/** Decimals of a stream that did not come from the chain. */
const PLAIN = 7;

const WHOLE = new Intl.NumberFormat([], { maximumFractionDigits: 0 });
const CLOCK = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
const DATE = new Intl.DateTimeFormat([], { dateStyle: "medium" });
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const STEPS = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];

export const decimalsOf = (stream) => stream.token?.decimals ?? PLAIN;

/** What a stream pays in, as a key: streams of the same token may be added up. */
export const tokenOf = (stream) => `${stream.token?.contractId ?? ""} ${decimalsOf(stream)}`;

export function units(text, decimals) {
  const [whole, part = ""] = String(text).split(".");
  return BigInt(whole + part.padEnd(decimals, "0"));
}

/** `text` in tokens. With `fixed` all decimals stay, so that a running amount keeps its width. */
export function amount(count, decimals, fixed = false) {
  const sign = count < 0n ? "-" : "", digits = (count < 0n ? -count : count).toString().padStart(decimals + 1, "0");
  const cut = digits.length - decimals, part = fixed ? digits.slice(cut) : digits.slice(cut).replace(/0+$/, "");
  return sign + WHOLE.format(BigInt(digits.slice(0, cut))) + (part && `.${part}`);
}

const ofBase = (name, field) => (stream) =>
  stream.base?.[name] === undefined ? units(stream[field], decimalsOf(stream)) : BigInt(stream.base[name]);

export const depositOf = ofBase("deposit", "depositAmount");
export const rateOf = ofBase("ratePerSecond", "ratePerSecond");
export const withdrawnOf = ofBase("withdrawn", "streamedAmount");

/** The share of a whole, in 0..1: for pictures only. */
export const share = (part, whole) => (whole > 0n ? Number((part * 10_000n) / whole) / 10_000 : 0);

export const short = (id) => String(id ?? "").replace(/^stream-/, "").replace(/^(.{6}).{6,}(.{4})$/, "$1…$2");

export const clock = (time) => CLOCK.format(new Date(time));

/** The time of today, or the day. */
export const moment = (when) => (when.toDateString() === new Date().toDateString() ? CLOCK : DAY).format(when);

/** `seconds` since 1970; 0 and the far future are what streams call "no end". */
const time = (format) => (seconds) => (seconds > 253_370_000_000 || !seconds ? "open" : format.format(new Date(seconds * 1000)));
export const day = time(DAY);
export const date = time(DATE);

export const events = (count) => `${count.toLocaleString()} ${count === 1 ? "event" : "events"}`;

export function ago(time, now) {
  const seconds = Math.round((new Date(time) - now) / 1000);
  const [unit, size] = STEPS.find(([, each]) => Math.abs(seconds) >= each) ?? STEPS.at(-1);
  return AGO.format(Math.round(seconds / size), unit);
}

export const isOpen = ({ status }) => status === "active" || status === "paused";
