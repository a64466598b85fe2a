// Arrays of the page, and the operations of which networks consist. A value is {data: Float32Array, shape: [...]};
// the shape of one sample, without a batch. `lit_ae/explorer/layers.py` holds the same operations in PyTorch.
"use strict";

// -- arrays ----------------------------------------------------------------------------------------------------------

async function unpack(array) {
  const bytes = Uint8Array.from(atob(array.data), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const kinds = {uint8: Uint8Array, int16: Int16Array, float16: Uint16Array, float32: Float32Array};
  let data = new kinds[array.dtype](buffer);
  if (array.dtype === "float16") data = Float32Array.from(data, half);
  if (array.low) data = await dequantised(array, data);
  return {data, shape: array.shape};
}

// The number that 16 bits stand for
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// Weights from bytes: low + step · byte, with a low and a step for each row
async function dequantised(array, bytes) {
  const low = (await unpack(array.low)).data, step = (await unpack(array.step)).data;
  const length = bytes.length / low.length;
  return Float32Array.from(bytes, (byte, i) => low[Math.floor(i / length)] + step[Math.floor(i / length)] * byte);
}

async function unpackOps(ops) {
  const parts = ops.map(async op => {
    const made = {...op};
    for (const key of ["w", "b", "s"]) if (op[key]) made[key] = await unpack(op[key]);
    return made;
  });
  return Promise.all(parts);
}

// -- operations ------------------------------------------------------------------------------------------------------

const product = shape => shape.reduce((all, n) => all * n, 1);

function each(x, f) {
  const data = new Float32Array(x.data.length);
  for (let i = 0; i < data.length; i++) data[i] = f(x.data[i], i);
  return {data, shape: x.shape};
}

function linear(x, op) {
  const [nOut, nIn] = op.w.shape, w = op.w.data, data = new Float32Array(nOut);
  for (let i = 0, at = 0; i < nOut; i++) {
    let sum = op.b.data[i];
    for (let j = 0; j < nIn; j++) sum += w[at++] * x.data[j];
    data[i] = sum;
  }
  return {data, shape: [nOut]};
}

function conv(x, op) {
  const [, height, width] = x.shape, [nOut, nIn, k] = op.w.shape, {stride, padding} = op, w = op.w.data;
  const h = Math.floor((height + 2 * padding - k) / stride) + 1, v = Math.floor((width + 2 * padding - k) / stride) + 1;
  const data = new Float32Array(nOut * h * v);
  for (let o = 0; o < nOut; o++) for (let r = 0; r < h; r++) for (let c = 0; c < v; c++) {
    let sum = op.b.data[o];
    for (let i = 0; i < nIn; i++) for (let a = 0; a < k; a++) {
      const row = r * stride - padding + a;
      if (row < 0 || row >= height) continue;
      for (let b = 0; b < k; b++) {
        const column = c * stride - padding + b;
        if (column >= 0 && column < width) {
          sum += w[((o * nIn + i) * k + a) * k + b] * x.data[(i * height + row) * width + column];
        }
      }
    }
    data[(o * h + r) * v + c] = sum;
  }
  return {data, shape: [nOut, h, v]};
}

// A transposed convolution: every input value adds a patch to the output
function deconv(x, op) {
  const [nIn, height, width] = x.shape, [, nOut, k] = op.w.shape, {stride, padding} = op, w = op.w.data;
  const h = (height - 1) * stride - 2 * padding + k + op.out_padding;
  const v = (width - 1) * stride - 2 * padding + k + op.out_padding;
  const data = new Float32Array(nOut * h * v);
  for (let o = 0; o < nOut; o++) data.fill(op.b.data[o], o * h * v, (o + 1) * h * v);
  for (let i = 0; i < nIn; i++) for (let r = 0; r < height; r++) for (let c = 0; c < width; c++) {
    const value = x.data[(i * height + r) * width + c];
    if (value === 0) continue; // most are, after a ReLU
    for (let o = 0; o < nOut; o++) for (let a = 0; a < k; a++) {
      const row = r * stride - padding + a;
      if (row < 0 || row >= h) continue;
      for (let b = 0; b < k; b++) {
        const column = c * stride - padding + b;
        if (column >= 0 && column < v) data[(o * h + row) * v + column] += value * w[((i * nOut + o) * k + a) * k + b];
      }
    }
  }
  return {data, shape: [nOut, h, v]};
}

// Rows and columns from (top, left) on; places outside x are 0
function cut(x, top, left, height, width) {
  const [n, h, v] = x.shape, data = new Float32Array(n * height * width);
  for (let i = 0; i < n; i++) for (let r = 0; r < height; r++) for (let c = 0; c < width; c++) {
    const row = r + top, column = c + left;
    if (row >= 0 && row < h && column >= 0 && column < v) {
      data[(i * height + r) * width + c] = x.data[(i * h + row) * v + column];
    }
  }
  return {data, shape: [n, height, width]};
}

function pool(x) {
  const [n, height, width] = x.shape, h = height >> 1, v = width >> 1, data = new Float32Array(n * h * v);
  for (let i = 0; i < n; i++) for (let r = 0; r < h; r++) for (let c = 0; c < v; c++) {
    const at = (i * height + 2 * r) * width + 2 * c;
    data[(i * h + r) * v + c] = Math.max(x.data[at], x.data[at + 1], x.data[at + width], x.data[at + width + 1]);
  }
  return {data, shape: [n, h, v]};
}

function layerNorm(x, op) {
  const n = x.data.length, mean = x.data.reduce((sum, value) => sum + value, 0) / n;
  const variance = x.data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n;
  const scale = 1 / Math.sqrt(variance + op.eps);
  return each(x, (value, i) => (value - mean) * scale * op.s.data[i] + op.b.data[i]);
}

function softmax(x) {
  const top = x.data.reduce((a, b) => Math.max(a, b), -Infinity), powers = each(x, value => Math.exp(value - top));
  const sum = powers.data.reduce((a, b) => a + b, 0);
  return each(powers, value => value / sum);
}

// Each d numbers become the nearest entry of a codebook [K, d]
function quantise(x, op) {
  const [entries, d] = op.w.shape, w = op.w.data, data = new Float32Array(x.data.length);
  for (let at = 0; at < data.length; at += d) {
    let best = 0, least = Infinity;
    for (let k = 0; k < entries; k++) {
      let distance = 0;
      for (let j = 0; j < d; j++) distance += (x.data[at + j] - w[k * d + j]) ** 2;
      if (distance < least) [least, best] = [distance, k];
    }
    data.set(w.subarray(best * d, best * d + d), at);
  }
  return {data, shape: x.shape};
}

const OPS = {
  linear, conv, deconv, pool, softmax, quantise, layer_norm: layerNorm,
  affine: (x, op) => {
    const inside = x.data.length / x.shape[0]; // values of a channel
    return each(x, (value, i) => value * op.s.data[Math.floor(i / inside)] + op.b.data[Math.floor(i / inside)]);
  },
  reshape: (x, op) => ({data: x.data, shape: op.shape[0] === -1 ? [x.data.length] : op.shape}),
  crop: (x, op) => cut(x, 0, 0, op.height, op.width),
  pad: (x, op) => {
    const [left, right, top, bottom] = op.margins;
    return cut(x, -top, -left, x.shape[1] + top + bottom, x.shape[2] + left + right);
  },
  onehot: (x, op, label) => {
    const data = new Float32Array(x.data.length + op.n);
    data.set(x.data);
    data[x.data.length + label] = 1;
    return {data, shape: [data.length]};
  },
  first: (x, op) => ({data: x.data.slice(0, op.n), shape: [op.n]}),
  relu: x => each(x, value => Math.max(0, value)),
  leaky: (x, op) => each(x, value => (value > 0 ? value : op.slope * value)),
  elu: x => each(x, value => (value > 0 ? value : Math.expm1(value))),
  tanh: x => each(x, Math.tanh),
  sigmoid: x => each(x, value => 1 / (1 + Math.exp(-value))),
};

// What the operations make of numbers of a given shape, for a conditional family with a label
function compute(ops, numbers, shape, label = 0) {
  let x = {data: Float32Array.from(numbers), shape};
  for (const op of ops) x = OPS[op.name](x, op, label);
  return x.data;
}
