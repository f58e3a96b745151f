// Looks a page over as a demanding reader would and returns what is wrong with
// it, one line each. It runs in the page, from outside, whether or not the page
// itself may run scripts.
(() => {
  "use strict";
  const found = [];
  const wrong = (what, e) => found.push(e ? `${what}: ${e.outerHTML.replace(/\s+/g, " ").slice(0, 100)}` : what);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 0;
  const root = document.documentElement;

  // What a page is made of.
  if (!["en", "zh-Hans"].includes(root.lang)) wrong(`lang is ${root.lang}`);
  if (!document.title.includes("·")) wrong(`title is ${document.title}`);
  for (const name of ["h1", "main"])
    if (all(name).length !== 1) wrong(`${all(name).length} elements ${name}`);
  const ids = all("[id]").map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong(`id ${id} twice`);
  for (const e of all("*"))
    for (const a of e.attributes)
      if (a.name === "style" || a.name.startsWith("on")) wrong(`attribute ${a.name}`, e);
  for (const e of all("[src], link[href]"))
    if (new URL(e.src || e.href).origin !== location.origin && e.id !== "client-logo" && e.className !== "frontchannel-logout") wrong("foreign", e);
  for (const e of all("script:not([src]), style, base, meta[http-equiv]")) wrong("not allowed", e);
  if (document.scripts.length > 1) wrong("more than one script");

  // Names for those who do not see the page.
  for (const e of all("input:not([type=hidden]), select, textarea"))
    if (seen(e) && !e.labels.length && !e.ariaLabel) wrong("no label", e);
  for (const e of all("a, button, summary"))
    if (seen(e) && !(e.innerText.trim() || e.ariaLabel)) wrong("no name", e);
  for (const e of all("[aria-describedby], [aria-labelledby]"))
    for (const id of `${e.getAttribute("aria-describedby") ?? ""} ${e.getAttribute("aria-labelledby") ?? ""}`.split(" "))
      if (id && !document.getElementById(id)) wrong(`nothing is #${id}`, e);
  const form = document.querySelector("form");
  if (form && form.method !== "post") wrong("form by GET", form);

  // Room: nothing sticks out, nothing is cut, everything can be hit with a thumb.
  const width = root.clientWidth;
  if (root.scrollWidth > width) wrong(`page is ${root.scrollWidth} wide, window ${width}`);
  const scrolls = (e) => e && (["auto", "scroll"].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  for (const e of all("body *")) {
    if (!seen(e) || e.closest("svg")) continue;
    const r = e.getBoundingClientRect();
    if ((r.right > width + 0.5 || r.left < -0.5) && !scrolls(e.parentElement)) wrong(`sticks out to ${r.left}..${r.right}`, e);
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth && !e.matches("input") && getComputedStyle(e).display !== "inline" && !scrolls(e)) wrong("content sticks out", e);
  }
  for (const e of all("a, button, input:not([type=hidden]), select, summary")) {
    const target = e.closest("label") ?? e;
    const r = target.getBoundingClientRect();
    const inText = e.matches("a") && getComputedStyle(e).display === "inline" && !e.closest("nav");
    if (seen(e) && !inText && (r.width < 24 || r.height < 24)) wrong(`target of ${r.width} by ${r.height}`, e);
    if (seen(e) && e.matches(".button:not(.small)") && r.height < 44) wrong(`button only ${r.height} high`, e);
  }

  // Contrast, WCAG 2.2 Section 1.4.3.
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const colors = {};
  const rgba = (color) => colors[color] ??= (() => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  })();
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c[3] === 255) return c;
    }
    return [255, 255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walker.nextNode()); ) {
    const e = n.parentElement, s = getComputedStyle(e), size = parseFloat(s.fontSize);
    if (!n.data.trim() || !seen(e) || e.closest(":disabled")) continue;
    const [a, b] = [light(rgba(s.color)), light(ground(e))].sort((x, y) => y - x);
    const large = size >= 24 || (size >= 18.66 && s.fontWeight >= 700);
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) wrong(`contrast ${((a + 0.05) / (b + 0.05)).toFixed(2)}`, e);
    if (size < 12.5) wrong(`letters of ${size}px`, e);
  }

  // One language on a page. Names and code belong to none.
  const foreign = root.lang === "en" ? /\p{Script=Han}/u : /[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}/;
  const check = (text, e) => {
    if (text && foreign.test(text) && !e?.closest("bdi, code, pre, input, [lang]:not(html)")) wrong(`in another language: ${text}`, e);
  };
  for (const e of all("body *")) {
    for (const n of e.childNodes) if (n.nodeType === Node.TEXT_NODE) check(n.data, e);
    for (const a of ["title", "aria-label", "alt", "placeholder"]) check(e.getAttribute(a), e);
  }
  check(document.title);
  return [...new Set(found)];
})()
