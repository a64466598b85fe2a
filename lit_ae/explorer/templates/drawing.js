// Colours, images, bar charts and random numbers.
"use strict";

const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
const BARS = 12; // values of a vector that a bar chart shows

const number = value => (Math.abs(value) >= 0.001 && Math.abs(value) < 10000) || value === 0
  ? String(+value.toPrecision(3)) : value.toExponential(1);

function element(kind, attributes = {}, ...inside) {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && name !== "list") made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...inside);
  return made;
}

// A colour between the first and the last of `CIVIDIS` for a share from 0 to 1
function shade(share) {
  const place = Math.min(Math.max(share, 0), 1) * (CIVIDIS.length - 1), at = Math.min(Math.floor(place), CIVIDIS.length - 2);
  const [from, to] = [CIVIDIS[at], CIVIDIS[at + 1]].map(c => [1, 3, 5].map(i => parseInt(c.slice(i, i + 2), 16)));
  return `rgb(${from.map((value, i) => Math.round(value + (place - at) * (to[i] - value)))})`;
}

// -- samples ---------------------------------------------------------------------------------------------------------

// An element that shows values [C, H, W] as an image or values [D] as bars, with a text for screen readers
function picture(facts, values, text, range = facts.range, order = null) {
  if (facts.shape.length !== 3) return bars(facts, values, text, order);
  const [channels, height, width] = facts.shape;
  const canvas = element("canvas", {width, height, className: "image"});
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", text);
  canvas.title = text;
  const image = new ImageData(width, height), pixels = height * width, [low, high] = range;
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) {
      const value = values[(channels === 3 ? c : 0) * pixels + i];
      image.data[4 * i + c] = Math.round(255 * (value - low) / (high - low)); // clamped by its type
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// The features of largest absolute value, the largest first
function largest(values, count = BARS) {
  return [...values.keys()].sort((a, b) => Math.abs(values[b]) - Math.abs(values[a])).slice(0, count);
}

function bars(facts, values, text, order) {
  const shown = order || largest(values), list = element("ol", {className: "bars"});
  list.setAttribute("aria-label", text);
  const scale = Math.max(...shown.map(i => Math.abs(values[i])), 1e-9);
  for (const i of shown) {
    const bar = element("span", {className: values[i] < 0 ? "bar below" : "bar"});
    bar.style.width = `${(100 * Math.abs(values[i])) / scale}%`;
    const name = facts.features[i] || `feature ${i}`;
    list.append(element("li", {title: name}, element("span", {className: "name"}, name), element("span", {className: "room"}, bar),
      element("span", {className: "value"}, number(values[i]))));
  }
  return list;
}

function figure(inside, caption) {
  return element("figure", {}, inside, element("figcaption", {}, caption));
}

// Peak signal-to-noise ratio in dB, at most 100; the peak is the range of the data
function psnr(a, b, range) {
  let error = 0;
  for (let i = 0; i < a.length; i++) error += (a[i] - b[i]) ** 2;
  return Math.min(100, 10 * Math.log10((range[1] - range[0]) ** 2 / (error / a.length || 1e-30)));
}

// -- points ----------------------------------------------------------------------------------------------------------

// A mark at (x, y): circle, square or triangle, so that more labels than colours stay apart
function mark(context, x, y, size, kind) {
  context.beginPath();
  if (kind % 3 === 0) context.arc(x, y, size, 0, 7);
  else if (kind % 3 === 1) context.rect(x - size, y - size, 2 * size, 2 * size);
  else {
    context.moveTo(x, y - 1.3 * size);
    context.lineTo(x + 1.2 * size, y + size);
    context.lineTo(x - 1.2 * size, y + size);
    context.closePath();
  }
}

// -- random numbers --------------------------------------------------------------------------------------------------

// Numbers from [0, 1), the same for the same seed (mulberry32)
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function normals(n, random) {
  return Float32Array.from({length: n}, () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
}

// A code from a sampler: mean + ε root, with root [D, D] symmetric; of a mixture after its component is drawn
function draw(sampler, size, random) {
  if (sampler.codes) {
    const row = Math.floor(random() * sampler.codes.shape[0]);
    return sampler.codes.data.slice(row * size, row * size + size);
  }
  const noise = normals(size, random);
  if (!sampler.root && !sampler.roots) return noise;
  let component = 0;
  if (sampler.weights) {
    const weights = sampler.weights.data;
    for (let rest = random() - weights[0]; rest >= 0 && component < weights.length - 1;) rest -= weights[++component];
  }
  const mean = (sampler.mean || sampler.means).data.subarray(component * size);
  const root = (sampler.root || sampler.roots).data.subarray(component * size * size);
  return Float32Array.from({length: size}, (_, d) => {
    let sum = mean[d];
    for (let j = 0; j < size; j++) sum += noise[j] * root[j * size + d];
    return sum;
  });
}
