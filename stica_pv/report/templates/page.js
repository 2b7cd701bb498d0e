"use strict";
// Behavior of every page: contents, values of charts, tables to sort and filter, clips and their audio.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function markContents() {
  const links = new Map(all("nav a").map(link => [link.getAttribute("href").slice(1), link]));
  const mark = () => {
    const sections = all("main > section");
    const passed = sections.filter(one => one.getBoundingClientRect().top < innerHeight / 3);
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const current = atEnd ? sections.at(-1) : passed.at(-1) || sections[0];
    for (const [name, link] of links) {
      if (current && name === current.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  if (!links.size) return;
  addEventListener("scroll", mark, { passive: true });
  mark();
}

// A line is drawn in the units of its box, so its numbers can be read back from it.
function pointsOf(path, plot) {
  const [x0, x1] = plot.dataset.x.split(" ").map(Number), [y0, y1] = plot.dataset.y.split(" ").map(Number);
  const pairs = path.getAttribute("d").slice(1).split("L").map(pair => pair.split(" ").map(Number));
  return pairs.map(([x, y]) => ({ at: x / 10000, x: x0 + (x1 - x0) * x / 10000, y: y1 - (y1 - y0) * y / 100000 }));
}

function readable(value) { return String(Number(value.toPrecision(4))); }

function addReadout(plot) {
  const lines = all(".line", plot).map(path => ({ path, points: pointsOf(path, plot) }));
  const hair = plot.appendChild(document.createElement("div")), tip = plot.appendChild(document.createElement("div"));
  hair.className = "hair"; tip.className = "tip"; tip.setAttribute("role", "status");
  const hide = () => { hair.hidden = tip.hidden = true; };
  let position = 0;
  const show = share => {
    const shown = lines.filter(line => !line.path.classList.contains("off"));
    if (!shown.length) return hide();
    position = Math.min(1, Math.max(0, share));
    const near = shown.map(({ path, points }) =>
      [path.dataset.name, points.reduce((a, b) => Math.abs(b.at - position) < Math.abs(a.at - position) ? b : a)]);
    const first = near.reduce((a, b) => Math.abs(b[1].at - position) < Math.abs(a[1].at - position) ? b : a)[1];
    const rows = near.filter(([, point]) => Math.abs(point.at - first.at) < 0.02).slice(0, 12);
    tip.textContent = [`${plot.dataset.axis} ${readable(first.x)}`,
      ...rows.map(([name, point]) => `${name}${name ? ": " : ""}${readable(point.y)}`)].join("\n");
    hair.hidden = tip.hidden = false;
    hair.style.left = `${100 * first.at}%`;
    tip.style.left = first.at < 0.5 ? `calc(${100 * first.at}% + 0.5rem)` : "auto";
    tip.style.right = first.at < 0.5 ? "auto" : `calc(${100 - 100 * first.at}% + 0.5rem)`;
  };
  const step = direction => {
    const places = [...new Set(lines.flatMap(line => line.points.map(point => point.at)))].sort((a, b) => a - b);
    const next = direction > 0 ? places.find(at => at > position + 1e-9) : places.findLast(at => at < position - 1e-9);
    show(next === undefined ? position : next);
  };
  hide();
  plot.addEventListener("pointermove", event => {
    const box = plot.getBoundingClientRect();
    show((event.clientX - box.left) / box.width);
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) show(position); });
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", event => {
    if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
    event.preventDefault();
    step(event.key === "ArrowRight" ? 1 : -1);
  });
}

// The first click sorts numbers from the largest and text from A; a second one reverses. Empty cells stay at the end.
function makeSortable(table) {
  const heads = all("thead th", table), body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const rows = [...body.rows], numbers = rows.every(row => !Number.isNaN(Number(value(row))));
    const before = head.getAttribute("aria-sort"), up = before ? before === "descending" : !numbers;
    for (const one of heads) one.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    rows.sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return (up ? 1 : -1) * (numbers ? a - b : a.localeCompare(b, "en", { numeric: true }));
    });
    body.append(...rows);
  }));
}

// Every word must occur in the row, for example "gdt SOLVER.BASE_LR=0.1"; the curves of other runs are hidden.
function makeFilter(input) {
  const table = document.getElementById(input.getAttribute("aria-controls")), status = document.getElementById(input.dataset.status);
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean), rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      row.hidden = !words.every(word => row.dataset.text.includes(word));
      for (const path of all(`.plot [data-run="${row.dataset.run}"]`)) path.classList.toggle("off", row.hidden);
    }
    status.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} runs`;
  };
  input.addEventListener("input", filter);
  for (const row of table.tBodies[0].rows) {
    const strengthen = on => { for (const path of all(`.plot .line[data-run="${row.dataset.run}"]`)) path.classList.toggle("strong", on); };
    for (const event of ["pointerenter", "focusin"]) row.addEventListener(event, () => strengthen(true));
    for (const event of ["pointerleave", "focusout"]) row.addEventListener(event, () => strengthen(false));
  }
  filter();
}

// Each clip is stored once. Clips move unless the reader paused them or the system asks for less motion.
function showMedia() {
  const media = {};
  for (const one of all("script.media")) Object.assign(media, JSON.parse(one.textContent));
  const images = all("img[data-media]"), button = document.querySelector("button.motion");
  for (const image of images) image.src = media[image.dataset.media];
  const moving = images.filter(image => image.dataset.media.endsWith("-animation"));
  const stills = new Map();
  const pause = async on => {
    button.textContent = on ? "Play clips" : "Pause clips";
    for (const image of moving) {
      const key = image.dataset.media;
      if (on && !stills.has(key)) {
        await image.decode().catch(() => {});
        const canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
        if (canvas.width) canvas.getContext("2d").drawImage(image, 0, 0);
        stills.set(key, canvas.width ? canvas.toDataURL() : media[key]);
      }
      image.src = on ? stills.get(key) : media[key];
    }
  };
  let paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (moving.length) {
    button.hidden = false;
    button.addEventListener("click", () => { paused = !paused; pause(paused); });
    if (paused) pause(true);
  }
  playAudio(media);
  showSpots(media);
}

function playAudio(media) {
  const audio = new Audio();
  let playing = null;
  const stop = () => { audio.pause(); if (playing) playing.setAttribute("aria-pressed", "false"); playing = null; };
  audio.addEventListener("ended", stop);
  for (const button of all("button[data-media]")) {
    button.addEventListener("click", () => {
      const same = playing === button;
      stop();
      if (same) return;
      playing = button;
      button.setAttribute("aria-pressed", "true");
      audio.src = media[button.dataset.media];
      audio.play();
    });
  }
}

// The points of a map; the same clip is marked in every projection.
function showSpots(media) {
  for (const map of all(".map")) {
    const list = map.querySelector("script.spots"), preview = map.querySelector(".frame");
    if (!list || !preview) continue;
    const spots = JSON.parse(list.textContent), marked = all("[data-spot]", map);
    const show = spot => {
      const [image, name] = spots[Number(spot.dataset.spot)], picked = preview.querySelector("img");
      if (image) picked.src = media[image];
      picked.alt = preview.querySelector("span").textContent = name;
      for (const one of marked) one.classList.toggle("strong", one.dataset.spot === spot.dataset.spot);
    };
    for (const spot of marked) for (const event of ["pointerenter", "click"]) spot.addEventListener(event, () => show(spot));
    for (const plane of all(".plane", map)) {
      const own = all("[data-spot]", plane);
      let position = -1;
      plane.addEventListener("keydown", event => {
        if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
        event.preventDefault();
        position = Math.min(own.length - 1, Math.max(0, position + (event.key === "ArrowRight" ? 1 : -1)));
        show(own[position]);
      });
    }
  }
}

markContents();
all(".plot[data-x]").forEach(addReadout);
all("table.sortable").forEach(makeSortable);
all("input[aria-controls]").forEach(makeFilter);
showMedia();
