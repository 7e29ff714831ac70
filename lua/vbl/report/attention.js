// The attention view of the report: choose a pair, a layer and a head; click a word or a patch to see what it attends to, in the text and in the image.
// Tints compare between layers: none at an even share of the attention or less, full at eight times as much, by the logarithm between.
"use strict";
const FULL = 8;
const tint = (weight, count) => Math.max(0, Math.min(1, Math.log(Math.max(weight * count, 1e-9)) / Math.log(FULL)));

// The probabilities of a map, decoded once: at(head, row) is a list; head -1 is the mean of all.
function decoded(map) {
  if (map.at) return map;
  const bytes = Uint8Array.from(atob(map.p), c => c.charCodeAt(0)), {heads, rows, columns} = map;
  const one = (h, i) => Array.from({length: columns}, (_, j) => bytes[(h * rows + i) * columns + j] / 255 * map.top[h * rows + i]);
  map.at = (h, i) => {
    if (h >= 0 && h < heads) return one(h, i);
    const lists = Array.from({length: heads}, (_, k) => one(k, i));
    return lists[0].map((_, j) => lists.reduce((sum, list) => sum + list[j], 0) / heads);
  };
  return map;
}

function options(select, list) {
  clear(select);
  list.forEach(([value, text]) => node(select, "option", {value}, text));
}

function describe(block) {
  const kinds = block.maps.map(m => m.query + m.key);
  if (block.name === "rollout") return "rollout of all layers";
  const text = {textvision: "text → image", visiontext: "image → text", texttext: "within the text", visionvision: "within the image"};
  return block.name + ": " + (kinds.length === 4 ? "text and image" : kinds.length === 2 && kinds.includes("textvision") ? "text ↔ image" : kinds.map(k => text[k]).join(", "));
}

function attentionView(found, views) {
  const pick = name => found.querySelector(`[data-pick=${name}]`), pairs = pick("pair"), layers = pick("layer"), heads = pick("head");
  const picture = pick("picture"), words = pick("words"), said = pick("said");
  const state = {view: views[0], block: null, attribution: null, head: -1, query: "text", at: 0};

  // What is shown: {text: weights or null, vision: weights or null}.
  function weights() {
    if (state.attribution) return {text: state.attribution.text, vision: state.attribution.vision};
    const shown = {text: null, vision: null};
    for (const map of state.block.maps) if (map.query === state.query) shown[map.key] = decoded(map).at(map.heads === 1 ? 0 : state.head, state.at);
    return shown;
  }

  const share = list => { const sum = list.reduce((a, b) => a + b, 0); return list.map(v => sum > 0 ? v / sum : 0); };

  function drawPicture(vision) {
    clear(picture);
    const [rows, columns] = state.view.grid, size = 320, h = size / rows, w = size / columns, own = state.query === "vision" && !state.attribution;
    const svg = node(picture, "svg:svg", {viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": state.view.caption});
    node(svg, "svg:image", {href: `data:image/${state.view.image.format};base64,${state.view.image.data}`, width: size, height: size, opacity: vision ? 0.6 : 1,
                            style: state.view.image.format === "png" ? "image-rendering:pixelated" : ""});
    const even = vision && (state.attribution ? share(vision) : vision);
    for (let k = 0; k < rows * columns; k++) {
      const rect = node(svg, "svg:rect", {x: (k % columns) * w, y: Math.floor(k / columns) * h, width: w, height: h, class: "patch" + (own && state.at === k + 1 ? " chosen" : ""),
                                          fill: "#d01c24", "fill-opacity": even ? 0.85 * tint(even[k + 1], even.length) : 0});
      node(rect, "svg:title", {}, `patch ${Math.floor(k / columns) + 1}, ${k % columns + 1}` + (vision ? ": " + show(vision[k + 1]) : ""));
      rect.onclick = () => choose("vision", k + 1);
    }
  }

  function chip(parent, text, weight, count, chosen, onclick) {
    const button = node(parent, "button", {type: "button", "aria-pressed": String(chosen)});
    node(button, "span", {}, text);
    if (weight !== null) {
      node(button, "small", {}, show(Number(weight.toPrecision(2))));
      button.style.background = `rgba(208,28,36,${(0.75 * tint(weight, count)).toFixed(3)})`;
    }
    if (onclick) button.onclick = onclick;
  }

  function drawWords(text, vision) {
    clear(words);
    const even = text && (state.attribution ? share(text) : text), asks = q => !state.attribution && state.query === q;
    state.view.words.forEach((word, t) => chip(words, word, even ? even[t] : null, even ? even.length : 1, asks("text") && state.at === t, () => choose("text", t)));
    clear(said);
    const cls = vision && (state.attribution ? null : vision[0]);
    const box = node(said, "div", {class: "words"});
    chip(box, "[CLS] of the image", cls, vision ? vision.length : 1, asks("vision") && state.at === 0, () => choose("vision", 0));
    let line = "";
    if (state.attribution) line = `${state.attribution.name}: ${show(state.attribution.score)}. Shares of what it rests on, by gradient × attention through all layers; CLS left out.`;
    else if (!text && !vision) line = `In this layer no ${state.query === "text" ? "word" : "patch"} asks: choose a ${state.query === "text" ? "patch" : "word"} or another layer.`;
    else {
      const name = state.query === "text" ? `“${state.view.words[state.at]}”` : state.at === 0 ? "the image's [CLS]" : `patch ${state.at}`;
      line = `What ${name} attends to` + (text && vision ? ", in the text and in the image." : text ? ", in the text." : ", in the image.");
    }
    node(said, "p", {class: "note"}, line);
  }

  function draw() {
    const shown = weights();
    drawPicture(shown.vision);
    drawWords(shown.text, shown.vision);
  }

  function choose(query, at) {
    if (state.attribution) chooseLayer(String(state.view.blocks.length - 1));
    Object.assign(state, {query, at});
    draw();
  }

  function chooseLayer(value) {
    layers.value = value;
    const a = value.startsWith("a") ? Number(value.slice(1)) : -1;
    state.attribution = a >= 0 ? state.view.attributions[a] : null;
    state.block = a >= 0 ? null : state.view.blocks[Number(value)];
    const count = state.block ? Math.max(...state.block.maps.map(m => m.heads)) : 1;
    options(heads, [["-1", "mean of the heads"]].concat(count > 1 ? Array.from({length: count}, (_, h) => [String(h), "head " + h]) : []));
    if (state.head >= count) state.head = -1;
    heads.value = String(count > 1 ? state.head : -1);
    heads.disabled = count === 1;
  }

  function choosePair(i) {
    const last = layers.value;
    state.view = views[i];
    options(layers, state.view.blocks.map((b, k) => [String(k), describe(b)]).concat(state.view.attributions.map((a, k) => ["a" + k, "attribution: " + a.name])));
    // First the last layer in which words look at the image.
    const cross = state.view.blocks.findLastIndex(b => b.name !== "rollout" && b.maps.some(m => m.query === "text" && m.key === "vision"));
    chooseLayer(last || String(cross >= 0 ? cross : state.view.blocks.length - 1));
    if (state.query === "text") state.at = Math.min(state.at, state.view.words.length - 1);
    draw();
    entropy();
  }

  // The word that looks at one place of the image the most.
  function sharpest() {
    const map = state.block && state.block.maps.find(m => m.query === "text" && m.key === "vision");
    if (!map) return Math.min(1, state.view.words.length - 1);
    const most = state.view.words.map((word, t) => /^\[.*\]$/.test(word) ? 0 : Math.max(...decoded(map).at(-1, t)));
    return most.indexOf(Math.max(...most));
  }

  const table = found.querySelector("figure");
  let redraw = null;
  function entropy() {
    const rows = state.view.entropy, columns = Math.max(...rows.map(r => r.heads.length));
    const matrix = () => state.view.entropy.map(r => Array.from({length: columns}, (_, h) => h < r.heads.length ? r.heads[h] : null));
    if (redraw) return redraw();
    redraw = matrixChart(table, {title: "Entropy of the heads (0: one key, 1: all alike)", low: 0, high: 1, left: 124, most: 26, xlabel: "head", ylabel: "", rows: rows.map(r => r.name),
                                 columns: Array.from({length: columns}, (_, h) => String(h))}, matrix);
  }

  options(pairs, views.map((v, i) => [String(i), v.caption]));
  pairs.onchange = () => choosePair(Number(pairs.value));
  layers.onchange = () => { chooseLayer(layers.value); draw(); };
  heads.onchange = () => { state.head = Number(heads.value); draw(); };
  choosePair(0);
  choose("text", sharpest());
}

(data.attention || []).forEach((run, i) => attentionView(document.querySelector(`[data-attention="${i}"]`), run.pairs));
