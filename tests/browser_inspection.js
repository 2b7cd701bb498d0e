// Inspects the open page and returns a list of faults. Called by browser.py.
const done = arguments[arguments.length - 1];
const faults = [];
const MOST = 5; // of each kind

function short(text) { text = text.trim().replace(/\s+/g, " "); return text.length > 60 ? text.slice(0, 57) + "..." : text; }

function report(kind, found) { for (const one of found.slice(0, MOST)) faults.push(`${kind}: ${one}`); }

function shown(element) { return element.checkVisibility({ visibilityProperty: true, opacityProperty: true }); }

// What a person can see of a box: boxes that scroll cut it off.
function visiblePart(element, box) {
  let { left, right, top, bottom } = box;
  for (let outer = element; outer && outer !== document.body; outer = outer.parentElement) {
    if (getComputedStyle(outer).overflowX === "visible" || outer instanceof SVGElement) continue;
    const edge = outer.getBoundingClientRect();
    left = Math.max(left, edge.left); right = Math.min(right, edge.right);
    top = Math.max(top, edge.top); bottom = Math.min(bottom, edge.bottom);
  }
  return { left, right, top, bottom };
}

// Every line of letters: its words, the element that holds it, and the box it fills. Of the documentation, its text
// alone: menus that the theme keeps outside of the screen are not ours.
function lettering() {
  const lines = [];
  const walker = document.createTreeWalker(document.querySelector(".md-content") || document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const holder = node.parentElement;
    if (!node.data.trim() || !shown(holder) || holder.closest("script, style")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const inSvg = holder.closest("svg");
    const boxes = inSvg ? [holder.getBoundingClientRect()] : [...range.getClientRects()];
    for (const box of boxes) {
      const part = visiblePart(holder, box);
      if (part.right - part.left > 1 && part.bottom - part.top > 1) lines.push({ text: node.data, holder, node, ...part });
    }
  }
  return lines;
}

function overlaps(lines) {
  const found = [];
  lines.sort((a, b) => a.top - b.top);
  for (let i = 0; i < lines.length; i++) {
    for (let j = i + 1; j < lines.length && lines[j].top < lines[i].bottom - 3; j++) {
      const a = lines[i], b = lines[j];
      if (a.node === b.node) continue;
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 2 && high > 3) found.push(`"${short(a.text)}" and "${short(b.text)}"`);
    }
  }
  return found;
}

function beyond(lines) { // of the screen, or of the chart they belong to
  const found = [];
  for (const line of lines) {
    const svg = line.holder.closest("svg");
    const edge = svg ? svg.getBoundingClientRect() : { left: 0, right: innerWidth, top: -Infinity, bottom: Infinity };
    const out = Math.max(edge.left - line.left, line.right - edge.right, edge.top - line.top, line.bottom - edge.bottom);
    if (out > 2) found.push(`"${short(line.text)}" by ${Math.round(out)} px`);
  }
  return found;
}

function color(text) {
  const parts = (text.match(/[\d.]+/g) || []).map(Number);
  return { rgb: parts.slice(0, 3), alpha: text === "none" ? 0 : parts.length > 3 ? parts[3] : 1 };
}

function luminance(rgb) {
  const [r, g, b] = rgb.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function ground(element) {
  for (let outer = element; outer; outer = outer.parentElement) {
    const found = color(getComputedStyle(outer).backgroundColor);
    if (found.alpha > 0.5) return found.rgb;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
}

function faintLetters(lines) { // WCAG 2: 4.5 to 1
  const found = [];
  for (const { holder, text } of lines) {
    const style = getComputedStyle(holder);
    const ink = color(holder.closest("svg") ? style.fill : style.color);
    const [bright, dark] = [luminance(ink.rgb), luminance(ground(holder))].sort((a, b) => b - a);
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ink.alpha > 0 && ratio < 4.5) found.push(`"${short(text)}" ${ratio.toFixed(1)} to 1`);
  }
  return found;
}

function smallLetters(lines) {
  const found = [];
  for (const { holder, text } of lines) {
    const matrix = holder.closest("svg") ? holder.getScreenCTM() : null;
    const scale = matrix ? Math.hypot(matrix.a, matrix.b) : 1;
    const size = scale * parseFloat(getComputedStyle(holder).fontSize);
    if (size < 7.9) found.push(`"${short(text)}" ${size.toFixed(1)} px`);
  }
  return found;
}

async function badImages() {
  const found = [];
  for (const image of document.images) {
    const name = short(image.alt || image.src);
    if (!image.alt) found.push(`without alternative text: ${name}`);
    await image.decode().catch(() => {});
    if (!image.naturalWidth) { found.push(`absent: ${name}`); continue; }
    if (!image.src.startsWith("data:")) continue; // browsers hide the pixels of other files
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 32;
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0, 32, 32);
    const pixels = pen.getImageData(0, 0, 32, 32).data;
    if (pixels.every((value, i) => Math.abs(value - pixels[i % 4]) < 2)) found.push(`of one color: ${name}`);
  }
  return found;
}

function badCharts() {
  const found = [];
  for (const svg of document.querySelectorAll("figure svg:not(.legend svg)")) {
    if (!shown(svg)) continue;
    const box = svg.getBoundingClientRect();
    const strokes = [...svg.querySelectorAll("path, use, rect")].filter(one => {
      const size = one.getBoundingClientRect();
      return size.width + size.height > 1 && (color(getComputedStyle(one).stroke).alpha || color(getComputedStyle(one).fill).alpha);
    });
    if (box.width < 50 || box.height < 30 || strokes.length < 3) found.push(short(svg.closest("figure").innerText));
  }
  return found;
}

function deadAnchors() {
  return [...document.querySelectorAll("a[href^='#']")]
    .map(link => decodeURIComponent(link.getAttribute("href").slice(1)))
    .filter(name => !document.getElementById(name));
}

function checkLetters() {
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth) report("wider than the screen", [`${width} px`]);
  const lines = lettering();
  report("letters over letters", overlaps(lines));
  report("letters cut off", beyond(lines));
  report("letters too faint", faintLetters(lines));
  report("letters too small", smallLetters(lines));
}

(async () => {
  if (document.body.innerText.trim().length < 20) report("page", ["empty"]);
  report("image", await badImages());
  report("chart without strokes", badCharts());
  report("link to nothing", deadAnchors());
  for (const audio of document.querySelectorAll("audio")) if (audio.error) report("audio", [audio.title]);
  checkLetters();
  for (const fold of document.querySelectorAll("details")) fold.open = !fold.open;
  checkLetters();
  done([...new Set(faults)]);
})().catch(error => done([`the inspection of the page failed: ${error.stack}`]));
