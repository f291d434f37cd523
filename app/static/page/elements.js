/** Making and finding elements. Whatever comes from the service goes in as text, never as markup. */

export const find = (selector, within = document) => within.querySelector(selector);
export const copy = (template) => find(template).content.firstElementChild.cloneNode(true);

/** Set the text of a part, where it has changed: an untouched node costs no layout. */
export function put(selector, text, within = document) {
  const part = typeof selector === "string" ? find(selector, within) : selector;
  if (part.textContent !== text) part.textContent = text;
  return part;
}

const SVG = "http://www.w3.org/2000/svg";

export function drawing(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Call `act` at most every `ms`, the last time included. */
export function throttled(act, ms) {
  let timer, last = 0;
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      last = performance.now();
      act();
    }, Math.max(0, last + ms - performance.now()));
  };
}
