// Charts of the report as SVG: lines (curves, measures by layer) and matrices, with hover values, a legend that hides series, and one
// epoch slider a section. Everything comes from the JSON in #data; text goes in by textContent alone.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function node(parent, name, attributes, text) {
  const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.appendChild(made);
  return made;
}

function clear(element) { while (element.firstChild) element.removeChild(element.firstChild); }

// Four significant digits, exponents only where they are shorter.
function show(v) {
  if (v === null || !isFinite(v)) return "undefined";
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size >= 1e6 || size < 1e-4) return v.toExponential(2).replace("e+", "e");
  return size >= 1e4 ? String(Math.round(v)) : String(Number(v.toPrecision(4)));
}

// ---- scales

// Round numbers between low and high, about `wanted` of them.
function ticks(low, high, wanted, whole) {
  const rough = (high - low) / Math.max(wanted, 1), power = Math.pow(10, Math.floor(Math.log10(rough)));
  let step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const list = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) list.push(Number((k * step).toPrecision(12)));
  return list;
}

function logTicks(low, high) {
  const list = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++)
    for (const m of [1, 2, 5]) if (m * 10 ** p >= low && m * 10 ** p <= high) list.push(Number((m * 10 ** p).toPrecision(3)));
  return list.length >= 2 ? list : ticks(low, high, 4);
}

function extent(lists) {
  let low = Infinity, high = -Infinity;
  for (const list of lists) for (const v of list) if (v !== null && isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  return low <= high ? [low, high] : null;
}

// A function from values to pixels.
function scale(low, high, from, to, log) {
  if (log) { const a = Math.log(low), b = Math.log(high); return v => from + (to - from) * (Math.log(v) - a) / (b - a); }
  return v => from + (to - from) * (v - low) / (high - low);
}

// Viridis, its light end a little darker (vbl.plot.scale has the same).
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [220, 205, 40]];
function viridis(at) {
  const place = Math.max(0, Math.min(1, at)) * (VIRIDIS.length - 1), i = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return "rgb(" + VIRIDIS[i].map((v, k) => Math.round(v + (place - i) * (VIRIDIS[i + 1][k] - v))).join(",") + ")";
}

// Draws again when the figure's width changes.
function onWidth(figure, draw) {
  let width = 0;
  const look = () => {
    const now = Math.floor(figure.clientWidth);
    if (now > 0 && now !== width) { width = now; draw(now); }
  };
  look();
  new ResizeObserver(() => requestAnimationFrame(look)).observe(figure);  // not within the observer: drawing changes heights
}

// ---- line charts: {title, xlabel, whole (a place for each integer), integer (ticks alone), ticks (names of x = 1, 2, ...), low, high, refs = [[y, label]], shade = [[from, to]],
//   series = [{name, color, dash (1, 2, 3), thin, x, y, lo, hi, points (no line: lo to hi is a bar), labels (of the points)}]}

function seriesStyle(s) {
  return `stroke:var(--c${s.color});stroke-width:${s.thin ? 1.2 : 2};stroke-dasharray:${["none", "5 4", "2 3", "9 3 2 3"][s.dash || 0]};opacity:${s.thin ? 0.75 : 1}`;
}

function legend(figure, spec, hidden, changed) {
  const box = node(figure, "div", {class: "legend"}), seen = new Set();
  for (const s of spec.series.concat((spec.refs || []).map(r => ({name: r[1], ref: true})))) {
    if (seen.has(s.name)) continue;
    seen.add(s.name);
    const button = node(box, "button", {type: "button", "aria-pressed": "true"});
    const swatch = node(button, "svg:svg", {width: 22, height: 8, "aria-hidden": "true"});
    if (s.points) node(swatch, "svg:circle", {cx: 11, cy: 4, r: s.lo ? 4 : 3, style: `fill:var(--c${s.color})`});
    else node(swatch, "svg:line", {x1: 0, x2: 22, y1: 4, y2: 4, style: s.ref ? "stroke:var(--muted);stroke-dasharray:2 3" : seriesStyle(s)});
    node(button, "span", {}, s.name);
    button.onclick = () => {
      hidden.has(s.name) ? hidden.delete(s.name) : hidden.add(s.name);
      button.setAttribute("aria-pressed", String(!hidden.has(s.name)));
      changed();
    };
  }
}

function bounds(spec, shown, log) {
  let y = extent(shown.flatMap(s => [s.y, s.lo || [], s.hi || []]).concat((spec.refs || []).map(r => [r[0]])));
  let x = extent(spec.series.map(s => s.x));
  if (!x || !y) return null;
  if (log) {
    const above = shown.flatMap(s => s.y).filter(v => v > 0);
    if (above.length === 0) return null;
    y = [Math.min(...above), Math.max(...above)];
    return {x, y: y[0] === y[1] ? [y[0] / 2, y[1] * 2] : [y[0] / 1.1, y[1] * 1.1]};
  }
  const room = y[1] > y[0] ? (y[1] - y[0]) * 0.06 : Math.max(Math.abs(y[0]) * 0.1, 1e-3);
  y = [spec.low !== undefined ? spec.low : y[0] - room, spec.high !== undefined ? spec.high : y[1] + room];
  if (spec.ticks) x = [0.5, spec.ticks.length + 0.5];
  if (x[0] === x[1]) x = [x[0] - 1, x[1] + 1];
  return {x, y};
}

function path(s, X, Y, log) {
  let text = "", pen = false;
  s.x.forEach((x, i) => {
    const y = s.y[i], drawn = y !== null && isFinite(y) && (!log || y > 0);
    if (drawn) text += (pen ? "L" : "M") + X(x).toFixed(1) + " " + Y(y).toFixed(1);
    pen = drawn;
  });
  return text;
}

function band(s, X, Y) {
  const points = s.x.map((x, i) => [x, s.lo[i], s.hi[i]]).filter(p => p[1] !== null && p[2] !== null && p[1] !== undefined);
  const at = (p, k) => X(p[0]).toFixed(1) + " " + Y(p[k]).toFixed(1);
  return points.length ? "M" + points.map(p => at(p, 2)).concat(points.reverse().map(p => at(p, 1))).join("L") + "Z" : "";
}

// Names of ticks that would meet are turned; what they then need below the axis.
function turned(spec, width) { return !!spec.ticks && Math.max(...spec.ticks.map(t => t.length)) * 6.5 > width / spec.ticks.length; }
const TURNED_MOST = 26, TURNED_HEIGHT = 46, LETTER = 5.8;

function axes(svg, spec, area, X, Y, range, log) {
  const {left, right, top, bottom} = area, width = right - left;
  for (const [from, to] of spec.shade || []) {
    const a = Math.max(left, X(from)), b = Math.min(right, X(to));
    if (b > a) node(svg, "svg:rect", {x: a, width: b - a, y: top, height: bottom - top, class: "shade"});
  }
  for (const v of log ? logTicks(...range.y) : ticks(range.y[0], range.y[1], 6)) {
    node(svg, "svg:line", {x1: left, x2: right, y1: Y(v), y2: Y(v), class: "grid"});
    node(svg, "svg:text", {x: left - 6, y: Y(v) + 4, class: "tick end"}, show(v));
  }
  const named = spec.ticks && spec.ticks.map((_, i) => i + 1), slanted = turned(spec, width);
  for (const v of named || ticks(range.x[0], range.x[1], Math.max(2, width / 70), spec.whole || spec.integer)) {
    node(svg, "svg:line", {x1: X(v), x2: X(v), y1: bottom, y2: bottom + 4, class: "axis"});
    const most = slanted ? Math.min(TURNED_MOST, Math.floor(X(v) / LETTER)) : 99;
    const label = node(svg, "svg:text", {x: X(v), y: bottom + 16, class: "tick " + (slanted ? "end" : "middle")}, named ? clipped(spec.ticks[v - 1], most) : show(v));
    if (slanted) label.setAttribute("transform", `rotate(-24 ${X(v)} ${bottom + 12})`);
  }
  node(svg, "svg:line", {x1: left, x2: right, y1: bottom, y2: bottom, class: "axis"});
  node(svg, "svg:text", {x: (left + right) / 2, y: bottom + 32, class: "label middle"}, spec.xlabel || "");
}

function clipped(text, most) { return text.length > most ? text.slice(0, most - 1) + "…" : text; }

function nearest(list, x) {
  let best = -1;
  list.forEach((v, i) => { if (best < 0 || Math.abs(v - x) < Math.abs(list[best] - x)) best = i; });
  return best;
}

// Of points: the one nearest to the pointer, with what it is.
function hoverPoints(figure, svg, spec, shown, X, Y) {
  const tip = figure.querySelector(".tip"), mark = node(svg, "svg:circle", {r: 6, fill: "none", style: "stroke:var(--text)", visibility: "hidden"});
  const points = shown.flatMap(s => s.x.map((x, i) => ({s, i, x: X(x), y: Y(s.y[i])}))).filter(p => isFinite(p.y) && p.s.y[p.i] !== null);
  const leave = () => { tip.hidden = true; mark.setAttribute("visibility", "hidden"); };
  const move = event => {
    const box = svg.getBoundingClientRect(), k = svg.viewBox.baseVal.width / box.width, px = (event.clientX - box.left) * k, py = (event.clientY - box.top) * k;
    const far = p => Math.hypot(p.x - px, p.y - py), p = points.reduce((a, b) => a && far(a) <= far(b) ? a : b, null);
    if (!p || far(p) > 60) return leave();
    for (const [key, value] of [["cx", p.x], ["cy", p.y], ["visibility", "visible"]]) mark.setAttribute(key, value);
    clear(tip);
    node(tip, "b", {}, p.s.labels ? p.s.labels[p.i] : spec.ticks ? spec.ticks[Math.round(p.s.x[p.i]) - 1] : p.s.name);
    const row = (name, value) => { const line = node(tip, "div", {}); node(line, "span", {}, name); node(line, "em", {}, value); };
    if (p.s.lo || spec.ticks) row(p.s.name, show(p.s.y[p.i]) + (p.s.lo ? ` [${show(p.s.lo[p.i])}, ${show(p.s.hi[p.i])}]` : ""));
    else { row(spec.title, show(p.s.x[p.i])); row(spec.ylabel || "y", show(p.s.y[p.i])); }
    tip.hidden = false;
    tip.style.left = Math.max(0, Math.min(figure.clientWidth - tip.offsetWidth, p.x / k + 12)) + "px";
    tip.style.top = svg.offsetTop + Math.max(0, p.y / k - tip.offsetHeight - 10) + "px";
  };
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("pointerleave", leave);
}

// The values under the pointer: those of each series at its point nearest to the x of the nearest point of all.
function hover(figure, svg, spec, shown, area, X, Y, log) {
  const tip = figure.querySelector(".tip"), mark = node(svg, "svg:g", {});
  const all = shown.flatMap(s => s.x), gap = Math.max(...shown.map(s => s.x.length > 1 ? (s.x[s.x.length - 1] - s.x[0]) / (s.x.length - 1) : 0));
  const leave = () => { tip.hidden = true; clear(mark); };
  const move = event => {
    const box = svg.getBoundingClientRect(), px = (event.clientX - box.left) * (svg.viewBox.baseVal.width / box.width);
    if (all.length === 0 || px < area.left - 8 || px > area.right + 8) return leave();
    const at = all[nearest(all.map(X), px)];
    clear(mark);
    clear(tip);
    node(mark, "svg:line", {x1: X(at), x2: X(at), y1: area.top, y2: area.bottom, class: "cursor"});
    node(tip, "b", {}, (spec.xname || spec.xlabel || "x") + " " + show(at));
    for (const s of shown) {
      const i = nearest(s.x, at), v = s.y[i];
      if (i < 0 || Math.abs(s.x[i] - at) > gap / 2) continue;
      const row = node(tip, "div", {});
      node(row, "i", {style: `background:var(--c${s.color})`});
      node(row, "span", {}, s.name);
      node(row, "em", {}, show(v) + (s.lo && s.lo[i] !== null && s.lo[i] !== undefined ? ` [${show(s.lo[i])}, ${show(s.hi[i])}]` : ""));
      if (v !== null && (!log || v > 0)) node(mark, "svg:circle", {cx: X(s.x[i]), cy: Y(v), r: 3.5, style: `fill:var(--c${s.color})`});
    }
    for (const r of spec.refs || []) {
      const row = node(tip, "div", {});
      node(row, "i", {class: "ref"});
      node(row, "span", {}, r[1]);
      node(row, "em", {}, show(r[0]));
    }
    tip.hidden = false;
    const half = tip.offsetWidth / 2, centre = X(at) * box.width / svg.viewBox.baseVal.width;
    tip.style.left = Math.max(0, Math.min(figure.clientWidth - 2 * half, centre < figure.clientWidth / 2 ? centre + 14 : centre - 14 - 2 * half)) + "px";
    tip.style.top = svg.offsetTop + 6 + "px";
  };
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("pointerleave", leave);
}

function drawLines(figure, holder, spec, hidden, log, width) {
  clear(holder);
  const left = 50, right = width - 10, below = 40 + (turned(spec, right - left) ? TURNED_HEIGHT : 0), height = 192 + below, shown = spec.series.filter(s => !hidden.has(s.name));
  const svg = node(holder, "svg:svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": spec.title});
  const range = bounds(spec, shown, log);
  if (!range) return node(svg, "svg:text", {x: width / 2, y: height / 2, class: "label middle"}, "no finite values");
  const area = {left, right, top: 10, bottom: height - below};
  const inset = spec.whole ? 0.5 * (area.right - area.left) / (range.x[1] - range.x[0] + 1) : 4;
  const X = scale(range.x[0], range.x[1], area.left + inset, area.right - inset), Y = scale(range.y[0], range.y[1], area.bottom, area.top, log);
  axes(svg, spec, area, X, Y, range, log);
  for (const r of spec.refs || []) {
    if (hidden.has(r[1]) || r[0] < range.y[0] || r[0] > range.y[1]) continue;
    node(svg, "svg:line", {x1: area.left, x2: area.right, y1: Y(r[0]), y2: Y(r[0]), class: "ref"});
  }
  for (const s of shown.filter(s => s.points)) s.x.forEach((x, i) => {
    if (s.y[i] === null) return;
    if (s.lo && s.lo[i] !== null) node(svg, "svg:path", {d: `M${X(x) - 5} ${Y(s.lo[i])}h10M${X(x)} ${Y(s.lo[i])}V${Y(s.hi[i])}M${X(x) - 5} ${Y(s.hi[i])}h10`, fill: "none", style: `stroke:var(--c${s.color});stroke-width:1.6`});
    node(svg, "svg:circle", {cx: X(x), cy: Y(s.y[i]), r: s.lo ? 4 : 3, style: `fill:var(--c${s.color});opacity:0.85`});
  });
  for (const s of shown.filter(s => !s.points)) {
    if (s.lo && !log) node(svg, "svg:path", {d: band(s, X, Y), style: `fill:var(--c${s.color});opacity:0.15`});
    node(svg, "svg:path", {d: path(s, X, Y, log), fill: "none", "stroke-linejoin": "round", style: seriesStyle(s)});
    if (s.x.length <= 40 && !s.thin) s.x.forEach((x, i) => {
      if (s.y[i] !== null && (!log || s.y[i] > 0)) node(svg, "svg:circle", {cx: X(x), cy: Y(s.y[i]), r: 2.2, style: `fill:var(--c${s.color})`});
    });
  }
  if (spec.series.every(s => s.points)) hoverPoints(figure, svg, spec, shown, X, Y);
  else hover(figure, svg, spec, shown, area, X, Y, log);
}

// spec_of(): the chart's spec now (sections with a slider change it). Returns a function that draws again.
function lineChart(figure, spec_of, canLog) {
  const hidden = new Set(), first = spec_of();
  let log = false, width = 0;
  const draw = () => { if (width) drawLines(figure, holder, spec_of(), hidden, log, width); };
  const caption = node(figure, "figcaption", {}, first.title);
  if (first.ylabel) node(caption, "label", {class: "log"}, first.ylabel);
  if (canLog) {
    const label = node(caption, "label", {class: "log"}), box = node(label, "input", {type: "checkbox"});
    node(label, "span", {}, "log");
    box.onchange = () => { log = box.checked; draw(); };
  }
  const holder = node(figure, "div", {class: "plot"});
  legend(figure, first, hidden, draw);
  node(figure, "div", {class: "tip"}).hidden = true;
  onWidth(figure, w => { width = w; draw(); });
  return draw;
}

// ---- matrices: {title, xlabel, ylabel, low, high, chance, rows, columns, marks = {rows = [..], columns = [..]}}; matrix_of() -> [[..]]

function drawBar(svg, spec, x, top, height) {
  const steps = 40, y = v => top + height * (1 - (v - spec.low) / (spec.high - spec.low));
  for (let i = 0; i < steps; i++)
    node(svg, "svg:rect", {x, y: top + height * (1 - (i + 1) / steps), width: 12, height: height / steps + 0.6, fill: viridis((i + 0.5) / steps)});
  for (const v of ticks(spec.low, spec.high, 4)) node(svg, "svg:text", {x: x + 17, y: y(v) + 4, class: "tick"}, show(v));
  if (spec.chance === undefined || spec.chance === null) return;
  node(svg, "svg:path", {d: `M${x - 5} ${y(spec.chance) - 4}L${x} ${y(spec.chance)}L${x - 5} ${y(spec.chance) + 4}Z`, class: "chance"});
  node(svg, "svg:line", {x1: x, x2: x + 12, y1: y(spec.chance), y2: y(spec.chance), class: "chance"});
}

function drawMatrix(figure, holder, spec, matrix, width) {
  clear(holder);
  const tip = figure.querySelector(".tip"), n = matrix.length, m = matrix[0].length, left = spec.left || 40, bar = 56;
  const cell = Math.min(spec.most || 38, Math.max(3, (width - left - bar) / (spec.left ? m : Math.max(n, m))));
  const top = 9, height = top + n * cell + 40, every = Math.max(1, Math.ceil(20 / cell)), digits = cell >= 26;
  const svg = node(holder, "svg:svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": spec.title});
  matrix.forEach((row, i) => row.forEach((v, j) => {
    const known = v !== null && isFinite(v), at = (v - spec.low) / (spec.high - spec.low);
    const rect = node(svg, "svg:rect", {x: left + j * cell, y: top + i * cell, width: cell + 0.4, height: cell + 0.4, fill: known ? viridis(at) : "var(--missing)"});
    if (digits) node(svg, "svg:text", {x: left + (j + 0.5) * cell, y: top + (i + 0.5) * cell + 3.5, class: "cell", style: "fill:" + (known && at > 0.6 ? "#000" : "#fff")},
                     known ? v.toFixed(2).replace(/^(-?)0\./, "$1.") : "–");
    rect.onpointerenter = () => {
      clear(tip);
      node(tip, "b", {}, `${spec.ylabel} ${spec.rows[i]}, ${spec.xlabel} ${spec.columns[j]}`);
      node(tip, "div", {}, show(v));
      tip.hidden = false;
      tip.style.left = Math.max(0, Math.min(figure.clientWidth - tip.offsetWidth, left + (j + 1) * cell)) + "px";
      tip.style.top = svg.offsetTop + (i + 1) * cell + 8 + "px";
    };
  }));
  svg.onpointerleave = () => { tip.hidden = true; };
  const marks = spec.marks || {rows: [], columns: []};
  spec.rows.forEach((name, i) => {
    if (i % every === 0) node(svg, "svg:text", {x: left - 7, y: top + (i + 0.5) * cell + 4, class: "tick end" + (marks.rows.includes(i) ? " marked" : "")}, name);
    if (marks.rows.includes(i)) node(svg, "svg:rect", {x: left - 4, width: 3, y: top + 1 + i * cell, height: cell - 2, class: "mark"});
  });
  spec.columns.forEach((name, j) => {
    if (j % every === 0) node(svg, "svg:text", {x: left + (j + 0.5) * cell, y: top + n * cell + 17, class: "tick middle" + (marks.columns.includes(j) ? " marked" : "")}, name);
    if (marks.columns.includes(j)) node(svg, "svg:rect", {x: left + 1 + j * cell, width: cell - 2, y: top + 1 + n * cell, height: 3, class: "mark"});
  });
  node(svg, "svg:text", {x: left + m * cell / 2, y: top + n * cell + 34, class: "label middle"}, spec.xlabel);
  node(svg, "svg:text", {x: 11, y: top + n * cell / 2, class: "label middle", transform: `rotate(-90 11 ${top + n * cell / 2})`}, spec.ylabel);
  drawBar(svg, spec, left + m * cell + 12, top, n * cell);
}

function matrixChart(figure, spec, matrix_of) {
  let width = 0;
  node(figure, "figcaption", {}, spec.title);
  const holder = node(figure, "div", {class: "plot"});
  node(figure, "div", {class: "tip"}).hidden = true;
  const draw = () => { if (width) drawMatrix(figure, holder, spec, matrix_of(), width); };
  onWidth(figure, w => { width = w; draw(); });
  return draw;
}

// ---- the page

// The slider of a section over a list of epochs: changed(place) is called at once and at every move.
function slider(section, epochs, changed) {
  const input = section.querySelector("input[type=range]"), out = section.querySelector("output");
  if (!input) return changed(epochs.length - 1);
  const look = () => { out.textContent = epochs[input.value]; changed(Number(input.value)); };
  input.oninput = look;
  look();
}

function section(id, fill) {
  const found = document.getElementById(id);
  if (found) fill(found, index => found.querySelector(`figure[data-chart="${index}"]`));
}

section("comparison", (_, figure) => (data.comparison || []).forEach((spec, i) => lineChart(figure(i), () => spec, false)));

section("curves", (_, figure) => data.curves.forEach((spec, i) => lineChart(figure(i), () => spec, true)));

section("layers", (found, figure) => {
  let place = data.layers.epochs.length - 1;
  const redraw = data.layers.charts.map((chart, i) => lineChart(figure(i), () => ({
    ...chart, series: chart.series.map(s => ({...s, x: s.values[place].map((_, layer) => layer), y: s.values[place]})),
  })));
  slider(found, data.layers.epochs, now => { place = now; redraw.forEach(draw => draw()); });
});

section("maps", (found, figure) => {
  let place = data.maps.epochs.length - 1;
  const redraw = data.maps.charts.map((chart, i) => matrixChart(figure(i), chart, () => chart.matrices[chart.matrices.length === 1 ? 0 : place]));
  slider(found, data.maps.epochs, now => { place = now; redraw.forEach(draw => draw()); });
});
