"use strict";
(() => {
  const soften = picture => { if (picture.naturalWidth > 40) picture.style.imageRendering = "auto"; }; // pixels stay hard in pixel art only
  for (const picture of document.images) picture.complete ? soften(picture) : picture.addEventListener("load", () => soften(picture));
  // Okabe and Ito's palette without black and yellow, which vanish on one of the two backgrounds; after seven, the shape changes.
  const LIGHT = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#808080"];
  const DARK = ["#3B8FD6", "#F0B030", "#1FB98D", "#EC7430", "#8CD0F7", "#DE97BF", "#A0A0A0"];
  const holder = document.getElementById("map-data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent), n = data.x.length;
  const canvas = document.querySelector("canvas"), hover = document.querySelector(".hover"), pinned = document.getElementById("pinned");
  const pen = canvas.getContext("2d"), dark = matchMedia("(prefers-color-scheme: dark)");
  const clusters = [...new Set(data.cluster)].sort((a, b) => (a < 0) - (b < 0) || a - b);
  const hidden = new Set(), members = new Map(clusters.map(c => [c, []]));
  data.cluster.forEach((c, i) => members.get(c).push(i));
  const grouped = clusters.some(c => c >= 0);
  const nameOf = c => c < 0 ? (grouped ? "in no cluster" : "all items") : data.names[c] ?? "cluster " + c;
  const colours = () => dark.matches ? DARK : LIGHT;
  const colourOf = c => colours()[c < 0 ? (grouped ? 6 : 0) : clusters.indexOf(c) % 7];
  const shapeOf = c => c < 0 ? 0 : Math.floor(clusters.indexOf(c) / 7) % 4;
  const median = values => values.slice().sort((a, b) => a - b)[values.length >> 1];
  const middles = new Map(clusters.filter(c => c >= 0).map(c => [c, [median(members.get(c).map(i => data.x[i])), median(members.get(c).map(i => data.y[i]))]]));
  let side = 0, scale = 1, shiftX = 0, shiftY = 0, at = -1, kept = -1, lit = null, drag = null, waiting = false;

  const place = (x, y) => {
    const pad = 22, room = side - 2 * pad;
    return [side / 2 + ((x - 0.5) * room) * scale + shiftX, side / 2 - ((y - 0.5) * room) * scale + shiftY];
  };
  const dot = (x, y, r, shape) => {
    if (shape === 0) { pen.moveTo(x + r, y); pen.arc(x, y, r, 0, 7); }
    else if (shape === 1) pen.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
    else if (shape === 2) { pen.moveTo(x, y - r * 1.25); pen.lineTo(x + r * 1.15, y + r * 0.85); pen.lineTo(x - r * 1.15, y + r * 0.85); pen.closePath(); }
    else { pen.moveTo(x, y - r * 1.35); pen.lineTo(x + r * 1.35, y); pen.lineTo(x, y + r * 1.35); pen.lineTo(x - r * 1.35, y); pen.closePath(); }
  };
  const draw = () => {
    waiting = false;
    const style = getComputedStyle(document.documentElement), card = style.getPropertyValue("--card"), ink = style.getPropertyValue("--ink");
    const radius = Math.max(1.8, Math.min(4.5, side / 12 / Math.sqrt(n) + 1.2)) * Math.min(2, Math.sqrt(scale));
    pen.clearRect(0, 0, side, side);
    for (const c of clusters) {
      if (hidden.has(c)) continue;
      pen.globalAlpha = lit === null || lit === c ? 0.85 : 0.12;
      pen.fillStyle = colourOf(c);
      pen.beginPath();
      for (const i of members.get(c)) dot(...place(data.x[i], data.y[i]), radius, shapeOf(c));
      pen.fill();
    }
    pen.globalAlpha = 1;
    pen.font = "600 12px system-ui, sans-serif"; pen.textAlign = "center"; pen.textBaseline = "middle";
    for (const [c, middle] of middles) {
      if (hidden.has(c) || (lit !== null && lit !== c)) continue;
      const [x, y] = place(...middle), wide = pen.measureText(c).width + 9;
      pen.fillStyle = card; pen.strokeStyle = colourOf(c); pen.lineWidth = 1.5;
      pen.beginPath(); pen.roundRect(x - wide / 2, y - 9, wide, 18, 5); pen.fill(); pen.stroke();
      pen.fillStyle = ink; pen.fillText(c, x, y + 0.5);
    }
    for (const i of [kept, at]) {
      if (i < 0) continue;
      pen.strokeStyle = ink; pen.lineWidth = i === kept ? 2.5 : 1.5;
      pen.beginPath(); pen.arc(...place(data.x[i], data.y[i]), radius + 4, 0, 7); pen.stroke();
    }
  };
  const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };
  const resize = () => {
    const dense = devicePixelRatio || 1;
    side = canvas.clientWidth;
    canvas.width = canvas.height = Math.round(side * dense);
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    draw();
  };

  const describe = (box, i) => { // text is only ever set as text
    const item = data.shown[i];
    box.replaceChildren();
    if (item.image) { const picture = new Image(); picture.onload = () => soften(picture); picture.src = item.image; picture.alt = item.id; box.append(picture); }
    for (const [line, tone] of [[item.text, ""], [item.id, "note"], [data.cluster[i] < 0 ? "" : data.cluster[i] + " · " + nameOf(data.cluster[i]), "note"]]) {
      if (!line) continue;
      const p = document.createElement("p"); p.textContent = line; p.className = tone; box.append(p);
    }
  };
  const pointTo = i => {
    at = i;
    hover.hidden = i < 0;
    if (i >= 0) {
      describe(hover, i);
      const [x, y] = place(data.x[i], data.y[i]);
      hover.style.left = Math.max(0, Math.min(x + 14, side - hover.offsetWidth)) + "px";
      hover.style.top = (y + 16 + hover.offsetHeight > side ? Math.max(0, y - hover.offsetHeight - 14) : y + 16) + "px";
    }
    redraw();
  };
  const keep = i => { kept = i; if (i >= 0) describe(pinned, i); redraw(); };
  const nearest = (x, y, wanted = () => true, limit = 18) => {
    let found = -1, least = limit * limit;
    for (let i = 0; i < n; i++) {
      if (hidden.has(data.cluster[i])) continue;
      const [px, py] = place(data.x[i], data.y[i]), far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least && wanted(px - x, py - y)) { least = far; found = i; }
    }
    return found;
  };
  const zoom = (by, x = side / 2, y = side / 2) => {
    const next = by ? Math.max(1, Math.min(40, scale * by)) : 1, change = next / scale;
    shiftX = next === 1 ? 0 : (x - side / 2) * (1 - change) + shiftX * change;
    shiftY = next === 1 ? 0 : (y - side / 2) * (1 - change) + shiftY * change;
    scale = next;
    pointTo(-1);
  };

  canvas.addEventListener("pointermove", event => {
    if (drag) {
      drag.moved ||= Math.hypot(event.offsetX - drag.x, event.offsetY - drag.y) > 4;
      if (drag.moved && scale > 1) { shiftX = drag.shiftX + event.offsetX - drag.x; shiftY = drag.shiftY + event.offsetY - drag.y; pointTo(-1); return; }
    }
    const i = nearest(event.offsetX, event.offsetY);
    if (i !== at) pointTo(i);
  });
  canvas.addEventListener("pointerdown", event => {
    drag = { x: event.offsetX, y: event.offsetY, shiftX, shiftY, moved: false };
    if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", event => {
    if (drag && !drag.moved) { const i = nearest(event.offsetX, event.offsetY); pointTo(i); if (i >= 0) keep(i); }
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => { drag = null; pointTo(-1); });
  canvas.addEventListener("blur", () => pointTo(-1));
  canvas.addEventListener("wheel", event => { // only after a click or Tab on the map: else the page scrolls
    if (document.activeElement !== canvas) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.002), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("keydown", event => {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (ways[event.key]) {
      const [dx, dy] = ways[event.key], from = at >= 0 ? at : kept;
      const [x, y] = from >= 0 ? place(data.x[from], data.y[from]) : [side / 2, side / 2];
      const next = nearest(x, y, from < 0 ? undefined : (px, py) => px * dx + py * dy > Math.abs(px * dy + py * dx) * 0.8 + 0.01, Infinity);
      if (next >= 0) { pointTo(next); keep(next); }
    } else if (event.key === "Enter" && at >= 0) keep(at);
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else if (event.key === "Escape") pointTo(-1);
    else return;
    event.preventDefault();
  });
  for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => zoom(Number(button.dataset.zoom)));

  const legend = document.querySelector(".legend");
  for (const c of grouped ? clusters : []) {
    const button = document.createElement("button"), swatch = document.createElement("span"), name = document.createElement("span");
    button.type = "button"; button.title = nameOf(c); button.setAttribute("aria-pressed", "true");
    swatch.className = "swatch"; swatch.textContent = c < 0 ? "–" : c; name.textContent = nameOf(c);
    swatch.dataset.cluster = c;
    button.append(swatch);
    if (data.faces[c]) { const face = new Image(); face.src = data.faces[c]; face.alt = ""; button.append(face); }
    button.append(name);
    button.addEventListener("click", () => {
      if (!hidden.delete(c)) hidden.add(c);
      button.setAttribute("aria-pressed", String(!hidden.has(c)));
      redraw();
    });
    for (const [event, to] of [["pointerenter", c], ["focus", c], ["pointerleave", null], ["blur", null]])
      button.addEventListener(event, () => { lit = hidden.has(c) ? null : to; redraw(); });
    legend.append(button);
  }
  const paintAll = () => {
    for (const swatch of document.querySelectorAll(".swatch[data-cluster]")) {
      const c = Number(swatch.dataset.cluster);
      if (members.has(c)) swatch.style.boxShadow = "inset 0 -0.25em 0 " + colourOf(c);
    }
    redraw();
  };
  paintAll();
  dark.addEventListener("change", paintAll);
  new ResizeObserver(resize).observe(canvas);
})();
