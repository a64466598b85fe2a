// One run: its map, the chosen sample, its neighbours, an interpolation, a group, sliders and samples.
"use strict";

const MANY = 20000; // points, above which their density is drawn
const CELL = 4; // px of a cell of the density
const NEAR = 10; // px within which a click means a point
const STILL = 4; // px that a pointer may move in a click
const NEIGHBOURS = 8;
const FRAMES = 9; // of an interpolation
const DRAWS = 16; // samples that are drawn at once, and draws of a posterior
const FIRST = 12; // sliders that are shown at first
const WIDE = 3; // standard deviations of the code to each side of its mean that a slider covers

class Pane {
  constructor(page, run, index) {
    Object.assign(this, {page, run, index, facts: page.facts, times: [], seed: 1, chosen: null, before: null});
    this.group = null; // indices of a group
    this.cursor = null; // index of the sample under the pointer or keyboard
    this.place = null; // point of the map that was decoded
    this.own = null; // code of an image that the user drew
    this.codes = run.codes.data;
    this.count = run.codes.shape[0];
    this.size = run.size;
    this.z = run.mean.data.slice();
    this.label = 0;
    const copy = document.getElementById("pane").content.cloneNode(true);
    this.root = copy.firstElementChild;
    this.root.setAttribute("aria-label", run.title);
    page.main.append(copy);
  }

  part(name) {
    return this.root.querySelector(`[data-part=${name}]`);
  }

  code(i) {
    return this.codes.subarray(i * this.size, (i + 1) * this.size);
  }

  async start() {
    const {run, facts} = this;
    this.part("title").textContent = run.title;
    const where = run.decoder ? "on this page" : "by the server";
    const rounding = run.decoder ? `, with weights as ${run.precision}, ${run.error ? `which changes a decoded value by at most ${number(run.error)}` : "unrounded"}` : "";
    this.part("facts").textContent = `${run.family} with ${run.size} code dimensions, ${run.active} of them with more ` +
      `than a tenth of the largest standard deviation. Decoded ${where}${rounding}.`;
    this.startSliders();
    this.startSamplers();
    if (this.count) {
      this.startMap();
      await this.show(this.z, "mean code");
    } else {
      this.part("mapped").hidden = true;
      await this.show(this.z, "mean of N(0, I)");
    }
    await this.drawSamples();
  }

  // -- decoding ------------------------------------------------------------------------------------------------------

  // The sample of a code; in this page, or by the server if the network is not here
  async decode(z, label = this.label) {
    if (!this.run.decoder) {
      const body = JSON.stringify({run: this.index, z: [[...z]], y: label});
      const answer = await fetch("/decode", {method: "POST", body});
      if (!answer.ok) throw new Error(await answer.text());
      return Float32Array.from((await answer.json()).x[0]);
    }
    const before = performance.now();
    const x = compute(this.run.decoder, z, [this.size], label);
    this.times.push(performance.now() - before);
    if (this.times.length > 40) this.times.shift();
    return x;
  }

  // Milliseconds of a decoding, median of the last ones
  get milliseconds() {
    return [...this.times].sort((a, b) => a - b)[this.times.length >> 1];
  }

  labelOf(i) {
    return this.facts.y ? Math.max(0, this.facts.y.data[i]) : 0;
  }

  async show(z, source) {
    this.z = Float32Array.from(z);
    const order = (this.latest = (this.latest || 0) + 1);
    const x = await this.decode(this.z);
    if (order !== this.latest) return; // a later one is on its way
    this.x = x;
    this.part("decoded").replaceChildren(figure(picture(this.facts, x, `decoded: ${source}`), source));
    this.part("time").textContent = this.run.decoder ? `One decoding takes ${number(this.milliseconds)} ms in this browser.` : "";
    for (const [d, slider] of this.sliders) {
      slider.value = this.z[d];
      slider.nextElementSibling.textContent = number(this.z[d]);
    }
  }

  startSliders() {
    const {run} = this, box = this.part("sliders"), more = this.part("more");
    this.sliders = new Map();
    for (const [rank, d] of run.order.entries()) {
      const middle = run.mean.data[d], half = WIDE * Math.max(run.spread.data[d], 1e-3);
      const slider = element("input", {type: "range", min: middle - half, max: middle + half, step: "any", value: middle});
      slider.setAttribute("aria-label", `code dimension ${d}`);
      slider.addEventListener("input", () => {
        const z = this.z.slice();
        z[d] = +slider.value;
        this.place = null;
        this.drawMarks();
        this.show(z, `dimension ${d} at ${number(z[d])}`);
      });
      const row = element("label", {}, `z ${d}`, slider, element("output", {}, number(middle)));
      row.hidden = rank >= FIRST;
      box.append(row);
      this.sliders.set(d, slider);
    }
    more.hidden = run.order.length <= FIRST;
    more.textContent = `All ${run.order.length} dimensions`;
    more.addEventListener("click", () => {
      for (const row of box.children) row.hidden = false;
      more.hidden = true;
    });
    this.part("reset").addEventListener("click", () => {
      this.place = null;
      this.drawMarks();
      this.show(run.mean.data, "mean code");
    });
    if (run.conditional) {
      const select = this.part("label");
      this.part("class").hidden = false;
      for (let k = 0; k < run.conditional; k++) select.append(new Option(this.facts.classes[k] ?? k, k));
      select.addEventListener("change", () => {
        this.label = +select.value;
        this.show(this.z, `class ${select.selectedOptions[0].text}`);
        this.drawSamples();
      });
    }
  }

  startSamplers() {
    const select = this.part("sampler");
    for (const [i, sampler] of this.run.samplers.entries()) {
      const fitted = sampler.root || sampler.roots ? `${sampler.name} fitted to training codes` : sampler.name;
      select.append(new Option(fitted, i));
    }
    select.addEventListener("change", () => this.drawSamples());
    this.part("draw").addEventListener("click", () => {
      this.seed += 1;
      this.drawSamples();
    });
  }

  async drawSamples() {
    const sampler = this.run.samplers[+this.part("sampler").value], random = generator(this.seed), made = [];
    for (let i = 0; i < DRAWS; i++) {
      const label = this.run.conditional ? (this.label + i) % this.run.conditional : 0;
      const x = await this.decode(draw(sampler, this.size, random), label);
      made.push(figure(picture(this.facts, x, `sample ${i + 1} from ${sampler.name}`),
        this.run.conditional ? this.facts.classes[label] ?? label : ""));
    }
    this.part("samples").replaceChildren(...made);
  }

  // -- the map -------------------------------------------------------------------------------------------------------

  startMap() {
    const {run, facts} = this, order = run.order, maps = [];
    if (this.size > 1) maps.push({name: "first two dimensions", dims: [0, 1]});
    if (this.size > 2) maps.push({name: "two most active dimensions", dims: [order[0], order[1]]});
    if (this.size === 1) maps.push({name: "the code, drawn at random heights", dims: [0, null]});
    maps.push(...run.maps);
    this.maps = maps;
    for (const [i, map] of maps.entries()) this.part("map").append(new Option(map.name, i));
    this.part("map").value = Math.max(0, maps.findIndex(map => map.name === "PCA"));
    this.colours = {};
    if (facts.y) this.colours.label = null;
    for (const [name, values] of [...Object.entries(run.values), ...Object.entries(facts.factors)]) this.colours[name] = values.data;
    for (const name of Object.keys(this.colours)) this.part("colour").append(new Option(name, name));
    if (!Object.keys(this.colours).length) this.part("colour").append(new Option("none", ""));
    const marks = this.part("marks");
    marks.setAttribute("aria-label", `Map of ${this.count} codes of ${run.title}. Arrow keys go to the nearest sample in ` +
      "that direction, Enter chooses it, Shift with arrow keys decodes a moving place, Control with arrow keys moves the " +
      "map, plus and minus magnify and reduce it, 0 shows the whole, Escape dissolves the group.");
    this.part("closer").addEventListener("click", () => this.zoom(STEP));
    this.part("farther").addEventListener("click", () => this.zoom(1 / STEP));
    this.part("whole").addEventListener("click", () => this.zoom(0));
    this.part("map").addEventListener("change", () => this.placePoints());
    this.part("colour").addEventListener("change", () => this.drawPoints());
    const name = `mode-${this.index}`;
    for (const radio of this.part("modes").querySelectorAll("input")) radio.name = name;
    this.listen(marks);
    new ResizeObserver(() => this.drawPoints()).observe(marks);
    this.placePoints();
  }

  get map() {
    return this.maps[+this.part("map").value];
  }

  get mode() {
    return this.part("modes").querySelector("input:checked").value;
  }

  // Where a code lies on the map; null on an embedding, which has no formula for new codes
  project(z) {
    const {map} = this;
    if (map.points) return null;
    if (map.dims) return [z[map.dims[0]], map.dims[1] === null ? 0.5 : z[map.dims[1]]];
    const [mean, axes] = [map.mean.data, map.axes.data], point = [0, 0];
    for (let d = 0; d < this.size; d++) {
      point[0] += (z[d] - mean[d]) * axes[d];
      point[1] += (z[d] - mean[d]) * axes[this.size + d];
    }
    return point;
  }

  // A code at a point of the map
  invert([x, y]) {
    const {map, size} = this;
    if (map.dims) { // the other dimensions stay as they are on the sliders
      const z = this.z.slice();
      z[map.dims[0]] = x;
      if (map.dims[1] !== null) z[map.dims[1]] = y;
      return z;
    }
    if (map.axes) {
      return Float32Array.from({length: size}, (_, d) => map.mean.data[d] + x * map.axes.data[d] + y * map.axes.data[size + d]);
    }
    const found = this.nearest(i => (this.points[2 * i] - x) ** 2 + (this.points[2 * i + 1] - y) ** 2, 5);
    const z = new Float32Array(size), total = found.reduce((sum, [square]) => sum + 1 / (square + 1e-12), 0);
    for (const [square, i] of found) for (let d = 0; d < size; d++) z[d] += this.code(i)[d] / (square + 1e-12) / total;
    return z;
  }

  // [square, index] of the samples of smallest square, the smallest first
  nearest(square, count, but = -1) {
    const best = [];
    for (let i = 0; i < this.count; i++) {
      if (i === but) continue;
      const value = square(i);
      if (best.length === count && value >= best[count - 1][0]) continue;
      best.push([value, i]);
      best.sort((a, b) => a[0] - b[0]);
      if (best.length > count) best.pop();
    }
    return best;
  }

  placePoints() {
    const {map} = this, points = new Float32Array(2 * this.count);
    if (map.points) points.set(map.points.data);
    else {
      const random = generator(0);
      for (let i = 0; i < this.count; i++) {
        const [x, y] = this.project(this.code(i));
        points.set([x, map.dims && map.dims[1] === null ? random() : y], 2 * i);
      }
    }
    this.points = points;
    this.view = new View(points);
    this.place = null;
    this.part("how").textContent = map.points
      ? "A click on an empty place decodes the mean of the five nearest codes, weighted by closeness: this map has no inverse."
      : map.dims
        ? `Axes: dimensions ${map.dims.map(d => d ?? "none").join(" and ")}. A click on an empty place ` +
          "decodes it; the other dimensions stay as on the sliders."
        : "A click on an empty place decodes the code there in the plane of the two principal components.";
    this.drawPoints();
  }

  // From coordinates of the map to pixels, and back
  pixel(x, y) {
    return this.view.pixel(x, y, this.room);
  }

  point(px, py) {
    return this.view.point(px, py, this.room);
  }

  // Larger or smaller about a pixel, by default the middle
  zoom(factor, px = this.room.width / 2, py = this.room.height / 2) {
    this.view.zoom(factor, px, py, this.room);
    this.moved();
  }

  pan(dx, dy) {
    this.view.pan(dx, dy, this.room);
    this.moved();
  }

  moved() {
    this.hover(null);
    this.drawPoints();
    this.page.say(`The map is magnified ${number(this.view.magnification)} times.`);
  }

  context(name) {
    const canvas = this.part(name), box = canvas.getBoundingClientRect(), scale = window.devicePixelRatio || 1;
    this.room = {width: box.width || 1, height: box.height || 1};
    canvas.width = this.room.width * scale;
    canvas.height = this.room.height * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    return context;
  }

  // Colour and mark of every sample
  look() {
    const name = this.part("colour").value, values = this.colours[name], {palette, y} = this.facts;
    if (name === "label") {
      return i => (y.data[i] < 0 ? ["#999999", 0] : [palette[y.data[i] % palette.length], Math.floor(y.data[i] / palette.length)]);
    }
    if (!values) return () => [palette[0], 0];
    const sorted = Float32Array.from(values).sort(), low = sorted[Math.floor(0.02 * (sorted.length - 1))];
    const high = sorted[Math.ceil(0.98 * (sorted.length - 1))];
    this.scale = [low, high];
    return i => [shade((values[i] - low) / (high - low || 1)), 0];
  }

  drawPoints() {
    const context = this.context("points"), look = this.look(), group = this.group && new Set(this.group);
    this.pixels = new Float32Array(2 * this.count);
    for (let i = 0; i < this.count; i++) this.pixels.set(this.pixel(this.points[2 * i], this.points[2 * i + 1]), 2 * i);
    this.density = this.count > MANY;
    if (this.density) this.drawDensity(context, look, group);
    else {
      for (let i = 0; i < this.count; i++) {
        const [colour, kind] = look(i);
        context.globalAlpha = group && !group.has(i) ? 0.12 : 0.8;
        context.fillStyle = colour;
        mark(context, this.pixels[2 * i], this.pixels[2 * i + 1], this.count > 5000 ? 1.8 : 3, kind);
        context.fill();
      }
    }
    this.drawLegend();
    this.drawMarks();
  }

  // Cells coloured by one of their samples at random and as opaque as the logarithm of their number
  drawDensity(context, look, group) {
    const cells = new Map(), columns = Math.ceil(this.room.width / CELL);
    for (let i = 0; i < this.count; i++) {
      const [px, py] = this.pixels.subarray(2 * i, 2 * i + 2);
      if ((group && !group.has(i)) || px < 0 || py < 0 || px >= this.room.width || py >= this.room.height) continue;
      const cell = Math.floor(py / CELL) * columns + Math.floor(px / CELL);
      const known = cells.get(cell);
      if (known) known[0] += 1; else cells.set(cell, [1, i]); // samples are in random order
    }
    const most = Math.log1p(Math.max(...[...cells.values()].map(([n]) => n), 1));
    for (const [cell, [n, i]] of cells) {
      context.globalAlpha = 0.15 + (0.85 * Math.log1p(n)) / most;
      context.fillStyle = look(i)[0];
      context.fillRect((cell % columns) * CELL, Math.floor(cell / columns) * CELL, CELL, CELL);
    }
  }

  drawLegend() {
    const box = this.part("legend"), name = this.part("colour").value, {facts} = this;
    if (name === "label") {
      box.replaceChildren(...facts.classes.map((title, k) => {
        const canvas = element("canvas", {width: 14, height: 14}), context = canvas.getContext("2d");
        context.fillStyle = facts.palette[k % facts.palette.length];
        mark(context, 7, 7, 5, Math.floor(k / facts.palette.length));
        context.fill();
        const all = () => [...Array(this.count).keys()].filter(i => facts.y.data[i] === k);
        return element("button", {type: "button", title: `make the samples of ${title} the group`,
          onclick: () => this.page.select(all())}, canvas, ` ${title}`);
      }));
    } else if (this.colours[name]) {
      const bar = element("span", {className: "scale"});
      bar.style.background = `linear-gradient(to right, ${CIVIDIS.join(",")})`;
      box.replaceChildren(number(this.scale[0]), bar, `${number(this.scale[1])}, from the 2nd to the 98th percentile`);
    } else box.replaceChildren();
    if (this.density) box.append(" The opacity of a cell grows with the number of its samples.");
  }

  drawMarks() {
    if (!this.count || !this.points) return;
    const context = this.context("marks");
    const ring = (i, colour, size) => {
      context.strokeStyle = colour;
      context.lineWidth = 2.5;
      mark(context, this.pixels[2 * i], this.pixels[2 * i + 1], size, 0);
      context.stroke();
    };
    const cross = (px, py, colour) => {
      context.strokeStyle = colour;
      context.lineWidth = 2.5;
      context.beginPath();
      for (const [dx, dy] of [[7, 7], [7, -7]]) {
        context.moveTo(px - dx, py - dy);
        context.lineTo(px + dx, py + dy);
      }
      context.stroke();
    };
    for (const i of this.neighbours || []) ring(i, "#777777", 5);
    if (this.before !== null) ring(this.before, "#882255", 8);
    if (this.chosen !== null) ring(this.chosen, "#000000", 8);
    if (this.cursor !== null) ring(this.cursor, "#0072b2", 6);
    if (this.place) cross(...this.pixel(...this.place), "#000000");
    const own = this.own && this.project(this.own);
    if (own) cross(...this.pixel(...own), "#bd1f01");
    if (this.path) {
      context.strokeStyle = "#000000";
      context.setLineDash([5, 4]);
      context.beginPath();
      for (const [px, py] of this.path) context.lineTo(px, py);
      context.closePath();
      context.stroke();
    }
  }

  // -- pointer and keyboard ------------------------------------------------------------------------------------------

  listen(canvas) {
    const at = event => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointermove", event => {
      const [px, py] = at(event);
      if (this.grip) {
        const [dx, dy] = [px - this.grip[0], py - this.grip[1]];
        if (!this.dragged && Math.hypot(dx, dy) < STILL) return undefined;
        Object.assign(this, {dragged: true, grip: [px, py]});
        return this.pan(dx, dy);
      }
      if (!this.path) return this.hover(this.under(px, py), px, py);
      if (this.mode === "lasso") this.path.push([px, py]);
      else this.path = this.rectangle(this.path[0], [px, py]);
      return this.drawMarks();
    });
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("pointerdown", event => {
      canvas.setPointerCapture(event.pointerId);
      if (this.mode === "choose") Object.assign(this, {grip: at(event), dragged: false});
      else this.path = [at(event)];
    });
    canvas.addEventListener("pointerup", event => {
      if (this.path) return this.closePath();
      this.grip = null;
      if (this.dragged) return undefined;
      const [px, py] = at(event), i = this.under(px, py);
      if (i !== null) return this.page.choose(i);
      return this.decodePlace(this.point(px, py));
    });
    canvas.addEventListener("pointercancel", () => {
      this.path = this.grip = null;
      this.drawMarks();
    });
    canvas.addEventListener("wheel", event => { // without Control it scrolls the page
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 250), ...at(event)); // a trackpad sends many small steps
    }, {passive: false});
    canvas.addEventListener("keydown", event => this.key(event));
  }

  rectangle([left, top], [right, bottom]) {
    return [[left, top], [right, top], [right, bottom], [left, bottom]];
  }

  // The sample under a pixel; null: none is near
  under(px, py) {
    const [[square, i] = [Infinity, null]] = this.nearest(
      j => (this.pixels[2 * j] - px) ** 2 + (this.pixels[2 * j + 1] - py) ** 2, 1);
    return square <= NEAR ** 2 ? i : null;
  }

  hover(i, px = 0, py = 0) {
    const tip = this.part("tip");
    if (i !== this.cursor) {
      this.cursor = i;
      this.drawMarks();
      tip.hidden = i === null;
      if (i !== null) tip.replaceChildren(picture(this.facts, this.page.sample(i), `input ${i}`), this.about(i));
    }
    if (i === null) return;
    tip.style.left = `${Math.min(px + 14, Math.max(0, this.room.width - 195))}px`;
    tip.style.top = `${Math.min(py + 14, Math.max(0, this.room.height - 150))}px`;
  }

  about(i) {
    const parts = [`sample ${i}`];
    if (this.facts.y && this.facts.y.data[i] >= 0) parts.push(`label ${this.facts.classes[this.facts.y.data[i]]}`);
    const name = this.part("colour").value;
    if (this.colours[name]) parts.push(`${name} ${number(this.colours[name][i])}`);
    return parts.join(", ");
  }

  key(event) {
    const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}, step = steps[event.key];
    if (event.key === "Escape") return this.page.select(null);
    if (event.key === "Enter" && this.cursor !== null) return this.page.choose(this.cursor);
    if (event.key === "+" || event.key === "=") return this.zoom(STEP);
    if (event.key === "-") return this.zoom(1 / STEP);
    if (event.key === "0") return this.zoom(0);
    if (!step) return undefined;
    event.preventDefault();
    if (event.ctrlKey) return this.pan(-0.2 * this.room.width * step[0], -0.2 * this.room.height * step[1]);
    if (event.shiftKey) {
      const {width, height} = this.room, from = this.place ? this.pixel(...this.place) : [width / 2, height / 2];
      return this.decodePlace(this.point(from[0] + 0.04 * width * step[0], from[1] + 0.04 * height * step[1]));
    }
    const from = this.cursor ?? this.chosen ?? 0, [x, y] = this.pixels.subarray(2 * from, 2 * from + 2);
    const [[square, to] = [Infinity, from]] = this.nearest(i => {
      const dx = this.pixels[2 * i] - x, dy = this.pixels[2 * i + 1] - y, along = dx * step[0] + dy * step[1];
      return along > Math.abs(dx * step[1] + dy * step[0]) ? dx * dx + dy * dy : Infinity; // within 45° of the arrow
    }, 1, from);
    const next = square < Infinity ? to : from, [px, py] = this.pixels.subarray(2 * next, 2 * next + 2), {width, height} = this.room;
    if (px < 0 || py < 0 || px > width || py > height) this.pan(width / 2 - px, height / 2 - py); // into sight
    this.hover(next, this.pixels[2 * next], this.pixels[2 * next + 1]);
    return this.page.say(this.about(next));
  }

  closePath() {
    const path = this.path, inside = [];
    this.path = null;
    for (let i = 0; i < this.count; i++) {
      const [x, y] = [this.pixels[2 * i], this.pixels[2 * i + 1]];
      let within = false;
      for (let a = 0, b = path.length - 1; a < path.length; b = a++) {
        const [[ax, ay], [bx, by]] = [path[a], path[b]];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
      }
      if (within) inside.push(i);
    }
    this.page.select(inside.length ? inside : null);
  }

  // -- what was chosen -----------------------------------------------------------------------------------------------

  decodePlace(point) {
    this.place = point;
    this.drawMarks();
    return this.show(this.invert(point), `the place (${number(point[0])}, ${number(point[1])}) of the map`);
  }

  async choose(i) {
    if (i !== this.chosen) [this.before, this.chosen] = [this.chosen, i];
    const {facts} = this, x = this.page.sample(i), z = this.code(i), label = this.labelOf(i);
    const order = facts.shape.length === 3 ? null : largest(x);
    this.neighbours = this.nearest(j => this.distance(z, this.code(j)), NEIGHBOURS, i).map(([, j]) => j);
    this.place = null;
    this.drawMarks();
    if (this.run.conditional) {
      this.label = label;
      this.part("label").value = label;
    }
    const made = await this.decode(z, label);
    const shown = [
      figure(picture(facts, x, `input ${i}`, facts.range, order), `input: ${this.about(i)}`),
      figure(picture(facts, made, `reconstruction of ${i}`, facts.range, order), `reconstruction, PSNR ${psnr(x, made, facts.range).toFixed(1)} dB`),
    ];
    if (this.run.std) {
      const spread = await this.spread(i, label), top = spread.reduce((a, b) => Math.max(a, b), 1e-6);
      const what = facts.shape.length === 3 ? "pixel" : "feature";
      shown.push(figure(picture(facts, spread, `standard deviation of each ${what}`, [0, top], order),
        `standard deviation of each ${what} over ${DRAWS} draws of the code, at most ${number(top)}`));
    }
    this.part("chosen").replaceChildren(...shown);
    this.part("neighbours").replaceChildren(...this.neighbours.map(j => {
      const far = Math.sqrt(this.distance(z, this.code(j))), button = element("button", {type: "button", title: "choose this sample",
        onclick: () => this.page.choose(j)}, picture(facts, this.page.sample(j), `neighbour ${j}`));
      return figure(button, `${this.about(j).replace("sample ", "")}, distance ${number(far)}`);
    }));
    await this.show(z, `code of sample ${i}`);
    if (this.before !== null) await this.interpolate(this.before, i);
  }

  distance(a, b) {
    let sum = 0;
    for (let d = 0; d < a.length; d++) sum += (a[d] - b[d]) ** 2;
    return sum;
  }

  // Standard deviation of each decoded value over draws of the posterior
  async spread(i, label) {
    const random = generator(i + 1), std = this.run.std.data.subarray(i * this.size, (i + 1) * this.size), z = this.code(i);
    let sum = null, squares = null;
    for (let k = 0; k < DRAWS; k++) {
      const noise = normals(this.size, random), x = await this.decode(z.map((value, d) => value + std[d] * noise[d]), label);
      sum = sum || new Float64Array(x.length);
      squares = squares || new Float64Array(x.length);
      x.forEach((value, p) => {
        sum[p] += value;
        squares[p] += value * value;
      });
    }
    return Float32Array.from(sum, (value, p) => Math.sqrt(Math.max(0, squares[p] / DRAWS - (value / DRAWS) ** 2)));
  }

  async interpolate(from, to) {
    const {facts} = this, [a, b] = [this.code(from), this.code(to)], made = [];
    const [xa, xb] = [this.page.sample(from), this.page.sample(to)], order = facts.shape.length === 3 ? null : largest(xb);
    for (let k = 0; k < FRAMES; k++) {
      const t = k / (FRAMES - 1), label = this.labelOf(t < 0.5 ? from : to);
      const x = await this.decode(a.map((value, d) => (1 - t) * value + t * b[d]), label);
      const blend = xa.map((value, p) => (1 - t) * value + t * xb[p]);
      made.push(figure(picture(facts, x, `interpolation, share ${t}`, facts.range, order), `${psnr(x, blend, facts.range).toFixed(1)} dB`));
    }
    const note = element("p", {className: "quiet"}, `From sample ${from} to ${to} along a straight line of codes. PSNR against the ` +
      "cross-fade of the two inputs: at both ends that of the reconstruction, between them low if the way is no mere cross-fade.");
    this.part("strip").replaceChildren(...made, note);
  }

  // -- a group -------------------------------------------------------------------------------------------------------

  async select(indices) {
    this.group = indices;
    this.drawPoints();
    const box = this.part("group"), {facts} = this;
    if (!indices) {
      box.replaceChildren(element("p", {className: "quiet"}, "Draw a rectangle or a lasso around points."));
      return;
    }
    const n = indices.length, z = new Float32Array(this.size), x = new Float64Array(product(facts.shape)), squares = x.slice();
    for (const i of indices) {
      this.code(i).forEach((value, d) => (z[d] += value / n));
      this.page.sample(i).forEach((value, p) => {
        x[p] += value / n;
        squares[p] += (value * value) / n;
      });
    }
    const radius = Math.sqrt(indices.reduce((sum, i) => sum + this.distance(this.code(i), z), 0) / n);
    const std = Float32Array.from(x, (value, p) => Math.sqrt(Math.max(0, squares[p] - value * value)));
    const counts = new Map();
    if (facts.y) for (const i of indices) counts.set(facts.y.data[i], (counts.get(facts.y.data[i]) || 0) + 1);
    const decoded = await this.decode(z, facts.y ? Math.max(0, [...counts].sort((a, b) => b[1] - a[1])[0][0]) : 0);
    const top = std.reduce((a, b) => Math.max(a, b), 1e-6), order = facts.shape.length === 3 ? null : largest(x);
    const rows = [...counts].sort((a, b) => b[1] - a[1]).map(([k, count]) => element("tr", {},
      element("td", {}, k < 0 ? "unlabelled" : facts.classes[k]), element("td", {}, String(count)),
      element("td", {}, `${((100 * count) / n).toFixed(1)} %`)));
    const table = element("table", {}, element("caption", {}, "Class shares"), ...rows);
    const save = element("button", {type: "button", onclick: () => this.page.save("group.csv", this.csv(indices))}, "Save as CSV");
    const clear = element("button", {type: "button", onclick: () => this.page.select(null)}, "Dissolve the group");
    box.replaceChildren(
      element("p", {}, `${n} samples; root mean square distance of their codes from the mean code: ${number(radius)}.`),
      element("div", {className: "gallery"},
        figure(picture(facts, x, "mean of the group", facts.range, order), "mean of the inputs"),
        figure(picture(facts, decoded, "decoded mean code of the group", facts.range, order), "decoded mean code"),
        figure(picture(facts, std, "spread of the group", [0, top], order), `standard deviation of the inputs, at most ${number(top)}`),
        ...(rows.length ? [table] : [])),
      element("p", {}, save, " ", clear));
  }

  // A line for each sample: index, label, scores and code
  csv(indices) {
    const quoted = text => `"${String(text).replaceAll('"', '""')}"`;
    const values = Object.entries(this.run.values), {facts} = this;
    const head = ["index", "label", ...values.map(([name]) => quoted(name)), ...Array.from({length: this.size}, (_, d) => `z_${d}`)];
    const lines = indices.map(i => [i, facts.y && facts.y.data[i] >= 0 ? quoted(facts.classes[facts.y.data[i]]) : "",
      ...values.map(([, array]) => array.data[i]), ...this.code(i)].join(","));
    return [head.join(","), ...lines].join("\n") + "\n";
  }

  // -- an image of the user's own ------------------------------------------------------------------------------------

  // Its code and reconstruction as figures; none if the encoder is not on this page
  async encode(values) {
    if (!this.run.encoder) return [];
    const {facts} = this;
    this.own = compute(this.run.encoder, values, facts.shape);
    const x = await this.decode(this.own);
    this.drawMarks();
    await this.show(this.own, "code of your image");
    const [[, near] = [0, null]] = this.count ? this.nearest(i => this.distance(this.own, this.code(i)), 1) : [];
    const made = [figure(picture(facts, x, `reconstruction of your image by ${this.run.title}`),
      `${this.run.title}: reconstruction, PSNR ${psnr(values, x, facts.range).toFixed(1)} dB`)];
    if (near !== null) made.push(figure(picture(facts, this.page.sample(near), `nearest sample ${near}`), `nearest: ${this.about(near)}`));
    return made;
  }
}
